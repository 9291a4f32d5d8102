"""The room that control keeps for loads on circuits that were promised it, and whether it is there."""

from collections.abc import Callable, Iterable, Iterator

from gateway.control.promised_draws import PromisedDraw
from gateway.domain.electric import Phase
from gateway.domain.promises import PromiseState, Reservation
from gateway.services.control_loop import Cycle

BEFORE_S = 30.0
"""So long before it may be drawn others are told less: they need a reaction chain to follow."""

SHORT_FOR_S = 60.0
"""A draw that lacks room for so long on end, in its time, was not kept."""


class PromisedRoom:
    """What control is told of promised draws, and which of them it could not keep; in one event loop."""

    def __init__(self, tell: Callable[[tuple[PromisedDraw, ...]], None]) -> None:
        """Begin with none; `tell` takes those that are to be kept room for now, whenever they change."""
        self._tell = tell
        self._kept: dict[tuple[str, int], PromisedDraw] = {}
        self._short_since_s: dict[str, float] = {}

    def note(self, cycle: Cycle, promises: Iterable[Reservation], now_s: float) -> dict[str, str]:
        """Take note of a cycle at an epoch second; return which draws are not kept, and why."""
        kept, lacking = dict[tuple[str, int], PromisedDraw](), dict[str, str]()
        for promise in promises:
            if not promise.is_plain_draw or promise.state is not PromiseState.CONFIRMED:
                continue
            due = [
                (part.current_ma, part.until_at_s)
                for part in promise.envelope
                if part.current_ma and part.from_at_s - BEFORE_S <= now_s < part.until_at_s
            ]
            if not due:
                continue
            current_ma, until_at_s = max(due)
            key = promise.id, current_ma
            kept[key] = self._kept.get(key) or PromisedDraw(
                rows=promise.rows,
                current_ma=current_ma,
                base_ma=self._base_before_ma(cycle, promise),
                until_s=cycle.decision.at_s + until_at_s - now_s,
            )
            if now_s >= promise.from_at_s:
                lacking |= self._lacks(cycle, promise)
        self._short_since_s = {
            name: self._short_since_s.get(name, cycle.decision.at_s) for name in lacking
        }
        if kept != self._kept:
            self._kept = kept
            self._tell(tuple(kept.values()))
        at_s = cycle.decision.at_s
        return {
            name: why
            for name, why in lacking.items()
            if at_s - self._short_since_s[name] >= SHORT_FOR_S
        }

    def _base_before_ma(self, cycle: Cycle, promise: Reservation) -> tuple[int, ...]:
        """Return what base was before a load began, on each of its rows."""
        for (name, _), draw in self._kept.items():
            if name == promise.id:
                return draw.base_ma  # It is drawing, and is to draw more or less from now on.
        return tuple(cycle.decision.survey.rows[row].base_ma for row in promise.rows)

    @staticmethod
    def _lacks(cycle: Cycle, promise: Reservation) -> dict[str, str]:
        """Return where the room of a draw is missing now, by its name; the reserve may be in it."""
        short_ma = dict(_short(cycle, promise.rows))
        if not short_ma:
            return {}
        row = max(short_ma, key=short_ma.__getitem__)
        circuit = cycle.state.wiring.circuits[row // 3].id
        said = (
            f"circuit {circuit} was short of {short_ma[row] / 1_000:.1f} A on {Phase(row % 3).name}"
            f" for {SHORT_FOR_S:.0f} s"
        )
        return {promise.id: said}


def _short(cycle: Cycle, rows: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Return the rows where what is not drawn yet has no room beside base and what is claimed."""
    survey = cycle.decision.survey
    for row in rows:
        seen = survey.rows[row]
        short_ma = survey.claimed_ma[row] - seen.available_ma - seen.reserve_ma
        if seen.draw_ma and short_ma > 0:
            yield row, min(short_ma, seen.draw_ma)
