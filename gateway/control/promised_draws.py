"""Room that loads on a circuit were promised: what of it does not flow yet is for nobody else."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PromisedDraw:
    """What loads were promised on a row, until a monotonic second: one's and all that begin after it.

    `before_ma` is what base was before any of it flowed, None where nothing measured that.
    """

    current_ma: int
    before_ma: int | None
    until_s: float

    def owed_ma(self, base_ma: int) -> int:
        """Return what of it may still be added to base, which is `base_ma` now.

        A load has no meter of its own: what base has risen by is taken for theirs.
        """
        if self.before_ma is None:
            return self.current_ma
        return max(0, self.current_ma - max(0, base_ma - self.before_ma))


def promised_ma(draws: Iterable[PromisedDraw], base_ma: int, now_s: float) -> int:
    """Return what may still be added to a row's base.

    What others added before a draw began is none of it: the most that is owed from any of them on.
    """
    return max((draw.owed_ma(base_ma) for draw in draws if now_s < draw.until_s), default=0)
