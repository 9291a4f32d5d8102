"""What Prometheus is told of a site: a pure translation of one decision and its state into samples.

Every name begins with `headroom_` and ends in its unit: amperes, watts, seconds, ratios. Labels
take their values from the site file and from closed lists, so the number of series is bounded.
"""

import platform
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

import gateway
from gateway.adapters.planner_families import PlannerFigures, planner_families
from gateway.adapters.promise_families import PromiseFigures, promise_families
from gateway.control.condition import condition_of
from gateway.control.decide import Decision
from gateway.control.obedience import excess_of
from gateway.control.rows import Row
from gateway.control.state import ConnectorBelief, SiteState
from gateway.control.thermal import budget_spent_ratio
from gateway.domain.electric import Phase
from gateway.domain.ids import CircuitId, StationId
from gateway.domain.limits import Authority

CALLS = ("limit", "fallback", "question")
OUTCOMES = ("accepted", "rejected", "unanswered")
PROFILE_KINDS = ("lease", "fallback")
SET_POINT = "set-point"
ALARMS_TOLD = 200
"""No more alarms than this are told one by one; the count is of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What is told from: the last cycle, and what the parts around it have counted.

    `now_s` is the monotonic instant of the telling. `counters` are named `part.what happened`,
    as in the snapshot; `profile_writes` is by station and kind (`PROFILE_KINDS`).
    """

    state: SiteState
    decision: Decision
    now_s: float
    alarms: tuple[str, ...]
    alarms_begun: Mapping[str, int]
    pending_count: int
    counters: Mapping[str, int]
    profile_writes: Mapping[tuple[StationId, str], int]
    flash_writes: Mapping[StationId, int]
    promises: PromiseFigures | None = None
    planner: PlannerFigures | None = None


def families_of(seen: Observed) -> Iterator[Metric]:
    """Yield everything there is to tell but the distributions."""
    yield _circuit_info(seen.state)
    yield from _circuits(seen)
    yield from _connectors(seen)
    yield from _stations(seen)
    yield from _alarms(seen)
    yield from _control(seen)
    yield from _parts(seen)
    if seen.promises is not None:
        yield from promise_families(seen.promises)
    if seen.planner is not None:
        yield from planner_families(seen.planner)


def build_info() -> Metric:
    """Return which Headroom this is; it can be told before the first cycle."""
    info = GaugeMetricFamily(
        "headroom_build_info",
        "Always 1; the labels name the version of Headroom and of Python.",
        labels=["version", "python"],
    )
    info.add_metric([gateway.__version__, platform.python_version()], 1)
    return info


def _circuit_info(state: SiteState) -> Metric:
    info = GaugeMetricFamily(
        "headroom_circuit_info",
        "Always 1; the labels name what a circuit hangs below, its overcurrent device and its meter.",
        labels=["circuit", "parent", "device", "meter"],
    )
    for circuit in state.wiring.circuits:
        names = [circuit.id, circuit.parent or "", str(circuit.device), circuit.meter or ""]
        info.add_metric(names, 1)
    return info


def _circuits(seen: Observed) -> Iterator[Metric]:
    state, survey = seen.state, seen.decision.survey
    phases = [
        (circuit.id, phase, survey.rows[3 * at + phase], survey.claimed_ma[3 * at + phase])
        for at, circuit in enumerate(state.wiring.circuits)
        for phase in Phase
        if survey.rows[3 * at + phase].rating_ma
    ]

    def amperes(name: str, text: str) -> GaugeMetricFamily:
        full_name = f"headroom_circuit_{name}_amperes"
        return GaugeMetricFamily(full_name, text, labels=["circuit", "phase"])

    rating = amperes("rating", "What the circuit's overcurrent device carries for ever, in A.")
    set_point = amperes("set_point", "What Headroom aims to stay below, in A.")
    current = amperes(
        "current",
        "What the circuit's meter shows, in A; negative while the building exports. "
        "Absent without a meter, or when its last reading is too old to be used.",
    )
    rest = amperes("base", "What may flow besides the connectors under control, in A.")
    reserve = amperes("reserve", "What is kept free for what may rise before vehicles obey, in A.")
    promised = amperes(
        "promised", "What is kept free for loads that were promised it and draw less yet, in A."
    )
    available = amperes(
        "available", "What connectors may take in all, in A; negative when the rest alone is over."
    )
    claimed = amperes("claimed", "What connectors may draw at most, all together, in A.")
    age = GaugeMetricFamily(
        "headroom_circuit_sample_age_seconds",
        "How old the circuit's reading is, in s; +Inf if it was never read. Absent without a meter.",
        labels=["circuit", "phase"],
    )
    since_s = seen.now_s - seen.decision.at_s
    for circuit, phase, row, claimed_ma in phases:
        labels = [circuit, phase.name]
        rating.add_metric(labels, row.rating_ma / 1_000)
        set_point.add_metric(labels, row.set_point_ma / 1_000)
        if row.current_ma is not None:
            current.add_metric(labels, row.current_ma / 1_000)
        if row.age_s is not None:
            age.add_metric(labels, row.age_s + since_s)
        rest.add_metric(labels, row.base_ma / 1_000)
        reserve.add_metric(labels, row.reserve_ma / 1_000)
        promised.add_metric(labels, row.draw_ma / 1_000)
        available.add_metric(labels, row.available_ma / 1_000)
        claimed.add_metric(labels, claimed_ma / 1_000)
    yield from (rating, set_point, current, age, rest, reserve, promised, available, claimed)
    yield _circuit_limits(state, [(circuit, phase, row) for circuit, phase, row, _ in phases])
    yield from _circuit_devices(seen)


