"""What in a site file is allowed but probably not meant."""

import ipaddress
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from gateway.control.shut_out import ShutOut, Until, shut_out
from gateway.control.three_phase import JoinedBy
from gateway.domain.circuits import SET_POINT_RATIO, OvercurrentDevice
from gateway.domain.electric import PerPhase
from gateway.settings.amperes import PHASE_NAMES, Amperes, Present, ma_down, ma_up, spread
from gateway.settings.mistakes import Finding, Route
from gateway.settings.models import CircuitEntry, ConnectorEntry, SiteFile
from gateway.settings.site_settings import Settings
from gateway.settings.tree import by_name, path_up, phases_by_name

KEY_OF = {
    JoinedBy.POWER: "power_limit_kva",
    JoinedBy.NEUTRAL: "neutral_a",
    JoinedBy.IMBALANCE: "imbalance_a",
}
_MOVING_PORT = re.compile(r"/dev/tty(USB|ACM)\d+")


def find_doubts(file: SiteFile, settings: Settings) -> tuple[Finding, ...]:
    """Return a warning for everything that works and is probably not meant.

    `settings` are those of the file.
    """
    rules = (
        _doubt_buses,
        _doubt_meters,
        _doubt_circuits,
        _doubt_loads,
        _doubt_connectors,
        _doubt_stop_input,
        _doubt_trip_outputs,
        _doubt_tokens,
        _doubt_open_doors,
        _doubt_webhooks,
    )
    doubts = [finding for rule in rules for finding in rule(file)]
    return (*doubts, *_doubt_joined_phases(file, settings))


def _doubt_buses(file: SiteFile) -> Iterator[Finding]:
    used = {meter.bus for meter in file.meters}
    if file.stop_input is not None:
        used.add(file.stop_input.bus)
    used |= {c.trip_output.bus for c in file.circuits if c.trip_output is not None}
    for at, bus in enumerate(file.buses):
        if bus.id not in used:
            yield Finding(route=("buses", at), problem="nothing hangs on this bus")
        if bus.serial is not None and _MOVING_PORT.fullmatch(bus.serial.port):
            problem = (
                f"{bus.serial.port} may be another adapter after a restart; "
                "take its name in /dev/serial/by-id"
            )
            yield Finding(route=("buses", at, "serial", "port"), problem=problem)
        elif bus.serial is not None and not bus.serial.port.startswith("/"):
            problem = (
                f"{bus.serial.port} is no name of a serial line here; take one in /dev/serial/by-id"
            )
            yield Finding(route=("buses", at, "serial", "port"), problem=problem)


def _doubt_stop_input(file: SiteFile) -> Iterator[Finding]:
    if file.stop_input is not None and file.stop_input.stops_when == "closed":
        problem = "a cut wire looks like a contact at rest; wire it to open for a stop if you can"
        yield Finding(route=("stop_input", "stops_when"), problem=problem)


def _doubt_trip_outputs(file: SiteFile) -> Iterator[Finding]:
    for at, circuit in enumerate(file.circuits):
        if circuit.trip_output is None:
            continue
        route: Route = ("circuits", at, "trip_output")
        if circuit.meter is None:
            problem = "no meter measures this circuit: what is over its rating is never seen"
            yield Finding(route=route, problem=problem)
        if circuit.trip_output.trips_when == "closed":
            problem = "with a cut wire it never trips; wire it to open for a trip if you can"
            yield Finding(route=(*route, "trips_when"), problem=problem)


def _doubt_tokens(file: SiteFile) -> Iterator[Finding]:
    if file.authorize.accept == "list" and not file.authorize.tokens:
        problem = "no token is listed, so none is accepted"
        yield Finding(route=("authorize", "accept"), problem=problem)


def _doubt_meters(file: SiteFile) -> Iterator[Finding]:
    named = by_name(file.circuits)
    measured = {c.meter: c.id for c in named.values() if c.meter is not None}
    of_sources = {source.meter for source in file.sources}
    present = phases_by_name(named)
    for at, meter in enumerate(file.meters):
        circuit = measured.get(meter.id)
        if meter.id in of_sources:
            continue
        if circuit is None:
            problem = "no circuit or source names this meter; what it says is not used"
            yield Finding(route=("meters", at), problem=problem)
            continue
        for phase, is_there in zip(PHASE_NAMES, present[circuit], strict=True):
            if is_there and phase not in meter.phases:
                problem = (
                    f"does not measure {phase} of circuit {circuit}: "
                    "there the worst-case base always counts"
                )
                yield Finding(route=("meters", at, "phases"), problem=problem)


def _doubt_circuits(file: SiteFile) -> Iterator[Finding]:
    named = by_name(file.circuits)
    present = phases_by_name(named)
    for at, circuit in enumerate(file.circuits):
        route: Route = ("circuits", at)
        if circuit.parent is None and circuit.meter is None:
            problem = "no meter measures this supply: its worst-case base always counts in full"
            yield Finding(route=route, problem=problem)
        feeder = None if circuit.parent is None else named.get(circuit.parent)
        if feeder is not None and (excess := _find_excess(circuit, feeder, present)):
            yield Finding(route=(*route, "rating_a"), problem=excess)
        usual = SET_POINT_RATIO[OvercurrentDevice(circuit.device)]
        if circuit.set_point_ratio is not None and circuit.set_point_ratio > usual:
            problem = (
                f"aims closer to the rating than the {usual:g} that suit a device {circuit.device}"
            )
            yield Finding(route=(*route, "set_point_ratio"), problem=problem)
        below = [child for child in named.values() if child.parent == circuit.id]
        if shortfall := _find_shortfall(circuit, below, present):
            yield Finding(route=(*route, "worst_case_base_a"), problem=shortfall)


