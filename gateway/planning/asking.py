"""From what a vehicle needs, in its own words, to what is asked of which connectors of the plan."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from difflib import get_close_matches
from enum import StrEnum
from functools import lru_cache
from math import ceil, inf

from gateway.domain.acceptance import NOT_KNOWN, Acceptance
from gateway.domain.circuits import Connector, Site
from gateway.domain.electric import Phase
from gateway.domain.errors import HeadroomError
from gateway.domain.ids import CircuitId, StationId
from gateway.domain.needs import Need
from gateway.domain.promises import CIRCUIT_PLACE
from gateway.planning.following import USUALLY, Following
from gateway.planning.quote import Ask
from gateway.planning.room import Outlet

CONFIDENCE_RATIO = 0.9
STAYS_S = 12 * 3_600.0
"""How long a vehicle stays that does not say when it leaves."""
LATE_S = 60.0
"""How far in the past an arrival may lie and still be meant as now."""


class AskFault(StrEnum):
    """What can be wrong with a need."""

    DEPARTURE_BEFORE_ARRIVAL = "departure-before-arrival"
    PARTS_OUT_OF_ORDER = "parts-out-of-order"
    NOTHING_WANTED = "nothing-wanted"
    WINDOW_IN_THE_PAST = "window-in-the-past"
    WINDOW_TOO_FAR = "window-too-far"
    UNKNOWN_CONNECTOR = "unknown-connector"
    UNKNOWN_CIRCUIT = "unknown-circuit"
    POWER_TOO_LOW = "power-too-low"
    NOT_POSSIBLE_THERE = "not-possible-there"


class AskError(HeadroomError):
    """A need nobody can answer as it was said; the message says what to do."""

    def __init__(self, fault: AskFault, detail: str) -> None:
        """Say what is wrong, and what to do."""
        super().__init__(detail)
        self.fault = fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where a site can give power, as a plan sees it; row = 3 * circuit position + phase."""

    site: Site
    connectors: Mapping[str, Connector]
    paths: Mapping[CircuitId, tuple[int, ...]]
    """Per circuit: its position and those of all above it, nearest first."""
    _outlets: dict[tuple[str, int | None], Outlet] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _usable: dict[int | None, tuple[Outlet, ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @staticmethod
    def of(site: Site) -> "Places":
        """Return the places of a site."""
        position = {circuit.id: at for at, circuit in enumerate(site.circuits)}
        return Places(
            site=site,
            connectors={str(connector.ref): connector for connector in site.connectors},
            paths={
                circuit.id: tuple(position[c] for c in site.path_to_root(circuit.id))
                for circuit in site.circuits
            },
        )

    def outlet(self, name: str, *, phase_count: int | None, max_power_w: int | None) -> Outlet:
        """Return a connector for a vehicle that uses so many phases of it (None: all).

        A vehicle on fewer phases uses the connector's first (IEC 61851-1: a single-phase cable
        has L1 alone).

        Raises:
            AskError: there is no such connector, or so little power flows on none.
        """
        known = self._outlets.get((name, phase_count))
        if known is not None:
            return _narrowed(known, max_power_w)
        connector = self.connectors.get(name)
        if connector is None:
            message = f"there is no connector {name}: {_near(name, self.connectors)}"
            raise AskError(AskFault.UNKNOWN_CONNECTOR, message)
        wired = connector.phases
        _refuse_more_phases(name, len(wired), phase_count)
        phases = wired[: phase_count or len(wired)]
        outlet = Outlet(
            key=name,
            rows=self._rows(connector.circuit, phases),
            phase_count=len(phases),
            voltage_v=self.site.voltage_v,
            max_ma=connector.max_ma,
            settling_s=USUALLY.settling_s,
            ramp_ma_per_s=USUALLY.ramp_ma_per_s,
        )
        self._outlets[name, phase_count] = outlet
        return _narrowed(outlet, max_power_w)

    def usable(self, *, phase_count: int | None, max_power_w: int | None) -> tuple[Outlet, ...]:
        """Return the connectors that are of use to a vehicle, in the order of the site file.

        Raises:
            AskError: none is.
        """
        if max_power_w is None and (known := self._usable.get(phase_count)):
            return known
        found, fault = [], AskError(AskFault.UNKNOWN_CONNECTOR, "no connector is declared here")
        for name in self.connectors:
            try:
                found.append(self.outlet(name, phase_count=phase_count, max_power_w=max_power_w))
            except AskError as error:
                fault = error
        if not found:
            raise fault
        usable = tuple(found)
        if max_power_w is None:
            self._usable[phase_count] = usable
        return usable

    def circuit_outlet(
        self, name: CircuitId, *, phase_count: int | None, max_power_w: int | None
    ) -> Outlet:
        """Return a circuit as something that draws plainly on so many of its phases (None: all).

        Nobody says on which: what it draws is kept free on each that the circuit has, and in whole:
        no charger with its steps stands between.

        Raises:
            AskError: there is no such circuit, or it has fewer phases.
        """
        circuit = next((c for c in self.site.circuits if c.id == name), None)
        if circuit is None:
            message = f"there is no circuit {name}: {_near(name, self.paths)}"
            raise AskError(AskFault.UNKNOWN_CIRCUIT, message)
        phases = tuple(phase for phase in Phase if circuit.rating_ma[phase])
        _refuse_more_phases(name, len(phases), phase_count)
        outlet = Outlet(
            key=f"{CIRCUIT_PLACE}{name}",
            rows=self._rows(name, phases),
            phase_count=phase_count or len(phases),
            voltage_v=self.site.voltage_v,
            max_ma=min(circuit.set_point_ma[phase] for phase in phases),
            min_ma=1,
            step_ma=1,
        )
        if max_power_w is None:
            return outlet
        return replace(outlet, max_ma=min(outlet.max_ma, ceil(max_power_w / outlet.power_w(1.0))))

    def most_w(self, place: str) -> float:
        """Return what a connector gives at most at the nominal voltage, infinity where unknown."""
        known = self.connectors.get(place)
        if known is None:
            return inf
        return self.at(place, len(known.phases)).power_w(known.max_ma)

    def at(self, place: str, phase_count: int) -> Outlet:
        """Return the outlet of a promise's place.

        Raises:
            AskError: it is no longer there.
        """
        if place.startswith(CIRCUIT_PLACE):
            name = place.removeprefix(CIRCUIT_PLACE).partition("#")[0]
            return self.circuit_outlet(CircuitId(name), phase_count=phase_count, max_power_w=None)
        return self.outlet(place, phase_count=phase_count, max_power_w=None)

    def _rows(self, circuit: CircuitId, phases: tuple[Phase, ...]) -> tuple[int, ...]:
        return tuple(3 * at + phase for at in self.paths[circuit] for phase in sorted(phases))


@dataclass(frozen=True, slots=True, kw_only=True)
class Vehicles:
    """What was seen of vehicles: what those of a token take, how those at a station start."""

    acceptance: Callable[[str | None], Acceptance] = lambda _: NOT_KNOWN
    following: Callable[[StationId], Following] = lambda _: USUALLY

    def with_it(self, outlets: Iterable[Outlet], need: Need, places: Places) -> tuple[Outlet, ...]:
        """Return outlets as the vehicle of a need would use them; a plain draw is none.

        How it tapers is placed by its state of charge; without that nobody knows when it is full.
        """
        takes, seen = self.acceptance(need.id_token), list[Outlet]()
        missing_wh = None if need.soc is None else need.soc.missing_wh
        for outlet in outlets:
            connector = places.connectors.get(outlet.key)
            starts = USUALLY if connector is None else self.following(connector.ref.station)
            # As it is for any vehicle: mostly so, and told at once.
            is_usual = connector is None or (takes is NOT_KNOWN and starts is USUALLY)
            seen.append(outlet if is_usual else _used_by(outlet, takes, starts, missing_wh))
        return tuple(seen)


@lru_cache(maxsize=4_096)
def _used_by(
    outlet: Outlet, takes: Acceptance, starts: Following, missing_wh: float | None
) -> Outlet:
    """Return an outlet as a vehicle uses it of whose battery so much is missing, if that is known."""
    max_ma, taper = outlet.max_ma, tuple[tuple[float, int], ...]()
    if takes.max_ma is not None:
        max_ma = max(outlet.min_ma, min(max_ma, takes.max_ma // outlet.step_ma * outlet.step_ma))
    if missing_wh is not None:
        taper = takes.taper_from(missing_wh, min_ma=outlet.min_ma)
    return replace(
        outlet,
        max_ma=max_ma,
        settling_s=starts.settling_s,
        ramp_ma_per_s=starts.ramp_ma_per_s,
        taper=taper,
    )


NOBODY_SEEN = Vehicles()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A need as the plan takes it: what is asked, and of which outlets, the one named alone."""

    ask: Ask
    outlets: tuple[Outlet, ...]
    is_named: bool


def asked_of(
    need: Need,
    places: Places,
    *,
    from_at_s: float,
    now_s: float,
    end_s: float,
    vehicles: Vehicles = NOBODY_SEEN,
) -> Asked:
    """Return what a need asks of a plan that begins at the epoch second `from_at_s`.

    `now_s` and `end_s` are epoch seconds: now, and where the plan ends. The energy must fit into
    the part of the window in which the vehicle is surely there: its slacks are taken off.
    `vehicles` tells what is known of the one that is to come.

    Raises:
        AskError: it cannot be answered as it was said.
    """
    wanted_wh = need.wanted_wh
    if wanted_wh is not None and wanted_wh <= 0:
        message = "nothing is missing: ask for an energy above 0, or for a higher target"
        raise AskError(AskFault.NOTHING_WANTED, message)
    window = _window(need, now_s, end_s)
    outlets, is_named = _outlets(need, places)
    ask = Ask(
        from_s=window.begins_s - from_at_s,
        until_s=window.ends_s - from_at_s,
        energy_wh=None if wanted_wh is None else float(wanted_wh),
        min_energy_wh=float(need.min_energy_wh),
        confidence_ratio=need.confidence_ratio or CONFIDENCE_RATIO,
        not_before_s=now_s - from_at_s,
        arrive_slack_s=window.begins_s - window.opens_s,
        depart_slack_s=window.closes_s - window.ends_s,
        ends_when_given=need.depart_at is None,
        objective=need.objective,
    )
    seen = vehicles.with_it(outlets, need, places)
    return Asked(ask=ask, outlets=seen, is_named=is_named)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    """When a vehicle is surely there, and when it may be there at all, in epoch seconds."""

    begins_s: float
    ends_s: float
    opens_s: float
    closes_s: float


def _window(need: Need, now_s: float, end_s: float) -> _Window:
    """Return when the vehicle of a need is there."""
    arrive_s = now_s if need.arrive_at is None else need.arrive_at.timestamp()
    stays_until_s = min(end_s, max(arrive_s, now_s) + STAYS_S)
    depart_s = stays_until_s if need.depart_at is None else need.depart_at.timestamp()
    if depart_s <= now_s:
        message = "the window is over already: give one from now on"
        raise AskError(AskFault.WINDOW_IN_THE_PAST, message)
    if need.depart_at is not None and depart_s <= arrive_s:
        message = "it leaves before it arrives: give a depart_at after arrive_at"
        raise AskError(AskFault.DEPARTURE_BEFORE_ARRIVAL, message)
    if arrive_s < now_s - LATE_S:
        message = "the window begins in the past: give an arrive_at from now on, or leave it out"
        raise AskError(AskFault.WINDOW_IN_THE_PAST, message)
    if depart_s > end_s or arrive_s >= end_s:
        last = _said(end_s, need)
        message = f"the plan reaches to {last}: give a window that ends before, or ask later"
        raise AskError(AskFault.WINDOW_TOO_FAR, message)
    opens_s, closes_s = max(now_s, arrive_s), depart_s
    begins_s = max(now_s, arrive_s + need.arrive_slack_s)
    ends_s = depart_s - need.depart_slack_s
    if ends_s <= begins_s:
        message = (
            "with these slacks it may leave before it arrives: give less slack, or a longer window"
        )
        raise AskError(AskFault.DEPARTURE_BEFORE_ARRIVAL, message)
    if need.circuit is not None:
        opens_s, closes_s = begins_s, ends_s  # No vehicle, and no connector that it keeps.
    return _Window(begins_s=begins_s, ends_s=ends_s, opens_s=opens_s, closes_s=closes_s)


def _said(at_s: float, need: Need) -> str:
    known = need.depart_at or need.arrive_at
    zone = None if known is None else known.tzinfo
    return datetime.fromtimestamp(at_s, tz=zone).isoformat(timespec="minutes")


def _outlets(need: Need, places: Places) -> tuple[tuple[Outlet, ...], bool]:
    if need.circuit is not None:
        outlet = places.circuit_outlet(
            need.circuit, phase_count=need.phase_count, max_power_w=need.max_power_w
        )
        return (outlet,), True
    if need.connector is not None:
        name = str(need.connector)
        outlet = places.outlet(name, phase_count=need.phase_count, max_power_w=need.max_power_w)
        return (outlet,), True
    return places.usable(phase_count=need.phase_count, max_power_w=need.max_power_w), False


def _refuse_more_phases(name: str, has: int, phase_count: int | None) -> None:
    if phase_count is not None and phase_count > has:
        message = (
            f"{name} has {has} phase{'s' * (has > 1)}, not {phase_count}: ask for fewer, or leave"
            " phases out"
        )
        raise AskError(AskFault.NOT_POSSIBLE_THERE, message)


def _narrowed(outlet: Outlet, max_power_w: int | None) -> Outlet:
    """Return the outlet for a vehicle that takes no more than a power.

    Raises:
        AskError: that is less than flows at the least current.
    """
    if max_power_w is None:
        return outlet
    per_ma_w = outlet.power_w(1.0)
    max_ma = min(outlet.max_ma, int(max_power_w / per_ma_w)) // outlet.step_ma * outlet.step_ma
    if max_ma < outlet.min_ma:
        least_w = -int(-outlet.min_ma * per_ma_w // 1)
        message = (
            f"{max_power_w} W is less than the least that flows on {outlet.phase_count} phases"
            f" of {outlet.key}, {least_w} W: allow more, or fewer phases"
        )
        raise AskError(AskFault.POWER_TOO_LOW, message)
    return replace(outlet, max_ma=max_ma)


def _near(name: str, known: Mapping[str, object] | Mapping[CircuitId, object]) -> str:
    names = [str(candidate) for candidate in known]
    near = get_close_matches(name, names, n=1)
    if near:
        return f"did you mean {near[0]}?"
    return f"known here: {', '.join(names[:12])}" if names else "none is declared"
