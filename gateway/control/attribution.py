"""Whose a circuit's change is: what its meter has shown since connectors were read.

A connector's reading is seconds old when it is taken off its circuit's. What the circuit has
fallen by since may be the connector's, and so is no longer surely drawn; what it has risen by
may be a raise just given, and so is not base.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from gateway.control.bounds import may_rise_from, undrawn_ma
from gateway.control.draws import JITTER_MA, KEPT_MOVES
from gateway.control.state import NEVER_S, Move, SiteState
from gateway.control.wiring import Position
from gateway.domain.electric import PerPhase

ENDLESS_S = float("inf")


class _Below(NamedTuple):
    """The samples of the connectors below a circuit that count, the oldest first."""

    sampled_at_s: list[float]
    summed_ma: list[list[int]]
    """Per phase: what is surely drawn by the first so many of them."""


class _Moved(NamedTuple):
    """How draws below a circuit moved, as far as readings tell, from the oldest sample on."""

    moves: list[Move]
    from_s: float
    """Older changes concern no reading, and no move that may explain a younger change."""
    told_from_s: float
    """From when on every move is known that readings told of: an older rise may be one of those."""


@dataclass(slots=True)
class _Tell:
    """What a connector's readings tell of a move of its draw, as far as not yet used up."""

    since_s: float
    until_s: float
    left_ma: int


