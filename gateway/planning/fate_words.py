"""In words: why a promise became by itself what it is."""

from datetime import tzinfo

from gateway.domain.charging import EndCause
from gateway.domain.promises import Excuse, PromiseState, Reservation
from gateway.planning.quote_words import clock_said, kwh_apart, kwh_said, place_said

NOT_BY_ITSELF = {
    EndCause.LOST_IN_REBOOT: "its station had restarted",
    EndCause.STOPPED: "its station had ended its transaction",
}
"""How a vehicle has gone that did not leave by itself."""


def occupied_said(promise: Reservation) -> str:
    """Return what kept the vehicle of a promise from its connector."""
    return f"another vehicle was at {place_said(promise.place)} in its time"


def elsewhere_said(place: str) -> str:
    """Return where the vehicle of a promise came that its promise could not follow."""
    return f"its vehicle came to {place_said(place)} instead"


def cause_said(promise: Reservation, state: PromiseState, excuse: Excuse | None) -> str:
    """Return why a promise became by itself what it is, empty where it was kept."""
    if promise.is_plain_draw and state in (PromiseState.FULFILLED, PromiseState.BROKEN):
        return promise.cause or "its room was kept free; what was drawn of it nobody measured"
    given = f"{' of '.join(kwh_apart(promise.delivered_wh, promise.energy_wh))} were delivered"
    ours = f"{promise.let_down}; {given}" if promise.let_down else f"{given} by the end"
    match state:
        case PromiseState.EXPIRED:
            return "nobody confirmed it in time"
        case PromiseState.NO_SHOW:
            return promise.cause or "nobody came"
        case PromiseState.BROKEN:
            return {
                Excuse.CAME_LATE: f"{promise.cause or 'the vehicle came late'}; {given}",
                Excuse.LEFT_EARLY: f"the vehicle left early; {given}",
                Excuse.REFUSED_POWER: (
                    f"the vehicle drew less than it might; {given},"
                    f" {kwh_said(promise.allowed_wh)} were allowed"
                ),
            }.get(excuse, ours)  # type: ignore[arg-type]
        case _:
            return ""


def moved_said(before: Reservation, now: Reservation, now_s: float, zone: tzinfo) -> str:
    """Return when a promise that was moved is given its energy, and when it was to be."""
    was, is_now = (_given_said(promise, now_s, zone) for promise in (before, now))
    instead = "as before, with other powers" if was == is_now else f"instead of {was}"
    return f"moved in time for a critical need: it is given its energy {is_now} {instead}"


def _given_said(promise: Reservation, now_s: float, zone: tzinfo) -> str:
    given = [part for part in promise.envelope if part.current_ma]
    ends_s = (given[0].from_at_s, given[-1].until_at_s)
    return "from {} to {}".format(*(clock_said(at_s, now_s, zone) for at_s in ends_s))