def _find_excess(
    circuit: CircuitEntry, feeder: CircuitEntry, present: Mapping[str, Present]
) -> str | None:
    """Return on which phase a circuit is rated for more than what feeds it, if on any."""
    rated_ma, fed_ma = (
        spread(entry.rating_a, present[entry.id], to_ma=ma_down) for entry in (circuit, feeder)
    )
    rows = zip(PHASE_NAMES, present[circuit.id], rated_ma, fed_ma, strict=True)
    for phase, is_there, own_ma, above_ma in rows:
        if is_there and own_ma > above_ma:
            return (
                f"{own_ma / 1_000:g} A on {phase} is more than the {above_ma / 1_000:g} A that "
                f"{feeder.id}, which feeds it, is rated for"
            )
    return None


def _find_shortfall(
    circuit: CircuitEntry, below: list[CircuitEntry], present: Mapping[str, Present]
) -> str | None:
    """Return on which phase a base figure is less than the circuits below add up to, if on any."""

    def base_ma(entry: CircuitEntry) -> PerPhase:
        return spread(entry.worst_case_base_a, present[entry.id], to_ma=ma_up)

    rows = zip(PHASE_NAMES, base_ma(circuit), *map(base_ma, below), strict=True)
    for phase, own_ma, *below_ma in rows:
        if own_ma < sum(below_ma):
            return (
                f"{own_ma / 1_000:g} A on {phase} is less than the {sum(below_ma) / 1_000:g} A "
                "of the circuits below, which it includes: the larger counts"
            )
    return None


def _doubt_joined_phases(file: SiteFile, settings: Settings) -> Iterator[Finding]:
    place_of = {circuit.id: at for at, circuit in enumerate(file.circuits)}
    for found in shut_out(settings.site, settings.control):
        route: Route = ("circuits", place_of[found.circuit.id], KEY_OF[found.joined_by])
        yield Finding(route=route, problem=_describe_shut_out(found, settings))


def _describe_shut_out(found: ShutOut, settings: Settings) -> str:
    days = settings.control.reserve_learnt_after_s / 86_400
    learnt = f"has been known for {days:.0f} days to be quiet"
    until = {
        Until.LEARNT: f"charge here until base {learnt}",
        Until.LOWER: "charge here while base is at its worst case",
        Until.EITHER: f"charge here while base is at its worst case, until it {learnt}",
        Until.BOTH: f"charge here until base is below its worst case and {learnt}",
        Until.NEVER: "ever charge here",
    }[found.until]
    limit, kind = f"{found.limit_ma / 1_000:.1f} A", "worst-case base"
    if found.joined_by is JoinedBy.POWER:
        limit += f" (at {settings.site.voltage_v:g} V)"
    else:
        kind = "difference of worst-case base"
        limit += f" on {', '.join(phase.name for phase in found.phases)}"
    return (
        f"nobody can {until}: of {limit} {found.base_ma / 1_000:.1f} A of {kind} and "
        f"{found.reserve_ma / 1_000:.1f} A kept free leave {max(0, found.left_ma) / 1_000:.1f} A, "
        f"and a vehicle needs {found.least_ma / 1_000:.1f} A"
    )


def _doubt_loads(file: SiteFile) -> Iterator[Finding]:
    members = Counter(load.interlock for load in file.loads)
    for at, load in enumerate(file.loads):
        if load.interlock is not None and members[load.interlock] == 1:
            problem = f"{load.id} is alone in the interlock group {load.interlock}"
            yield Finding(route=("loads", at, "interlock"), problem=problem)


def _doubt_connectors(file: SiteFile) -> Iterator[Finding]:
    named = by_name(file.circuits)
    for at, station in enumerate(file.stations):
        for place, connector in enumerate(station.connectors):
            route: Route = ("stations", at, "connectors", place, "max_a")
            for circuit in path_up(station.circuit, named):
                rating_a = _least_rating_a(circuit.rating_a, connector)
                if connector.max_a > rating_a:
                    problem = (
                        f"{connector.max_a:g} A is more than the {rating_a:g} A "
                        f"circuit {circuit.id} is rated for"
                    )
                    yield Finding(route=route, problem=problem)
                    break


def _doubt_open_doors(file: SiteFile) -> Iterator[Finding]:
    if _is_loopback(file.listen.ocpp.host):
        return
    for at, station in enumerate(file.stations):
        if station.auth == "none":
            problem = f"anyone who reaches {file.listen.ocpp.host} can pose as this station"
            yield Finding(route=("stations", at, "auth"), problem=problem)


def _doubt_webhooks(file: SiteFile) -> Iterator[Finding]:
    for at, hook in enumerate(file.webhooks):
        host = urlsplit(hook.url).hostname or ""
        if hook.url.startswith("http:") and not _is_loopback(host):
            problem = (
                f"what is told is signed, but everybody on the way to {host} can read it: use https"
            )
            yield Finding(route=("webhooks", at, "url"), problem=problem)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.casefold() == "localhost"


def _least_rating_a(rating_a: Amperes, connector: ConnectorEntry) -> float:
    return min(_on(rating_a, PHASE_NAMES.index(phase)) for phase in connector.phases)


def _on(amount_a: Amperes, phase: int) -> float:
    return amount_a[phase] if isinstance(amount_a, tuple) else amount_a
