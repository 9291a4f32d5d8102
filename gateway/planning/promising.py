"""From an offer, or an envelope of somebody's own, to the promise that is to be held."""

from bisect import bisect_left, bisect_right
from dataclasses import replace
from datetime import UTC, datetime

from gateway.domain.electric import current_ma
from gateway.domain.ids import CircuitId
from gateway.domain.needs import Need, Objective
from gateway.domain.promises import CIRCUIT_PLACE, PromiseState, Reservation, Stretch
from gateway.planning.answers import OfferAnswer, OwnEnvelope
from gateway.planning.asking import AskError, AskFault, Places
from gateway.planning.book import Book, BookError
from gateway.planning.calibrate import KEPT_RATIO
from gateway.planning.coming import along, coming
from gateway.planning.problem import Rectangle
from gateway.planning.room import Floats, Outlet


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
        max_ma=outlet.max_ma,
        taper=outlet.taper,
        # Later would not be the fastest any more.
        is_fixed=need.is_fixed or need.objective is Objective.FASTEST,
        objective=need.objective,
        arrive_slack_s=found.arrive_slack_s,
        depart_slack_s=found.depart_slack_s,
        waits_for=found.offer.waits_for,
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
            raise AskError(AskFault.PARTS_OUT_OF_ORDER, message)
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
        confidence_ratio=1.0,
        is_fixed=True,
        criticality=wanted.criticality,
        state=PromiseState.HELD,
        hold_until_at_s=hold_until_at_s,
        holder=holder,
        reference=wanted.reference,
        id_token=wanted.id_token,
    )


def moved_to(promise: Reservation, place: str, places: Places) -> Reservation:
    """Return a promise at another connector, to which its vehicle has come instead.

    Raises:
        AskError: there is no such connector, or it cannot give what was promised.
    """
    outlet = places.outlet(place, phase_count=promise.phase_count, max_power_w=None)
    most_ma = max(stretch.current_ma for stretch in promise.envelope)
    if most_ma > outlet.max_ma:
        message = f"{place} gives at most {outlet.max_ma / 1_000:.0f} A"
        raise AskError(AskFault.NOT_POSSIBLE_THERE, message)
    return replace(promise, place=place, rows=outlet.rows)


def weighed(promise: Reservation, book: Book, places: Places) -> Reservation:
    """Return a promise with what the book it is about to be held in says of its window.

    That is whether the building is short in it in at least one scenario (design §4: only such
    promises are scored).

    Raises:
        AskError: its place is not there.
    """
    outlet = places.at(promise.place, promise.phase_count)
    if promise.max_ma is not None:
        outlet = replace(outlet, max_ma=min(outlet.max_ma, promise.max_ma))
    from_s, until_s = promise.from_at_s - book.from_at_s, promise.until_at_s - book.from_at_s
    return replace(promise, is_binding=_is_short(book, outlet, from_s, until_s))


def as_sure_as_asked(
    promise: Reservation, beside: Book, outlet: Outlet, asked_ratio: float, *, now_s: float
) -> Reservation:
    """Return a promise offered at an outlet with how surely it is kept beside those of a book.

    That is by the model of the quote, from the epoch second `now_s` on, and never more than was
    offered: others may have been held since.

    Raises:
        BookError: that is less than was asked for.
    """
    from_s, until_s = max(now_s, promise.from_at_s), promise.until_at_s - beside.from_at_s
    begins_s, outlook = coming(outlet, beside.room.outlook(outlet), from_s - beside.from_at_s)
    return _sure(promise, outlook.path_energies_wh(begins_s, until_s), asked_ratio)


def as_it_is_followed(
    promise: Reservation, beside: Book, outlet: Outlet, asked_ratio: float, *, now_s: float
) -> Reservation:
    """Return the promise of somebody's own envelope with what a vehicle takes of it, and how surely.

    That is from the epoch second `now_s` on, and less what its start costs.

    Raises:
        AskError: that is nothing.
        BookError: it is less sure than was asked for.
    """
    envelope = [
        Rectangle(
            from_s=part.from_at_s - beside.from_at_s,
            until_s=part.until_at_s - beside.from_at_s,
            current_ma=part.current_ma,
        )
        for part in promise.envelope
    ]
    from_s, until_s = max(now_s - beside.from_at_s, envelope[0].from_s), envelope[-1].until_s
    of_envelope = along(outlet, beside.room.outlook(outlet), envelope)
    begins_s, outlook = coming(outlet, of_envelope, from_s)
    takes_wh = min(promise.energy_wh, int(outlook.energy_within_wh(begins_s, until_s)))
    if takes_wh < 1:
        message = "a vehicle has hardly started when this profile is over: make it longer"
        raise AskError(AskFault.NOTHING_WANTED, message)
    followed = replace(promise, energy_wh=takes_wh, guaranteed_wh=takes_wh)
    return _sure(followed, outlook.path_energies_wh(begins_s, until_s), asked_ratio)


def _sure(promise: Reservation, paths_wh: Floats, asked_ratio: float) -> Reservation:
    """Return a promise as sure as the scenarios give its energy, never surer than it was.

    Raises:
        BookError: that is less than was asked for.
    """
    sure_ratio = float((paths_wh >= KEPT_RATIO * promise.energy_wh - 1.0).mean())
    if sure_ratio < asked_ratio:
        message = f"it is {sure_ratio:.1%} sure now, and {asked_ratio:.1%} was asked for"
        raise BookError(message)
    return replace(promise, confidence_ratio=min(promise.confidence_ratio, sure_ratio))


def _is_short(book: Book, outlet: Outlet, from_s: float, until_s: float) -> bool:
    """Return whether in some scenario a row leaves less than an outlet could give in a window."""
    grid, room = book.room.grid, book.room
    slots = slice(
        max(0, bisect_right(grid.edges_s, from_s) - 1), bisect_left(grid.edges_s, until_s)
    )
    for row in outlet.rows:
        left_ma = room.left_ma[row, slots]
        if row in room.base_paths_ma:
            left_ma = left_ma - room.base_paths_ma[row][:, slots]
        if left_ma.size and left_ma.min() < outlet.max_ma:
            return True
    return False


def need_of(promise: Reservation, places: Places, *, now_s: float | None = None) -> Need:
    """Return the need a promise answers, to quote what would do instead.

    With `now_s` (epoch s) that is what is still missing of it from then on.
    """
    from_at_s = promise.opens_at_s if now_s is None else max(now_s, promise.opens_at_s)
    is_there = promise.state is PromiseState.ARRIVED
    is_connector = not promise.is_plain_draw
    circuit = promise.place.removeprefix(CIRCUIT_PLACE).partition("#")[0]
    outlet = places.at(promise.place, promise.phase_count)
    max_power_w = None if promise.max_ma is None else outlet.power_w(promise.max_ma)
    return Need(
        arrive_at=datetime.fromtimestamp(from_at_s, tz=UTC),
        depart_at=datetime.fromtimestamp(promise.closes_at_s, tz=UTC),
        arrive_slack_s=0.0 if is_there else max(0.0, promise.from_at_s - from_at_s),
        depart_slack_s=promise.depart_slack_s,
        energy_wh=max(1, promise.energy_wh - int(promise.delivered_wh)),
        objective=promise.objective,
        criticality=promise.criticality,
        phase_count=promise.phase_count,
        max_power_w=None if max_power_w is None else -int(-max_power_w // 1),
        connector=places.connectors[promise.place].ref if is_connector else None,
        circuit=None if is_connector else CircuitId(circuit),
        id_token=promise.id_token,
        reference=promise.reference,
    )
