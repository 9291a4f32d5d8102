"""What control sees of circuits that wants a person: an alarm each, for as long as it lasts."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from gateway.control.caps import excursion_count
from gateway.control.explain import amps, too_much
from gateway.control.proof import PhaseProof, prove
from gateway.domain.circuits import Site
from gateway.domain.electric import Phase
from gateway.domain.ids import CircuitId, ConnectorRef, StationId
from gateway.services.alarms import Alarms
from gateway.services.control_loop import Cycle


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What was found out about stations and vehicles that their fallbacks did not count on."""

    in_watts: frozenset[StationId] = frozenset()
    excess_ma: tuple[tuple[ConnectorRef, int], ...] = ()


class CircuitAlarms:
    """Sounds and ends the alarms of circuits, by what each decision says of them."""

    def __init__(self, alarms: Alarms, *, fitted: Collection[CircuitId] = ()) -> None:
        """Begin with nothing said; `fitted` are the circuits that have a trip output."""
        self._alarms = alarms
        self._fitted = frozenset(fitted)
        self._said: set[str] = set()
        self._found = _Found()
        self._unfit: dict[str, str] = {}

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
        """Return the circuits that fallbacks do not fit, as stations and vehicles were found to be."""
        state = cycle.state
        found = _Found(
            in_watts=frozenset(s for s, belief in state.stations.items() if belief.takes_watts),
            excess_ma=tuple(
                (connector.ref, belief.excess_ma)
                for connector, belief in zip(state.wiring.connectors, state.connectors, strict=True)
                if belief.excess_ma
            ),
        )
        if found != self._found:
            self._found, self._unfit = found, _unfit(state.wiring.site, found)
        return self._unfit


def _unfit(site: Site, found: _Found) -> dict[str, str]:
    """Return the circuits whose proof does not hold by what was found of stations and vehicles."""
    undeclared = [s.id for s in site.stations if s.id in found.in_watts and not s.takes_watts]
    excess_ma = dict(found.excess_ma)
    if not undeclared and not excess_ma:
        return {}
    counted = replace(
        site,
        stations=tuple(
            replace(station, takes_watts=station.takes_watts or station.id in found.in_watts)
            for station in site.stations
        ),
    )
    return {
        f"fallbacks of {row.circuit}": _told_of(row, undeclared, excess_ma)
        for row in prove(counted, excess_ma).failures
    }


def _told_of(
    row: PhaseProof, undeclared: list[StationId], excess_ma: dict[ConnectorRef, int]
) -> str:
    """Return what of the fallbacks below a circuit does not fit there, and what to do."""
    below = [term.connector for term in row.fallbacks]
    stations = sorted({ref.station for ref in below}.intersection(undeclared))
    because = [
        f"{r} draws up to {amps(excess_ma[r])} more than told" for r in below if r in excess_ma
    ]
    so = ["Mend what draws more, or lower fallbacks by as much"] if because else []
    if stations:
        named = ", ".join(stations)
        because += [f"{named} take watts alone, which are more amperes at a lower voltage"]
        so += [
            "Declare it (`limits_in: watts`), and lower their fallbacks as `headroom check` then says"
        ]
    return (
        f"{'; '.join(because)}: in silence {row.circuit} {row.phase.name} may carry"
        f" {amps(row.worst_case_ma)}, and its set-point is {amps(row.set_point_ma)}. {'. '.join(so)}"
    )


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