def _circuit_limits(state: SiteState, phases: list[tuple[CircuitId, Phase, Row]]) -> Metric:
    limits = GaugeMetricFamily(
        "headroom_circuit_limit_amperes",
        "An upper bound on the circuit, in A, by whose it is; the lowest one binds.",
        labels=["circuit", "phase", "source"],
    )
    for circuit, phase, row in phases:
        bounds_ma: dict[str, int] = {SET_POINT: row.set_point_ma}
        for constraint in state.constraints.values():
            if constraint.subject == circuit:
                # By its authority: the name of a source may be a person's.
                source = Authority(constraint.authority).name.lower()
                limit_ma = constraint.limit_ma[phase]
                bounds_ma[source] = min(limit_ma, bounds_ma.get(source, limit_ma))
        for source, bound_ma in bounds_ma.items():
            limits.add_metric([circuit, phase.name, source], bound_ma / 1_000)
    return limits


def _circuit_devices(seen: Observed) -> Iterator[Metric]:
    spent = GaugeMetricFamily(
        "headroom_circuit_thermal_budget_ratio",
        "How much of what its overcurrent device bears above its rating is spent; 1 trips it.",
        labels=["circuit", "phase"],
    )
    locked_out = GaugeMetricFamily(
        "headroom_circuit_locked_out",
        "1 while the circuit is held at its fallbacks for having been over its rating, else 0.",
        labels=["circuit"],
    )
    trip = GaugeMetricFamily(
        "headroom_circuit_trip_wanted",
        "1 while the circuit is over its rating and nothing is left to cut, else 0.",
        labels=["circuit"],
    )
    state, now_s = seen.state, seen.decision.at_s
    for circuit, measured in zip(state.wiring.circuits, state.circuits, strict=True):
        for phase in Phase:
            if circuit.meter is not None and circuit.rating_ma[phase]:
                theta = measured.phases[phase].theta_ratio
                spent.add_metric([circuit.id, phase.name], budget_spent_ratio(theta, circuit.curve))
        locked_out.add_metric([circuit.id], float(measured.lockout_until_s > now_s))
        trip.add_metric([circuit.id], float(circuit.id in seen.decision.trips))
    yield from (spent, locked_out, trip)


