"""How a limit on power is shared between vehicles on one phase and on three."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.control.explain import sentence
from gateway.control.levels import CRITICAL, Filling, Want
from gateway.control.parameters import ControlParameters
from gateway.domain.electric import Phase
from tests.support.hungry_site import EVERY_PHASE, HungrySite, circuit

MINUTE_S = 60
GAP_A = ControlParameters().due_gap_ma / 1_000
NORMAL = 2
L1, L2 = (Phase.L1,), (Phase.L2,)


def board(power_va: int, *, base_a: float = 5.0) -> HungrySite:
    """Return a board whose phases could carry all that its contract does not allow."""
    limited = replace(circuit("board", 100), power_limit_va=power_va)
    return HungrySite((limited,), ("board",) * 5, base_a={"board": base_a})


def flows_a(site: HungrySite) -> float:
    """Return what vehicles take in all, over all phases."""
    return sum(limit_a * len(site.guests[n].phases) for n, limit_a in site.limits_a().items())


@pytest.mark.parametrize("phases", [EVERY_PHASE, L2])
def test_who_comes_when_one_phase_has_all_the_power_gets_its_share(
    phases: tuple[Phase, ...],
) -> None:
    site = board(30_000)
    for number in (1, 2):
        site.plug_in(number, phases=L1)
    site.run(10 * MINUTE_S)
    before_a = flows_a(site)

    site.plug_in(3, phases=phases)
    site.run(2 * MINUTE_S)
    assert site.limits_a()[3] >= 6.0

    site.run(25 * MINUTE_S)
    limits_a, before = site.limits_a(), site.changes.copy()
    # Each has what all would have alike, but for gaps that are not worth a move.
    alike_a = flows_a(site) / (2 + len(phases))
    assert all(limit_a > alike_a - GAP_A - 1.0 for limit_a in limits_a.values())
    assert flows_a(site) > before_a - 6.0
    assert site.overclaimed == []
    site.run(15 * MINUTE_S)
    assert site.changes == before


def test_power_is_given_up_to_others_by_rank() -> None:
    site = board(30_000)
    site.plug_in(1, phases=L1)
    site.matters(1, CRITICAL)
    site.plug_in(2, phases=L1)
    site.run(10 * MINUTE_S)

    site.plug_in(3)
    site.run(15 * MINUTE_S)

    limits_a = site.limits_a()
    assert limits_a[1] == 32.0
    assert 6.0 <= limits_a[2] < 12.0
    assert 6.0 <= limits_a[3] < 12.0


def test_a_promised_floor_is_kept_on_the_phase_that_gives() -> None:
    site = board(25_000)
    site.plug_in(1, phases=L1)
    site.matters(1, NORMAL, floor_ma=20_000)
    site.run(10 * MINUTE_S)
    lowest_a = 32.0

    site.plug_in(2)
    for _ in range(15 * MINUTE_S):
        site.step()
        lowest_a = min(lowest_a, site.limits_a()[1])

    assert lowest_a >= 20.0
    assert site.limits_a()[2] >= 6.0


def test_the_turn_passes_between_phases_where_power_is_too_little_for_all() -> None:
    site = board(19_000)
    for number, phases in ((1, L1), (2, EVERY_PHASE)):
        site.plug_in(number, phases=phases)
        site.run(5 * MINUTE_S)
    served_s: Counter[int] = Counter()
    for _ in range(90 * MINUTE_S):
        site.step()
        served_s.update(number for number, limit_a in site.limits_a().items() if limit_a)

    assert min(served_s[1], served_s[2]) > 20 * MINUTE_S
    assert sum(site.pauses.values()) <= 7  # One a turn.


def test_who_takes_little_leaves_the_power_to_others() -> None:
    site = board(25_000)
    site.plug_in(1, phases=L1)
    site.run(10 * MINUTE_S)
    site.plug_in(2, takes_a=7.0)

    site.run(20 * MINUTE_S)

    assert site.limits_a()[1] > 16.0  # Alike each would have 12 A.


def test_no_power_is_kept_for_who_is_locked_out() -> None:
    supply = replace(circuit("supply", 100), power_limit_va=20_000)
    site = HungrySite(
        (supply, circuit("one", 63, "supply"), circuit("two", 63, "supply")),
        ("one", "two"),
        base_a={"one": 1.0},
    )
    one, two, three = site.state.circuits
    locked = replace(two, lockout_until_s=site.now_s + 4 * 3_600)
    site.state = replace(site.state, circuits=(one, locked, three))
    site.plug_in(1)
    site.plug_in(2, phases=L1)

    site.run(20 * MINUTE_S)

    assert site.limits_a() == {1: 0.0, 2: 32.0}


def test_the_sentence_names_the_power_that_binds() -> None:
    site = board(25_000)
    for number in (1, 2):
        site.plug_in(number, phases=L1)
    site.run(10 * MINUTE_S)

    told = sentence(site.reasons()[1])

    assert "(rating 100.0 A, the limit on power " in told


def test_the_sentence_names_the_imbalance_that_shuts_out() -> None:
    limited = replace(circuit("board", 100), imbalance_ma=20_000)
    site = HungrySite((limited,), ("board",), base_a={"board": 10.0})
    site.plug_in(1)
    site.run(2 * MINUTE_S)

    told = sentence(site.reasons()[1])

    assert told.startswith("0.0 A: board L1 has 5.0 A for charging (rating 100.0 A, the limit on ")
    assert "the limit on imbalance 30.0 A, base 10.0 A, reserve 15.0 A)" in told


WANTS = st.builds(
    Want,
    least_ma=st.just(6_000),
    most_ma=st.sampled_from([0, 6_000, 16_000, 32_000]),
    floor_ma=st.sampled_from([0, 0, 0, 10_000]),
    rank=st.tuples(st.integers(0, 3), st.just(0.0)),
    turn=st.tuples(st.integers(0, 3), st.floats(0, 100)),
    is_served=st.booleans(),
    weights=st.dictionaries(st.integers(0, 5), st.integers(1, 3), min_size=1),
)
SLACK_MA = 1_000


@given(
    wants=st.dictionaries(st.integers(0, 40), WANTS, max_size=9),
    left_ma=st.lists(st.integers(-9_000, 150_000), min_size=6, max_size=6),
)
def test_levels_hold_every_bound_and_nobody_lacks_what_is_left(
    wants: dict[int, Want], left_ma: list[int]
) -> None:
    levels_ma = Filling(wants, left_ma.copy(), slack_ma=SLACK_MA).fill()

    for bound, had_ma in enumerate(left_ma):
        loads = [at for at, want in wants.items() if bound in want.weights]
        left_ma[bound] -= sum(wants[at].weights[bound] * levels_ma[at] for at in loads)
        slack_ma = sum(wants[at].weights[bound] for at in loads if wants[at].is_served) * SLACK_MA
        assert left_ma[bound] >= min(had_ma, 0) - slack_ma
    for at, want in wants.items():
        assert levels_ma[at] == 0 or levels_ma[at] >= min(want.least_ma, want.most_ma)
        weight_of = {
            bound: sum(other.weights.get(bound, 0) for other in wants.values())
            for bound in want.weights
        }
        if 0 < levels_ma[at] < want.most_ma:
            # What a bound has left is not even one mA more for those it holds.
            assert any(left_ma[bound] < weight for bound, weight in weight_of.items())
