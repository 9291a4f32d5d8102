"""A reason as one sentence with numbers, the same on the terminal, in the log and everywhere."""

from functools import lru_cache
from typing import assert_never

from gateway.control.stop_latch import SILENT_AFTER_S
from gateway.domain.electric import MIN_CHARGING_MA
from gateway.domain.reasons import Excess, Reason, ReasonKind, RowFigures
from gateway.domain.stops import StopCause


def sentence(reason: Reason) -> str:
    """Return why the limit is what it is, with its numbers, in one sentence."""
    beyond = ""
    if reason.excess is not None and reason.kind is not ReasonKind.STATION_DISOBEYS:
        beyond = f"; the vehicle {beyond_told(reason.excess)}"
    return f"{amps(reason.limit_ma)}: {_why(reason)}{beyond}."


def _why(reason: Reason) -> str:
    match reason.kind:  # The usual ones first.
        case ReasonKind.CIRCUIT_AT_SET_POINT | ReasonKind.MAKES_ROOM | ReasonKind.RAISED_IN_STEPS:
            return _of_sharing(reason)
        case ReasonKind.WAITS_FOR_HEADROOM | ReasonKind.WAITS_FOR_TURN:
            return _of_sharing(reason)
        case ReasonKind.OTHERS_COME_FIRST:
            return _of_sharing(reason)
        case ReasonKind.AT_MAXIMUM:
            return "the connector's maximum"
        case ReasonKind.STOPPED:
            return _of_stop(reason)
        case ReasonKind.OUTSIDE_LIMIT:
            return f"{reason.name}{_told_otherwise(reason)}"
        case ReasonKind.NOT_CONNECTED:
            holds = (
                "the fallback holds" if reason.current_ma is None else "no fallback is written yet"
            )
            return f"no vehicle is connected; {holds}"
        case ReasonKind.STATUS_UNKNOWN:
            return "the station has not said yet whether a vehicle is connected"
        case ReasonKind.RAISE_HELD:
            return (
                f"the raise to {amps(reason.current_ma)} is held, as the reading of a "
                f"circuit above leaves no room for it yet{_after(reason.row)}"
            )
        case ReasonKind.AWAITS_STATIONS:
            left = _seconds(reason.remaining_s)
            return (
                f"not raised until {reason.name} has come back, or {left} more have passed: "
                "a limit of before the restart may still be in force there"
            )
        case ReasonKind.VEHICLE_TAKES_LESS:
            takes = amps(reason.current_ma)
            return f"the vehicle takes {takes} at most; the rest is left to others"
        case ReasonKind.STATION_UNREACHABLE | ReasonKind.STATION_UNPROVEN:
            return _of_station(reason)
        case ReasonKind.DRAWS_MORE:
            beyond = amps(reason.current_ma)
            return (
                f"up to {beyond} more than told is drawn here, and the maximum holds for all of it"
            )
        case ReasonKind.STATION_DISOBEYS | ReasonKind.LEASE_TRIED | ReasonKind.ALL_PHASES_TRIED:
            return _of_station(reason)
        case ReasonKind.LIMIT_PENDING:
            return _of_station(reason)
        case ReasonKind.METER_STALE | ReasonKind.METER_DOUBTED | ReasonKind.THERMAL_BUDGET:
            return _of_safety(reason)
        case ReasonKind.OVER_RATING | ReasonKind.LOCKOUT:
            return _of_safety(reason)
        case _:
            assert_never(reason.kind)


def _told_otherwise(reason: Reason) -> str:
    """Return why an outside limit (`current_ma`) is not told as it is."""
    if reason.current_ma is None:
        return ""
    least, why = f"no vehicle charges on less than {amps(MIN_CHARGING_MA)}", list[str]()
    if reason.current_ma < MIN_CHARGING_MA:
        why.append(least)
    elif reason.in_watts:
        why.append("the station takes watts, which may be 11 % more amperes at the lowest voltage")
    if reason.beyond_ma:
        why.append(f"up to {amps(reason.beyond_ma)} more than told is drawn here")
        if reason.limit_ma == MIN_CHARGING_MA:
            why.append(least)
    return f" ({'; '.join([amps(reason.current_ma), ', and '.join(why)])})"


