"""The world itself: circuits, base loads, stations and vehicles, apart from who talks to them."""

from collections.abc import Callable
from random import Random
from typing import assert_never

from drivers.sim.agenda import Agenda
from drivers.sim.answers import FaultLog
from drivers.sim.building import BaseLoad
from drivers.sim.evse import Evse
from drivers.sim.faults import METER_FAULTS, Fault, FaultKind
from drivers.sim.judge import GATEWAY_BLIND_S, METER_BLIND_S, Judge
from drivers.sim.meter import CircuitMeter
from drivers.sim.scenario import Happening, LimitAt, Scenario, StepAt, Visit
from drivers.sim.station import Station
from drivers.sim.wires import Wires
from gateway.domain.events import StationEvent
from gateway.domain.ids import CircuitId, MeterId, StationId

TICK_S = 1.0
RELINK_AFTER_S = (1.0, 15.0)

_GATEWAY_FAULTS = frozenset(
    {FaultKind.GATEWAY_KILL, FaultKind.WALL_CLOCK_JUMP, FaultKind.STOP_PRESSED}
)


class World:
    """Everything physical, on one agenda; whoever carries words to and from it listens.

    `on_word(station, event)` is called with everything a station says, at the second it says it;
    `on_gateway_fault(fault, begins)` when a fault that is the gateway's own begins or ends.
    Every part has its own stream of random numbers, so that what one part is asked does not
    change what happens elsewhere.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        on_word: Callable[[Station, StationEvent], None],
        on_gateway_fault: Callable[[Fault, bool], None],
    ) -> None:
        """Build the world of `scenario` at second 0."""
        self.scenario = scenario
        self.agenda = Agenda()
        self.judge = Judge(scenario)
        self.is_gateway_up = True
        self.limits: list[LimitAt] = []  # That were told from outside and nobody has taken up yet.
        self._opened = set[CircuitId]()
        self._on_word = on_word
        self._on_gateway_fault = on_gateway_fault
        site = scenario.site
        voltage_v = scenario.voltage_v
        self.wires: dict[CircuitId, Wires] = {}
        for index, circuit in enumerate(site.circuits):
            self.wires[circuit.id] = Wires(circuit, row=3 * index, voltage_v=voltage_v)
            self.judge.see_circuit(self.wires[circuit.id])
        self._base = [
            BaseLoad(
                traits,
                start_of_day_s=scenario.start_of_day_s,
                rng=self.stream(f"base/{traits.circuit}"),
            )
            for traits in scenario.base
        ]
        self._base_paths = [
            [self.wires[circuit] for circuit in site.path_to_root(load.traits.circuit)]
            for load in self._base
        ]
        self.meters: dict[MeterId, CircuitMeter] = {
            meter.id: CircuitMeter(
                meter,
                next(w for w in self.wires.values() if w.circuit.meter == meter.id),
                voltage_v=voltage_v,
                rng=self.stream(f"meter/{meter.id}"),
            )
            for meter in site.meters
        }
        traits_of = {traits.station: traits for traits in scenario.stations}
        self.stations: dict[StationId, Station] = {
            declared.id: Station(
                declared,
                traits_of[declared.id],
                voltage_v=voltage_v,
                agenda=self.agenda,
                rng=self.stream(f"station/{declared.id}"),
                surroundings=self,
            )
            for declared in site.stations
        }
        self._paths: dict[Evse, list[Wires]] = {}
        for station in self.stations.values():
            for evse in station.evses.values():
                path = site.path_to_root(evse.connector.circuit)
                self._paths[evse] = [self.wires[circuit] for circuit in path]
                self.judge.see_connector(evse, station)
        self.fault_log = FaultLog(site, self.stations, self.judge)
        self._fill_agenda()

    def stream(self, part: str) -> Random:
        """Return the stream of random numbers of one part of this world."""
        return Random(f"{self.scenario.kind}/{self.scenario.seed}/{part}")

    def expect(self, happening: Happening) -> None:
        """Have something happen that is still to come, as if the scenario had said so."""
        match happening:
            case Visit():
                station = self.stations[happening.connector.station]
                self.agenda.add(happening.at_s, station.plug_in, happening)
                self.agenda.add(happening.leave_s, station.unplug, happening)
            case StepAt():
                self.agenda.add(happening.at_s, self._step_base, happening)
            case LimitAt():
                self.agenda.add(happening.at_s, self._narrow, happening)
            case Fault():
                self.agenda.add(happening.at_s, self._begin_fault, happening)
                self.agenda.add(happening.until_s, self._end_fault, happening)
            case _:
                assert_never(happening)

    def _fill_agenda(self) -> None:
        for happening in self.scenario.happenings:
            self.expect(happening)
        self._apply_base(0.0)
        self.agenda.add(0.0, self._tick)
        self._relink_all(0.0)

    # What its parts tell it (`station.Surroundings`).

    def shift(self, evse: Evse, delta_a: float, at_s: float) -> None:
        """Let the wires above a connector carry the change of its draw."""
        for wires in self._paths[evse]:
            wires.shift_vehicle(evse.used_phases, delta_a, at_s)

    def utter(self, station: StationId, event: StationEvent) -> None:
        """Pass on what a station says."""
        self._on_word(self.stations[station], event)

    def watch_limit(self, evse: Evse, before_a: float, at_s: float, *, was_sent: bool) -> None:
        """Pass on that a limit in force has changed."""
        self.judge.watch_limit(evse, before_a, at_s, was_sent=was_sent)

    def watch_visit(self, evse: Evse, at_s: float, *, arrives: bool) -> None:
        """Pass on that a vehicle has come or is about to leave."""
        if arrives:
            self.judge.watch_arrival(evse, at_s)
        else:
            self.judge.watch_departure(evse, at_s)

    def may_link(self) -> bool:
        """Return whether there is a gateway to connect to."""
        return self.is_gateway_up

    # What happens by itself.

    def _tick(self, at_s: float) -> None:
        day_s = self.scenario.start_of_day_s + at_s
        for load in self._base:
            load.tick(at_s, day_s)
        self._apply_base(at_s)
        self.judge.tick(at_s, is_gateway_dead=not self.is_gateway_up)
        self.fault_log.tick(at_s)
        self.agenda.add(at_s + TICK_S, self._tick)

    def _apply_base(self, at_s: float) -> None:
        sums_a = {wires: [0.0, 0.0, 0.0] for wires in self.wires.values()}
        for load, path in zip(self._base, self._base_paths, strict=True):
            if load.traits.circuit in self._opened:
                continue
            for wires in path:
                sum_a = sums_a[wires]
                sum_a[0] += load.amps[0]
                sum_a[1] += load.amps[1]
                sum_a[2] += load.amps[2]
        for wires, sum_a in sums_a.items():
            wires.set_base(sum_a, at_s)

    def _step_base(self, at_s: float, step: StepAt) -> None:
        for load in self._base:
            if load.traits.circuit == step.circuit:
                load.step(step.delta_a)
        self._apply_base(at_s)
        if max(step.delta_a) > 0.0:
            self.judge.watch_step(step.circuit, at_s)

    def _narrow(self, _at_s: float, limit: LimitAt) -> None:
        self.limits.append(limit)
        self.judge.circuits[limit.circuit].limit_a = limit.limit_a

    def switch_off(self, circuit: CircuitId) -> None:
        """Open a circuit: from now on nothing below it is fed, for good."""
        at_s, site = self.agenda.now_s, self.scenario.site
        self._opened |= {c.id for c in site.circuits if circuit in site.path_to_root(c.id)}
        for station in self.stations.values():
            if any(e.connector.circuit in self._opened for e in station.evses.values()):
                station.lose_power(at_s)
        self._apply_base(at_s)

    def _begin_fault(self, at_s: float, fault: Fault) -> None:
        self.fault_log.begin(fault)
        self.judge.watch_fault(fault)
        kind = fault.kind
        if kind in METER_FAULTS:
            meter = MeterId(fault.subject)
            self.meters[meter].faults.append(fault)
            blinded = [c.id for c in self.scenario.site.circuits if c.meter == meter]
            lasts_s = min(METER_BLIND_S, fault.until_s - at_s)
            self.judge.blind(blinded, at_s, lasts_s=lasts_s)
        elif kind is FaultKind.BASE_STEP:
            delta_a = (fault.value, fault.value, fault.value)
            step = StepAt(at_s=at_s, circuit=CircuitId(fault.subject), delta_a=delta_a)
            self._step_base(at_s, step)
        elif kind in _GATEWAY_FAULTS:
            if kind is FaultKind.GATEWAY_KILL:
                self._kill_gateway(at_s, fault)
            elif kind is FaultKind.STOP_PRESSED:
                self.judge.stopped_s = at_s
            self._on_gateway_fault(fault, True)  # noqa: FBT003 - a callback has no keywords
        else:
            self.stations[StationId(fault.subject)].begin_fault(at_s, fault)
            self.judge.watch_rogues()

    def _end_fault(self, at_s: float, fault: Fault) -> None:
        kind = fault.kind
        if kind in METER_FAULTS:
            self.meters[MeterId(fault.subject)].faults.remove(fault)
        elif kind is FaultKind.BASE_STEP:
            delta_a = (-fault.value, -fault.value, -fault.value)
            step = StepAt(at_s=at_s, circuit=CircuitId(fault.subject), delta_a=delta_a)
            self._step_base(at_s, step)
        elif kind in _GATEWAY_FAULTS:
            if kind is FaultKind.GATEWAY_KILL:
                self.is_gateway_up = True
                self._relink_all(at_s)
            elif kind is FaultKind.STOP_PRESSED:
                self.judge.stopped_s = None
            self._on_gateway_fault(fault, False)  # noqa: FBT003 - a callback has no keywords
        else:
            station = self.stations[StationId(fault.subject)]
            station.end_fault(at_s, fault)
            self.judge.watch_rogues()
            if kind is FaultKind.STATION_LOST:
                rng = self.stream(f"relink/{station.id}/{at_s}")
                self.agenda.add(at_s + rng.uniform(*RELINK_AFTER_S), station.raise_link)

    def _kill_gateway(self, at_s: float, fault: Fault) -> None:
        self.is_gateway_up = False
        self.judge.forget_excursions()
        lasts_s = min(GATEWAY_BLIND_S, fault.until_s - at_s + RELINK_AFTER_S[1])
        self.judge.blind(self.wires, at_s, lasts_s=lasts_s)
        for station in self.stations.values():
            station.drop_link(at_s)

    def _relink_all(self, at_s: float) -> None:
        rng = self.stream(f"relink/{at_s}")
        for station in self.stations.values():
            self.agenda.add(at_s + rng.uniform(*RELINK_AFTER_S), station.raise_link)
