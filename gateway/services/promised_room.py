"""The room that control keeps for loads on circuits that were promised it, and whether it is there."""

from collections.abc import Callable, Iterable, Mapping
from math import inf
from typing import NamedTuple

from gateway.control.promised_draws import PromisedDraw, promised_ma
from gateway.control.rows import Row
from gateway.domain.electric import Phase
from gateway.domain.promises import PromiseState, Reservation, Stretch
from gateway.services.control_loop import Cycle

BEFORE_S = 30.0
"""So long before it may be drawn others are told less: they need a reaction chain to follow."""

SHORT_FOR_S = 60.0
"""A draw that lacks room for so long on end, in its time, was not kept."""

SAME_WITHIN_S = 1.0
"""What ends so much later by another clock ends when control was told."""


_Draw = tuple[Reservation, list[Stretch]]
"""A promised draw, and the parts of it that room is kept for."""


class Lacks(NamedTuple):
    """Draws whose circuit is short of room for a minute on end, by their names, each with what is said."""

    broken: dict[str, str]
    """It is their room that is missing."""
    unknown: dict[str, str]
    """Nothing measured whether it is theirs."""


class _LeastBefore(NamedTuple):
    """The least base of a row before promised draws flowed, by which is judged; `is_sure`: none was to flow yet."""

    base_ma: int
    is_sure: bool


class _Short(NamedTuple):
    """What a row lacks: for what is owed to promised draws, as far as that is known, and in all."""

    its_ma: int
    over_ma: int


class PromisedRoom:
    """What control is told of promised draws, and which of them it could not keep; in one event loop."""

    def __init__(self, tell: Callable[[Mapping[int, tuple[PromisedDraw, ...]]], None]) -> None:
        """Begin with none; `tell` takes what is to be kept on each row now, whenever that changes."""
        self._tell = tell
        self._kept: dict[int, tuple[PromisedDraw, ...]] = {}
        self._most_before_ma: dict[tuple[str, int], int] = {}
        self._least_before: dict[int, _LeastBefore] = {}
        self._short_since_s: dict[tuple[str, bool], float] = {}

    def note(self, cycle: Cycle, promises: Iterable[Reservation], now_s: float) -> Lacks:
        """Take note of a cycle at an epoch second; return the draws that lack room."""
        draws = [
            (promise, due)
            for promise in promises
            if promise.is_plain_draw and promise.state is PromiseState.CONFIRMED
            if (due := _due(promise, now_s))
        ]
        of_rows = dict[int, list[Stretch]]()
        for promise, due in draws:
            for row in promise.rows:
                of_rows.setdefault(row, []).extend(due)
        self._least_before = {
            row: before
            for row, due in of_rows.items()
            if (before := self._least_before_of(cycle, row, is_to_flow=_current_ma(due, now_s) > 0))
        }
        flow_ma = {row: self._flow_ma(cycle, row, draws, now_s) for row in of_rows}
        self._most_before_ma = {
            (promise.id, row): before_ma
            for promise, due in draws
            for row in promise.rows
            if (before_ma := self._most_before(cycle, promise, row, flow_ma[row], now_s))
            is not None
        }
        kept = {row: self._draws_of(cycle, row, draws, now_s) for row in of_rows}
        if kept != self._kept:
            self._kept = kept
            self._tell(kept)
        return self._lacks(cycle, draws, of_rows, now_s)

    def _least_before_of(self, cycle: Cycle, row: int, *, is_to_flow: bool) -> _LeastBefore | None:
        """Return what base was on a row before draws that run one after another: the least measured.

        Once one of them may flow no more is learnt, until none may.
        """
        before, seen = self._least_before.get(row), cycle.decision.survey.rows[row]
        if not _is_measured(cycle, seen) or (is_to_flow and before is not None):
            return before
        base_ma = seen.base_ma if before is None else min(before.base_ma, seen.base_ma)
        return _LeastBefore(base_ma, is_sure=not is_to_flow)

    def _flow_ma(self, cycle: Cycle, row: int, draws: Iterable[_Draw], now_s: float) -> int:
        """Return what of base is taken for promised draws that may flow now: no more than theirs."""
        flowing = [draw for draw in _on_row(row, draws) if _current_ma(draw[1], now_s)]
        currents_ma = [_current_ma(due, now_s) for _, due in flowing]
        owed = [
            PromisedDraw(
                current_ma=sum(currents_ma[at:]),
                before_ma=self._most_before_ma.get((promise.id, row)),
                until_s=inf,
            )
            for at, (promise, _) in enumerate(flowing)
        ]
        return sum(currents_ma) - promised_ma(owed, cycle.decision.survey.rows[row].base_ma, now_s)

    def _most_before(
        self, cycle: Cycle, promise: Reservation, row: int, flow_ma: int, now_s: float
    ) -> int | None:
        """Return what base was on a row before a draw: the most measured until it may flow.

        Other loads that stop for a moment begin again: less would give the draw's room away.
        """
        before_ma, seen = (
            self._most_before_ma.get((promise.id, row)),
            cycle.decision.survey.rows[row],
        )
        is_over = before_ma is not None and _current_ma(promise.envelope, now_s) > 0
        if is_over or not _is_measured(cycle, seen):
            return before_ma
        without_ma = seen.base_ma - flow_ma
        return without_ma if before_ma is None else max(before_ma, without_ma)

    def _draws_of(
        self, cycle: Cycle, row: int, draws: Iterable[_Draw], now_s: float
    ) -> tuple[PromisedDraw, ...]:
        """Return what is kept on a row: from each draw on, the most that may flow at one time.

        Of one that began hours ago base has risen since for other reasons: those after it go by
        what base was before them.
        """
        on_row = _on_row(row, draws)
        told, kept = self._kept.get(row, ()), list[PromisedDraw]()
        for at, (promise, _) in enumerate(on_row):
            parts = [part for _, due in on_row[at:] for part in due]
            begins_s = {now_s, *(max(now_s, part.from_at_s) for part in parts)}
            until_s = cycle.decision.at_s + max(part.until_at_s for part in parts) - now_s
            same_s = [d.until_s for d in told if abs(d.until_s - until_s) < SAME_WITHIN_S]
            kept.append(
                PromisedDraw(
                    current_ma=max(_current_ma(parts, at_s) for at_s in begins_s),
                    before_ma=self._most_before_ma.get((promise.id, row)),
                    until_s=same_s[0] if same_s else until_s,
                )
            )
        return tuple(kept)

    def _lacks(
        self,
        cycle: Cycle,
        draws: Iterable[_Draw],
        of_rows: Mapping[int, list[Stretch]],
        now_s: float,
    ) -> Lacks:
        """Return the draws that may flow and whose rows lack room; the reserve may be in it."""
        short = {
            row: self._short(cycle, row, _current_ma(due, now_s)) for row, due in of_rows.items()
        }
        said, at_s = dict[tuple[str, bool], str](), cycle.decision.at_s
        for promise, due in draws:
            if _current_ma(due, now_s):
                rows = {row: short[row] for row in promise.rows}
                said |= {(promise.id, is_its): why for is_its, why in _said(cycle, rows).items()}
        self._short_since_s = {key: self._short_since_s.get(key, at_s) for key in said}
        lacks = Lacks({}, {})
        for key, why in said.items():
            if at_s - self._short_since_s[key] >= SHORT_FOR_S:
                name, is_its = key
                (lacks.broken if is_its else lacks.unknown)[name] = why
        return lacks

    def _short(self, cycle: Cycle, row: int, current_ma: int) -> _Short:
        """Return what a row lacks for the current that promised draws may have now."""
        seen, before = cycle.decision.survey.rows[row], self._least_before.get(row)
        before_ma = None if before is None else before.base_ma
        draw = PromisedDraw(current_ma=current_ma, before_ma=before_ma, until_s=inf)
        owed_ma = draw.owed_ma(seen.base_ma)
        over_ma = cycle.decision.survey.claimed_ma[row] + seen.base_ma + owed_ma - seen.bound_ma
        is_known = before is not None and before.is_sure and _is_measured(cycle, seen)
        return _Short(its_ma=min(over_ma, owed_ma) if is_known else 0, over_ma=over_ma)


