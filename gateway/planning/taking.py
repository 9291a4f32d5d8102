"""What a vehicle takes, and how much less as its battery fills up, learnt of sessions before it."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median_low

from gateway.domain.acceptance import ENDLESS_MA, Acceptance

EDGES_WH = tuple(round(20_000 / 2 ** (half / 2)) for half in range(11))
"""The steps of a taper: with less than so much missing until it is full."""

KEPT_COUNT = 9
LEAST_COUNT = 2
"""Of fewer sessions nothing is said: what one vehicle did once may have been chance."""

TAPERS_BELOW_RATIO = 0.95  # Of the most it takes.
LEAST_CHARGED_PCT = 10.0  # From less of its battery it cannot be told how much the whole holds.


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A reading at which a vehicle took less than it was offered, after so much was delivered."""

    delivered_wh: float
    current_ma: int
    soc_pct: float | None = None


def acceptance_of(
    taken: Sequence[Taken], *, highest_ma: int, full_wh: float | None, battery_wh: float | None
) -> Acceptance:
    """Return what one session tells, in which it drew `highest_ma` at most.

    `full_wh` is what it had been given when it was full. How much was missing before is told by
    its state of charge, if it is known what its battery holds, else by that; where neither is
    known only the most it takes is, and that only if it was offered more when it drew most.
    """
    if not taken:
        return Acceptance(battery_wh=battery_wh)
    most_ma = max(one.current_ma for one in taken)
    in_band: dict[int, list[int]] = {}
    for one in taken:
        missing_wh = _missing_wh(one, battery_wh, full_wh)
        below = [
            edge_wh for edge_wh in EDGES_WH if missing_wh is not None and missing_wh <= edge_wh
        ]
        if below:
            in_band.setdefault(below[-1], []).append(one.current_ma)
    taper: list[tuple[float, int]] = []
    for edge_wh in sorted(in_band, reverse=True):
        mean_ma = int(fmean(in_band[edge_wh]))
        if mean_ma < TAPERS_BELOW_RATIO * highest_ma and (not taper or mean_ma < taper[-1][1]):
            taper.append((float(edge_wh), mean_ma))
    return Acceptance(
        max_ma=most_ma if most_ma >= TAPERS_BELOW_RATIO * highest_ma else None,
        taper=tuple(taper),
        battery_wh=battery_wh,
    )


def usual(known: Sequence[Acceptance]) -> Acceptance:
    """Return what vehicles of a class take by the last sessions known, the newest last."""
    newest = known[-KEPT_COUNT:]
    most_ma = [one.max_ma for one in newest if one.max_ma is not None]
    batteries_wh = [one.battery_wh for one in newest if one.battery_wh is not None]
    tapering = [one for one in newest if one.taper]
    max_ma = median_low(most_ma) if len(most_ma) >= LEAST_COUNT else None
    taper: list[tuple[float, int]] = []
    for edge_wh in EDGES_WH if len(tapering) >= LEAST_COUNT else ():
        takes_ma = median_low([one.takes_ma(edge_wh) for one in tapering])
        if takes_ma < (taper[-1][1] if taper else TAPERS_BELOW_RATIO * (max_ma or ENDLESS_MA)):
            taper.append((float(edge_wh), takes_ma))
    return Acceptance(
        max_ma=max_ma,
        taper=tuple(taper),
        battery_wh=median_low(batteries_wh) if len(batteries_wh) >= LEAST_COUNT else None,
    )


def battery_wh_of(delivered_wh: float, charged_pct: float) -> float | None:
    """Return what a battery holds of which so much was charged by so much, None if that is little."""
    return delivered_wh / charged_pct * 100.0 if charged_pct >= LEAST_CHARGED_PCT else None


def _missing_wh(one: Taken, battery_wh: float | None, full_wh: float | None) -> float | None:
    if one.soc_pct is not None and battery_wh is not None:
        return (100.0 - one.soc_pct) / 100.0 * battery_wh
    return None if full_wh is None else max(0.0, full_wh - one.delivered_wh)
