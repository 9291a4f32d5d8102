"""The room that control keeps for loads on circuits that were promised it, and whether it is there."""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from gateway.control.promised_draws import PromisedDraw, owed_ma
from gateway.domain.electric import Phase
from gateway.domain.promises import PromiseState, Reservation, Stretch
from gateway.services.base_before import NEAR_S, BaseBefore
from gateway.services.control_loop import Cycle

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


class _Promised(NamedTuple):
    """What promised loads may draw on a row: now, and at most within a moment; until an epoch second.

    Where it `is_ahead`, another draw begins within a moment, or one goes on with more.
    """

    now_ma: int
    soon_ma: int
    until_at_s: float
    is_ahead: bool


_NOTHING = _Promised(now_ma=0, soon_ma=0, until_at_s=0.0, is_ahead=False)


class _Short(NamedTuple):
    """What a row lacks: for what is surely owed to promised draws, and for what may be."""

    surely_ma: int
    maybe_ma: int


class PromisedRoom:
    """What control is told of promised draws, and which of them it could not keep; in one event loop."""

    def __init__(self, tell: Callable[[Mapping[int, PromisedDraw]], None]) -> None:
        """Begin with none; `tell` takes what is to be kept on each row now, whenever that changes."""
        self._tell = tell
        self._kept: dict[int, PromisedDraw] = {}
        self._before: dict[int, BaseBefore] = {}
        self._broken: dict[str, Reservation] = {}
        self._short_since_s: dict[tuple[str, bool], float] = {}

    def note(self, cycle: Cycle, promises: Iterable[Reservation], now_s: float) -> Lacks:
        """Take note of a cycle at an epoch second; return the draws that lack room."""
        open_draws = {
            promise.id: promise
            for promise in promises
            if promise.is_plain_draw and promise.state is PromiseState.CONFIRMED
        }
        # Whoever asked was told that it is broken; the load was not, and may come all the same.
        self._broken = {
            name: draw for name, draw in self._broken.items() if now_s < draw.until_at_s
        }
        promised = _of_rows((self._broken | open_draws).values(), now_s)
        self._look_at_base(cycle, promised)
        kept = {row: self._draw_of(cycle, row, of_row, now_s) for row, of_row in promised.items()}
        if kept != self._kept:
            self._kept = kept
            self._tell(kept)
        lacks = self._lacks(cycle, open_draws.values(), promised, now_s)
        self._broken |= {name: open_draws[name] for name in lacks.broken}
        return lacks

    def _look_at_base(self, cycle: Cycle, promised: Mapping[int, _Promised]) -> None:
        for row, seen in enumerate(cycle.decision.survey.rows):
            of_row = promised.get(row, _NOTHING)
            self._before.setdefault(row, BaseBefore()).note(
                seen.base_ma if _is_measured(cycle, row) else None,
                flows_ma=of_row.now_ma,
                is_ahead=of_row.is_ahead,
                at_s=cycle.decision.at_s,
            )

    def _draw_of(self, cycle: Cycle, row: int, of_row: _Promised, now_s: float) -> PromisedDraw:
        """Return what is kept on a row: the most that may flow at one time, now or in a moment."""
        until_s = cycle.decision.at_s + of_row.until_at_s - now_s
        told, without = self._kept.get(row), self._before[row].without
        if told is not None and abs(told.until_s - until_s) < SAME_WITHIN_S:
            until_s = told.until_s
        return PromisedDraw(
            current_ma=of_row.soon_ma,
            before_ma=None if without is None else without.most_ma,
            until_s=until_s,
        )

    def _lacks(
        self,
        cycle: Cycle,
        draws: Iterable[Reservation],
        promised: Mapping[int, _Promised],
        now_s: float,
    ) -> Lacks:
        """Return the draws that may flow and whose rows lack room; the reserve may be in it."""
        said, at_s = dict[tuple[str, bool], str](), cycle.decision.at_s
        for draw in draws:
            if _current_ma(draw.envelope, now_s):
                short = {row: self._short(cycle, row, promised[row].now_ma) for row in draw.rows}
                said |= {(draw.id, is_its): why for is_its, why in _said(cycle, short).items()}
        self._short_since_s = {key: self._short_since_s.get(key, at_s) for key in said}
        lacks = Lacks({}, {})
        for key, why in said.items():
            if at_s - self._short_since_s[key] >= SHORT_FOR_S:
                name, is_its = key
                (lacks.broken if is_its else lacks.unknown)[name] = why
        unknown = {name: why for name, why in lacks.unknown.items() if name not in lacks.broken}
        return lacks._replace(unknown=unknown)

    def _short(self, cycle: Cycle, row: int, now_ma: int) -> _Short:
        """Return what a row lacks for what promised draws may have now, `now_ma` in all."""
        survey, without = cycle.decision.survey, self._before[row].without
        seen = survey.rows[row]
        over_ma = survey.claimed_ma[row] + seen.base_ma - seen.bound_ma
        least_ma, most_ma = (None, None) if without is None else without
        maybe_ma = over_ma + owed_ma(now_ma, most_ma, seen.base_ma)
        if without is None or not _is_measured(cycle, row):
            return _Short(surely_ma=0, maybe_ma=maybe_ma)
        its_ma = owed_ma(now_ma, least_ma, seen.base_ma)
        return _Short(surely_ma=min(its_ma, over_ma + its_ma), maybe_ma=maybe_ma)


