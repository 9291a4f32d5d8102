"""Every path of the API: who may ask it, with what, and what is answered."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from gateway.api.models import (
    Body,
    ConnectorsView,
    ConnectorView,
    HeadroomView,
    PowerView,
    QuoteRequest,
    QuoteView,
    ReservationRequest,
    ReservationsView,
    ReservationView,
    SiteView,
)
from gateway.api.plan import PlanView, plan_view
from gateway.api.problems import ProblemError, problem_of
from gateway.api.readings import Live, connectors_view, headroom_view, power_view, site_view
from gateway.api.translating import (
    connector_of,
    envelope_of,
    need_of,
    quote_view,
    reservation_view,
)
from gateway.domain.access import Access, Role
from gateway.domain.calendar_events import CalendarEvent, EventEffect
from gateway.domain.promises import Reservation
from gateway.planning.answers import NoLongerFitsError, RefusedError, UsedKey
from gateway.planning.asking import AskError
from gateway.planning.standing_plan import StandingPlan
from gateway.ports import Bookings, Clock, EventCalendar, Notices, Sessions

CREATED = 201
AT_RISK = "at_risk"
EVENT_STREAM = "text/event-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What answers are made from; `live` returns None before the first control cycle."""

    bookings: Bookings
    notices: Notices
    live: Callable[[], Live | None]
    clock: Clock
    sessions: Sessions
    calendar: EventCalendar
    plan: Callable[[], StandingPlan | None] = lambda: None
    """Returns None while nobody wants anything."""
    effects_of: Callable[[CalendarEvent], tuple[EventEffect, ...]] = lambda _: ()
    """Returns what an event changes on its circuit and those above."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request that was admitted: its body is read and understood."""

    request: Request
    access: Access
    body: Body | None
    key: UsedKey | None
    sources: Sources
    flags: Mapping[str, bool] = field(default_factory=dict)
    """What was said in the query, of the endpoint's flags."""
    access_now: Callable[[], Access | None] = lambda: None
    """Returns what the caller's token allows by now: None once it was revoked."""
    charge: Callable[[int], None] = lambda _: None
    """Takes so many requests more off the caller's quota; those that follow wait for it."""


