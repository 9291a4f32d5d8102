"""Room that loads on a circuit were promised: what of it does not flow yet is for nobody else."""

from dataclasses import dataclass


def owed_ma(current_ma: int, before_ma: int | None, base_ma: int) -> int:
    """Return what of a promised current may still be added to base, which is `base_ma` now.

    A load has no meter of its own: what base has risen by since `before_ma` is taken for its draw.
    Where nobody knows what base was before (None), all of it may come.
    """
    if before_ma is None:
        return current_ma
    return max(0, current_ma - max(0, base_ma - before_ma))


@dataclass(frozen=True, slots=True, kw_only=True)
class PromisedDraw:
    """What loads were promised on a row, all together, until a monotonic second.

    `before_ma` is what base is without them, None where nothing measured that.
    """

    current_ma: int
    before_ma: int | None
    until_s: float

    def owed_ma(self, base_ma: int, now_s: float) -> int:
        """Return what of it may still be added to base, which is `base_ma` now."""
        if now_s >= self.until_s:
            return 0
        return owed_ma(self.current_ma, self.before_ma, base_ma)
