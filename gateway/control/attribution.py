"""Whose a circuit's change is: what its meter has shown since connectors were read.

A connector's reading is seconds old when it is taken off its circuit's. What the circuit has
fallen by since may be the connector's, and so is no longer surely drawn; what it has risen by
may be a raise just given, and so is not base.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gateway.control.bounds import may_rise_from, undrawn_ma
from gateway.control.draws import JITTER_MA, KEPT_MOVES
from gateway.control.state import NEVER_S, Move, SiteState
from gateway.control.wiring import Position
from gateway.domain.electric import PerPhase


class Corrected(NamedTuple):
    """What a row's changes leave of the readings: `lows_ma` of them, and `given_ma` to raises."""

    lows_ma: int
    given_ma: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Below:
    """The connectors below a circuit that count, the oldest sample first."""

    in_order: list[Position]
    sampled_at_s: list[float]
    lows_ma: list[tuple[int, ...]]
    """Per phase, in that order: what each surely draws."""
    moves: list[Move]
    """How draws below moved, as far as readings that count tell, from the oldest sample on."""
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

    What is below a circuit is gathered when one of its rows asks: in most seconds few have
    changed. Circuits with the same connectors below, one feeding the other, share it.
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
        self._below: dict[tuple[tuple[Position, ...], float], _Below] = {}
        self._raising: dict[tuple[Position, ...], list[Position]] = {}

    def once_sent(
        self, state: SiteState, high_ma: Sequence[int], changed: Iterable[Position]
    ) -> "Attribution":
        """Return the comparison in a `state` that differs in limits of `changed` alone.

        Their readings are the same, and so is what they tell, unless others count at all.
        """
        sent = Attribution(state, low_ma=self._low_ma, high_ma=high_ma, read_at_s=self._read_at_s)
        if all(bool(high_ma[at]) == bool(self._high_ma[at]) for at in changed):
            sent._below = self._below
        return sent

    def corrected(self, circuit: Position, phase: int, told_at_s: float) -> Corrected:
        """Return the sum of readings on a row, corrected by what the circuit has shown since.

        `told_at_s` is the oldest sample that counts on the circuit or below it.

        A change that a connector's own newer reading shows is explained by it. The rest of a
        fall is taken from the readings of all whose sample is older; a rise is given to those
        just raised or started whose sample is older, up to what they had not yet drawn. The
        sets of connectors a change concerns grow with its time, so taking what each set still
        holds, in order of time, is the most that can have been taken. Readings count whole
        here, above a limit that has come into force since too: the fall that limit made is
        theirs. A reading that is older than what is remembered of its circuit counts nothing, and
        a rise older than what is remembered of connectors is nobody's.
        """
        connectors = self._state.wiring.below[circuit]
        below = self._below.get((connectors, told_at_s))
        if below is None:
            below = self._gathered(connectors, told_at_s)
            self._below[connectors, told_at_s] = below
        measured = self._state.circuits[circuit].phases[phase]
        falls, rises = _tells(below.moves, phase, self._state.parameters.sample_age_s)
        sampled_at_s, lows_ma = below.sampled_at_s, below.lows_ma[phase]
        known = bisect_left(sampled_at_s, measured.forgotten_s)
        total_ma, taken_ma, given_ma = sum(lows_ma[known:]), 0, 0
        for change in measured.changes:
            if change.at_s < below.from_s:
                continue
            if change.delta_ma < 0:
                fall_ma = _untold_ma(-change.delta_ma, change.at_s, falls)
                held_ma = sum(lows_ma[known : bisect_left(sampled_at_s, change.at_s)])
                taken_ma += min(fall_ma, max(0, held_ma + given_ma - taken_ma))
            elif change.at_s > below.told_from_s and (
                rise_ma := _untold_ma(change.delta_ma, change.at_s, rises)
            ):
                room_ma = self._undrawn_ma(connectors, below, phase, change.at_s)
                given_ma += min(rise_ma, max(0, room_ma - given_ma))
        of_given_ma = max(0, taken_ma - total_ma)
        return Corrected(max(0, total_ma - taken_ma), given_ma - of_given_ma)

    def _gathered(self, below: tuple[Position, ...], told_at_s: float) -> _Below:
        """Return what is below a circuit, in order of sample."""
        state, read_at_s, age_s = self._state, self._read_at_s, self._state.parameters.sample_age_s
        connectors = state.connectors
        in_order = sorted([at for at in below if self._high_ma[at]], key=read_at_s.__getitem__)
        since_s, moves, told_from_s = told_at_s - age_s, list[Move](), NEVER_S
        for at in below:
            moved = connectors[at].moves
            if len(moved) >= KEPT_MOVES:
                told_from_s = max(told_from_s, moved[0].at_s + age_s)
            if moved and moved[-1].at_s >= since_s:
                moves += [move for move in moved if since_s <= move.at_s <= read_at_s[at]]
        from_s = min([told_at_s, *[move.since_s - age_s for move in moves]])
        low_ma = [self._low_ma[at] for at in in_order]
        return _Below(
            in_order=in_order,
            sampled_at_s=[read_at_s[at] - age_s for at in in_order],
            lows_ma=list(zip(*low_ma, strict=True)) or [()] * 3,
            moves=moves,
            from_s=from_s,
            told_from_s=told_from_s,
        )

    def _undrawn_ma(
        self, connectors: tuple[Position, ...], below: _Below, phase: int, at_s: float
    ) -> int:
        """Return what those raised or started, whose sample is older, may yet have to draw."""
        state, raising = self._state, self._raising.get(connectors)
        if raising is None:
            raising = self._raising[connectors] = [
                at
                for at in below.in_order
                if may_rise_from(state.connectors[at], state.parameters, below.from_s)
            ]
        sampled_by_s, undrawn = at_s + state.parameters.sample_age_s, 0
        for at in raising:
            belief, low = state.connectors[at], self._low_ma[at][phase]
            if self._read_at_s[at] > sampled_by_s:
                continue
            if (belief.mask or state.wiring.wired[at])[phase]:
                undrawn += undrawn_ma(belief, low, self._high_ma[at], state.parameters, at_s)
        return undrawn


def _tells(moves: list[Move], phase: int, age_s: float) -> tuple[list[_Tell], list[_Tell]]:
    """Return the falls and the rises on a phase that readings tell of.

    The circuit's meter is polled apart from the stations: it may show the same move later.
    """
    falls: list[_Tell] = []
    rises: list[_Tell] = []
    for move in moves:
        moved_ma = move.moved_ma[phase]
        if moved_ma < -JITTER_MA:
            falls.append(_Tell(move.since_s - age_s, move.at_s + age_s, -moved_ma))
        elif moved_ma > JITTER_MA:
            rises.append(_Tell(move.since_s - age_s, move.at_s + age_s, moved_ma))
    return falls, rises


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
