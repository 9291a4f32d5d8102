"""The room that control keeps for loads on circuits that were promised it, and whether it is there."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf
from typing import NamedTuple

from gateway.control.promised_draws import PromisedDraw
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


class Lacks(NamedTuple):
    """Draws whose circuit is short of room for a minute on end, by their names, each with what is said."""

    broken: dict[str, str]
    """It is their room that is missing."""
    unknown: dict[str, str]
    """Nothing measured whether it is theirs."""


class _Before(NamedTuple):
    """What base was on a row before promised draws flowed; `is_sure`: none was to flow yet."""

    base_ma: int
    is_sure: bool


class _Short(NamedTuple):
    """What a row lacks: for what is owed to promised draws, as far as that is known, and in all."""

    its_ma: int
    over_ma: int


class PromisedRoom:
    """What control is told of promised draws, and which of them it could not keep; in one event loop."""

    def __init__(self, tell: Callable[[Mapping[int, PromisedDraw]], None]) -> None:
        """Begin with none; `tell` takes what is to be kept on each row now, whenever that changes."""
        self._tell = tell
        self._kept: dict[int, PromisedDraw] = {}
        self._before: dict[int, _Before] = {}
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
        self._before = {
            row: before
            for row, due in of_rows.items()
            if (before := self._before_of(cycle, row, is_to_flow=_current_ma(due, now_s) > 0))
        }
        kept = {row: self._draw_of(cycle, row, due, now_s) for row, due in of_rows.items()}
        if kept != self._kept:
            self._kept = kept
            self._tell(kept)
        return self._lacks(cycle, draws, of_rows, now_s)

    def _before_of(self, cycle: Cycle, row: int, *, is_to_flow: bool) -> _Before | None:
        """Return what base was on a row before draws that run one after another: the least measured.

        Once one of them may flow no more is learnt, until none may.
        """
        before, seen = self._before.get(row), cycle.decision.survey.rows[row]
        if not _is_measured(cycle, seen) or (is_to_flow and before is not None):
            return before
        base_ma = seen.base_ma if before is None else min(before.base_ma, seen.base_ma)
        return _Before(base_ma, is_sure=not is_to_flow)

    def _draw_of(
        self, cycle: Cycle, row: int, due: Sequence[Stretch], now_s: float
    ) -> PromisedDraw:
        """Return what is kept on a row: the most that may flow at one time, from now on."""
        begins_s = {now_s, *(max(now_s, part.from_at_s) for part in due)}
        until_s = cycle.decision.at_s + max(part.until_at_s for part in due) - now_s
        told = self._kept.get(row)
        if told is not None and abs(told.until_s - until_s) < SAME_WITHIN_S:
            until_s = told.until_s
        before = self._before.get(row)
        return PromisedDraw(
            current_ma=max(_current_ma(due, at_s) for at_s in begins_s),
            before_ma=None if before is None else before.base_ma,
            until_s=until_s,
        )

    def _lacks(
        self,
        cycle: Cycle,
        draws: Iterable[tuple[Reservation, list[Stretch]]],
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
        seen, before = cycle.decision.survey.rows[row], self._before.get(row)
        before_ma = None if before is None else before.base_ma
        draw = PromisedDraw(current_ma=current_ma, before_ma=before_ma, until_s=inf)
        owed_ma = draw.owed_ma(seen.base_ma)
        over_ma = cycle.decision.survey.claimed_ma[row] + seen.base_ma + owed_ma - seen.bound_ma
        is_known = before is not None and before.is_sure and _is_measured(cycle, seen)
        return _Short(its_ma=min(over_ma, owed_ma) if is_known else 0, over_ma=over_ma)


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
