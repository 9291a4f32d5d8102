"""Between the words of the API and those of the domain."""

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import pairwise

from gateway.api.models import (
    BindingView,
    EnvelopeBody,
    OfferView,
    QuoteRequest,
    QuoteView,
    ReservationView,
    Step,
)
from gateway.domain.ids import CircuitId, ConnectorRef, StationId
from gateway.domain.needs import Need
from gateway.domain.promises import CIRCUIT_PLACE, PromiseState, Reservation, Stretch
from gateway.planning.answers import OfferAnswer, OwnEnvelope, QuoteAnswer
from gateway.planning.asking import AskError, AskFault, Places
from gateway.planning.at_risk import Risk
from gateway.planning.quote_words import row_said


def need_of(request: QuoteRequest, places: Places) -> Need:
    """Return the need a request tells.

    Raises:
        AskError: its connector has no name of that shape, or is not there.
    """
    return Need(
        arrive_at=request.arrive_at,
        depart_at=request.depart_at,
        energy_wh=request.energy_wh,
        soc=None if request.soc is None else request.soc.said,
        min_energy_wh=request.min_energy_wh,
        arrive_slack_s=request.arrive_slack_s,
        depart_slack_s=request.depart_slack_s,
        objective=request.objective,
        criticality=request.criticality,
        max_power_w=request.max_power_w,
        phase_count=request.phases,
        confidence_ratio=request.confidence,
        is_fixed=request.fixed,
        connector=None if request.connector is None else connector_of(request.connector, places),
        circuit=None if request.circuit is None else CircuitId(request.circuit),
        id_token=request.id_token,
        reference=request.reference,
        replaces=request.replaces,
    )


def connector_of(name: str, places: Places) -> ConnectorRef:
    """Return the connector of that name, as `CP-01/1` or, of a station with one only, `CP-01`.

    Raises:
        AskError: there is none.
    """
    if name in places.connectors:
        return places.connectors[name].ref
    of_station = [c.ref for c in places.connectors.values() if c.ref.station == name]
    if len(of_station) == 1:
        return of_station[0]
    station, _, number = name.rpartition("/")
    if number.isdecimal():
        return ConnectorRef(StationId(station), int(number))
    known = ", ".join(places.connectors)
    message = f"there is no connector {name}: name one as STATION/NUMBER; known here: {known}"
    raise AskError(AskFault.UNKNOWN_CONNECTOR, message)


def envelope_of(body: EnvelopeBody, places: Places) -> OwnEnvelope:
    """Return somebody's own envelope.

    Raises:
        AskError: there is no such connector.
    """
    starts_s = [step.start_at.timestamp() for step in body.profile]
    edges_s = [*starts_s, body.end_at.timestamp()]
    return OwnEnvelope(
        connector=str(connector_of(body.connector, places)),
        profile=tuple(
            (from_s, until_s, step.power_w)
            for (from_s, until_s), step in zip(pairwise(edges_s), body.profile, strict=True)
        ),
        phase_count=body.phases,
        criticality=body.criticality,
        confidence_ratio=body.confidence,
        id_token=body.id_token,
        reference=body.reference,
    )


def quote_view(quote: QuoteAnswer, places: Places) -> QuoteView:
    """Return a quote as it is answered."""
    return QuoteView(
        quote_id=quote.id,
        ledger_version=quote.version,
        expires_at=instant(quote.expires_at_s),
        answer=quote.verdict,
        reason=quote.reason,
        replaces=quote.need.replaces,
        offers=[_offer_view(offer, quote.from_at_s, places) for offer in quote.offers],
    )


def _offer_view(answer: OfferAnswer, from_at_s: float, places: Places) -> OfferView:
    offer = answer.offer
    connector, circuit = place_of(offer.outlet.key)
    return OfferView(
        offer_id=answer.id,
        way=offer.way,
        connector=connector,
        circuit=circuit,
        energy_wh=int(offer.energy_wh),
        guaranteed_wh=int(answer.guaranteed_wh),
        start_at=instant(answer.start_at_s),
        finish_at=instant(answer.finish_at_s),
        confidence=round(offer.confidence_ratio, 4),
        profile=steps(answer.profile, per_ma_w=offer.outlet.power_w(1.0)),
        binding=[
            BindingView(
                circuit=row_said(places, binding.row)[0],
                phase=row_said(places, binding.row)[1],
                from_at=instant(from_at_s + binding.from_s),
                until_at=instant(from_at_s + binding.until_s),
                limit_ma=binding.limit_ma,
            )
            for binding in offer.binding
        ],
        why=answer.why,
    )


def reservation_view(
    promise: Reservation, places: Places, risk: Risk | None, waits_for: str
) -> ReservationView:
    """Return a reservation as it is answered; `risk` is how it stood at the last look."""
    connector, circuit = place_of(promise.place)
    per_ma_w = places.site.voltage_v * promise.phase_count / 1_000
    is_held = promise.state is PromiseState.HELD
    return ReservationView(
        reservation_id=promise.id,
        holder=promise.holder,
        state=promise.state,
        connector=connector,
        circuit=circuit,
        start_at=instant(promise.opens_at_s),
        end_at=instant(promise.closes_at_s),
        hold_expires_at=instant(promise.hold_until_at_s) if is_held else None,
        energy_wh=promise.energy_wh,
        guaranteed_wh=promise.guaranteed_wh,
        delivered_wh=int(promise.delivered_wh),
        confidence=round(promise.confidence_ratio, 4),
        confidence_now=None if risk is None else risk.confidence_ratio,
        at_risk=risk is not None and risk.is_at_risk,
        why="" if risk is None else risk.why,
        criticality=promise.criticality,
        profile=steps(promise.envelope, per_ma_w=per_ma_w),
        id_token=promise.id_token,
        reference=promise.reference,
        waits_for=waits_for,
        cause=promise.cause,
    )


def place_of(key: str) -> tuple[str | None, str | None]:
    """Return the connector or the circuit of a place."""
    if key.startswith(CIRCUIT_PLACE):
        return None, key.removeprefix(CIRCUIT_PLACE).partition("#")[0]
    return key, None


def steps(stretches: Iterable[Stretch], *, per_ma_w: float) -> list[Step]:
    """Return an envelope as steps of real power, rounded down, with 0 W in its gaps and at its end."""
    said: list[Step] = []
    last_s: float | None = None
    for stretch in stretches:
        if last_s is not None and stretch.from_at_s > last_s:
            said.append(Step(start_at=instant(last_s), power_w=0))
        power_w = int(stretch.current_ma * per_ma_w)
        said.append(Step(start_at=instant(stretch.from_at_s), power_w=power_w))
        last_s = stretch.until_at_s
    if last_s is not None:
        said.append(Step(start_at=instant(last_s), power_w=0))
    return said


def instant(at_s: float) -> datetime:
    """Return an epoch second as an instant."""
    return datetime.fromtimestamp(at_s, tz=UTC)
