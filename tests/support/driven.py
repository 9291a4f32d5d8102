"""The board with one vehicle whose draw is what its station makes of what it is told."""

from collections.abc import Callable

from gateway.control.decide import Decision
from tests.support.one_circuit import OneCircuit, ref

AMPS_A_S = 4.0  # How fast a vehicle follows.
INTERVAL_S = 10

Offers = Callable[[float], float]
"""What a station offers of what it is told, amperes."""


class Driven:
    """One vehicle under control, beside a steady base; its station tells its draw now and then."""

    def __init__(
        self,
        offers_a: Offers,
        *,
        base_a: float,
        is_proven: bool = False,
        interval_s: int = INTERVAL_S,
    ) -> None:
        """Begin charging, at a station that was seen to obey or not yet."""
        self.board = OneCircuit()
        self.board.is_capable(1, interval_s=interval_s)
        if is_proven:
            self.board.prove(1)
        else:
            self.board.plug_in(1)
        self.board.begin(1, "one")
        self.offers_a, self.base_a = offers_a, base_a
        self.draw_a, self.second = 6.0 if is_proven else 0.0, 0
        self.interval_s = interval_s

    def run(self, seconds: int) -> list[Decision]:
        """Let seconds pass; return what was decided in each."""
        decisions = []
        for _ in range(seconds):
            self.second += 1
            self.board.now_s += 1.0
            offered_a = self.offers_a(self.board.told_ma(1) / 1_000)
            self.draw_a += max(-AMPS_A_S, min(AMPS_A_S, offered_a - self.draw_a))
            self.board.flow(self.base_a + self.draw_a + 0.001 * (self.second % 7))
            if self.second % self.interval_s == 0:
                self.board.draw(1, self.draw_a)
            decisions.append(self.board.decide())
        return decisions

    def after(self, seconds: int) -> "Driven":
        """Let seconds pass; return it as it is then."""
        self.run(seconds)
        return self

    @property
    def is_proven(self) -> bool:
        """Return whether the station is proven to obey."""
        return self.board.state.stations[ref(1).station].is_proven

    @property
    def high_ma(self) -> int:
        """Return what the connector is counted at."""
        return self.board.seen().high_ma[0]
