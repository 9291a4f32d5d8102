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
        # It could not be read at first, and stands for three hours then.
        ((0.0, *[40.0] * 200, 40.3), 0.3),
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


@pytest.mark.parametrize(
    ("told", "given_wh"),
    [
        # A meter that counts in whole kilowatt-hours has just moved, sooner than so much can flow.
        (((10.0, None, 5_005.0),), 1_000.0),
        # It has not moved yet, by what power tells it should have.
        (((60.0, 20_000.0, None), (120.0, 20_000.0, None), (125.0, None, 5_004.0)), 0.0),
        # Power is told three times too high.
        (((0.0, 30_000.0, None), (900.0, 30_000.0, None), (905.0, None, 5_006.5)), 2_500.0),
    ],
)
def test_what_flowed_before_a_start_is_not_given_where_the_start_was_shown(
    told: tuple[tuple[float, float | None, float | None], ...], given_wh: float
) -> None:
    registers = Registers(lambda _: MOST_W)
    registers.count(ConnectorMetered(at_s=0.0, connector=PLUG, energy_wh=5_000_000.0))
    began = TransactionStarted(
        at_s=3_600.0,
        connector=PLUG,
        transaction=TransactionId("1"),
        meter_start_wh=5_004_000.0,  # Another vehicle was there while nobody listened.
    )
    registers.begin(began)
    counted_wh = 0.0
    for after_s, power_w, shown_kwh in told:
        fact = ConnectorMetered(
            at_s=3_600.0 + after_s,
            connector=PLUG,
            power_w=power_w,
            energy_wh=None if shown_kwh is None else shown_kwh * 1_000,
        )
        counted_wh += registers.count(fact)
    assert counted_wh == pytest.approx(given_wh, abs=1e-3)


@given(
    unheard_wh=st.integers(0, 6_000),
    steps=st.lists(
        st.tuples(
            st.integers(10, 300), st.integers(0, int(MOST_W)), st.floats(0.3, 3.0), st.booleans()
        ),
        min_size=1,
        max_size=20,
    ),
    late_s=st.integers(0, 1_800),
    step_wh=st.sampled_from([1, 1_000]),
)
def test_what_is_given_is_what_a_meter_rose_by_since_its_start_whatever_is_told_of_power(
    unheard_wh: int, steps: list[tuple[int, int, float, bool]], late_s: int, step_wh: int
) -> None:
    registers, shown_wh, at_s, given_wh = Registers(lambda _: MOST_W), 5_000_000.0, 0.0, 0.0

    def tells(*, power_w: float | None = None, is_shown: bool) -> float:
        rounded_wh = shown_wh // step_wh * step_wh if is_shown else None
        fact = ConnectorMetered(at_s=at_s, connector=PLUG, energy_wh=rounded_wh, power_w=power_w)
        return registers.count(fact)

    tells(is_shown=True)
    shown_wh += unheard_wh  # Given to somebody else.
    began_wh = shown_wh // step_wh * step_wh
    at_s += 3_600.0 + late_s
    began = TransactionStarted(
        at_s=at_s,
        connector=PLUG,
        transaction=TransactionId("1"),
        meter_start_wh=began_wh,
        age_s=late_s,
    )
    registers.begin(began)
    for lasts_s, power_w, off_ratio, is_shown in steps:
        given_wh += tells(power_w=power_w * off_ratio, is_shown=False)
        at_s, shown_wh = at_s + lasts_s, shown_wh + power_w * lasts_s / 3_600
        given_wh += tells(is_shown=True) if is_shown else 0.0
    given_wh += tells(is_shown=True)

    assert given_wh == pytest.approx(shown_wh // step_wh * step_wh - began_wh, abs=1e-3)


def test_a_meter_that_counts_in_whole_kilowatt_hours_is_believed() -> None:
    # 11 kW, read each ten seconds: it moves once in five and a half minutes.
    shown = [float(int(5_000 + number * 11 / 360)) for number in range(361)]
    assert counted_wh(*shown, every_s=10.0) == pytest.approx(11_000)


def test_values_that_waited_and_come_together_are_counted_by_what_was_shown_long_ago() -> None:
    registers, given_wh = Registers(lambda _: MOST_W), 0.0
    # What is taken off and added on again is not the same to the last digit.
    for at_s, shown_wh in ((0.0, 2.3), (7_200.0, 5_802.4), (7_201.0, 9_202.9), (7_202.0, 10_702.9)):
        fact = ConnectorMetered(at_s=at_s, connector=PLUG, energy_wh=shown_wh)
        given_wh += registers.count(fact)
    assert given_wh == pytest.approx(10_700.6)


@pytest.mark.parametrize("most_w", [3_680.0, 7_360.0, MOST_W])
@pytest.mark.parametrize("left_wh", [1, 50, 500, 999])
def test_whole_kilowatt_hours_are_counted_whenever_the_first_of_them_is_full(
    most_w: float, left_wh: int
) -> None:
    registers = Registers(lambda _: most_w)
    began = TransactionStarted(
        at_s=0.0, connector=PLUG, transaction=TransactionId("1"), meter_start_wh=5_000_000.0
    )
    registers.begin(began)
    shown = [
        (at_s, (5_001_000 - left_wh + most_w * at_s / 3_600) // 1_000 * 1_000)
        for at_s in range(10, 3_600, 10)
    ]
    given_wh = sum(
        registers.count(ConnectorMetered(at_s=float(at_s), connector=PLUG, energy_wh=energy_wh))
        for at_s, energy_wh in shown
    )
    assert given_wh == shown[-1][1] - 5_000_000


@pytest.mark.parametrize(("starts_wh", "shown_before_wh"), [(0.0, 0.0), (5_000_000.0, 0.0)])
def test_a_meter_that_is_told_as_nothing_at_the_end_takes_nothing_of_what_power_told(
    starts_wh: float, shown_before_wh: float
) -> None:
    registers, given_wh = Registers(lambda _: MOST_W), 0.0
    registers.count(ConnectorMetered(at_s=0.0, connector=PLUG, energy_wh=shown_before_wh))
    began = TransactionStarted(
        at_s=3_600.0, connector=PLUG, transaction=TransactionId("1"), meter_start_wh=starts_wh
    )
    registers.begin(began)
    for number in range(7):
        at_s = 3_600.0 + number * 600
        given_wh += registers.count(ConnectorMetered(at_s=at_s, connector=PLUG, power_w=11_000.0))
    given_wh += registers.count(ConnectorMetered(at_s=7_200.0, connector=PLUG, energy_wh=0.0))
    assert given_wh == pytest.approx(11_000)
