"""Whether promises are kept as often as was said of them on the way, by what was said."""

from collections.abc import Iterable
from typing import Final

from gateway.planning.calibrate import Z_95, wilson

BINS: Final = (0.0, 0.02, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.99, 1.0)
"""Where bins of what was said begin; the last is of 1 alone."""


def said_and_kept(outcomes: Iterable[tuple[float | None, bool]]) -> dict[str, object]:
    """Return how many were kept of those of which about as much was said, with 95 % Wilson intervals."""
    rows: dict[str, object] = {}
    scored = list(outcomes)
    ends = [*BINS[1:], float("inf")]
    for least, end in zip(BINS, ends, strict=True):
        of_bin = [(said, kept) for said, kept in scored if said is not None and least <= said < end]
        if of_bin:
            said_ratio = sum(said for said, _ in of_bin) / len(of_bin)
            rows[f"said {least:g}"] = {"said": round(said_ratio, 3)} | _kept(k for _, k in of_bin)
    unknown = [kept for said, kept in scored if said is None]
    if unknown:
        rows["said to be not known"] = _kept(unknown)
    return rows


def _kept(kept: Iterable[bool]) -> dict[str, float]:
    """Return how many were kept, with the 95 % Wilson interval of that."""
    known = list(kept)
    low, high = wilson(sum(known), len(known), Z_95)
    return {
        "promises": len(known),
        "kept": round(sum(known) / len(known), 3),
        "kept_low_95": round(low, 3),
        "kept_high_95": round(high, 3),
    }
