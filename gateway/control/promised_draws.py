"""Room that a load on a circuit was promised: what of it does not flow yet is for nobody else."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PromisedDraw:
    """A load that was promised a current on each of some rows, until a monotonic second.

    `base_ma` is what base was on each of them before it began.
    """

    rows: tuple[int, ...]
    current_ma: int
    base_ma: tuple[int, ...]
    until_s: float


def owed_ma(draws: Iterable[PromisedDraw], row: int, base_ma: int, now_s: float) -> int:
    """Return what promised draws may still add to a row's base, which is `base_ma` now.

    A load has no meter of its own: what base has risen by since the first began is taken for theirs.
    """
    of_row = [
        (draw.current_ma, draw.base_ma[draw.rows.index(row)])
        for draw in draws
        if now_s < draw.until_s and row in draw.rows
    ]
    if not of_row:
        return 0
    risen_ma = base_ma - min(before_ma for _, before_ma in of_row)
    return max(0, sum(current_ma for current_ma, _ in of_row) - max(0, risen_ma))