def _of_stop(reason: Reason) -> str:
    match reason.stop:
        case StopCause.ACTIVE:
            return "the stop input asks for a stop"
        case StopCause.UNRELEASED | None:
            return (
                "the stop input has stopped everything, and nobody has released it yet "
                "(headroom release)"
            )
        case StopCause.SILENT:
            return (
                f"the stop input has not answered for more than {_seconds(SILENT_AFTER_S)}, "
                "and may be asking for a stop"
            )
        case _:
            assert_never(reason.stop)


def _of_sharing(reason: Reason) -> str:
    arithmetic = _arithmetic(reason.row)
    if reason.kind is ReasonKind.MAKES_ROOM:
        return f"makes room for {reason.name}; {arithmetic}"
    if reason.kind is ReasonKind.OTHERS_COME_FIRST:
        return f"{reason.name} comes first; {arithmetic}"
    if reason.kind is ReasonKind.RAISED_IN_STEPS:
        return f"being raised in steps; {arithmetic}"
    if reason.kind is ReasonKind.WAITS_FOR_HEADROOM:
        return f"{arithmetic}; raised after {_seconds(reason.remaining_s)} more of fresh headroom"
    if reason.kind is ReasonKind.WAITS_FOR_TURN:
        since = "" if reason.elapsed_s is None else f" since {_seconds(reason.elapsed_s)}"
        return (
            f"waits for its turn{since}, as {amps(MIN_CHARGING_MA)} for everyone does not fit"
            f"{_beside(reason.row)}; {arithmetic}"
        )
    if reason.current_ma is not None and reason.limit_ma:
        return f"{arithmetic}; limits are raised once {amps(reason.current_ma)} are left"
    if reason.current_ma is not None:
        return f"{arithmetic}; its {amps(MIN_CHARGING_MA)} would count {amps(reason.current_ma)}"
    return arithmetic


def _of_station(reason: Reason) -> str:
    counted = amps(reason.current_ma)
    if reason.kind is ReasonKind.STATION_UNREACHABLE:
        gone = f"the station has been out of reach for {_seconds(reason.elapsed_s)}"
        if reason.remaining_s is not None:
            gone += f"; its last limit holds for {_seconds(reason.remaining_s)} at most"
        return f"{gone}; it is counted at {counted}"
    if reason.kind is ReasonKind.LIMIT_PENDING:
        since = _seconds(reason.elapsed_s)
        if reason.remaining_s is None:
            return f"the station has not answered for {since}; it is counted at {counted}"
        left = _seconds(reason.remaining_s)
        return (
            f"told so {since} ago; until it is seen to hold, in {left}, it is counted at {counted}"
        )
    if reason.kind is ReasonKind.LEASE_TRIED:
        left = f"in {_seconds(reason.remaining_s)}" if reason.remaining_s else "by now"
        return (
            "not renewed for a moment, to see that the station falls back by itself: "
            f"its last limit is over {left}"
        )
    if reason.kind is ReasonKind.ALL_PHASES_TRIED:
        if reason.row is not None:
            return (
                "the vehicle drew nothing of its watts on one phase; they are told for every phase "
                f"once {counted} are free on each; {_arithmetic(reason.row)}"
            )
        return (
            "told in watts for every phase, as the vehicle drew nothing of that on one; it is counted "
            f"at {counted} on each until its phases are known"
        )
    if reason.kind is ReasonKind.STATION_UNPROVEN:
        starts = ""
        if reason.beyond_ma:
            starts = f"; up to {amps(reason.beyond_ma)} more may begin to flow, should it not obey"
        return (
            "the station has not yet been seen to obey a cut; until then it gets "
            f"{_trial_of(reason.limit_ma)} and is counted at {counted}{starts}"
        )
    if reason.excess is not None:
        return f"the station {beyond_told(reason.excess)}"
    return (
        f"the station draws {counted}, more than it was allowed, for {_seconds(reason.elapsed_s)}"
    )


def beyond_told(excess: Excess) -> str:
    """Return what is drawn beyond what was told, and for how long."""
    drawn, told = amps(excess.drawn_ma), amps(excess.told_ma)
    return (
        f"draws {drawn} where {told} was told, and more than told for {_seconds(excess.elapsed_s)}"
    )


def _trial_of(limit_ma: int) -> str:
    """Return which step of the trial a limit is (gateway.control.trial)."""
    if limit_ma > MIN_CHARGING_MA:
        return "the minimum, or a little more to be cut by,"
    if limit_ma:
        return "the minimum"
    return "the minimum, or nothing for a moment as a cut that must show,"


