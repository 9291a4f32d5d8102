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
from tests.control.test_trial_ends import Board, Car
from tests.control.watts_hall import Hall
from tests.support.hungry_site import HungrySite, circuit, ref
from tests.support.one_circuit import BOARD, OneCircuit

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


def test_room_that_is_kept_for_another_is_said_to_be_and_for_whom() -> None:
    site = board(free_a=9.0)
    site.run(4 * MINUTE_S)
    site.base_a["board"] -= 5.0
    for _ in range(30):  # What comes free is fresh for half a minute before a start.
        told = sentence(site.step().reasons[ref(1)])
        assert "6.0 A is claimed" in told
        assert "A kept for CP-2/1" in told

    site.run(30)

    assert "12.0 A is claimed" in sentence(site.reasons()[1])


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


def test_who_is_not_seen_to_pause_is_not_said_to_have_waited_for_no_time() -> None:
    site, drawn_a, said = OneCircuit(), {1: 6.0, 2: 6.0, 3: 6.0}, []
    site.prove(1, 2, 3)
    for second in range(15 * MINUTE_S):
        site.now_s += 1.0
        for number in drawn_a:
            told_a = site.told_ma(number) / 1_000
            drawn_a[number] = max(6.0, told_a) if number == 1 else told_a
        is_short = 5 * MINUTE_S < second < 6 * MINUTE_S
        base_a = 74.0 if is_short else 40.0
        site.flow(base_a + sum(drawn_a.values()) + 0.001 * (second % 7))
        if second % 10 == 0:
            for number, current_a in drawn_a.items():
                site.draw(number, current_a)
        said.append(sentence(site.decide().reasons[ref(1)]))

    assert not any("waits for its turn since 0 s" in told for told in said)
    untold = sentence(Reason(kind=ReasonKind.WAITS_FOR_TURN, limit_ma=0))
    assert untold.startswith("0.0 A: waits for its turn, as 6.0 A for everyone does not fit")


def calendar_rating(rating_ma: int) -> Constraint:
    """Return the bound by which a calendar of 60 A is told; half a minute ahead of that too."""
    return Constraint(
        subject=BOARD,
        limit_ma=(57_000,) * 3,
        authority=Authority.SITE,
        source="calendar",
        rating_ma=(rating_ma,) * 3,
    )


def test_what_is_over_by_its_calendar_is_told_with_the_rating_in_force() -> None:
    site = OneCircuit()
    site.prove(1)
    site.run(60, base_a=62.0, draws_a={1: 6.0})
    site.learn(ConstraintSet(at_s=site.now_s, constraint=calendar_rating(100_000)))
    before = sentence(site.run(30, base_a=62.0, draws_a={1: 0.0}).reasons[ref(1)])
    site.learn(ConstraintSet(at_s=site.now_s, constraint=calendar_rating(60_000)))

    after = sentence(site.run(40, base_a=62.0, draws_a={1: 0.0}).reasons[ref(1)])

    assert "(rating 100.0 A, calendar 57.0 A, base" in before
    assert "board L1 has been over its rating of 60.0 A for 39 s" in after
    assert "(rating 60.0 A now of 100.0 A, calendar 57.0 A, base" in after


def lockout_of(site: OneCircuit) -> str:
    """Return what is said of the lockout, a minute after what led to it."""
    reason = site.run(60, base_a=20.0, draws_a={1: 0.0}).reasons[ref(1)]
    assert reason.kind is ReasonKind.LOCKOUT
    return sentence(reason)


def test_over_for_too_long_is_not_said_to_be_too_often() -> None:
    site = OneCircuit()
    site.prove(1)
    site.run(70, base_a=104.0, draws_a={1: 0.0})

    assert "board was over its rating for too long and is held at its fallback" in lockout_of(site)


def test_over_too_often_is_said_with_how_often() -> None:
    site = OneCircuit()
    site.prove(1)
    for _ in range(3):
        site.run(60, base_a=20.0, draws_a={1: 0.0})
        site.run(20, base_a=104.0, draws_a={1: 0.0})

    assert "board was over its rating too often (3 times) and is held" in lockout_of(site)


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
            assert (row.kept_ma > 0) is (row.kept_for is not None)
            assert row.kept_ma <= max(0, row.available_ma - row.claimed_ma)
            if reason.kind is ReasonKind.RAISED_IN_STEPS:
                assert row.claimed_ma < row.available_ma
            if reason.kind is ReasonKind.CIRCUIT_AT_SET_POINT:
                left_ma = row.available_ma - row.claimed_ma - row.kept_ma
                unsaid_ma = site.parameters.dead_band_ma if reason.limit_ma else MIN_CHARGING_MA
                assert left_ma < (reason.current_ma or unsaid_ma)
            if reason.kind is ReasonKind.WAITS_FOR_TURN:
                assert reason.limit_ma == 0
                assert row.available_ma >= MIN_CHARGING_MA
            if reason.kind is ReasonKind.WAITS_FOR_HEADROOM:
                assert 0.0 < (reason.remaining_s or 0.0) <= site.parameters.raise_after_s


