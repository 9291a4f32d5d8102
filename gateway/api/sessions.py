"""Vehicles that are there, and what those who came with them say: when they leave, what they need."""

from pydantic import AwareDatetime, model_validator

from gateway.api.endpoints import Call, Endpoint
from gateway.api.models import Answer, Body, Instant, Name, StateOfChargeBody, WattHours
from gateway.api.problems import ProblemError, problem_of
from gateway.api.translating import instant
from gateway.control.explain import sentence
from gateway.domain.access import Access, Role
from gateway.domain.needs import Criticality, StateOfCharge
from gateway.domain.promises import PromiseState, Reservation
from gateway.domain.sessions import Session, Statement
from gateway.planning.answers import RefusedError

PREFIX = "/api/v1"
LONGEST_STAY_S = 14 * 86_400.0


class SessionNeedBody(Body):
    """What somebody says of a vehicle that is there; it replaces what was said before.

    A criticality that is left out stays as it was, `normal` at first. One that an operator has said
    is for operators alone to change.
    """

    depart_at: Instant | None = None
    """When it leaves; None: nobody knows."""
    energy_wh: WattHours | None = None
    """What it still needs from now on; None: what `soc` says is missing, or nobody knows."""
    soc: StateOfChargeBody | None = None
    criticality: Criticality | None = None
    reference: Name | None = None
    """Of the reservation this vehicle has come for, where its token or connector does not tell.

    Its id does as well, and must be given where several holders use the same reference.
    """

    @model_validator(mode="after")
    def _is_said_once(self) -> "SessionNeedBody":
        if self.energy_wh is not None and self.soc is not None:
            raise ValueError("give energy_wh or soc, not both")
        return self


class SessionView(Answer):
    """A vehicle that is there: what it was given, what was said of it, and what it may take, and why.

    `id_token` and `link` are for operators; whoever has the link may say what it needs, until the
    session is over. `wants_wh` is what it still needs as was said, `planned_wh` what the plan of now
    (`GET /plan`) gives it by its departure, and `short_wh` what is missing of that: null until a plan
    goes by what was said, some seconds, and where nothing was said.
    """

    session_id: str
    connector: str
    began_at: AwareDatetime
    delivered_wh: int
    depart_at: AwareDatetime | None
    wants_wh: int | None
    planned_wh: int | None
    short_wh: int | None
    criticality: Criticality
    limit_ma: int | None
    why: str | None
    id_token: str | None
    link: str | None


class SessionsView(Answer):
    """Every vehicle that is there."""

    sessions: list[SessionView]


async def sessions(call: Call) -> SessionsView:
    """Answer every vehicle that is there."""
    running = call.sources.sessions.running()
    return SessionsView(sessions=[_view(call, name, running[name]) for name in sorted(running)])


async def session(call: Call) -> SessionView:
    """Answer a vehicle that is there."""
    name = _name(call)
    try:
        return _view(call, name, call.sources.sessions.find(name))
    except RefusedError as error:
        raise problem_of(error) from error


async def state_need(call: Call) -> SessionView:
    """Take what somebody says of a vehicle that is there."""
    assert isinstance(call.body, SessionNeedBody)
    name, said = _name(call), call.body
    reference = said.reference
    if reference is not None and not _is_operator(call.access):
        message = "only an operator may say which reservation a vehicle has come for: leave it out"
        raise ProblemError("not-allowed", message)
    try:
        known = call.sources.sessions.find(name)
        statement = _statement(said, known, now_s=call.sources.clock.now_at().timestamp())
        now = await call.sources.sessions.say(
            name, statement, call.access, criticality=said.criticality, reference=reference
        )
    except RefusedError as error:
        raise problem_of(error) from error
    return _view(call, name, now)


def _statement(said: SessionNeedBody, known: Session, *, now_s: float) -> Statement:
    """Return what is said in the words of the domain.

    Raises:
        ProblemError: it leaves in the past, or in weeks.
    """
    departs_at_s = None if said.depart_at is None else said.depart_at.timestamp()
    if departs_at_s is not None and departs_at_s <= now_s:
        message = "the departure is in the past: say when it will leave, or leave it out"
        raise ProblemError("window-in-the-past", message)
    if departs_at_s is not None and departs_at_s > now_s + LONGEST_STAY_S:
        message = "the departure is more than 14 days ahead: say an earlier one, or leave it out"
        raise ProblemError("window-too-far", message)
    energy_wh, missing_wh = said.energy_wh, None
    if said.soc is not None:
        soc = StateOfCharge(
            now_pct=said.soc.now_pct,
            target_pct=said.soc.target_pct,
            battery_wh=said.soc.battery_wh,
        )
        energy_wh, missing_wh = soc.energy_wh, soc.missing_wh
    return Statement(
        departs_at_s=departs_at_s,
        energy_wh=None if energy_wh is None else known.delivered_wh + energy_wh,
        full_wh=None if missing_wh is None else known.delivered_wh + missing_wh,
    )


