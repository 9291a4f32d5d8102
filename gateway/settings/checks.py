"""What has to fit together in a site file: names, lines, the tree, phases and numbers."""

import ipaddress
import os.path
import zoneinfo
from collections.abc import Iterator, Sequence
from importlib import resources

from gateway.domain.spelling import suggest
from gateway.settings.amperes import PHASE_NAMES, Amperes
from gateway.settings.drafts import (
    BusDraft,
    ConnectorDraft,
    SiteFileDraft,
    TripOutputDraft,
    draft_of,
)
from gateway.settings.mistakes import Finding, Route, shown
from gateway.settings.models import ListenersEntry
from gateway.settings.nodes import Plain
from gateway.settings.tree import by_name, find_circles, phases_by_name
from gateway.settings.values import MIN_CHARGING_A

LAST_SERIAL_UNIT = 247  # Modbus over serial line V1.02, 2.2: 248 to 255 are reserved.


def find_misfits(plain: Plain) -> tuple[Finding, ...]:
    """Return everything that does not fit together, in a file of whatever shape."""
    draft = draft_of(plain)
    rules = (
        _check_time_zone,
        _check_names,
        _check_references,
        _check_buses,
        _check_units,
        _check_meters,
        _check_circles,
        _check_ratings,
        _check_phases,
        _check_connectors,
        _check_listeners,
        _check_control,
        _check_stop_input,
        _check_trip_outputs,
        _check_tokens,
    )
    return tuple(finding for rule in rules for finding in rule(draft))