@pytest.mark.parametrize(
    ("allowed_ma", "said"),
    [
        (5_900, "0.0 A: energy-manager (5.9 A; no vehicle charges on less than 6.0 A)."),
        (0, "0.0 A: energy-manager."),
        (10_050, "10.0 A: energy-manager."),
    ],
)
def test_a_limit_from_outside_that_nobody_charges_with_is_told_with_its_number(
    allowed_ma: int, said: str
) -> None:
    board = OneCircuit()
    board.prove(1)
    board.run(120, base_a=20.0, draws_a={1: 6.0})
    connector = board.state.wiring.connectors[0].ref
    constraint = Constraint(
        subject=connector,
        limit_ma=(allowed_ma,) * 3,
        authority=Authority.GRID,
        source="energy-manager",
    )

    board.learn(ConstraintSet(at_s=board.now_s, constraint=constraint))

    assert sentence(board.decide().reasons[connector]) == said


def test_a_lease_that_is_let_lapse_is_told_with_what_is_left_of_it() -> None:
    tried = Reason(kind=ReasonKind.LEASE_TRIED, limit_ma=16_000, remaining_s=42.0)
    over = Reason(kind=ReasonKind.LEASE_TRIED, limit_ma=16_000)

    assert sentence(tried).endswith("falls back by itself: its last limit is over in 42 s.")
    assert sentence(over).endswith("falls back by itself: its last limit is over by now.")


def test_who_needs_more_room_than_its_minimum_is_told_how_much() -> None:
    hall = Hall(base_a=60.0, tells_watts=True, draws_a=(6.0, 0.0, 0.0), begins_at_w=1_380.0)
    hall.run(2 * MINUTE_S)
    hall.base_a = 82.0
    hall.run(MINUTE_S)

    hall.base_a = 72.0
    hall.run(5 * MINUTE_S)

    reason = decide(hall.board.state, hall.board.now_s).reasons[ref(1)]
    assert reason.kind is ReasonKind.CIRCUIT_AT_SET_POINT
    assert "has 8.0 A for charging" in sentence(reason)
    assert "its 6.0 A would count 12.7 A" in sentence(reason)


def test_one_cut_to_nothing_for_its_trial_is_said_to_be_tried() -> None:
    board = Board({1: Car(is_mute=True)})

    told = set()
    for _ in range(2 * MINUTE_S):
        board.live(1, 8.0)
        told.add(sentence(board.why(1)))

    paused = {said for said in told if said.startswith("0.0 A")}
    assert paused
    assert all("or nothing for a moment as a cut that must show" in said for said in paused)


def test_a_station_that_does_not_answer_is_named_as_why_it_has_no_more() -> None:
    site = OneCircuit()
    site.prove(1)
    site.plug_in(1)
    site.send(1, 16_000)
    site.now_s += 20.0
    site.answers = False
    site.send(1, 10_000)
    site.now_s += 14.0
    site.flow(30.0)

    reason = decide(site.state, site.now_s).reasons[ref(1)]

    assert reason.kind is ReasonKind.LIMIT_PENDING
    assert sentence(reason) == (
        "10.0 A: the station has not answered for 14 s; it is counted at 16.0 A."
    )


def test_who_is_told_to_pause_is_counted_and_said_to_be_until_that_is_seen_to_hold() -> None:
    site = OneCircuit()
    site.prove(1)
    site.run(40, base_a=30.0, draws_a={})
    site.plug_in(1)
    site.send(1, 10_000)
    site.send(1, 0)
    site.now_s += 4.0
    site.flow(30.0)

    reason = decide(site.state, site.now_s).reasons[ref(1)]

    assert reason.kind is ReasonKind.LIMIT_PENDING
    assert "told so 4 s ago" in sentence(reason)
    assert "in 7 s, it is counted at 32.0 A" in sentence(reason)