Answering = Callable[[Call], Awaitable[BaseModel | Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A method of a path; `problems` are those of its own, beyond what may befall any request."""

    method: str
    path: str
    role: Role
    summary: str
    answering: Answering
    answer: type[BaseModel]
    body: type[Body] | None = None
    status: int = 200
    has_key: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    """The headers of a request that mean something, with what they do."""
    flags: tuple[str, ...] = ()
    """What may be `true` or `false` in its query."""
    links: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """What its answer leads to: the function of another endpoint, by what that is asked with, and
    where in the answer that is (a JSON pointer)."""
    is_for_occupants: bool = False
    """Whether the link of the session in the path (`session_id`) is enough."""
    problems: tuple[str, ...] = ()
    media_type: str = "application/json"


async def site(call: Call) -> SiteView:
    """Answer the site as built."""
    return site_view(call.sources.bookings.places.site, call.sources.clock.now_at())


async def power(call: Call) -> PowerView:
    """Answer what is measured."""
    return power_view(_live(call))


async def headroom(call: Call) -> HeadroomView:
    """Answer what is free, when."""
    bookings = call.sources.bookings
    free_from_s = bookings.free_from_s()
    return headroom_view(bookings.beside_plan(), bookings.places, call.sources.live(), free_from_s)


async def plan(call: Call) -> PlanView:
    """Answer what is planned."""
    sources = call.sources
    return plan_view(sources.plan(), call.access, sources.clock.now_at())


async def connectors(call: Call) -> ConnectorsView:
    """Answer every connector as it is."""
    return connectors_view(_live(call))


async def why(call: Call) -> ConnectorView:
    """Answer why a connector's limit is what it is."""
    places, name = call.sources.bookings.places, call.request.path_params["connector"]
    try:
        wanted = str(connector_of(name, places))
        places.outlet(wanted, phase_count=None, max_power_w=None)
    except AskError as error:
        raise ProblemError("not-found", str(error)) from error
    return connectors_view(_live(call), only=wanted).connectors[0]


async def ask_quote(call: Call) -> QuoteView:
    """Answer what can be offered for a need."""
    assert isinstance(call.body, QuoteRequest)
    bookings = call.sources.bookings
    try:
        need = need_of(call.body, bookings.places)
        return quote_view(await bookings.quote_thoroughly(need, call.access), bookings.places)
    except (AskError, RefusedError) as error:
        raise problem_of(error) from error


async def hold(call: Call) -> ReservationView:
    """Hold an offer or an envelope."""
    assert isinstance(call.body, ReservationRequest)
    bookings, body = call.sources.bookings, call.body
    try:
        assert body.offer_id is not None or body.envelope is not None
        wanted = body.offer_id or envelope_of(body.envelope, bookings.places)  # type: ignore[arg-type]
        promise = await bookings.hold(wanted, call.access, key=call.key, replaces=body.replaces)
    except NoLongerFitsError as error:
        fresh = quote_view(error.fresh, bookings.places)
        raise ProblemError("no-longer-fits", str(error), quote=fresh) from error
    except (AskError, RefusedError) as error:
        raise problem_of(error) from error
    return _view(promise, bookings)


async def confirm(call: Call) -> ReservationView:
    """Make a promise of a hold."""
    bookings = call.sources.bookings
    try:
        promise = await bookings.confirm(_reservation_id(call), call.access, key=call.key)
    except RefusedError as error:
        raise problem_of(error) from error
    return _view(promise, bookings)


async def cancel(call: Call) -> ReservationView:
    """Give a reservation up."""
    bookings = call.sources.bookings
    try:
        promise = await bookings.cancel(_reservation_id(call), call.access, key=call.key)
    except RefusedError as error:
        raise problem_of(error) from error
    return _view(promise, bookings)


async def reservation(call: Call) -> ReservationView:
    """Answer a reservation as it stands."""
    bookings = call.sources.bookings
    try:
        promise = await bookings.reservation(_reservation_id(call), call.access)
    except RefusedError as error:
        raise problem_of(error) from error
    return _view(promise, bookings)


async def reservations(call: Call) -> ReservationsView:
    """Answer the reservations the caller may see, those at risk or the others alone if that is asked."""
    bookings, wanted = call.sources.bookings, call.flags.get(AT_RISK)
    seen = sorted(bookings.reservations(call.access), key=lambda p: (p.from_at_s, p.id))
    views = [_view(promise, bookings) for promise in seen]
    return ReservationsView(reservations=[v for v in views if wanted in (None, v.at_risk)])


def _view(promise: Reservation, bookings: Bookings) -> ReservationView:
    waits_for = bookings.waits_for(promise)
    return reservation_view(promise, bookings.places, bookings.risk(promise.id), waits_for)


def _reservation_id(call: Call) -> str:
    name: str = call.request.path_params["reservation_id"]
    return name


def _live(call: Call) -> Live:
    live = call.sources.live()
    if live is None:
        raise ProblemError(
            "not-ready",
            "nothing has been decided yet: ask again in a second",
            headers={"Retry-After": "1"},
        )
    return live


_HELD = {"reservation_id": "/reservation_id"}
_REFUSALS = ("unknown-reservation", "key-reused", "not-durable", "wrong-state")
_ASKING = (
    "departure-before-arrival",
    "parts-out-of-order",
    "nothing-wanted",
    "window-in-the-past",
    "window-too-far",
    "unknown-connector",
    "unknown-circuit",
    "power-too-low",
    "not-possible-there",
)
ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        method="GET",
        path="/site",
        role=Role.VIEWER,
        summary="The site as built",
        answering=site,
        answer=SiteView,
    ),
    Endpoint(
        method="GET",
        path="/power",
        role=Role.VIEWER,
        summary="Readings, and nothing else",
        answering=power,
        answer=PowerView,
        problems=("not-ready",),
    ),
    Endpoint(
        method="GET",
        path="/headroom",
        role=Role.VIEWER,
        summary="What is free, when, per circuit and connector",
        answering=headroom,
        answer=HeadroomView,
    ),
    Endpoint(
        method="GET",
        path="/plan",
        role=Role.VIEWER,
        summary="Who is meant to be given what, and when",
        answering=plan,
        answer=PlanView,
    ),
    Endpoint(
        method="GET",
        path="/connectors",
        role=Role.VIEWER,
        summary="Every connector as it is",
        answering=connectors,
        answer=ConnectorsView,
        problems=("not-ready",),
    ),
    Endpoint(
        method="GET",
        path="/connectors/{connector}/why",
        role=Role.VIEWER,
        summary="Why a connector's limit is what it is",
        answering=why,
        answer=ConnectorView,
        problems=("not-ready", "not-found"),
    ),
    Endpoint(
        method="POST",
        path="/quotes",
        role=Role.VEHICLE_OPERATOR,
        summary="Ask whether a vehicle can be served",
        answering=ask_quote,
        answer=QuoteView,
        body=QuoteRequest,
        links={"hold": {"offer_id": "/offers/0/offer_id"}},
        problems=(*_ASKING, "unknown-reservation", "wrong-state", "time-not-known"),
    ),
    Endpoint(
        method="POST",
        path="/reservations",
        role=Role.VEHICLE_OPERATOR,
        summary="Hold an offer, or an envelope of one's own",
        answering=hold,
        answer=ReservationView,
        body=ReservationRequest,
        status=CREATED,
        has_key=True,
        links={"reservation": _HELD, "confirm": _HELD, "cancel": _HELD},
        problems=(
            *_ASKING,
            "unknown-offer",
            "unknown-reservation",
            "wrong-state",
            "no-longer-fits",
            "already-promised",
            "too-many-reservations",
            "key-reused",
            "not-durable",
            "time-not-known",
        ),
    ),
    Endpoint(
        method="GET",
        path="/reservations",
        role=Role.VEHICLE_OPERATOR,
        summary="The reservations of the token, or all for an operator",
        answering=reservations,
        answer=ReservationsView,
        flags=(AT_RISK,),
    ),
    Endpoint(
        method="GET",
        path="/reservations/{reservation_id}",
        role=Role.VEHICLE_OPERATOR,
        summary="A reservation as it stands",
        answering=reservation,
        answer=ReservationView,
        problems=("unknown-reservation", "not-durable"),
    ),
    Endpoint(
        method="POST",
        path="/reservations/{reservation_id}/confirm",
        role=Role.VEHICLE_OPERATOR,
        summary="Make a promise of a hold",
        answering=confirm,
        answer=ReservationView,
        has_key=True,
        links={"reservation": _HELD, "cancel": _HELD},
        problems=(*_REFUSALS, "hold-expired", "time-not-known"),
    ),
    Endpoint(
        method="DELETE",
        path="/reservations/{reservation_id}",
        role=Role.VEHICLE_OPERATOR,
        summary="Give a reservation up",
        answering=cancel,
        answer=ReservationView,
        has_key=True,
        problems=_REFUSALS,
    ),
)
"""Everything but the stream of events and the description itself."""
