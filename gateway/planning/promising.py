"""From an offer, or an envelope of somebody's own, to the promise that is to be held."""

from datetime import UTC, datetime

from gateway.domain.electric import current_ma
from gateway.domain.needs import Need
from gateway.domain.promises import PromiseState, Reservation, Stretch
from gateway.planning.answers import OfferAnswer, OwnEnvelope
from gateway.planning.asking import AskError, AskFault, Places

SURE_RATIO = 1.0
"""How surely an envelope is kept that fits into what is left in the worst case."""


def of_offer(
    found: OfferAnswer, need: Need, *, name: str, holder: str, hold_until_at_s: float
) -> Reservation:
    """Return the promise an offer becomes when it is held."""
    outlet = found.outlet
    # Plain draws on a circuit do not exclude one another; vehicles on a connector do.
    place = outlet.key if need.circuit is None else f"{outlet.key}#{name}"
    return Reservation(
        id=name,
        place=place,
        rows=outlet.rows,
        phase_count=outlet.phase_count,
        envelope=found.floor,
        energy_wh=int(found.guaranteed_wh),
        guaranteed_wh=int(found.guaranteed_wh),
        confidence_ratio=found.offer.confidence_ratio,
        criticality=need.criticality,
        state=PromiseState.HELD,
        hold_until_at_s=hold_until_at_s,
        holder=holder,
        reference=need.reference,
        id_token=need.id_token,
    )


def of_envelope(
    wanted: OwnEnvelope, places: Places, *, name: str, holder: str, hold_until_at_s: float
) -> Reservation:
    """Return the promise somebody's own envelope becomes when it is held.

    Raises:
        AskError: no such connector, a power it cannot give, or parts that overlap or run backwards.
    """
    outlet = places.outlet(wanted.connector, phase_count=wanted.phase_count, max_power_w=None)
    envelope: list[Stretch] = []
    energy_wh, last_s = 0.0, wanted.profile[0][0]
    for from_s, until_s, power_w in wanted.profile:
        if from_s < last_s or until_s <= from_s:
            message = "the parts of the profile must follow one another in time: put them in order"
            raise AskError(AskFault.DEPARTURE_BEFORE_ARRIVAL, message)
        last_s = until_s
        exact_ma = current_ma(power_w, voltage_v=outlet.voltage_v, phase_count=outlet.phase_count)
        # Rounded up: what is drawn is not less than what is promised.
        stepped_ma = -(-exact_ma // outlet.step_ma) * outlet.step_ma
        if power_w and not outlet.min_ma <= stepped_ma <= outlet.max_ma:
            least_w, most_w = outlet.power_w(outlet.min_ma), outlet.power_w(outlet.max_ma)
            message = (
                f"{outlet.key} gives {least_w:.0f} to {most_w:.0f} W or nothing, not {power_w} W:"
                " change that part of the profile"
            )
            raise AskError(AskFault.NOT_POSSIBLE_THERE, message)
        envelope.append(Stretch(from_at_s=from_s, until_at_s=until_s, current_ma=stepped_ma))
        energy_wh += power_w * (until_s - from_s) / 3_600
    if energy_wh < 1.0:
        message = "the profile carries nothing: give at least one part a power"
        raise AskError(AskFault.NOTHING_WANTED, message)
    return Reservation(
        id=name,
        place=outlet.key,
        rows=outlet.rows,
        phase_count=outlet.phase_count,
        envelope=tuple(envelope),
        energy_wh=int(energy_wh),
        guaranteed_wh=int(energy_wh),
        confidence_ratio=SURE_RATIO,
        criticality=wanted.criticality,
        state=PromiseState.HELD,
        hold_until_at_s=hold_until_at_s,
        holder=holder,
        reference=wanted.reference,
        id_token=wanted.id_token,
    )


def need_of(promise: Reservation, places: Places) -> Need:
    """Return the need somebody's own envelope answers, to quote what would do instead."""
    return Need(
        arrive_at=datetime.fromtimestamp(promise.from_at_s, tz=UTC),
        depart_at=datetime.fromtimestamp(promise.until_at_s, tz=UTC),
        energy_wh=promise.energy_wh,
        criticality=promise.criticality,
        phase_count=promise.phase_count,
        connector=places.connectors[promise.place].ref,
        id_token=promise.id_token,
        reference=promise.reference,
    )
