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


class _Below(NamedTuple):
    """The connectors below a circuit that count, the oldest sample first."""

    in_order: list[Position]
    sampled_at_s: list[float]
    lows_ma: list[tuple[int, ...]]
    """Per phase, in that order: what each surely draws."""


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
        self._below: dict[tuple[Position, ...], _Below] = {}
        self._moved: dict[tuple[tuple[Position, ...], float], _Moved] = {}
        self._raising: dict[tuple[tuple[Position, ...], float], list[Position]] = {}

    def once_sent(
        self, state: SiteState, high_ma: Sequence[int], changed: Iterable[Position]
    ) -> "Attribution":
        """Return the comparison in a `state` that differs in limits of `changed` alone.

        Their readings are the same, and so is what they tell, unless others count at all.
        """
        sent = Attribution(state, low_ma=self._low_ma, high_ma=high_ma, read_at_s=self._read_at_s)
        sent._moved = self._moved
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
        below = self._below.get(connectors)
        if below is None:
            below = self._below[connectors] = self._in_order(connectors)
        moved = self._moved.get((connectors, told_at_s))
        if moved is None:
            moved = self._moved[connectors, told_at_s] = self._moved_since(connectors, told_at_s)
        measured = self._state.circuits[circuit].phases[phase]
        age_s = self._state.parameters.sample_age_s
        falls: list[_Tell] | None = None  # Made when a change asks for them.
        rises: list[_Tell] | None = None
        sampled_at_s, lows_ma = below.sampled_at_s, below.lows_ma[phase]
        known = bisect_left(sampled_at_s, measured.forgotten_s)
        total_ma, taken_ma, given_ma = sum(lows_ma[known:]), 0, 0
        for change in measured.changes:
            at_s, delta_ma = change.at_s, change.delta_ma
            if at_s < moved.from_s:
                continue
            if delta_ma < 0:
                falls = _falls(moved.moves, phase, age_s) if falls is None else falls
                fall_ma = _untold_ma(-delta_ma, at_s, falls)
                held_ma = sum(lows_ma[known : bisect_left(sampled_at_s, at_s)])
                taken_ma += min(fall_ma, max(0, held_ma + given_ma - taken_ma))
            elif at_s > moved.told_from_s:
                rises = _rises(moved.moves, phase, age_s) if rises is None else rises
                if rise_ma := _untold_ma(delta_ma, at_s, rises):
                    raising = self._raising_below(connectors, below, moved.from_s)
                    most_ma = given_ma + rise_ma
                    room_ma = self._undrawn_ma(raising, phase, at_s, most_ma)
                    given_ma += min(rise_ma, max(0, room_ma - given_ma))
        of_given_ma = max(0, taken_ma - total_ma)
        return Corrected(max(0, total_ma - taken_ma), given_ma - of_given_ma)

    def _in_order(self, below: tuple[Position, ...]) -> _Below:
        """Return what is below a circuit, in order of sample."""
        read_at_s, age_s = self._read_at_s, self._state.parameters.sample_age_s
        in_order = sorted([at for at in below if self._high_ma[at]], key=read_at_s.__getitem__)
        low_ma = [self._low_ma[at] for at in in_order]
        return _Below(
            in_order=in_order,
            sampled_at_s=[read_at_s[at] - age_s for at in in_order],
            lows_ma=list(zip(*low_ma, strict=True)) or [()] * 3,
        )

    def _moved_since(self, below: tuple[Position, ...], told_at_s: float) -> _Moved:
        """Return how draws below a circuit moved since the oldest sample."""
        state, read_at_s, age_s = self._state, self._read_at_s, self._state.parameters.sample_age_s
        connectors, since_s = state.connectors, told_at_s - age_s
        moves, told_from_s = list[Move](), NEVER_S
        for at in below:
            moved = connectors[at].moves
            if not moved:
                continue
            if len(moved) >= KEPT_MOVES:
                told_from_s = max(told_from_s, moved[0].at_s + age_s)
            if moved[-1].at_s >= since_s:
                moves += [move for move in moved if since_s <= move.at_s <= read_at_s[at]]
        from_s = min([told_at_s, *[move.since_s - age_s for move in moves]])
        return _Moved(moves, from_s, told_from_s)

    def _raising_below(
        self, connectors: tuple[Position, ...], below: _Below, from_s: float
    ) -> list[Position]:
        """Return who below a circuit counts and may still follow a raise or a start of since then."""
        raising = self._raising.get((connectors, from_s))
        if raising is None:
            state = self._state
            raising = self._raising[connectors, from_s] = [
                at
                for at in below.in_order
                if may_rise_from(state.connectors[at], state.parameters, from_s)
            ]
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
