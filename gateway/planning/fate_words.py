"""In words: why a promise became by itself what it is."""

from gateway.domain.charging import EndCause
from gateway.domain.promises import Excuse, PromiseState, Reservation
from gateway.planning.quote_words import kwh_apart, kwh_said, place_said

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
