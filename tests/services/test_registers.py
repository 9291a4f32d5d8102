"""What of a connector's readings is energy that flowed, and what is a meter that is wrong."""

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.events import ConnectorMetered, TransactionStarted
from gateway.domain.ids import ConnectorRef, StationId, TransactionId
from gateway.services.registers import Registers

PLUG = ConnectorRef(StationId("CP-01"), 1)
MOST_W = 22_000.0


def counted_wh(*shown_kwh: float, every_s: float = 60.0) -> float:
    """Return what is counted of a meter that shows these, one after the other."""
    registers, counted_wh = Registers(lambda _: MOST_W), 0.0
    for number, kwh in enumerate(shown_kwh):
        fact = ConnectorMetered(at_s=number * every_s, connector=PLUG, energy_wh=kwh * 1_000)
        counted_wh += registers.count(fact)
    return counted_wh


@pytest.mark.parametrize(
    ("shown_kwh", "flowed_kwh"),
    [
        ((5_000.0, 5_000.3, 5_000.6), 0.6),
        # A meter that is lost for a moment is told as 0.
        ((5_000.0, 0.0, 5_000.6), 0.6),
        ((5_000.0, 0.0, 0.0, 5_000.9), 0.9),
        ((0.30, 0.0, 0.32, 0.0, 0.34), 0.04),
        # One value that is wrong, in whichever way.
        ((5_000.0, 5_123.0, 5_000.6, 5_000.9), 0.9),
        ((5_000.0, 5.0, 5_000.6, 5_000.9), 0.9),
        # It has begun anew: what flowed until its first value nobody knows.
        ((5_000.0, 0.1, 0.4, 0.7), 0.6),
        ((5_000.0, 9_000.0, 9_000.3, 9_000.6), 0.6),
    ],
)
def test_what_cannot_have_flowed_is_not_counted(
    shown_kwh: tuple[float, ...], flowed_kwh: float
) -> None:
    assert counted_wh(*shown_kwh) == pytest.approx(flowed_kwh * 1_000)


def test_one_wrong_value_after_a_nights_standstill_is_taken_back() -> None:
    night = [5_000.0] * 600  # Ten hours, in which 220 kWh could have flowed.
    assert counted_wh(*night, 5_123.0, 5_000.6, 5_000.9) == pytest.approx(900)
    assert counted_wh(*night, 5_123.0, 5_123.0, 5_000.6) == pytest.approx(600)
    # What is shown on and on has flowed: some stations tell their register seldom.
    assert counted_wh(*night, 5_020.0, 5_020.3, 5_020.6) == pytest.approx(20_600)


@pytest.mark.parametrize(
    ("first_wh", "then_wh", "given_wh"),
    [
        # Its register begins anew with each transaction, and the second was told half an hour late.
        ((1_000.0, 5_000.0), 6_000.0, 6_000.0),
        # It tells 0 for what it cannot read, and what it then shows could have flowed since.
        ((9_948.0, 9_950.0), 10_050.0, 100.0),
    ],
)
def test_a_start_of_nothing_is_believed_of_a_meter_that_was_seen_to_begin_there(
    first_wh: tuple[float, ...], then_wh: float, given_wh: float
) -> None:
    registers = Registers(lambda _: MOST_W)

    def shows(at_s: float, energy_wh: float) -> float:
        return registers.count(ConnectorMetered(at_s=at_s, connector=PLUG, energy_wh=energy_wh))

    def begins(at_s: float, *, age_s: float) -> None:
        began = TransactionStarted(
            at_s=at_s,
            connector=PLUG,
            transaction=TransactionId(f"{at_s}"),
            meter_start_wh=0.0,
            age_s=age_s,
        )
        registers.begin(began)

    begins(0.0, age_s=0.0)
    for number, energy_wh in enumerate(first_wh, start=1):
        shows(number * 600.0, energy_wh)
    begins(9_000.0, age_s=1_800.0)
    assert shows(9_060.0, then_wh) == given_wh


@given(
    rises_wh=st.lists(st.integers(0, 300), min_size=2, max_size=12),
    standstill=st.integers(0, 600),
    wrong_at=st.integers(1, 11),
    wrong_wh=st.integers(0, 10**7),
)
def test_a_value_that_is_wrong_once_never_makes_more_of_what_flowed(
    rises_wh: list[int], standstill: int, wrong_at: int, wrong_wh: int
) -> None:
    shown_wh = [5_000_000] * standstill + list(accumulate(rises_wh, initial=5_000_000))
    at = min(standstill + wrong_at, len(shown_wh) - 1)
    flowed_wh, next_wh = shown_wh[-1] - shown_wh[0], shown_wh[at]
    shown_wh.insert(at, wrong_wh)
    counted = counted_wh(*(wh / 1_000 for wh in shown_wh))

    assert counted <= flowed_wh + 1e-3
    if not shown_wh[at - 1] < wrong_wh < next_wh:
        assert counted == pytest.approx(flowed_wh, abs=1e-3)


def test_a_meter_that_counts_in_whole_kilowatt_hours_is_believed() -> None:
    # 11 kW, read each ten seconds: it moves once in five and a half minutes.
    shown = [float(int(5_000 + number * 11 / 360)) for number in range(361)]
    assert counted_wh(*shown, every_s=10.0) == pytest.approx(11_000)