def _connectors(seen: Observed) -> Iterator[Metric]:
    labels = ["connector", "circuit"]
    limit = GaugeMetricFamily(
        "headroom_connector_limit_amperes",
        "What the connector may take now, per phase, in A.",
        labels=labels,
    )
    most = GaugeMetricFamily(
        "headroom_connector_maximum_amperes",
        "What the connector is built for, per phase, in A.",
        labels=labels,
    )
    high = GaugeMetricFamily(
        "headroom_connector_high_amperes",
        "What the connector may draw at most, as far as is proven, per phase, in A.",
        labels=labels,
    )
    low = GaugeMetricFamily(
        "headroom_connector_low_amperes",
        "What the connector surely draws, in A.",
        labels=[*labels, "phase"],
    )
    beyond = GaugeMetricFamily(
        "headroom_connector_excess_amperes",
        "What the connector draws above what it was told and had time to follow, in A; else 0.",
        labels=labels,
    )
    told = GaugeMetricFamily(
        "headroom_connector_state",
        "Always 1; the label state says how the connector is. Only the state it is in is told.",
        labels=[*labels, "state"],
    )
    reason = GaugeMetricFamily(
        "headroom_connector_reason",
        "Always 1; the label reason says why its limit is what it is. Only that one is told.",
        labels=[*labels, "reason"],
    )
    state, decision = seen.state, seen.decision
    for at, (connector, belief) in enumerate(
        zip(state.wiring.connectors, state.connectors, strict=True)
    ):
        names = [str(connector.ref), connector.circuit]
        why, high_ma = decision.reasons[connector.ref], decision.survey.high_ma[at]
        limit.add_metric(names, why.limit_ma / 1_000)
        most.add_metric(names, connector.max_ma / 1_000)
        high.add_metric(names, high_ma / 1_000)
        for phase in sorted(connector.phases):
            low_ma = min(high_ma, decision.survey.low_ma[at][phase])
            low.add_metric([*names, phase.name], low_ma / 1_000)
        station = state.stations[connector.ref.station]
        excess = excess_of(belief, station, state.parameters, decision.at_s)
        beyond_ma = 0 if excess is None else excess.drawn_ma - excess.told_ma
        beyond.add_metric(names, beyond_ma / 1_000)
        condition = condition_of(belief, station, limit_ma=why.limit_ma)
        told.add_metric([*names, str(condition)], 1)
        reason.add_metric([*names, str(why.kind)], 1)
    yield from (limit, most, high, low, beyond, told, reason)
    yield from _draws(seen)


def _draws(seen: Observed) -> Iterator[Metric]:
    labels = ["connector", "circuit"]
    draw_a = GaugeMetricFamily(
        "headroom_connector_draw_amperes",
        "What the connector's own meter says it draws on a phase of the supply, in A.",
        labels=[*labels, "phase"],
    )
    draw_w = GaugeMetricFamily(
        "headroom_connector_draw_watts",
        "What the connector's own meter says it draws on all phases, in W.",
        labels=labels,
    )
    age = GaugeMetricFamily(
        "headroom_connector_draw_age_seconds",
        "How old the connector's own reading is, in s. Absent until its vehicle was measured.",
        labels=labels,
    )
    refused = CounterMetricFamily(
        "headroom_connector_readings_refused",
        "Readings of the connector that told of more than its circuits carried, taken for none.",
        labels=labels,
    )
    for connector, belief in zip(seen.state.wiring.connectors, seen.state.connectors, strict=True):
        names = [str(connector.ref), connector.circuit]
        refused.add_metric(names, belief.refused_count)
        if belief.draw is None:
            continue
        age.add_metric(names, max(0.0, seen.now_s - belief.draw.at_s))
        if belief.draw.current_ma is not None:
            for phase in sorted(connector.phases):
                draw_ma = belief.draw.current_ma[phase]
                draw_a.add_metric([*names, phase.name], draw_ma / 1_000)
        if belief.draw.power_w is not None:
            draw_w.add_metric(names, belief.draw.power_w)
    yield from (draw_a, draw_w, age, refused)


def _stations(seen: Observed) -> Iterator[Metric]:
    connected = GaugeMetricFamily(
        "headroom_station_connected",
        "1 while the station is connected and heard of, else 0.",
        labels=["station"],
    )
    proven = GaugeMetricFamily(
        "headroom_station_proven",
        "1 once the station has been seen to obey a cut since its last boot, else 0.",
        labels=["station"],
    )
    falls_back = GaugeMetricFamily(
        "headroom_station_falls_back",
        "1 once the station has been seen to fall back by itself when a limit lapsed, else 0.",
        labels=["station"],
    )
    unconfirmed = GaugeMetricFamily(
        "headroom_station_unconfirmed_limits",
        "How many connectors of the station have been told a limit it has not acknowledged yet.",
        labels=["station"],
    )
    writes = CounterMetricFamily(
        "headroom_station_profile_writes",
        "Charging profiles sent to the station: leases, and fallbacks.",
        labels=["station", "profile"],
    )
    worn = CounterMetricFamily(
        "headroom_station_flash_writes",
        "Charging profiles sent that reach the station's flash: fallbacks, and leases without a transaction.",
        labels=["station"],
    )
    waiting = Counter(
        connector.ref.station
        for connector, belief in zip(
            seen.state.wiring.connectors, seen.state.connectors, strict=True
        )
        if _is_unconfirmed(belief)
    )
    for station, belief in seen.state.stations.items():
        connected.add_metric([station], float(belief.is_connected))
        proven.add_metric([station], float(belief.is_proven))
        falls_back.add_metric([station], float(belief.is_dead_man_proven))
        unconfirmed.add_metric([station], waiting[station])
        for kind in PROFILE_KINDS:
            writes.add_metric([station, kind], seen.profile_writes.get((station, kind), 0))
        worn.add_metric([station], seen.flash_writes.get(station, 0))
    yield from (connected, proven, falls_back, unconfirmed, writes, worn)
    yield GaugeMetricFamily(
        "headroom_stations_pending",
        "How many stations are connected that are not in the site file and wait for adoption.",
        value=seen.pending_count,
    )