def _view(call: Call, name: str, known: Session) -> SessionView:
    said, wants_wh = known.said, _wants_wh(known)
    live = call.sources.live()
    reason = None if live is None else live.decision.reasons.get(known.connector)
    planned_wh, link = _planned_wh(call, known), None
    missing_wh = None if wants_wh is None or planned_wh is None else wants_wh - planned_wh
    if _is_operator(call.access):
        word = call.sources.sessions.link_of(known)
        link = f"{PREFIX}/sessions/{name}?token={word}"
    return SessionView(
        session_id=name,
        connector=str(known.connector),
        began_at=instant(known.began_at_s),
        delivered_wh=int(known.delivered_wh),
        depart_at=None if said.departs_at_s is None else instant(said.departs_at_s),
        wants_wh=None if wants_wh is None else round(wants_wh),
        planned_wh=None if planned_wh is None else int(planned_wh),
        short_wh=None if missing_wh is None else max(0, int(missing_wh)),
        criticality=said.criticality,
        limit_ma=None if reason is None else reason.limit_ma,
        why=None if reason is None else sentence(reason),
        id_token=known.id_token if link is not None else None,
        link=link,
    )


def _planned_wh(call: Call, known: Session) -> float | None:
    """Return what the plan gives a vehicle of what it wants, by what it was promised and beyond.

    None without a plan, where the plan knows nothing yet of what was said, and of a vehicle of
    which nothing was said or promised: where it is in the order of equals is no answer to anybody.
    """
    plan, place = call.sources.plan(), str(known.connector)
    if plan is None or (known.said_at_s is not None and plan.from_at_s < known.said_at_s):
        return None
    given_wh = {
        demand.key: delivered_wh
        for demand, delivered_wh in zip(plan.problem.demands, plan.plan.delivered_wh, strict=True)
        if demand.key == place or _is_its(call, plan.promises.get(demand.key), known)
    }
    wants_wh, departs_at_s = _wants_wh(known), known.said.departs_at_s
    if wants_wh is None and departs_at_s is None and not given_wh.keys() - {place}:
        return None
    # What is drawn before a promise's time counts for it, so the plan may have the same energy twice.
    return min(sum(given_wh.values()), float("inf") if wants_wh is None else wants_wh)


def _wants_wh(known: Session) -> float | None:
    """Return what a vehicle still needs as was said, None where it was not."""
    energy_wh = known.said.energy_wh
    return None if energy_wh is None else max(0.0, energy_wh - known.delivered_wh)


def _is_its(call: Call, promise: Reservation | None, known: Session) -> bool:
    """Return whether a promise is the one of a vehicle: it has come for it, or waits for its time."""
    if promise is None:
        return False
    place, departs_at_s = str(known.connector), known.said.departs_at_s
    if promise.state is PromiseState.ARRIVED:
        return promise.place == place
    is_in_its_stay = departs_at_s is None or promise.opens_at_s < departs_at_s
    is_early = promise.state is PromiseState.CONFIRMED and is_in_its_stay
    return is_early and call.sources.bookings.place_of(promise) == place


def _is_operator(access: Access) -> bool:
    return access.role.includes(Role.OPERATOR)


def _name(call: Call) -> str:
    name: str = call.request.path_params["session_id"]
    return name


SESSIONS: tuple[Endpoint, ...] = (
    Endpoint(
        method="GET",
        path="/sessions",
        role=Role.OPERATOR,
        summary="Every vehicle that is there, with the link by which its need can be said",
        answering=sessions,
        answer=SessionsView,
    ),
    Endpoint(
        method="GET",
        path="/sessions/{session_id}",
        role=Role.OPERATOR,
        summary="A vehicle that is there",
        answering=session,
        answer=SessionView,
        is_for_occupants=True,
        problems=("unknown-session",),
    ),
    Endpoint(
        method="PUT",
        path="/sessions/{session_id}/need",
        role=Role.OPERATOR,
        summary="Say when a vehicle that is there leaves, and what it needs",
        answering=state_need,
        answer=SessionView,
        body=SessionNeedBody,
        is_for_occupants=True,
        problems=(
            "unknown-session",
            "unknown-reservation",
            "window-in-the-past",
            "window-too-far",
            "not-durable",
        ),
    ),
)
