"""What each connector would have, were everything shared out anew: by rank, level among equals."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

Rank = tuple[int, float]
Turn = tuple[int, float]
CRITICAL = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """What a connector could take, as it is counted, and where it takes it.

    `weights` are the bounds it loads, each with how often: a bound on a phase once, one over all
    phases as often as it has phases. Where minimums do not fit, the earlier `turn` has its own; one
    that `is_served` keeps its own while that fits but for `slack_ma` on each phase.
    """

    least_ma: int
    most_ma: int
    floor_ma: int
    rank: Rank
    turn: Turn
    is_served: bool
    weights: dict[int, int]


@dataclass(slots=True)
class Filling:
    """Levels that rise together until a bound holds them; `left_ma` is what bounds still have."""

    wants: dict[int, Want]
    left_ma: list[int]
    slack_ma: int
    level_ma: dict[int, int] = field(default_factory=dict)

    def fill(self) -> dict[int, int]:
        """Return the level of each, in the order of design §3: floors, critical, minimums, rest."""
        wants = self.wants
        self.level_ma = dict.fromkeys(wants, 0)
        in_turn = sorted(wants, key=lambda at: (wants[at].turn, at))
        promised = self._with_least(at for at in in_turn if wants[at].floor_ma)
        self._raise(promised, lambda want: min(want.floor_ma, want.most_ma))
        critical = self._with_least(at for at in in_turn if wants[at].rank[0] == CRITICAL)
        self._raise(critical, lambda want: want.most_ma)
        served = self._with_least(in_turn)
        for rank in sorted({wants[at].rank for at in served}):
            equals = [at for at in served if wants[at].rank == rank]
            self._raise(equals, lambda want: want.most_ma)
        return self.level_ma

    def _with_least(self, in_turn: Iterable[int]) -> list[int]:
        """Give each its minimum, whole or not at all; return who of them has it."""
        have: list[int] = []
        for at in in_turn:
            want = self.wants[at]
            more_ma = max(0, min(want.least_ma, want.most_ma) - self.level_ma[at])
            need_ma = more_ma - (self.slack_ma if want.is_served else 0)
            if all(self.left_ma[b] >= n * need_ma for b, n in want.weights.items() if need_ma > 0):
                self._add(at, more_ma)
            if self.level_ma[at]:
                have.append(at)
        return have

    def _add(self, at: int, more_ma: int) -> None:
        self.level_ma[at] += more_ma
        for bound, weight in self.wants[at].weights.items():
            self.left_ma[bound] -= weight * more_ma

    def _raise(self, group: Iterable[int], to_ma: Callable[[Want], int]) -> None:
        """Raise all of a group by the same, each until it has enough or a bound has no more."""
        wants, left_ma = self.wants, self.left_ma
        short_ma = {at: to_ma(wants[at]) - self.level_ma[at] for at in group}
        while short_ma := {at: ma for at, ma in short_ma.items() if ma > 0}:
            weights: dict[int, int] = {}
            for at in short_ma:
                for bound, weight in wants[at].weights.items():
                    weights[bound] = weights.get(bound, 0) + weight
            step_ma = max(0, min(left_ma[bound] // weight for bound, weight in weights.items()))
            step_ma = min(step_ma, *short_ma.values())
            for at in short_ma:
                self._add(at, step_ma)
            full = {bound for bound, weight in weights.items() if left_ma[bound] < weight}
            short_ma = {
                at: ma - step_ma
                for at, ma in short_ma.items()
                if full.isdisjoint(wants[at].weights)
            }