def _is_unconfirmed(belief: ConnectorBelief) -> bool:
    """Return whether the newest limit was sent, and its newest sending not acknowledged."""
    newest = belief.limits[-1]
    return newest.last_sequence > 0 and (
        newest.confirmed_at_s is None or newest.confirmed_at_s < newest.renewed_at_s
    )


def _alarms(seen: Observed) -> Iterator[Metric]:
    active = GaugeMetricFamily(
        "headroom_alarm_active",
        "1 for each alarm that sounds; one that is over is told no more.",
        labels=["alarm"],
    )
    begun = CounterMetricFamily(
        "headroom_alarms_begun", "How often the alarm has begun to sound.", labels=["alarm"]
    )
    for name in seen.alarms[:ALARMS_TOLD]:
        active.add_metric([name], 1)
    for name in sorted(seen.alarms_begun)[:ALARMS_TOLD]:
        begun.add_metric([name], seen.alarms_begun[name])
    yield from (active, begun)
    yield GaugeMetricFamily(
        "headroom_alarms_active", "How many alarms sound now.", value=len(seen.alarms)
    )
    yield GaugeMetricFamily(
        "headroom_stopped",
        "1 while the stop input holds every connector at 0 A, else 0.",
        value=float(seen.state.is_stopped),
    )


def _control(seen: Observed) -> Iterator[Metric]:
    counts = seen.counters
    for name, counted, text in (
        ("headroom_control_cycles", "control.cycles", "Control cycles completed."),
        (
            "headroom_control_late_cycles",
            "control.late",
            "Control cycles that began more than a whole period too late.",
        ),
        (
            "headroom_control_guarded_limits",
            "control.guarded",
            "Limits that the last look before sending lowered.",
        ),
        (
            "headroom_clock_jumps",
            "control.clock_jumps",
            "How often the wall clock jumped by more than 1 s; control does not go by it.",
        ),
    ):
        yield CounterMetricFamily(name, text, value=counts.get(counted, 0))
    dropped = CounterMetricFamily(
        "headroom_facts_dropped",
        "Facts left out: readings overtaken by newer ones, and what could not be understood.",
        labels=["cause"],
    )
    dropped.add_metric(["overtaken"], counts.get("control.dropped", 0))
    dropped.add_metric(["not understood"], counts.get("control.unfoldable", 0))
    yield dropped
    yield GaugeMetricFamily(
        "headroom_control_cycle_age_seconds",
        "How long ago the last control cycle began, in s.",
        value=max(0.0, seen.now_s - seen.decision.at_s),
    )


def _parts(seen: Observed) -> Iterator[Metric]:
    calls = CounterMetricFamily(
        "headroom_calls",
        "Calls to stations: limits, fallbacks, and questions for a reading; what came of them.",
        labels=["call", "outcome"],
    )
    for call in CALLS:
        for outcome in OUTCOMES:
            count = seen.counters.get(f"dispatcher.{call} {outcome}", 0)
            calls.add_metric([call, outcome], count)
    yield calls
    events = CounterMetricFamily(
        "headroom_events",
        "What else the parts of Headroom have counted, by part and event; for who looks closely.",
        labels=["part", "event"],
    )
    told: Counter[tuple[str, str]] = Counter()
    for name, count in seen.counters.items():
        # What follows a second dot may be a station's own words: those are counted together.
        part, event = name.split(".")[:2]
        if part in ("ocpp", "ledger"):
            told[part, event] += count
    for (part, event), count in sorted(told.items()):
        events.add_metric([part, event], count)
    yield events