def _of_rows(draws: Iterable[Reservation], now_s: float) -> dict[int, _Promised]:
    """Return what draws may have of each row, now or within a moment."""
    parts, ahead = dict[int, list[Stretch]](), set[int]()
    for draw in draws:
        due = [
            part
            for part in draw.envelope
            if part.current_ma and part.from_at_s - NEAR_S <= now_s < part.until_at_s
        ]
        for row in draw.rows if due else ():
            parts.setdefault(row, []).extend(due)
        if any(now_s < part.from_at_s and not _goes_on(draw, part) for part in due):
            ahead.update(draw.rows)
    return {row: _promised(due, now_s, is_ahead=row in ahead) for row, due in parts.items()}


def _goes_on(draw: Reservation, part: Stretch) -> bool:
    """Return whether a part of a draw is no more than the one just before it."""
    return any(
        before.until_at_s == part.from_at_s and before.current_ma >= part.current_ma
        for before in draw.envelope
    )


def _promised(parts: list[Stretch], now_s: float, *, is_ahead: bool) -> _Promised:
    begins_s = {max(now_s, part.from_at_s) for part in parts}
    return _Promised(
        now_ma=_current_ma(parts, now_s),
        soon_ma=max(_current_ma(parts, at_s) for at_s in begins_s),
        until_at_s=max(part.until_at_s for part in parts),
        is_ahead=is_ahead,
    )


def _current_ma(parts: Iterable[Stretch], at_s: float) -> int:
    """Return what of some parts may flow at an epoch second, all together."""
    return sum(part.current_ma for part in parts if part.from_at_s <= at_s < part.until_at_s)


def _is_measured(cycle: Cycle, row: int) -> bool:
    """Return whether base is what a meter shows now, and not a worst case or of a while ago."""
    age_s = cycle.decision.survey.rows[row].age_s
    return age_s is not None and age_s <= cycle.state.parameters.stale_no_raises_s


def _said(cycle: Cycle, short: Mapping[int, _Short]) -> dict[bool, str]:
    """Return what is said of the row that a draw is most short on, by whether that is surely its room.

    What is surely missing is missing at any rate: it may be sure in some seconds of a minute only.
    """
    least_ma, said = cycle.state.parameters.dead_band_ma, dict[bool, str]()
    its_ma, row = max((of_row.surely_ma, -row) for row, of_row in short.items())
    if its_ma >= least_ma:
        said[True] = _short_said(cycle, -row, its_ma)
    over_ma, row = max((of_row.maybe_ma, -row) for row, of_row in short.items())
    if over_ma >= least_ma:
        whose = "whether that was its room nobody measured"
        said[False] = f"{_short_said(cycle, -row, over_ma)}; {whose}"
    return said


def _short_said(cycle: Cycle, row: int, short_ma: int) -> str:
    circuit = cycle.state.wiring.circuits[row // 3].id
    return (
        f"circuit {circuit} was short of {short_ma / 1_000:.1f} A on {Phase(row % 3).name}"
        f" for {SHORT_FOR_S:.0f} s"
    )
