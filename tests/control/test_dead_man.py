"""A lease left to lapse on purpose shows whether a station falls back by itself."""

from gateway.control.decide import Decision
from gateway.domain.charging import ChargingState
from gateway.domain.events import ConnectorStatusChanged, FallbackInstalled, StationBooted
from tests.support.one_circuit import OneCircuit, ref, site


class Lapsing(OneCircuit):
    """A board whose first station drew 20 A for long: a lease of it may be left to lapse."""

    def __init__(
        self,
        *,
        falls_back_to_a: float | None,
        base_a: float = 20.0,
        fallback_ma: int = 6_000,
    ) -> None:
        """Let it run until its trial is due; `falls_back_to_a` None is a station that does not."""
        super().__init__(of=site(fallback_ma=fallback_ma))
        self.falls_back_to_a, self.base_a = falls_back_to_a, base_a
        self.takes_a, self.tapers_a = 20.0, 0.0
        self.prove(1)
        self.pass_time(600, draws_a=6.0)

    @property
    def lapses(self) -> bool:
        """Return whether its lease is being left to lapse."""
        return self.state.memory.lapse.connector is not None

    def pass_time(self, seconds: int, *, draws_a: float | None = None) -> list[Decision]:
        """Let the vehicle draw what it may: its limit, or its fallback once the lease is over."""
        decisions = []
        for _ in range(seconds):
            self.now_s += 1.0
            newest = self.state.connectors[0].limits[-1]
            if self.lapses:
                self.takes_a = max(0.0, self.takes_a - self.tapers_a)
            current_a = min(draws_a or self.takes_a, newest.limit_ma / 1_000)
            is_over = newest.renewed_at_s + 60.0 < self.now_s
            if is_over and self.falls_back_to_a is not None:
                current_a = self.falls_back_to_a
            self.flow(self.base_a + current_a + 0.001 * (self.now_s % 7))
            if self.now_s % 10 == 0:
                self.draw(1, current_a)
            decisions.append(self.decide())
        return decisions


def proven(decisions: list[Decision]) -> list[str]:
    return [str(d.dead_man_proven) for d in decisions if d.dead_man_proven]


def sendings(decisions: list[Decision]) -> int:
    return sum(order.connector == ref(1) for decision in decisions for order in decision.orders)


def test_a_station_seen_to_fall_back_is_proven() -> None:
    board = Lapsing(falls_back_to_a=6.0)
    decisions = board.pass_time(600)

    assert [d.dead_man_proven for d in decisions if d.dead_man_proven] == [ref(1).station]


def test_its_lease_is_renewed_again_once_it_was_seen() -> None:
    board = Lapsing(falls_back_to_a=6.0)
    decisions = board.pass_time(400)

    assert sendings(decisions[300:]) > 0


def test_one_that_goes_on_is_not_proven_and_not_tried_again_for_hours() -> None:
    board = Lapsing(falls_back_to_a=None)
    decisions = board.pass_time(1_500)
    gap_s, longest_s = 0, 0
    for decision in decisions[300:]:
        gap_s = 0 if sendings([decision]) else gap_s + 1
        longest_s = max(longest_s, gap_s)

    assert not [d for d in decisions if d.dead_man_proven]
    assert longest_s <= 20


def test_what_it_may_draw_counts_as_before_while_its_lease_lapses() -> None:
    board = Lapsing(falls_back_to_a=6.0)

    for decision in board.pass_time(400):
        assert decision.survey.high_ma[0] >= board.state.connectors[0].wanted_ma


def test_no_lease_is_left_to_lapse_where_all_it_may_draw_has_no_room() -> None:
    board = Lapsing(falls_back_to_a=6.0, base_a=60.0)
    decisions = board.pass_time(600)
    gap_s, longest_s = 0, 0
    for decision in decisions:
        gap_s = 0 if sendings([decision]) else gap_s + 1
        longest_s = max(longest_s, gap_s)

    assert longest_s <= 20


def test_nobody_is_raised_into_what_may_be_drawn_while_a_lease_lapses() -> None:
    board = Lapsing(falls_back_to_a=6.0)
    for decision in board.pass_time(400):
        lapse = decision.memory.lapse
        if lapse.connector is not None:
            row, claimed_ma = decision.survey.rows[0], decision.survey.claimed_ma[0]
            assert row.available_ma - claimed_ma >= 32_000 - decision.survey.high_ma[0]


def test_a_vehicle_that_has_ended_proves_nothing() -> None:
    board = Lapsing(falls_back_to_a=0.0)
    decisions = board.pass_time(400)

    assert not [d for d in decisions if d.dead_man_proven]


def test_a_vehicle_that_takes_less_and_less_proves_nothing_whenever_it_begins() -> None:
    for takes_a, taper_a in ((8.5, 0.033), (9.0, 0.1), (12.0, 0.2)):
        board = Lapsing(falls_back_to_a=None)
        board.takes_a, board.tapers_a = takes_a, taper_a

        assert proven(board.pass_time(200)) == []
        assert board.state.memory.lapse.tried_at_s


def test_one_that_comes_down_in_time_and_stays_there_proves_nothing() -> None:
    board = Lapsing(falls_back_to_a=None)
    while not board.lapses:
        board.pass_time(1)
    board.pass_time(62)
    board.takes_a = 6.0

    assert proven(board.pass_time(200)) == []
    assert board.state.memory.lapse.returning is None


def test_one_that_comes_down_before_its_lease_may_be_over_is_renewed() -> None:
    board = Lapsing(falls_back_to_a=None)
    while not board.lapses:
        board.pass_time(1)
    board.takes_a = 7.0
    board.pass_time(20)

    assert not board.lapses


def test_a_vehicle_that_is_held_back_for_another_reason_proves_no_fallback_to_charge_at() -> None:
    board = Lapsing(falls_back_to_a=0.0)
    while not board.lapses:
        board.pass_time(1)
    board.pass_time(40)
    board.learn(
        ConnectorStatusChanged(
            at_s=board.now_s, connector=ref(1), charging_state=ChargingState.SUSPENDED_EVSE
        )
    )

    assert proven(board.pass_time(120)) == []


def test_one_held_back_by_its_station_proves_a_fallback_of_nothing() -> None:
    board = Lapsing(falls_back_to_a=0.0, fallback_ma=0)
    while not board.lapses:
        board.pass_time(1)
    board.pass_time(40)
    board.learn(
        ConnectorStatusChanged(
            at_s=board.now_s, connector=ref(1), charging_state=ChargingState.SUSPENDED_EVSE
        )
    )

    assert proven(board.pass_time(120)) == [ref(1).station]


def test_one_that_boots_between_its_fall_and_its_return_proves_nothing() -> None:
    board = Lapsing(falls_back_to_a=6.0)
    while board.state.memory.lapse.returning is None:
        board.pass_time(1)
    station = ref(1).station
    board.learn(
        StationBooted(at_s=board.now_s, station=station, firmware="2"),
        FallbackInstalled(at_s=board.now_s, connector=ref(1), fallback_ma=6_000),
    )

    board.now_s += 1.0
    board.draw(1, 16.0)  # What was seen to fall was firmware 1.

    assert board.decide().dead_man_proven is None