def _on_row(row: int, draws: Iterable[_Draw]) -> list[_Draw]:
    """Return the draws on a row, those that begin first before others."""
    on_row = [(promise, due) for promise, due in draws if row in promise.rows]
    return sorted(on_row, key=lambda draw: (draw[1][0].from_at_s, draw[0].id))


def _due(promise: Reservation, now_s: float) -> list[Stretch]:
    """Return the parts of a draw that room is kept for at an epoch second."""
    return [
        part
        for part in promise.envelope
        if part.current_ma and part.from_at_s - BEFORE_S <= now_s < part.until_at_s
    ]


def _current_ma(parts: Iterable[Stretch], at_s: float) -> int:
    """Return what of some parts may flow at an epoch second, all together."""
    return sum(part.current_ma for part in parts if part.from_at_s <= at_s < part.until_at_s)


def _is_measured(cycle: Cycle, row: Row) -> bool:
    """Return whether base is what a meter shows now, and not a worst case or of a while ago."""
    return row.age_s is not None and row.age_s <= cycle.state.parameters.stale_no_raises_s


def _said(cycle: Cycle, short: Mapping[int, _Short]) -> dict[bool, str]:
    """Return what is said of the row that a draw is most short on, by whether that is its room."""
    least_ma = cycle.state.parameters.dead_band_ma
    its_ma, row = max((of_row.its_ma, -row) for row, of_row in short.items())
    if its_ma >= least_ma:
        return {True: _short_said(cycle, -row, its_ma)}
    over_ma, row = max((of_row.over_ma, -row) for row, of_row in short.items())
    if over_ma < least_ma:
        return {}
    return {
        False: f"{_short_said(cycle, -row, over_ma)}; whether that was its room nobody measured"
    }


def _short_said(cycle: Cycle, row: int, short_ma: int) -> str:
    circuit = cycle.state.wiring.circuits[row // 3].id
    return (
        f"circuit {circuit} was short of {short_ma / 1_000:.1f} A on {Phase(row % 3).name}"
        f" for {SHORT_FOR_S:.0f} s"
    )
