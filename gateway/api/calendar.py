"""The calendar: what people know will draw more than usual, so that promises are made of what is left."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, model_validator

from gateway.api.endpoints import Call, Endpoint
from gateway.api.models import Answer, Body, Instant, Name, PhasesMa
from gateway.api.problems import ProblemError, problem_of
from gateway.api.translating import instant
from gateway.domain.access import Role
from gateway.domain.calendar_events import CalendarEvent
from gateway.domain.electric import Phase
from gateway.domain.ids import CircuitId
from gateway.planning.answers import RefusedError
from gateway.planning.asking import AskError

LONGEST_AHEAD_S = 400 * 86_400.0
MAX_EVENT_ID = 64
PhaseName = Literal["L1", "L2", "L3"]


class CalendarEventBody(Body):
    """Something that will draw on a circuit on top of what is usual there."""

    circuit: Name
    from_at: Instant
    until_at: Instant
    extra_a: float = Field(gt=0, le=10_000)
    """How much more is drawn on each of the phases."""
    phases: Annotated[list[PhaseName], Field(min_length=1, max_length=3)] | None = None
    """None: all that the circuit has."""
    note: str = Field(default="", max_length=200)
    """What it is, for people."""

    @model_validator(mode="after")
    def _is_in_order(self) -> "CalendarEventBody":
        if self.until_at <= self.from_at:
            raise ValueError("until_at is not after from_at: give a later one")
        return self


class CalendarEventView(Answer):
    """Something that will draw on a circuit on top of what is usual there; `by` who said so."""

    event_id: str
    circuit: str
    from_at: AwareDatetime
    until_at: AwareDatetime
    extra_ma: PhasesMa
    note: str
    by: str
    is_cancelled: bool


class EventEffectView(Answer):
    """What an event changes of the base a circuit is planned with while it lasts, on its worst phase.

    Both are None where the plan does not reach so far.
    """

    circuit: str
    phase: str
    before_ma: int | None
    after_ma: int | None
    why: str


class CalendarEventTold(CalendarEventView):
    """An event as it is known now, and what it changes on its circuit and those above.

    `at_risk` are the reservations that are at risk by it.
    """

    effects: list[EventEffectView]
    at_risk: list[str]


class CalendarView(Answer):
    """The events that are not over, the soonest first."""

    events: list[CalendarEventView]


async def calendar(call: Call) -> CalendarView:
    """Answer the events to come."""
    return CalendarView(events=[_view(event) for event in call.sources.calendar.to_come()])


async def put_event(call: Call) -> CalendarEventTold:
    """Know of an event, and say what it changes."""
    assert isinstance(call.body, CalendarEventBody)
    before = _at_risk(call)
    try:
        event = await call.sources.calendar.put(_event(call, call.body), call.access)
    except (AskError, RefusedError) as error:
        raise problem_of(error) from error
    effects = [
        EventEffectView(
            circuit=effect.circuit,
            phase=effect.phase.name,
            before_ma=effect.before_ma,
            after_ma=effect.after_ma,
            why=f"{effect.said()}.",
        )
        for effect in call.sources.effects_of(event)
    ]
    at_risk = sorted(_at_risk(call) - before)
    return CalendarEventTold(**dict(_view(event)), effects=effects, at_risk=at_risk)


def _at_risk(call: Call) -> set[str]:
    return {standing.promise.id for standing in call.sources.bookings.broken_by(())}


async def cancel_event(call: Call) -> CalendarEventView:
    """Know no more of an event."""
    try:
        return _view(await call.sources.calendar.cancel(_event_id(call), call.access))
    except RefusedError as error:
        raise problem_of(error) from error


def _event(call: Call, said: CalendarEventBody) -> CalendarEvent:
    """Return what is said in the words of the domain.

    Raises:
        AskError: there is no such circuit.
        ProblemError: it is over already, or too far ahead.
    """
    places, now_s = call.sources.bookings.places, call.sources.clock.now_at().timestamp()
    places.circuit_outlet(CircuitId(said.circuit), phase_count=None, max_power_w=None)
    circuit = next(c for c in places.site.circuits if c.id == said.circuit)
    if said.until_at.timestamp() <= now_s:
        message = "the event is over already: give an until_at that is to come"
        raise ProblemError("window-in-the-past", message)
    if said.until_at.timestamp() > now_s + LONGEST_AHEAD_S:
        message = "the event is more than 400 days ahead: say it when it is nearer"
        raise ProblemError("window-too-far", message)
    l1, l2, l3 = (
        # Rounded up: it is drawn.
        -int(-said.extra_a * 1_000 // 1)
        if circuit.rating_ma[phase] and (said.phases is None or phase.name in said.phases)
        else 0
        for phase in Phase
    )
    return CalendarEvent(
        id=_event_id(call),
        circuit=circuit.id,
        from_at_s=said.from_at.timestamp(),
        until_at_s=said.until_at.timestamp(),
        extra_ma=(l1, l2, l3),
        note=said.note,
    )


def _view(event: CalendarEvent) -> CalendarEventView:
    return CalendarEventView(
        event_id=event.id,
        circuit=event.circuit,
        from_at=instant(event.from_at_s),
        until_at=instant(event.until_at_s),
        extra_ma=event.extra_ma,
        note=event.note,
        by=event.by,
        is_cancelled=event.is_cancelled,
    )


def _event_id(call: Call) -> str:
    name: str = call.request.path_params["event_id"]
    if len(name) > MAX_EVENT_ID:
        message = f"an event's id has {MAX_EVENT_ID} characters at most: choose a shorter one"
        raise ProblemError("not-found", message)
    return name


CALENDAR: tuple[Endpoint, ...] = (
    Endpoint(
        method="GET",
        path="/calendar",
        role=Role.VIEWER,
        summary="What people know will draw more than usual",
        answering=calendar,
        answer=CalendarView,
    ),
    Endpoint(
        method="PUT",
        path="/calendar/{event_id}",
        role=Role.OPERATOR,
        summary="Say that something will draw more than usual, under an id of your own",
        answering=put_event,
        answer=CalendarEventTold,
        body=CalendarEventBody,
        links={"cancel_event": {"event_id": "/event_id"}},
        problems=(
            "unknown-circuit",
            "window-in-the-past",
            "window-too-far",
            "too-many-events",
            "not-durable",
        ),
    ),
    Endpoint(
        method="DELETE",
        path="/calendar/{event_id}",
        role=Role.OPERATOR,
        summary="Say that it will not be",
        answering=cancel_event,
        answer=CalendarEventView,
        problems=("unknown-event", "not-durable"),
    ),
)
