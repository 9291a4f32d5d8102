"""What a vehicle takes, however much it is offered: at most, and less as its battery fills up."""

from dataclasses import dataclass

ENDLESS_MA = 1_000_000
"""More than any connector gives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """The most a vehicle takes (None: not known), and what it takes as it fills up.

    `taper` says with less than how many Wh missing until it is full it takes at most how many mA,
    the most missing first; it is empty where that is not known. `battery_wh` is all it holds.
    """

    max_ma: int | None = None
    taper: tuple[tuple[float, int], ...] = ()
    battery_wh: float | None = None

    def takes_ma(self, missing_wh: float) -> int:
        """Return the most it takes with so much missing, endless where that is not known."""
        known_ma = [most_ma for below_wh, most_ma in self.taper if missing_wh <= below_wh]
        most_ma = ENDLESS_MA if self.max_ma is None else self.max_ma
        return min([most_ma, *known_ma])

    def taper_from(self, missing_wh: float, *, min_ma: int) -> tuple[tuple[float, int], ...]:
        """Return the taper by what is delivered from now on; what is below `min_ma` counts as that.

        A vehicle that takes less than the least current may still be offered that.
        """
        return tuple(
            (max(0.0, missing_wh - below_wh), max(min_ma, most_ma))
            for below_wh, most_ma in self.taper
        )


NOT_KNOWN = Acceptance()
