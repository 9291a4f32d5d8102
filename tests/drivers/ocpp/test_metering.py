"""A 1.6 meter value in any of the forms stations send."""

import msgspec
import pytest

from drivers.ocpp.metering import Measured, measure
from drivers.ocpp.v16_messages import MeterValue


def read(*samples: dict[str, object]) -> Measured:
    return measure([msgspec.convert({"sampledValue": samples}, MeterValue, strict=False)])


def power(value: str, phase: str | None = None, unit: str | None = "W") -> dict[str, object]:
    return {"value": value, "measurand": "Power.Active.Import", "unit": unit, "phase": phase}


def current(value: object, phase: str | None = None, unit: str | None = "A") -> dict[str, object]:
    return {"value": value, "measurand": "Current.Import", "unit": unit, "phase": phase}


def test_currents_go_to_their_phases_however_these_are_written() -> None:
    measured = read(current("1.5", "L1-N"), current("2500", "L2", "mA"), current(" 3 ", "L3-N"))

    assert measured.current_a == (1.5, 2.5, 3.0)


def test_fewer_phases_are_given_as_they_are() -> None:
    assert read(current("16", "L2")).current_a == (None, 16.0, None)
    assert read(current("16")).current_a == (16.0, None, None)
    assert read(current("48"), current("16", "L1"), current("16", "L2")).current_a == (
        16.0,
        16.0,
        None,
    )


def test_the_neutral_and_line_to_line_are_nobody_s() -> None:
    assert read(current("5", "N"), current("6", "L1-L2")).is_empty


def test_a_current_has_no_sign() -> None:
    assert read(current("-15.9", "L1")).current_a[0] == 15.9


def test_power_is_the_total_or_the_sum_of_its_phases() -> None:
    assert read(power("7.4", unit="kW")).power_w == pytest.approx(7_400)
    assert read(power("2300", "L1"), power("2.3", "L2", "kW")).power_w == pytest.approx(4_600)
    assert read(power("2300", "L1"), power("2310")).power_w == pytest.approx(2_310)


def test_a_value_that_names_nothing_is_energy() -> None:
    assert read({"value": "1234"}).energy_wh == 1_234
    assert read({"value": "1.2", "unit": "kWh"}).energy_wh == pytest.approx(1_200)


def test_the_state_of_charge_is_in_per_cent() -> None:
    assert read({"value": "55", "measurand": "SoC", "unit": "Percent"}).soc_pct == 55
    assert read({"value": "9", "measurand": "SoC", "location": "EV"}).soc_pct == 9
    assert read({"value": "155", "measurand": "SoC", "unit": "Percent"}).soc_pct is None


@pytest.mark.parametrize("value", ["", "1,5", "NaN", "Infinity", "-inf", "abc", "99999", "1e400"])
def test_what_is_no_number_is_dropped_and_counted(value: str) -> None:
    measured = read(current(value, "L1"), current("6", "L2"))

    assert measured.current_a == (None, 6.0, None)
    assert measured.dropped == 1


def test_an_unknown_unit_is_dropped_and_counted() -> None:
    measured = read(current("6", "L1", "V"))

    assert (measured.current_a, measured.dropped) == ((None, None, None), 1)


def test_signed_data_and_the_vehicle_s_own_values_are_passed_over() -> None:
    signed = {**current("6", "L1"), "format": "SignedData"}
    inside = {**current("7", "L1"), "location": "EV"}

    measured = read(signed, inside)

    assert measured.is_empty
    assert measured.dropped == 0


def test_the_later_value_of_a_kind_stands() -> None:
    begin = {**current("0", "L1"), "context": "Transaction.Begin"}

    assert read(begin, current("16", "L1")).current_a[0] == 16
