"""The site as built, what it measures, what its limits are and why, and what is left of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from gateway.api.models import (
    CircuitHeadroom,
    CircuitPower,
    CircuitView,
    ConnectorAsBuilt,
    ConnectorHeadroom,
    ConnectorPower,
    ConnectorsView,
    ConnectorView,
    HeadroomView,
    LeftView,
    PhaseHeadroom,
    PhasePower,
    PowerView,
    SiteView,
    Step,
)
from gateway.api.translating import instant
from gateway.control.condition import condition_of
from gateway.control.decide import Decision
from gateway.control.explain import sentence
from gateway.control.state import SiteState
from gateway.domain.circuits import Circuit, Site
from gateway.domain.electric import Phase
from gateway.domain.rating_calendar import rating_at
from gateway.planning.asking import Places
from gateway.planning.book import Book


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """The site after its latest control cycle, `at` by the wall clock and `now_s` by control's."""

    state: SiteState
    decision: Decision
    now_s: float
    at: datetime


def site_view(site: Site, now: datetime) -> SiteView:
    """Return the site as built, with the ratings that hold now."""
    local = now.astimezone(ZoneInfo(site.timezone))
    return SiteView(
        name=site.name,
        timezone=site.timezone,
        voltage_v=site.voltage_v,
        now=now,
        circuits=[_circuit_view(circuit, local) for circuit in site.circuits],
        connectors=[
            ConnectorAsBuilt(
                connector=str(connector.ref),
                circuit=connector.circuit,
                phases=[phase.name for phase in connector.phases],
                max_ma=connector.max_ma,
                fallback_ma=connector.fallback_ma,
            )
            for connector in site.connectors
        ],
    )


def _circuit_view(circuit: Circuit, local: datetime) -> CircuitView:
    now_ma, whose = rating_at(circuit.rating_ma, circuit.ratings, local)
    return CircuitView(
        id=circuit.id,
        parent=circuit.parent,
        device=str(circuit.device),
        rating_ma=circuit.rating_ma,
        set_point_ma=circuit.set_point_ma,
        rating_now_ma=now_ma,
        set_point_now_ma=circuit.set_point_of(now_ma),
        calendar=None if whose is None else str(whose),
        meter=circuit.meter,
    )


def power_view(live: Live) -> PowerView:
    """Return what is measured."""
    wiring = live.state.wiring
    circuits = []
    for at, circuit in enumerate(wiring.circuits):
        rows = live.decision.survey.rows[3 * at : 3 * at + 3]
        measured = live.state.circuits[at].phases
        phases = [
            PhasePower(
                phase=phase.name,
                current_ma=row.current_ma,
                voltage_v=None if row.current_ma is None else measured[phase].voltage_v,
                # A meter that was never read has no age that can be written down.
                age_s=None if row.age_s == float("inf") else row.age_s,
            )
            for phase, row in zip(Phase, rows, strict=True)
            if row.rating_ma
        ]
        circuits.append(CircuitPower(circuit=circuit.id, phases=phases))
    connectors = []
    for connector, belief in zip(wiring.connectors, live.state.connectors, strict=True):
        draw = belief.draw
        connectors.append(
            ConnectorPower(
                connector=str(connector.ref),
                current_ma=None if draw is None else draw.current_ma,
                power_w=None if draw is None else draw.power_w,
                age_s=None if draw is None else live.now_s - draw.at_s,
            )
        )
    return PowerView(at=live.at, circuits=circuits, connectors=connectors)


def connectors_view(live: Live, *, only: str | None = None) -> ConnectorsView:
    """Return connectors as they are, all of them or one by its name."""
    wiring, found = live.state.wiring, []
    for connector, belief in zip(wiring.connectors, live.state.connectors, strict=True):
        if only not in (None, str(connector.ref)):
            continue
        reason = live.decision.reasons[connector.ref]
        station = live.state.stations[connector.ref.station]
        found.append(
            ConnectorView(
                connector=str(connector.ref),
                circuit=connector.circuit,
                condition=str(condition_of(belief, station, limit_ma=reason.limit_ma)),
                is_connected=station.is_connected,
                limit_ma=reason.limit_ma,
                max_ma=connector.max_ma,
                power_w=None if belief.draw is None else belief.draw.power_w,
                reason=str(reason.kind),
                why=sentence(reason),
            )
        )
    return ConnectorsView(at=live.at, connectors=found)


def headroom_view(
    book: Book, places: Places, live: Live | None, free_from_s: Mapping[str, float]
) -> HeadroomView:
    """Return what is left beside promises and plan, and what control could give now.

    `free_from_s` is when (epoch s) connectors are of use again that are not now.
    """
    edges_s = [book.from_at_s + edge_s for edge_s in book.room.grid.edges_s]
    circuits = []
    for at, circuit in enumerate(places.site.circuits):
        phases = [
            PhaseHeadroom(
                phase=phase.name,
                free_now_ma=None if live is None else _free_ma(live, 3 * at + phase),
                left=_left(book.room.left_ma[3 * at + phase].tolist(), edges_s),
            )
            for phase in Phase
            if circuit.rating_ma[phase]
        ]
        circuits.append(CircuitHeadroom(circuit=circuit.id, phases=phases))
    return HeadroomView(
        ledger_version=book.version,
        from_at=instant(edges_s[0]),
        until_at=instant(edges_s[-1]),
        circuits=circuits,
        connectors=[
            ConnectorHeadroom(
                connector=name,
                profile=_profile(book, places, name, edges_s, free_from_s.get(name, edges_s[0])),
            )
            for name in places.connectors
        ],
    )


def _free_ma(live: Live, row: int) -> int:
    """Return what no connector has claimed of what control could give."""
    available_ma = live.decision.survey.rows[row].available_ma
    return max(0, available_ma - live.decision.survey.claimed_ma[row])


def _left(of_slots_ma: list[int], edges_s: list[float]) -> list[LeftView]:
    """Return what slots have left, those alike put together."""
    said: list[LeftView] = []
    begins_s = edges_s[0]
    for slot, left_ma in enumerate(of_slots_ma):
        is_last = slot + 1 == len(of_slots_ma)
        if is_last or of_slots_ma[slot + 1] != left_ma:
            from_at, until_at = instant(begins_s), instant(edges_s[slot + 1])
            said.append(LeftView(from_at=from_at, until_at=until_at, left_ma=max(0, left_ma)))
            begins_s = edges_s[slot + 1]
    return said


def _profile(
    book: Book, places: Places, name: str, edges_s: list[float], free_from_s: float
) -> list[Step]:
    """Return what one vehicle more could be promised on a connector, nobody else having it."""
    outlet = places.outlet(name, phase_count=None, max_power_w=None)
    currents_ma = book.room.outlook(outlet).current_ma.tolist()
    taken = [
        (promise.opens_at_s, promise.closes_at_s)
        for promise in book.promises.values()
        if promise.place == name and promise.state.is_open
    ]
    taken.append((edges_s[0], free_from_s))
    said: list[Step] = []
    for slot, current_ma in enumerate(currents_ma):
        begins_s, ends_s = edges_s[slot], edges_s[slot + 1]
        is_taken = any(from_s < ends_s and begins_s < until_s for from_s, until_s in taken)
        power_w = 0 if is_taken else int(outlet.power_w(current_ma))
        if not said or said[-1].power_w != power_w:
            said.append(Step(start_at=instant(begins_s), power_w=power_w))
    if said[-1].power_w:
        said.append(Step(start_at=instant(edges_s[-1]), power_w=0))
    return said
