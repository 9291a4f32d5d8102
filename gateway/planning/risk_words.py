"""In words: how a promise stands that may not be kept, and what endangers it."""

from collections.abc import Iterable
from datetime import tzinfo

from gateway.planning.asking import Places
from gateway.planning.calibrate import Miscalibration
from gateway.planning.chance import Danger, Standing
from gateway.planning.quote_words import clock_said, kwh_apart, place_said, row_said


def risk_said(standing: Standing, places: Places, *, now_s: float, zone: tzinfo) -> str:
    """Return how surely a promise will be kept, and what endangers it; no full stop."""
    promise = standing.promise
    if standing.danger is None or standing.confidence_ratio >= promise.confidence_ratio:
        return "it was told to be at risk; nothing that is known now endangers it"
    until = clock_said(promise.until_at_s, now_s, zone)
    promised, can, given = _energies_said(standing)
    sure = f"{standing.confidence_ratio:.0%} sure now, not {promise.confidence_ratio:.0%}"
    if not standing.is_known:
        sure = f"not {promise.confidence_ratio:.0%} sure any more, and how sure is not known"
    return (
        f"the {promised} on {place_said(promise.place)} by {until} are {sure}:"
        f" {_danger_said(standing, places, can=can, given=given, now_s=now_s, zone=zone)}"
    )


def _energies_said(standing: Standing) -> tuple[str, str, str]:
    """Return what was promised, what can still be counted on, and what was given so far."""
    promise = standing.promise
    promised, can, given = kwh_apart(promise.energy_wh, standing.can_wh, promise.delivered_wh)
    return promised, can, given


def _danger_said(
    standing: Standing, places: Places, *, can: str, given: str, now_s: float, zone: tzinfo
) -> str:
    promise, shortage = standing.promise, standing.shortage
    until = clock_said(promise.until_at_s, now_s, zone)
    if standing.away is not None:
        return standing.away.said(now_s, zone)
    match standing.danger:
        case Danger.OCCUPIED:
            return f"another vehicle is at {place_said(promise.place)}"
        case Danger.LATE:
            return f"its vehicle has not come, and only {can} can be counted on by {until}"
        case Danger.SLOW:
            return f"{given} were given so far, and only {can} can be counted on by {until}"
        case _:
            if shortage is None:
                return "circuits leave too little"
            circuit, phase = row_said(places, shortage.row)
            begins = clock_said(shortage.from_at_s, now_s, zone)
            ends = clock_said(shortage.until_at_s, now_s, zone)
            left_a = shortage.left_ma / 1_000
            is_sure = shortage.is_planned and standing.is_known
            leaves = "leaves it" if is_sure else "may leave it only"
            return f"circuit {circuit} {leaves} {left_a:.1f} A on {phase} from {begins} to {ends}"


def miscalibrations_said(found: Iterable[Miscalibration]) -> str | None:
    """Return at which levels promises are not kept as often as they say, and what to do; None at none."""
    return "; ".join(_miscalibration_said(each) for each in found) or None


def _miscalibration_said(found: Miscalibration) -> str:
    kept, said = f"{found.kept_ratio:.1%}", f"{found.promised_ratio:.1%}"
    if found.kept_ratio < found.promised_ratio:
        advice = "ask for more confidence than you need until it is over, and send the report"
    else:
        advice = "less is promised than could be: send the report"
    return (
        f"of the last {found.count} promises made at some {found.level_ratio:.0%} where the building"
        f" was short {kept} were kept, and {said} were to be: {advice}"
    )
