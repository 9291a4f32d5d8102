"""What a limit would break, asked before anybody sets it."""

from pydantic import AwareDatetime

from gateway.api.endpoints import Call, Endpoint
from gateway.api.models import Answer, Body, Milliamps, Name
from gateway.api.problems import problem_of
from gateway.api.translating import instant, place_of
from gateway.domain.access import Role
from gateway.domain.ids import CircuitId
from gateway.domain.limits import Authority, Constraint
from gateway.planning.asking import AskError
from gateway.planning.chance import Standing


class LimitPreviewBody(Body):
    """A limit on a circuit, besides those that hold; the same on each of its phases."""

    circuit: Name
    limit_ma: Milliamps


class BrokenView(Answer):
    """A reservation that would be at risk: how sure it would be, and what could be counted on.

    `confidence` is None where nothing that was measured tells it.
    """

    reservation_id: str
    holder: str
    reference: str | None
    connector: str | None
    circuit: str | None
    start_at: AwareDatetime
    end_at: AwareDatetime
    energy_wh: int
    can_wh: int
    promised_confidence: float
    confidence: float | None


class LimitPreviewView(Answer):
    """The reservations a limit would put at risk, those that matter most first; nothing was set."""

    breaks: list[BrokenView]


async def preview_limit(call: Call) -> LimitPreviewView:
    """Answer which promises a limit would put at risk."""
    assert isinstance(call.body, LimitPreviewBody)
    bookings, said = call.sources.bookings, call.body
    try:
        bookings.places.circuit_outlet(CircuitId(said.circuit), phase_count=None, max_power_w=None)
    except AskError as error:
        raise problem_of(error) from error
    limit = Constraint(
        subject=CircuitId(said.circuit),
        limit_ma=(said.limit_ma,) * 3,
        authority=Authority.OVERRIDE,
        source=f"asked by {call.access.name}",
    )
    return LimitPreviewView(breaks=[_view(standing) for standing in bookings.broken_by((limit,))])


def _view(standing: Standing) -> BrokenView:
    promise = standing.promise
    connector, circuit = place_of(promise.place)
    return BrokenView(
        reservation_id=promise.id,
        holder=promise.holder,
        reference=promise.reference,
        connector=connector,
        circuit=circuit,
        start_at=instant(promise.opens_at_s),
        end_at=instant(promise.closes_at_s),
        energy_wh=promise.energy_wh,
        can_wh=int(min(standing.can_wh, promise.energy_wh)),
        promised_confidence=round(promise.confidence_ratio, 4),
        confidence=standing.known_ratio,
    )


LIMITS: tuple[Endpoint, ...] = (
    Endpoint(
        method="POST",
        path="/limits/preview",
        role=Role.OPERATOR,
        summary="Which reservations a limit would put at risk, before it is set",
        answering=preview_limit,
        answer=LimitPreviewView,
        body=LimitPreviewBody,
        problems=("unknown-circuit",),
    ),
)