def profile_names() -> tuple[str, ...]:
    """Return the meter profiles that are installed, sorted; none if they cannot be listed."""
    try:
        folder = resources.files("drivers.modbus") / "profiles"
        names = [entry.name for entry in folder.iterdir()]
    except (ModuleNotFoundError, OSError):
        return ()
    return tuple(sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml")))


def _check_time_zone(draft: SiteFileDraft) -> Iterator[Finding]:
    zone = draft.site.timezone
    if zone is None or _is_zone(zone):
        return
    # A machine without a zone database knows none: that is not the file's mistake.
    if zones := zoneinfo.available_timezones():
        problem = f"there is no time zone {shown(zone)}{suggest(zone, sorted(zones))}"
        yield Finding(route=("site", "timezone"), problem=problem)


def _is_zone(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _check_names(draft: SiteFileDraft) -> Iterator[Finding]:
    for section, names in _names_by_section(draft).items():
        yield from _find_twice((section,), names)
    for at, station in enumerate(draft.stations):
        numbers = [connector.id for connector in station.connectors]
        yield from _find_twice(("stations", at, "connectors"), numbers)


def _names_by_section(draft: SiteFileDraft) -> dict[str, list[str | None]]:
    return {
        "buses": [bus.id for bus in draft.buses],
        "meters": [meter.id for meter in draft.meters],
        "circuits": [circuit.id for circuit in draft.circuits],
        "loads": [load.id for load in draft.loads],
        "sources": [source.id for source in draft.sources],
        "stations": [station.id for station in draft.stations],
        "webhooks": [webhook.id for webhook in draft.webhooks],
    }


def _find_twice(route: Route, names: Sequence[object]) -> Iterator[Finding]:
    seen: set[object] = set()
    for at, name in enumerate(names):
        if name is not None and name in seen:
            problem = f"a second {_singular(str(route[-1]))} is called {name}"
            yield Finding(route=(*route, at, "id"), problem=problem)
        seen.add(name)


def _singular(section: str) -> str:
    return "bus" if section == "buses" else section.removesuffix("s")


def _check_references(draft: SiteFileDraft) -> Iterator[Finding]:
    known = {
        section: {name: None for name in names if name is not None}
        for section, names in _names_by_section(draft).items()
    }
    stop_bus = None if draft.stop_input is None else draft.stop_input.bus
    references: list[tuple[Route, str | None, str]] = [
        *((("meters", at, "bus"), meter.bus, "buses") for at, meter in enumerate(draft.meters)),
        *(
            (("circuits", at, "parent"), c.parent, "circuits")
            for at, c in enumerate(draft.circuits)
        ),
        *((("circuits", at, "meter"), c.meter, "meters") for at, c in enumerate(draft.circuits)),
        *(
            (("loads", at, "circuit"), load.circuit, "circuits")
            for at, load in enumerate(draft.loads)
        ),
        *(
            (("sources", at, "circuit"), source.circuit, "circuits")
            for at, source in enumerate(draft.sources)
        ),
        *(
            (("sources", at, "meter"), source.meter, "meters")
            for at, source in enumerate(draft.sources)
        ),
        *(
            (("stations", at, "circuit"), s.circuit, "circuits")
            for at, s in enumerate(draft.stations)
        ),
        (("stop_input", "bus"), stop_bus, "buses"),
        *((_trip_route(at, "bus"), output.bus, "buses") for at, output in _trip_outputs(draft)),
    ]
    for route, name, section in references:
        if name is not None and name not in known[section]:
            near = suggest(name, known[section])
            problem = f"there is no {_singular(section)} {shown(name)}{near}"
            yield Finding(route=route, problem=problem)
    profiles = profile_names()
    for at, meter in enumerate(draft.meters):
        if profiles and meter.profile is not None and meter.profile not in profiles:
            near = suggest(meter.profile, profiles)
            problem = f"there is no meter profile {shown(meter.profile)}{near}"
            yield Finding(route=("meters", at, "profile"), problem=problem)


def _check_buses(draft: SiteFileDraft) -> Iterator[Finding]:
    taken: dict[object, str | None] = {}
    for at, bus in enumerate(draft.buses):
        if (bus.serial is None) == (bus.tcp is None):
            problem = "takes either serial or tcp, not both"
            if bus.serial is None:
                problem = "takes serial: {port, baud, format} or tcp: {host, port}"
            yield Finding(route=("buses", at), problem=problem)
            continue
        line, key = _line_of(bus)
        if line is not None and line in taken:
            problem = f"bus {taken[line]} is on the same line; one bus takes all its meters"
            yield Finding(route=("buses", at, *key), problem=problem)
        taken.setdefault(line, bus.id)


def _line_of(bus: BusDraft) -> tuple[object, tuple[str, str]]:
    """Return what makes two buses the same line (None: not known), and the key that says so."""
    if bus.serial is not None:
        port = bus.serial.port
        # On the machine itself, two names of one device are seen through.
        return None if port is None else os.path.realpath(port), ("serial", "port")
    assert bus.tcp is not None
    host, number = bus.tcp.host, bus.tcp.port
    return None if host is None or number is None else (_named(host), number), ("tcp", "host")


def _check_units(draft: SiteFileDraft) -> Iterator[Finding]:
    serial = {bus.id for bus in draft.buses if bus.serial is not None}
    units: list[tuple[Route, str | None, int | None]] = [
        (("meters", at, "unit"), meter.bus, meter.unit) for at, meter in enumerate(draft.meters)
    ]
    if draft.stop_input is not None:
        units.append((("stop_input", "unit"), draft.stop_input.bus, draft.stop_input.unit))
    units += [
        (_trip_route(at, "unit"), output.bus, output.unit) for at, output in _trip_outputs(draft)
    ]
    for route, bus, unit in units:
        if bus in serial and unit is not None and not 1 <= unit <= LAST_SERIAL_UNIT:
            problem = f"a unit on a serial line is 1 to {LAST_SERIAL_UNIT}, not {unit}"
            yield Finding(route=route, problem=problem)
    taken: dict[tuple[str | None, int | None], str | None] = {}
    for at, meter in enumerate(draft.meters):
        if meter.bus is None or meter.unit is None:
            continue
        key = (meter.bus, meter.unit)
        if key in taken:
            problem = f"meter {taken[key]} is unit {meter.unit} on bus {meter.bus} already"
            yield Finding(route=("meters", at, "unit"), problem=problem)
        taken.setdefault(key, meter.id)
    for route, bus, unit in units[len(draft.meters) :]:
        # Behind a network address it may be one device; on a line, two that answer at once.
        if bus in serial and (bus, unit) in taken:
            problem = f"meter {taken[bus, unit]} is unit {unit} on serial line {bus} already"
            yield Finding(route=route, problem=problem)


def _check_meters(draft: SiteFileDraft) -> Iterator[Finding]:
    claimed: dict[str, str | None] = {}
    for at, circuit in enumerate(draft.circuits):
        if circuit.meter is None:
            continue
        if circuit.meter in claimed:
            problem = f"meter {circuit.meter} measures circuit {claimed[circuit.meter]} already"
            yield Finding(route=("circuits", at, "meter"), problem=problem)
        claimed.setdefault(circuit.meter, circuit.id)
    for at, source in enumerate(draft.sources):
        if source.meter is None:
            continue
        if source.meter in claimed:
            problem = f"meter {source.meter} measures {claimed[source.meter]} already"
            yield Finding(route=("sources", at, "meter"), problem=problem)
        claimed.setdefault(source.meter, source.id)


def _check_circles(draft: SiteFileDraft) -> Iterator[Finding]:
    named = by_name(draft.circuits)
    names = [circuit.id for circuit in draft.circuits]
    for circle in find_circles(named):
        route: Route = ("circuits", names.index(circle[0]), "parent")
        if len(circle) == 1:
            yield Finding(route=route, problem=f"{circle[0]} cannot feed itself")
        else:
            around = " → ".join((*circle, circle[0]))
            problem = f"circuits are fed in a circle: {around}; one of them must hang elsewhere"
            yield Finding(route=route, problem=problem)


def _check_ratings(draft: SiteFileDraft) -> Iterator[Finding]:
    for at, circuit in enumerate(draft.circuits):
        rating_a = circuit.rating_a
        if rating_a in {0, (0, 0, 0)}:
            problem = "a circuit with a rating of 0 A on every phase carries nothing"
            yield Finding(route=("circuits", at, "rating_a"), problem=problem)
        for place, lower in enumerate(circuit.ratings):
            route: Route = ("circuits", at, "ratings", place, "rating_a")
            if _is_above(lower.rating_a, rating_a):
                problem = (
                    "a rating at times is at most the circuit's own: its device stays as it is"
                )
                yield Finding(route=route, problem=problem)


def _check_phases(draft: SiteFileDraft) -> Iterator[Finding]:
    """Find what is put on a phase that its circuit, or one above it, does not have."""
    named = by_name(draft.circuits)
    # A circuit without any phase is a mistake of its own, said once.
    present = {name: has for name, has in phases_by_name(named).items() if any(has)}
    amounts: list[tuple[Route, str | None, Amperes | None]] = [
        *(
            (("circuits", at, "worst_case_base_a"), circuit.id, circuit.worst_case_base_a)
            for at, circuit in enumerate(draft.circuits)
        ),
        *(
            (("circuits", at, "rating_a"), circuit.parent, circuit.rating_a)
            for at, circuit in enumerate(draft.circuits)
        ),
        *(
            (("loads", at, "worst_case_a"), load.circuit, load.worst_case_a)
            for at, load in enumerate(draft.loads)
        ),
        *(
            (("sources", at, "nameplate_a"), source.circuit, source.nameplate_a)
            for at, source in enumerate(draft.sources)
        ),
        *(
            (("stations", at, "connectors", place, "phases"), station.circuit, _used(connector))
            for at, station in enumerate(draft.stations)
            for place, connector in enumerate(station.connectors)
        ),
    ]
    for route, name, amount_a in amounts:
        if name not in present or not isinstance(amount_a, tuple):
            continue
        for phase, amount, is_there in zip(PHASE_NAMES, amount_a, present[name], strict=True):
            if amount and not is_there:
                problem = f"circuit {name} has no {phase}: its rating there, or above it, is 0"
                yield Finding(route=route, problem=problem)


def _is_above(amount_a: Amperes | None, most_a: Amperes | None) -> bool:
    if amount_a is None or most_a is None:
        return False
    return any(a > most for a, most in zip(_each(amount_a), _each(most_a), strict=True))


def _each(amount_a: Amperes) -> tuple[float, float, float]:
    return amount_a if isinstance(amount_a, tuple) else (amount_a, amount_a, amount_a)


def _used(connector: ConnectorDraft) -> Amperes:
    """Return something on each phase the connector is wired to."""
    l1, l2, l3 = (float(phase in (connector.phases or ())) for phase in PHASE_NAMES)
    return l1, l2, l3


def _check_connectors(draft: SiteFileDraft) -> Iterator[Finding]:
    for at, station in enumerate(draft.stations):
        for place, connector in enumerate(station.connectors):
            route: Route = ("stations", at, "connectors", place, "fallback_a")
            fallback_a, max_a = connector.fallback_a, connector.max_a
            if fallback_a is None:
                continue
            if 0 < fallback_a < MIN_CHARGING_A:
                problem = (
                    f"{fallback_a:g} A is too little to charge with; take 0, "
                    f"or {MIN_CHARGING_A:g} and more"
                )
                yield Finding(route=route, problem=problem)
            if max_a is not None and fallback_a > max_a:
                problem = f"{fallback_a:g} A is above the connector's max_a of {max_a:g}"
                yield Finding(route=route, problem=problem)


def _check_listeners(draft: SiteFileDraft) -> Iterator[Finding]:
    usual = ListenersEntry()
    listeners = (
        ("ocpp", draft.listen.ocpp, usual.ocpp.port),
        ("api", draft.listen.api, usual.api.port),
        ("metrics", draft.listen.metrics, usual.metrics.port),
    )
    taken: list[tuple[str, str, int]] = []
    for name, listener, usual_port in listeners:
        host, port = listener.host, usual_port if listener.port is None else listener.port
        if host is None:
            continue
        for other, other_host, other_port in taken:
            if port == other_port != 0 and _overlap(host, other_host):
                problem = f"port {port} is taken by listen.{other} already"
                yield Finding(route=("listen", name, "port"), problem=problem)
                break
        taken.append((name, host, port))


def _overlap(one: str, other: str) -> bool:
    """Say whether two listeners of one port would meet."""
    return _is_everywhere(one) or _is_everywhere(other) or _named(one) == _named(other)


def _is_everywhere(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _named(host: str) -> str:
    return "127.0.0.1" if host.casefold() == "localhost" else host.casefold()


def _check_control(draft: SiteFileDraft) -> Iterator[Finding]:
    control = draft.control
    ascending = (
        ("stale_no_raises_s", "stale_worst_case_s"),
        ("stale_worst_case_s", "stale_fallback_s"),
        ("thermal_minimum_ratio", "thermal_pause_ratio"),
        ("over_rating_pause_s", "over_rating_trip_s"),
    )
    for smaller, larger in ascending:
        if smaller in control and larger in control and control[smaller] >= control[larger]:
            problem = f"must be more than {smaller}, which is {control[smaller]:g}"
            yield Finding(route=("control", larger), problem=problem)
    lease_s = control.get("lease_s")
    if lease_s is not None and control.get("renew_s", 0) > lease_s / 2:
        problem = f"must be at most half of lease_s, which is {lease_s:g}"
        yield Finding(route=("control", "renew_s"), problem=problem)
    stale_s = control.get("stale_no_raises_s")
    for at, meter in enumerate(draft.meters):
        interval_s = meter.interval_s
        if stale_s is not None and interval_s is not None and interval_s >= stale_s:
            problem = (
                f"a meter read each {interval_s:g} s is always stale: "
                f"control.stale_no_raises_s is {stale_s:g}"
            )
            yield Finding(route=("meters", at, "interval_s"), problem=problem)


def _check_stop_input(draft: SiteFileDraft) -> Iterator[Finding]:
    stop = draft.stop_input
    if stop is not None:
        yield from _check_bit(("stop_input", "bit"), stop.kind, stop.bit)


def _check_bit(route: Route, kind: str | None, bit: int | None) -> Iterator[Finding]:
    if kind is None:
        return
    is_register = kind.endswith("_register")
    if is_register and bit is None:
        yield Finding(route=route, problem="of a register, name the bit: 0 to 15")
    if not is_register and bit is not None:
        yield Finding(route=route, problem=f"only a register has bits; this is a {kind}")


def _check_tokens(draft: SiteFileDraft) -> Iterator[Finding]:
    tokens, accept = draft.authorize.tokens, draft.authorize.accept
    names = [None if token.id is None else token.id.casefold() for token in tokens]
    yield from _find_twice(("authorize", "tokens"), names)
    if tokens and accept in {"all", "station"}:
        problem = f"are not looked at with accept: {accept}; write accept: list, or take them out"
        yield Finding(route=("authorize", "tokens"), problem=problem, at="key")
    holders = draft.authorize.holders
    yield from _find_twice(("authorize", "holders"), [holder.id for holder in holders])
    owners: dict[str, str | None] = {}
    for at, holder in enumerate(holders):
        for place, name in enumerate(holder.id_tokens):
            if name is None:
                continue
            if name.casefold() in owners:
                problem = f"is of holder {owners[name.casefold()]} already"
                route = ("authorize", "holders", at, "id_tokens", place)
                yield Finding(route=route, problem=problem)
            owners.setdefault(name.casefold(), holder.id)


def _trip_outputs(draft: SiteFileDraft) -> Iterator[tuple[int, TripOutputDraft]]:
    for at, circuit in enumerate(draft.circuits):
        if circuit.trip_output is not None:
            yield at, circuit.trip_output


def _trip_route(at: int, key: str) -> Route:
    return ("circuits", at, "trip_output", key)


def _check_trip_outputs(draft: SiteFileDraft) -> Iterator[Finding]:
    taken: dict[object, str | None] = {}
    for at, output in _trip_outputs(draft):
        yield from _check_bit(_trip_route(at, "bit"), output.kind, output.bit)
        if None in (output.bus, output.unit, output.kind, output.address):
            continue
        place = (output.bus, output.unit, output.kind, output.address, output.bit)
        if place in taken:
            problem = f"this is the trip output of circuit {taken[place]} already"
            yield Finding(route=_trip_route(at, "address"), problem=problem)
        taken.setdefault(place, draft.circuits[at].id)
