"""A vehicle that its draw alone shows: its station says that nothing is there."""

import pytest

from gateway.domain.reasons import Reason, ReasonKind
from tests.support.one_circuit import OneCircuit, ref

HOUR_S = 3_600
HIDDEN, SEEN = 1, (2, 3)
FALLBACK_MA = 6_000
CROWDED_A = 70.0  # So one of three has its minimum at a time.


def reason_of(site: OneCircuit, number: int) -> Reason:
    return site.decide().reasons[ref(number)]


class Crowded:
    """A board with room for one minimum, two vehicles, and a third that its draw alone shows."""

    def __init__(self) -> None:
        self.site = OneCircuit()
        self.site.prove(HIDDEN, *SEEN)
        self.site.leave(HIDDEN)
        for number in SEEN:
            self.site.begin(number, f"of-{number}")
        self.second = 0
        self.served_s = dict.fromkeys((HIDDEN, *SEEN), 0)
        self.leased_ma: tuple[int, float] = (0, 0.0)

    def live(self, seconds: int, *, says_free_each_s: int = HOUR_S, is_there: bool = True) -> None:
        """Let time pass; the vehicle draws what its lease allows, and the fallback without one."""
        site = self.site
        for _ in range(seconds):
            self.second += 1
            site.now_s += 1.0
            newest = site.state.connectors[0].limits[-1]
            if newest.last_sequence:
                self.leased_ma = newest.limit_ma, newest.lease_until_s or 0.0
            limit_ma, until_s = self.leased_ma
            holds_ma = limit_ma if until_s > site.now_s else FALLBACK_MA
            draws_a = {number: site.told_ma(number) / 1_000 for number in SEEN}
            draws_a[HIDDEN] = holds_ma / 1_000 if is_there else 0.0
            site.flow(CROWDED_A + sum(draws_a.values()) + 0.001 * (self.second % 7))
            for number, draw_a in draws_a.items():
                self.served_s[number] += draw_a > 0.0
                if (self.second + number) % 10 == 0:
                    site.draw(number, draw_a)
            if self.second % says_free_each_s == 0:
                site.leave(HIDDEN)
            site.decide()


@pytest.mark.parametrize("says_free_each_s", [HOUR_S, 300])
def test_its_turn_passes_like_any_other(says_free_each_s: int) -> None:
    board = Crowded()

    board.live(2 * HOUR_S, says_free_each_s=says_free_each_s)

    assert board.site.state.connectors[0].is_plugged
    assert min(board.served_s.values()) > HOUR_S / 3
    assert max(board.served_s.values()) < HOUR_S


def test_one_that_left_while_it_was_paused_is_gone_once_its_turn_has_come() -> None:
    board = Crowded()
    board.live(HOUR_S)
    assert reason_of(board.site, HIDDEN).kind is not ReasonKind.NOT_CONNECTED

    board.live(HOUR_S, is_there=False)

    assert reason_of(board.site, HIDDEN).kind is ReasonKind.NOT_CONNECTED


def test_a_vehicle_that_draws_on_where_it_is_said_to_have_left_is_counted_and_told() -> None:
    site = OneCircuit()
    site.prove(1)
    site.begin(1, "T1")
    site.leave(1)
    site.now_s += 10
    site.draw(1, 6.0)  # It may have been taken before the vehicle left.
    assert reason_of(site, 1).kind is ReasonKind.NOT_CONNECTED

    site.now_s += 10
    site.draw(1, 6.0)
    assert site.seen().high_ma[0] >= 6_000
    assert reason_of(site, 1).kind is not ReasonKind.NOT_CONNECTED

    for _ in range(2):
        site.now_s += 60
        site.draw(1, 0.0)
    assert reason_of(site, 1).kind is ReasonKind.NOT_CONNECTED


def test_a_vehicle_that_drew_on_where_it_is_said_to_have_left_leaves_with_its_transaction() -> None:
    site = OneCircuit()
    site.prove(1)
    site.begin(1, "T1")
    site.leave(1)
    for _ in range(2):
        site.now_s += 10
        site.draw(1, 6.0)
    assert reason_of(site, 1).kind is not ReasonKind.NOT_CONNECTED
    site.end(1, "T1")

    assert reason_of(site, 1).kind is ReasonKind.NOT_CONNECTED