def _of_safety(reason: Reason) -> str:
    where, arithmetic = _where(reason.row), _arithmetic(reason.row)
    if reason.kind is ReasonKind.METER_STALE:
        silent = (
            "since Headroom began"
            if reason.elapsed_s is None
            else f"for {_seconds(reason.elapsed_s)}"
        )
        return f"the meter of {where} has said nothing new {silent}; {arithmetic}"
    if reason.kind is ReasonKind.METER_DOUBTED:
        return f"the meter of {where} {too_little(reason.current_ma)}; {arithmetic}"
    if reason.kind is ReasonKind.OVER_RATING:
        rating = "" if reason.row is None else f" of {amps(reason.row.in_force_ma)}"
        lasted = _seconds(reason.elapsed_s)
        return f"{where} has been over its rating{rating} for {lasted}; {arithmetic}"
    if reason.kind is ReasonKind.LOCKOUT:
        circuit = "its circuit" if reason.row is None else reason.row.circuit
        return (
            f"{circuit} was over its rating {too_much(reason.excursion_count)} and is held at its "
            f"fallback for {_seconds(reason.remaining_s)} more"
        )
    share = 0.0 if reason.budget_ratio is None else reason.budget_ratio
    unproven = ", and the station has not yet been seen to obey a cut"
    return (
        f"the overcurrent device of {where} would have spent {share:.0%} of its thermal budget"
        f"{unproven if reason.is_for_unproven else ''}; {arithmetic}"
    )


def too_much(excursion_count: int | None) -> str:
    """Return what locked a circuit out: how often it was over its rating, or for how long."""
    return "for too long" if excursion_count is None else f"too often ({excursion_count} times)"


def too_little(unseen_ma: int | None) -> str:
    """Return what is wrong with a meter that does not show so much of what surely flows."""
    return f"showed {amps(unseen_ma)} less than what surely flowed there"


def amps(current_ma: int | None) -> str:
    """Return a current for people: `12.5 A`; an unknown one says so."""
    return "an unknown current" if current_ma is None else f"{current_ma / 1_000:.1f} A"


def _seconds(duration_s: float | None) -> str:
    if duration_s is None:
        return "an unknown time"
    if duration_s < 120:  # noqa: PLR2004 - from two minutes on, minutes read better
        return f"{duration_s:.0f} s"
    return f"{duration_s / 60:.0f} min"


def _where(row: RowFigures | None) -> str:
    return "its circuit" if row is None else f"{row.circuit} {row.phase.name}"


def _beside(row: RowFigures | None) -> str:
    """Return beside what minimums do not fit, where that is more than was told anybody."""
    names = None if row is None else row.unproven_by or row.reserve_by
    return "" if names is None else f" beside what {names} may draw"


def _after(row: RowFigures | None) -> str:
    return "" if row is None else f"; {_arithmetic(row)}"


@lru_cache(maxsize=256)
def _arithmetic(row: RowFigures | None) -> str:
    """Return the row's arithmetic: what is available, from what, and what is claimed of it.

    Many at once are told the same of one row.
    """
    if row is None:
        return "no circuit binds"
    bound = f"set-point {amps(row.bound_ma)}"
    if row.bound_source is not None:
        bound = f"{row.bound_source} {amps(row.bound_ma)}"
    rating = f"rating {amps(row.rating_ma)}"
    if row.in_force_ma < row.rating_ma:
        rating = f"rating {amps(row.in_force_ma)} now of {amps(row.rating_ma)}"
    kept = "" if row.kept_for is None else f", {amps(row.kept_ma)} kept for {row.kept_for}"
    reserve_by = "" if row.reserve_by is None else f" for {row.reserve_by}, not yet seen to obey"
    promised = f", {amps(row.draw_ma)} promised to a load" if row.draw_ma else ""
    claimed = f"{amps(row.claimed_ma)} is claimed"
    if row.unproven_by is not None:
        claimed += f", {amps(row.unproven_ma)} of it for {row.unproven_by}, not yet seen to obey"
    return (
        f"{row.circuit} {row.phase.name} has {amps(max(0, row.available_ma))} for charging "
        f"({rating}, {bound}, base {amps(row.base_ma)}, "
        f"reserve {amps(row.reserve_ma)}{reserve_by}{promised}) and {claimed}{kept}"
    )
