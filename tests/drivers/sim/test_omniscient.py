"""The yardstick against examples worked by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.sim.omniscient import Guest, OmniscientSharer, fair_shares
from drivers.sim.scenario import VehicleTraits
from tests.support.sim_scenarios import ONE, TWO, visit

L1, L2, L3 = (0,), (1,), (2,)
ALL = (0, 1, 2)


def test_an_even_split_where_everyone_wants_more() -> None:
    assert fair_shares([60, 60, 60], [ALL, ALL, ALL], [32, 32, 32]) == [20, 20, 20]


def test_what_one_leaves_the_others_get() -> None:
    # 60 A: the first takes 8, the other two share 52.
    assert fair_shares([60, 60, 60], [ALL, ALL, ALL], [8, 32, 32]) == pytest.approx([8, 26, 26])


def test_a_phase_that_is_full_stops_only_those_on_it() -> None:
    # L1 carries the three-phase car and a single-phase one: 15 each. L2 has its own: 30 - 15.
    shares = fair_shares([30, 45, 45], [ALL, L1, L2], [32, 32, 32])

    assert shares == pytest.approx([15, 15, 30])


def test_a_circuit_above_binds_what_is_below() -> None:
    # Rows 0-2: the supply; 3-5: the car park. 40 A at the supply, though the car park has 95.
    rows = [(0, 1, 2, 3, 4, 5), (0, 3), (1, 2)]

    assert fair_shares([40, 40, 40, 95, 95, 95], rows, [32, 32, 32]) == pytest.approx([20, 20, 20])


def test_the_minimum_goes_to_the_first_when_it_does_not_suffice() -> None:
    assert fair_shares([13, 13, 13], [ALL, ALL, ALL], [32, 32, 32]) == [6.5, 6.5, 0]


def test_a_vehicle_that_is_passed_over_does_not_block_those_after_it() -> None:
    # The three-phase car does not fit on L1; the single-phase one on L2 does.
    assert fair_shares([5, 10, 10], [ALL, L2], [32, 32]) == [0, 10]


def test_near_its_end_a_vehicle_takes_less_than_the_minimum() -> None:
    assert fair_shares([10, 10, 10], [ALL, ALL], [3, 32]) == [3, 7]


def test_no_room_gives_nothing() -> None:
    assert fair_shares([-5, 40, 40], [ALL, L2], [32, 32]) == [0, 32]


rooms = st.lists(st.floats(-20.0, 100.0), min_size=6, max_size=6)
wishes = st.lists(
    st.tuples(
        st.sampled_from([ALL, L1, L2, L3, (0, 1, 2, 3, 4, 5), (0, 3), (1, 4)]),
        st.floats(0.0, 40.0),
    ),
    max_size=12,
)


@given(room_a=rooms, wishes=wishes)
def test_no_row_is_overfilled_and_nobody_gets_less_than_the_minimum(
    room_a: list[float], wishes: list[tuple[tuple[int, ...], float]]
) -> None:
    rows = [row for row, _ in wishes]
    accepts_a = [amps for _, amps in wishes]

    shares_a = fair_shares(room_a, rows, accepts_a)

    for row, room in enumerate(room_a):
        used_a = sum(share for share, of in zip(shares_a, rows, strict=True) if row in of)
        assert used_a <= max(0.0, room) + 1e-5
    for share, accepts in zip(shares_a, accepts_a, strict=True):
        assert share == 0.0 or share >= min(6.0, accepts) - 1e-9
        assert share <= accepts + 1e-5


@given(room_a=rooms, wishes=wishes)
def test_nothing_is_left_that_someone_served_could_use(
    room_a: list[float], wishes: list[tuple[tuple[int, ...], float]]
) -> None:
    rows = [row for row, _ in wishes]
    accepts_a = [amps for _, amps in wishes]

    shares_a = fair_shares(room_a, rows, accepts_a)

    left_a = list(room_a)
    for share, of in zip(shares_a, rows, strict=True):
        for row in of:
            left_a[row] -= share
    for share, accepts, of in zip(shares_a, accepts_a, rows, strict=True):
        if 0.0 < share < accepts - 1e-3:
            assert min(left_a[row] for row in of) < 1e-3


def guest_of(need_wh: float, *, second: bool = False) -> Guest:
    vehicle = VehicleTraits(need_wh=need_wh, max_a=32.0, phase_count=3, taper_wh=1.0)
    return Guest(visit(TWO if second else ONE, vehicle=vehicle), rows=ALL, voltage_v=690.0)


def test_energy_follows_the_shares_over_time() -> None:
    sharer = OmniscientSharer()
    small, large = guest_of(6_900.0), guest_of(100_000.0, second=True)
    sharer.guests = [small, large]

    sharer.share(0.0, [40.0, 40.0, 40.0])  # 20 A each: 13.8 kW each.
    sharer.share(1_800.0, [40.0, 40.0, 40.0])  # The small one is full after half an hour.
    sharer.deliver(3_600.0)  # The large one at its 32 A.

    assert small.delivered_wh == pytest.approx(6_900.0)
    assert large.delivered_wh == pytest.approx(6_900.0 + 32.0 * 690.0 / 2)


def test_who_has_had_least_of_what_was_asked_comes_first() -> None:
    sharer = OmniscientSharer()
    first, second = guest_of(10_000.0), guest_of(10_000.0, second=True)
    sharer.guests = [first, second]

    for at_s in range(0, 3_600, 5):
        sharer.share(float(at_s), [8.0, 8.0, 8.0])  # Room for one minimum, not for two.
    sharer.deliver(3_600.0)

    assert first.delivered_wh == pytest.approx(second.delivered_wh, rel=0.01)
    assert first.delivered_wh + second.delivered_wh == pytest.approx(8.0 * 690.0)
