"""What control sees of circuits that wants a person: an alarm each, for as long as it lasts."""

from collections.abc import Collection
from dataclasses import replace

from gateway.control.caps import excursion_count
from gateway.control.explain import amps, too_much
from gateway.control.proof import prove
from gateway.domain.circuits import Site
from gateway.domain.electric import Phase
from gateway.domain.ids import CircuitId, StationId
from gateway.services.alarms import Alarms
from gateway.services.control_loop import Cycle


class CircuitAlarms:
    """Sounds and ends the alarms of circuits, by what each decision says of them."""

    def __init__(self, alarms: Alarms, *, fitted: Collection[CircuitId] = ()) -> None:
        """Begin with nothing said; `fitted` are the circuits that have a trip output."""
        self._alarms = alarms
        self._fitted = frozenset(fitted)
        self._said: set[str] = set()
        self._in_watts: tuple[frozenset[StationId], dict[str, str]] = (frozenset(), {})

    def follow(self, cycle: Cycle) -> None:
        """Sound what this decision says, and end what it says no more."""
        told = {**_void_proofs(cycle), **_lockouts(cycle), **_doubts(cycle), **_backwards(cycle)}
        told |= _trips(cycle, self._fitted) | self._fallbacks(cycle)
        for name in self._said - told.keys():
            self._alarms.end(name)
        for name, text in told.items():
            self._alarms.sound(name, text)
        self._said = set(told)

    def _fallbacks(self, cycle: Cycle) -> dict[str, str]:
        """Return the circuits that fallbacks do not fit, as stations say that they take watts."""
        stations = cycle.state.stations.items()
        in_watts = frozenset(station for station, belief in stations if belief.takes_watts)
        if in_watts != self._in_watts[0]:
            self._in_watts = in_watts, _told_in_watts(cycle.state.wiring.site, in_watts)
        return self._in_watts[1]


def _told_in_watts(site: Site, in_watts: frozenset[StationId]) -> dict[str, str]:
    """Return the circuits whose proof does not hold where these stations are told watts."""
    undeclared = sorted(s.id for s in site.stations if s.id in in_watts and not s.takes_watts)
    if not undeclared:
        return {}
    counted = replace(
        site,
        stations=tuple(
            replace(station, takes_watts=station.takes_watts or station.id in in_watts)
            for station in site.stations
        ),
    )
    return {
        f"fallbacks of {row.circuit}": (
            f"{', '.join(undeclared)} take watts alone, which are more amperes at a lower voltage:"
            f" in silence {row.circuit} {row.phase.name} may carry {amps(row.worst_case_ma)}, and its"
            f" set-point is {amps(row.set_point_ma)}. Declare it (`limits_in: watts`), and lower their"
            " fallbacks as `headroom check` then says"
        )
        for row in prove(counted).failures
    }


def _void_proofs(cycle: Cycle) -> dict[str, str]:
    """Return the circuits whose base was above what the proof at config time was made with."""
    wiring, rows = cycle.state.wiring, cycle.decision.survey.rows
    told = {}
    for circuit in cycle.decision.void_proofs:
        at = wiring.circuit_at[circuit]
        row = max(range(3 * at, 3 * at + 3), key=lambda r: rows[r].worst_case_ma)
        told[f"proof of {circuit}"] = (
            f"circuit {circuit} was seen with a base of {amps(rows[row].worst_case_ma)}, and its"
            f" worst case is declared as {amps(wiring.worst_case_ma[row])}: silence may overload it."
            " Declare what is true (worst_case_base_a), and check the file"
        )
    return told


def _lockouts(cycle: Cycle) -> dict[str, str]:
    return {
        f"lockout of {circuit.id}": (
            f"circuit {circuit.id} was over its rating"
            f" {too_much(excursion_count(seen, cycle.state.parameters))} and is held at its"
            f" fallbacks: find out what draws there; then `headroom release {circuit.id}` ends it"
        )
        for circuit, seen in zip(cycle.state.wiring.circuits, cycle.state.circuits, strict=True)
        if seen.lockout_until_s > cycle.decision.at_s
    }


def _doubts(cycle: Cycle) -> dict[str, str]:
    """Return the circuits whose meter does not show what surely flows below it."""
    return {
        f"meter of {circuit.id}": (
            f"the meter of circuit {circuit.id} showed less than what surely flowed there, by what"
            " connectors below draw and declared sources give, and is not believed for a while:"
            " see whether its clamps are closed, the right way round, and on the phases declared;"
            " whether a station below tells more than it draws; and whether something that is not"
            f" declared (sources) feeds the circuit; then `headroom release {circuit.id}` ends it"
        )
        for at, circuit in enumerate(cycle.state.wiring.circuits)
        if any(row.doubted_ma for row in cycle.decision.survey.rows[3 * at : 3 * at + 3])
    }


def _backwards(cycle: Cycle) -> dict[str, str]:
    """Return the circuits whose meter tells of a flow out, though nothing declared feeds them."""
    told, after_s = {}, cycle.state.parameters.doubted_after_s
    for circuit, seen in zip(cycle.state.wiring.circuits, cycle.state.circuits, strict=True):
        since_s = {
            phase: of.backwards_since_s for phase, of in zip(Phase, seen.phases, strict=True)
        }
        phases = [
            phase.name
            for phase, began_s in since_s.items()
            if began_s is not None and cycle.decision.at_s - began_s >= after_s
        ]
        if phases:
            told[f"direction of {circuit.id}"] = (
                f"the meter of circuit {circuit.id} tells of power that flows out on"
                f" {' and '.join(phases)}, and nothing that is declared feeds it: it is counted as"
                " drawn. Turn that clamp round (where all phases are the wrong way: `invert: true`);"
                " if PV or a battery feeds the circuit, declare it (sources)"
            )
    return told


def _trips(cycle: Cycle, fitted: Collection[CircuitId]) -> dict[str, str]:
    """Return the circuits that only a trip output can take below their rating."""
    return {
        f"overload of {circuit}": (
            f"circuit {circuit} is over its rating and nothing is left to cut: "
            + (
                "its trip output opens"
                if circuit in fitted
                else "it has no trip output, so switch something off there"
            )
        )
        for circuit in cycle.decision.trips
    }
