"""What is said of a limit is true, and its numbers fit each other."""

import pytest

from gateway.control.decide import decide
from gateway.control.explain import sentence
from gateway.domain.charging import ConnectorStatus
from gateway.domain.electric import MIN_CHARGING_MA
from gateway.domain.events import ConnectorStatusChanged, ConstraintSet, StationDisconnected
from gateway.domain.ids import CircuitId
from gateway.domain.limits import Authority, Constraint
from gateway.domain.reasons import Reason, ReasonKind
from tests.support.hungry_site import HungrySite, circuit, ref

MINUTE_S = 60
CRITICAL, NORMAL = 0, 2


def board(*, free_a: float, vehicles: int = 2) -> HungrySite:
    """Return a 100 A board with so much for its hungry vehicles."""
    site = HungrySite(
        (circuit("board", 100),), ("board",) * 4, base_a={"board": 95.0 - 15.0 - free_a}
    )
    for number in range(1, vehicles + 1):
        site.plug_in(number)
    return site


def reason_of(site: HungrySite, number: int) -> Reason:
    """Return why a connector's limit is what it is, whether a vehicle is there or not."""
    return decide(site.state, site.now_s).reasons[ref(number)]


def test_what_is_too_little_to_raise_by_is_not_said_to_be_raised_into() -> None:
    site = board(free_a=40.0)
    site.run(10 * MINUTE_S)
    for _ in range(5 * MINUTE_S):
        site.step()
        kinds = {reason.kind for reason in site.reasons().values()}

        assert ReasonKind.RAISED_IN_STEPS not in kinds


def test_who_gives_way_to_a_more_important_need_is_told_to_whom() -> None:
    site = board(free_a=40.0)
    site.run(10 * MINUTE_S)
    site.matters(2, CRITICAL)
    site.run(20 * MINUTE_S)

    reason = site.reasons()[1]

    assert reason.kind is ReasonKind.OTHERS_COME_FIRST
    assert f"{ref(2)} (critical) comes first" in sentence(reason)


def test_who_was_cut_for_a_share_is_told_for_whose_until_it_has_it() -> None:
    site = board(free_a=40.0, vehicles=1)
    site.run(10 * MINUTE_S)
    site.plug_in(2)
    while site.limits_a()[1] > 25.0:
        site.step()

    said = [site.step().reasons[ref(1)] for _ in range(MINUTE_S)]

    assert {reason.kind for reason in said} == {ReasonKind.MAKES_ROOM}
    assert {reason.name for reason in said} == {str(ref(2))}


def test_a_veto_on_a_circuit_is_not_a_matter_of_turns() -> None:
    site = board(free_a=40.0)
    site.run(5 * MINUTE_S)
    veto = Constraint(
        subject=CircuitId("board"),
        limit_ma=(0, 0, 0),
        authority=Authority.VETO,
        source="the caretaker",
    )
    site.learn(ConstraintSet(at_s=site.now_s, constraint=veto))
    site.run(2 * MINUTE_S)

    reason = site.reasons()[1]

    assert reason.limit_ma == 0
    assert reason.kind is not ReasonKind.WAITS_FOR_TURN
    assert "the caretaker 0.0 A" in sentence(reason)


def test_a_lost_station_is_shown_with_its_limit_until_its_lease_is_over() -> None:
    site = board(free_a=40.0)
    site.run(5 * MINUTE_S)
    limit_ma = int(site.limits_a()[1] * 1_000)
    site.learn(StationDisconnected(at_s=site.now_s, station=ref(1).station))

    lost = reason_of(site, 1)
    site.now_s += 2 * MINUTE_S
    later = reason_of(site, 1)

    assert (lost.limit_ma, later.limit_ma) == (limit_ma, 0)
    assert "its last limit holds for" in sentence(lost)
    assert "its last limit" not in sentence(later)


def test_a_connector_that_has_not_told_its_status_is_not_said_to_be_free() -> None:
    site = HungrySite((circuit("board", 100),), ("board",), base_a={"board": 20.0}, are_told=False)

    assert reason_of(site, 1).kind is ReasonKind.STATUS_UNKNOWN

    status = ConnectorStatus.AVAILABLE
    site.learn(ConnectorStatusChanged(at_s=site.now_s, connector=ref(1), status=status))
    assert reason_of(site, 1).kind is ReasonKind.NOT_CONNECTED


@pytest.mark.parametrize("free_a", [5.0, 9.0, 14.0, 26.0, 40.0, 80.0])
def test_the_numbers_of_every_reason_fit_each_other(free_a: float) -> None:
    """A limit below the maximum names a row that binds, or what else narrows it."""
    site = board(free_a=free_a, vehicles=4)
    site.matters(3, CRITICAL)
    site.matters(4, NORMAL, floor_ma=10_000)
    for _ in range(8 * MINUTE_S):
        for reason in site.step().reasons.values():
            row = reason.row
            if row is None:
                assert reason.kind not in {
                    ReasonKind.CIRCUIT_AT_SET_POINT,
                    ReasonKind.MAKES_ROOM,
                    ReasonKind.OTHERS_COME_FIRST,
                    ReasonKind.WAITS_FOR_HEADROOM,
                    ReasonKind.WAITS_FOR_TURN,
                    ReasonKind.RAISED_IN_STEPS,
                }
                continue
            assert row.available_ma == row.bound_ma - row.base_ma - row.reserve_ma
            assert row.bound_ma <= row.set_point_ma <= row.rating_ma
            if reason.kind is ReasonKind.RAISED_IN_STEPS:
                assert row.claimed_ma < row.available_ma
            if reason.kind is ReasonKind.WAITS_FOR_TURN:
                assert reason.limit_ma == 0
                assert row.available_ma >= MIN_CHARGING_MA
            if reason.kind is ReasonKind.WAITS_FOR_HEADROOM:
                assert 0.0 < (reason.remaining_s or 0.0) <= site.parameters.raise_after_s
