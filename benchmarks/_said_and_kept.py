"""Whether promises are kept as often as was said of them on the way, by what was said."""

from collections.abc import Iterable, Mapping
from typing import Final

from gateway.planning.calibrate import Z_95, wilson

BINS: Final = (0.0, 0.02, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.99, 1.0)
"""Where bins of what was said begin; the last is of 1 alone."""


Group = Mapping[str, float]


def said_and_kept(outcomes: Iterable[tuple[float | None, bool]]) -> dict[str, Group]:
    """Return how many were kept of those of which about as much was said, with 95 % Wilson intervals."""
    rows: dict[str, Group] = {}
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


def summed(tables: Iterable[Mapping[str, Group]]) -> dict[str, int]:
    """Return in how many groups of several tables as many were kept as was said; and of the ends."""
    groups = [(name, group) for table in tables for name, group in table.items() if "said" in group]
    within = [g for _, g in groups if g["kept_low_95"] <= g["said"] <= g["kept_high_95"]]
    lowest = [group for name, group in groups if name == f"said {BINS[0]:g}"]
    surest = [group for name, group in groups if name == f"said {BINS[-1]:g}"]
    return {
        "groups": len(groups),
        "groups_within_95": len(within),
        "said_least": sum(int(group["promises"]) for group in lowest),
        "said_least_kept": sum(round(group["promises"] * group["kept"]) for group in lowest),
        "said_surest": sum(int(group["promises"]) for group in surest),
        "said_surest_kept": sum(round(group["promises"] * group["kept"]) for group in surest),
    }


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