class Attribution:
    """The comparison of connectors' readings with circuits' changes, of one decision.

    What is below a circuit is gathered when one of its rows asks, and only what that asks for: in
    most seconds few have changed, and few of what is below has moved.
    """

    def __init__(
        self,
        state: SiteState,
        *,
        low_ma: Sequence[PerPhase],
        high_ma: Sequence[int],
        read_at_s: Sequence[float],
    ) -> None:
        """Compare what is known in `state` with what connectors are taken to draw.

        `read_at_s` is when the reading that is counted came; minus infinity without one.
        """
        self._state = state
        self._low_ma, self._high_ma, self._read_at_s = low_ma, high_ma, read_at_s
        self._below: dict[Position, _Below] = {}
        self._moved: dict[tuple[Position, float], _Moved] = {}
        self._raising: dict[tuple[Position, float], list[Position]] = {}
        # Before some were sent another limit, and who they are.
        self._raising_before: dict[tuple[Position, float], list[Position]] = {}
        self._changed: Collection[Position] = ()

    def once_sent(
        self, state: SiteState, high_ma: Sequence[int], changed: Collection[Position]
    ) -> "Attribution":
        """Return the comparison in a `state` that differs in limits of `changed` alone.

        Their readings are the same, and so is what they tell, unless others count at all.
        """
        sent = Attribution(state, low_ma=self._low_ma, high_ma=high_ma, read_at_s=self._read_at_s)
        sent._moved, sent._raising_before, sent._changed = self._moved, self._raising, changed
        if all(bool(high_ma[at]) == bool(self._high_ma[at]) for at in changed):
            sent._below = self._below
        return sent

    def corrected(
        self, circuit: Position, phase: int, told_at_s: float, lows_ma: int
    ) -> tuple[int, int]:
        """Return what a row's changes leave of the readings, and what of them is given to raises.

        `told_at_s` is the oldest sample that counts on the circuit or below it, `lows_ma` the sum of
        what counts.

        A change that a connector's own newer reading shows is explained by it. The rest of a
        fall is taken from the readings of all whose sample is older; a rise is given to those
        just raised or started whose sample is older, up to what they had not yet drawn. The
        sets of connectors a change concerns grow with its time, so taking what each set still
        holds, in order of time, is the most that can have been taken. Readings count whole
        here, above a limit that has come into force since too: the fall that limit made is
        theirs. A reading that is older than what is remembered of its circuit counts nothing, and
        a rise older than what is remembered of connectors is nobody's.
        """
        moved = self._moved.get((circuit, told_at_s))
        if moved is None:
            moved = self._moved[circuit, told_at_s] = self._moved_since(circuit, told_at_s)
        measured = self._state.circuits[circuit].phases[phase]
        age_s = self._state.parameters.sample_age_s
        falls: list[_Tell] | None = None  # Made when a change asks for them.
        rises: list[_Tell] | None = None
        taken_ma, given_ma, is_forgotten = 0, 0, measured.forgotten_s > told_at_s
        for change in measured.changes:
            at_s, delta_ma = change.at_s, change.delta_ma
            if at_s < moved.from_s:
                continue
            if delta_ma < 0:
                falls = _falls(moved.moves, phase, age_s) if falls is None else falls
                if fall_ma := _untold_ma(-delta_ma, at_s, falls):
                    held_ma = self._sure_ma(circuit, phase, measured.forgotten_s, at_s)
                    taken_ma += min(fall_ma, max(0, held_ma + given_ma - taken_ma))
            elif at_s > moved.told_from_s:
                rises = _rises(moved.moves, phase, age_s) if rises is None else rises
                if rise_ma := _untold_ma(delta_ma, at_s, rises):
                    most_ma = given_ma + rise_ma
                    raising = self._raising_below(circuit, moved.from_s)
                    room_ma = self._undrawn_ma(raising, phase, at_s, most_ma)
                    given_ma += min(rise_ma, max(0, room_ma - given_ma))
        if not taken_ma and not is_forgotten:
            return lows_ma, given_ma
        total_ma = self._sure_ma(circuit, phase, measured.forgotten_s, ENDLESS_S)
        of_given_ma = max(0, taken_ma - total_ma)
        return min(lows_ma, max(0, total_ma - taken_ma)), given_ma - of_given_ma

    def _sure_ma(self, circuit: Position, phase: int, from_s: float, until_s: float) -> int:
        """Return the sum of the readings below a circuit that were sampled in that time."""
        below = self._below.get(circuit)
        if below is None:
            below = self._below[circuit] = self._in_order(circuit)
        first, end = (
            bisect_left(below.sampled_at_s, from_s),
            bisect_left(below.sampled_at_s, until_s),
        )
        return max(0, below.summed_ma[phase][end] - below.summed_ma[phase][first])

    def _in_order(self, circuit: Position) -> _Below:
        """Return what is below a circuit, in order of sample."""
        read_at_s, age_s = self._read_at_s, self._state.parameters.sample_age_s
        counted = [at for at in self._state.wiring.below[circuit] if self._high_ma[at]]
        counted.sort(key=read_at_s.__getitem__)
        low_ma = [self._low_ma[at] for at in counted]
        return _Below(
            sampled_at_s=[read_at_s[at] - age_s for at in counted],
            summed_ma=[
                list(accumulate([low[phase] for low in low_ma], initial=0)) for phase in range(3)
            ],
        )

    def _moved_since(self, circuit: Position, told_at_s: float) -> _Moved:
        """Return how draws below a circuit moved since the oldest sample."""
        state, read_at_s, age_s = self._state, self._read_at_s, self._state.parameters.sample_age_s
        connectors, since_s = state.connectors, told_at_s - age_s
        moves, told_from_s = list[Move](), NEVER_S
        for at in state.wiring.below[circuit]:
            moved = connectors[at].moves
            if not moved:
                continue
            if len(moved) >= KEPT_MOVES:
                told_from_s = max(told_from_s, moved[0].at_s + age_s)
            if moved[-1].at_s >= since_s:
                moves += [move for move in moved if since_s <= move.at_s <= read_at_s[at]]
        from_s = min([told_at_s, *[move.since_s - age_s for move in moves]])
        return _Moved(moves, from_s, told_from_s)

    def _raising_below(self, circuit: Position, from_s: float) -> list[Position]:
        """Return who below a circuit may still follow a raise or a start of since then."""
        state, raising = self._state, self._raising.get((circuit, from_s))
        if raising is not None:
            return raising
        before = self._raising_before.get((circuit, from_s))
        looked_at: Iterable[Position] = state.wiring.below[circuit]
        if before is not None:  # Only what has changed since can be another.
            paths, others = state.wiring.paths, set(before)
            looked_at = [at for at in self._changed if circuit in paths[at] and at not in others]
        raising = [
            at for at in looked_at if may_rise_from(state.connectors[at], state.parameters, from_s)
        ]
        raising = self._raising[circuit, from_s] = (before or []) + raising
        return raising

    def _undrawn_ma(self, raising: list[Position], phase: int, at_s: float, most_ma: int) -> int:
        """Return what those raised or started, whose sample is older, may yet have to draw.

        Of more than `most_ma` only that it is as much.
        """
        state, sampled_by_s, undrawn = self._state, at_s + self._state.parameters.sample_age_s, 0
        for at in raising:
            if undrawn >= most_ma:
                break
            if self._read_at_s[at] > sampled_by_s:
                continue
            belief, low = state.connectors[at], self._low_ma[at][phase]
            if (belief.mask or state.wiring.wired[at])[phase]:
                undrawn += undrawn_ma(belief, low, self._high_ma[at], state.parameters, at_s)
        return undrawn


def _falls(moves: list[Move], phase: int, age_s: float) -> list[_Tell]:
    """Return the falls on a phase that readings tell of.

    The circuit's meter is polled apart from the stations: it may show the same move later.
    """
    return [
        _Tell(move.since_s - age_s, move.at_s + age_s, -move.moved_ma[phase])
        for move in moves
        if move.moved_ma[phase] < -JITTER_MA
    ]


def _rises(moves: list[Move], phase: int, age_s: float) -> list[_Tell]:
    """Return the rises on a phase that readings tell of."""
    return [
        _Tell(move.since_s - age_s, move.at_s + age_s, move.moved_ma[phase])
        for move in moves
        if move.moved_ma[phase] > JITTER_MA
    ]


def _untold_ma(changed_ma: int, at_s: float, tells: list[_Tell]) -> int:
    """Return the part of a change that no connector's own reading shows; each shows it once."""
    for tell in tells:
        if tell.since_s <= at_s <= tell.until_s and tell.left_ma:
            explained_ma = min(changed_ma, tell.left_ma)
            tell.left_ma -= explained_ma
            changed_ma -= explained_ma
            if not changed_ma:
                break
    return changed_ma
