"""What `headroom doctor` makes of what it found: PASS, WARN or FAIL, in words, with the fix."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from gateway.domain.moments import FIRST_BELIEVABLE_YEAR
from gateway.services.snapshot import Snapshot

FEW_BYTES = 100 * 2**20
SCARCE_BYTES = 500 * 2**20
FEW_INODES = 100
SILENT_S = 10.0
"""A meter is silent when control counts the declared worst case for it (design §3)."""

YOUNG_S = 120.0
"""Before, a daemon that runs may still be waiting for its stations: they are not missing yet."""

TOLD_COUNT = 5


class Verdict(StrEnum):
    """How a thing is; WARN is worth a look, FAIL keeps the site from working as declared."""

    PASS = "PASS"  # noqa: S105 - no password
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at: what it is about, how it is, and what to do; `fix` is None for PASS."""

    area: str
    verdict: Verdict
    what: str
    fix: str | None = None


def passed(area: str, what: str) -> Finding:
    """Return a finding that needs nobody."""
    return Finding(area=area, verdict=Verdict.PASS, what=what)


def warned(area: str, what: str, fix: str) -> Finding:
    """Return a finding worth a look."""
    return Finding(area=area, verdict=Verdict.WARN, what=what, fix=fix)


def failed(area: str, what: str, fix: str) -> Finding:
    """Return a finding that somebody must act on."""
    return Finding(area=area, verdict=Verdict.FAIL, what=what, fix=fix)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A process that has something we want; `name` is None where it cannot be told."""

    process: int
    name: str | None

    def __str__(self) -> str:
        """Return it in words."""
        return f"process {self.process}" + ("" if self.name is None else f" ({self.name})")


# The site file, and the passwords beside it.


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteFacts:
    """A site file: what is wrong with it and what is doubtful, a line each, with its place.

    `user` runs the daemon; `locked_out` are the stations that cannot log in, and why; `poor`
    those with a password that should be better, and why. `damaged_copy` says what is wrong with
    the last good site file, None if nothing is. `trip_outputs` tells of a circuit where its is.
    """

    path: str
    user: str
    mistakes: tuple[str, ...]
    doubts: tuple[str, ...] = ()
    is_readable: bool = True
    locked_out: Mapping[str, str] = field(default_factory=dict)
    poor: Mapping[str, str] = field(default_factory=dict)
    station_count: int = 0
    damaged_copy: str | None = None
    trip_outputs: Mapping[str, str] = field(default_factory=dict)


def judge_site(facts: SiteFacts) -> Iterator[Finding]:
    """Yield how the site file is, and whether every station can log in."""
    area = "site file"
    for line in facts.mistakes:
        yield failed(area, line, f"mend it; `headroom check {facts.path}` shows the line")
    for line in facts.doubts:
        yield warned(area, line, "make sure that it is meant")
    if not facts.is_readable:
        what = f"{facts.user} may not read {facts.path}"
        yield failed(area, what, f"sudo chmod 644 {facts.path}")
    if facts.damaged_copy is not None:
        fix = "delete it; the daemon keeps another when it has run for a moment"
        yield warned(area, facts.damaged_copy, fix)
    if facts.mistakes:
        return
    yield passed(area, f"{facts.path} has no mistakes, and silence fits every circuit")
    for circuit, place in facts.trip_outputs.items():
        yield passed("trip outputs", f"circuit {circuit} is opened by {place}")
    for station, problem in facts.locked_out.items():
        fix = "put it there, in a file of that name, and restart the daemon"
        yield failed("passwords", f"station {station} cannot log in: {problem}", fix)
    for station, problem in facts.poor.items():
        yield warned("passwords", f"station {station}: {problem}", "set another at both ends")
    if not facts.locked_out and not facts.poor:
        yield passed("passwords", f"all {facts.station_count} stations can log in")


# Ports.


@dataclass(frozen=True, slots=True, kw_only=True)
class PortFacts:
    """One address the daemon listens at: `problem` is why it cannot be had now, None if it can.

    `holders` are those who listen there, as far as they can be told; `daemon` is the process
    that has the state folder, None if there is none.
    """

    listener: str
    host: str
    port: int
    problem: str | None
    is_in_use: bool
    holders: tuple[Holder, ...]
    daemon: int | None
    serves_stations: bool
    is_loopback: bool


def judge_port(facts: PortFacts) -> Iterator[Finding]:
    """Yield how the address of one listener is."""
    area = f"port {facts.listener}"
    where = f"{facts.host}:{facts.port}"
    others = [holder for holder in facts.holders if holder.process != facts.daemon]
    setting = f"listen.{facts.listener}"
    if facts.port == 0:
        yield passed(area, "any free port will do")
    elif facts.is_in_use and facts.daemon is not None and not others:
        yield passed(area, f"the daemon listens at {where}")
    elif facts.is_in_use:
        who = ", ".join(map(str, others)) or "another process"
        fix = f"end it, or choose another port in {setting}.port"
        yield failed(area, f"{where} is in use by {who}", fix)
    elif facts.problem is not None:
        fix = f"choose an address of this machine and a port above 1023 in {setting}"
        yield failed(area, f"{where} cannot be listened at: {facts.problem}", fix)
    elif facts.daemon is not None:
        fix = "restart it, if the site file was changed since it started"
        yield warned(area, f"a daemon runs and does not listen at {where}", fix)
    else:
        yield passed(area, f"{where} is free")
    if facts.serves_stations and facts.is_loopback:
        fix = f"set {setting}.host to the address of the network the stations are on"
        yield warned(area, f"{facts.host} is this machine alone: stations cannot reach it", fix)


# The state folder, and what is in it.


@dataclass(frozen=True, slots=True, kw_only=True)
class StateFacts:
    """The state folder, as it is for `user`, who runs the daemon.

    `foreign` are files in it that belong to somebody else; None if they cannot be looked at.
    """

    folder: str
    user: str
    exists: bool
    is_usable: bool
    foreign: tuple[str, ...] | None


def judge_state(facts: StateFacts) -> Finding:
    """Return how the state folder is."""
    area, folder, user = "state folder", facts.folder, facts.user
    if not facts.is_usable:
        what = f"{folder} cannot be {'written to' if facts.exists else 'made'} by {user}"
        return failed(area, what, f"sudo install -d -m 700 -o {user} {folder}")
    if not facts.exists:
        return passed(area, f"{folder} is not there yet, and can be made")
    if facts.foreign is None:
        what = f"{folder} cannot be looked into by this user"
        return warned(area, what, "run the doctor with sudo")
    if facts.foreign:
        what = f"in {folder} are files that do not belong to {user}: {_few(facts.foreign)}"
        return failed(area, what, f"sudo chown -R {user}: {folder}")
    return passed(area, f"{folder} belongs to {user}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerFacts:
    """The ledger: what keeps it from being used (`refused`), read, or believed; None if nothing.

    `aside` are damaged ledgers that the daemon has moved away.
    """

    path: str
    exists: bool
    refused: str | None = None
    unreadable: str | None = None
    damage: str | None = None
    broken_audit: str | None = None
    audit_rows: int = 0
    aside: tuple[str, ...] = ()


def judge_ledger(facts: LedgerFacts) -> Iterator[Finding]:
    """Yield how the ledger is."""
    area = "ledger"
    if facts.refused is not None:
        what, _, fix = facts.refused.partition(": ")
        yield failed(area, what, fix or "choose another folder with --state")
    elif facts.unreadable is not None:
        fix = "run the doctor with sudo; if that does not help, check the disk"
        yield warned(area, f"{facts.path} cannot be read: {facts.unreadable}", fix)
    elif facts.damage is not None:
        fix = "restart the daemon, which saves what can be read; then check the disk or card"
        yield failed(area, facts.damage, fix)
    elif facts.broken_audit is not None:
        fix = "somebody or a failing disk changed it: compare with the newest backup"
        yield failed(area, f"the audit in {facts.path} is broken: {facts.broken_audit}", fix)
    elif not facts.exists:
        yield passed(area, f"{facts.path} is not there yet")
    else:
        yield passed(area, f"{facts.path} is sound, and its audit of {facts.audit_rows} rows whole")
    if facts.aside:
        fix = "check the disk or card; delete them when nobody needs them any more"
        yield warned(area, f"damaged ledgers were moved aside: {_few(facts.aside)}", fix)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskFacts:
    """The file system the state folder is on."""

    path: str
    free_bytes: int
    total_bytes: int
    free_inodes: int | None
    is_read_only: bool


def judge_disk(facts: DiskFacts) -> Finding:
    """Return how much room there is."""
    area = "disk"
    free = f"{facts.free_bytes / 2**20:,.0f} MB of {facts.total_bytes / 2**20:,.0f} MB are free"
    if facts.is_read_only:
        fix = "a failing disk or card does that: look at `dmesg`, save what matters, replace it"
        return failed(area, f"{facts.path} is on a disk that takes nothing", fix)
    fix = "make room: old logs (journalctl --vacuum-size=100M), old backups and packages"
    if facts.free_bytes < FEW_BYTES:
        return failed(area, f"{free} at {facts.path}", fix)
    if facts.free_inodes is not None and facts.free_inodes < FEW_INODES:
        return failed(area, f"{facts.path} has room for {facts.free_inodes} more files", fix)
    if facts.free_bytes < SCARCE_BYTES:
        return warned(area, f"{free} at {facts.path}", fix)
    return passed(area, f"{free} at {facts.path}")


# Serial lines.


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialFacts:
    """A serial port as it is for `user`, who runs the daemon; `group` may open it.

    `holders` have it open now, as far as they can be told; `adapters` are the lasting names of
    what is plugged in.
    """

    bus: str
    port: str
    user: str
    group: str | None
    exists: bool
    is_tty: bool
    is_permitted: bool
    holders: tuple[Holder, ...]
    daemon: int | None
    adapters: tuple[str, ...]


def judge_serial(facts: SerialFacts) -> Finding:
    """Return how a serial port is."""
    area, port = f"bus {facts.bus}", facts.port
    others = [holder for holder in facts.holders if holder.process != facts.daemon]
    if not facts.exists:
        here = f"plugged in: {_few(facts.adapters)}" if facts.adapters else "none is plugged in"
        fix = f"plug the adapter in, or name the one that is there in the site file ({here})"
        return failed(area, f"{port} does not exist", fix)
    if not facts.is_tty:
        return failed(area, f"{port} is no serial port", "name the port in the site file")
    if not facts.is_permitted:
        group = facts.group or "dialout"
        fix = f"sudo usermod -aG {group} {facts.user}, then restart the daemon"
        return failed(area, f"{facts.user} may not open {port}", fix)
    if others:
        who = ", ".join(map(str, others))
        fix = "end it: two masters on one line make each other's answers useless"
        return failed(area, f"{port} is held by {who}", fix)
    if facts.daemon is not None and not facts.holders:
        return passed(area, f"{port} is a serial port {facts.user} may open")
    if "/by-" not in port and facts.adapters:
        fix = f"name it by {_few(facts.adapters)}"
        return warned(area, f"{port} may be another adapter after the next power cut", fix)
    return passed(area, f"{port} is a serial port {facts.user} may open")


# The clock.


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockFacts:
    """The wall clock, and whether something keeps it right."""

    now_at: datetime
    is_synchronised: bool


def judge_clock(facts: ClockFacts) -> Finding:
    """Return how the clock is: control goes by another, but plans, tariffs and keys go by this."""
    area, shown = "clock", f"{facts.now_at:%Y-%m-%d %H:%M} UTC"
    if facts.now_at.year < FIRST_BELIEVABLE_YEAR:
        fix = "give it a network that tells the time, or `sudo timedatectl set-time`, or a battery"
        return failed(area, f"the clock shows {shown}: it was never set", fix)
    if not facts.is_synchronised:
        fix = "sudo timedatectl set-ntp true, or install chrony; `timedatectl` shows how it goes"
        return warned(area, f"the clock shows {shown}, and nothing keeps it right", fix)
    return passed(area, f"the clock shows {shown} and is kept right")


# What the daemon says.


def judge_silence(why: str, *, daemon: int | None) -> Finding:
    """Return what it means that no daemon answers; `daemon` is who has the state folder."""
    if daemon is None:
        fix = "start it (sudo systemctl start headroom), and run the doctor again"
        return warned("daemon", f"stations and meters cannot be judged: {why}", fix)
    what = f"process {daemon} has the state folder and does not answer here: {why}"
    return failed(
        "daemon", what, "see how it is: systemctl status headroom, journalctl -u headroom"
    )


def judge_daemon(snapshot: Snapshot, *, site: str | None) -> Iterator[Finding]:
    """Yield what a running daemon knows of alarms, stations and meters.

    `site` is what the site file calls the building, None if it is refused.
    """
    if site not in (None, snapshot.site):
        what = f"the daemon that runs controls {snapshot.site!r}, and the site file is of {site!r}"
        yield failed("daemon", what, "restart it with this file, or choose its folder with --state")
    since = f"{snapshot.running_s / 60:.0f} min" if snapshot.running_s >= 60 else "a moment"  # noqa: PLR2004 - a minute
    if not snapshot.alarms:
        yield passed("daemon", f"it runs since {since}, without alarm")
    for alarm in snapshot.alarms:
        yield failed("daemon", f"ALARM {alarm.name}: {alarm.text}", "do as the alarm says")
    yield from _judge_stations(snapshot)
    yield from _judge_meters(snapshot)


def _judge_stations(snapshot: Snapshot) -> Iterator[Finding]:
    area = "stations"
    missing = [view.id for view in snapshot.stations if not view.is_connected]
    if missing:
        what = f"not connected: {_few(missing)}"
        fix = (
            "check their address of this gateway, their name and password, and the network;"
            " the log says who was turned away"
        )
        is_young = snapshot.running_s < YOUNG_S
        yield warned(area, what, "wait a minute") if is_young else failed(area, what, fix)
    if snapshot.pending:
        fix = "add them to the site file if they belong here; until then they get no power from us"
        yield warned(area, f"connected, and not in the site file: {_few(snapshot.pending)}", fix)
    connected = [view for view in snapshot.stations if view.is_connected]
    unproven = [view.id for view in connected if not view.obeys]
    if unproven:
        fix = "charge a vehicle there for some minutes: the trial then happens by itself"
        yield warned(area, f"not yet seen to obey a limit: {_few(unproven)}", fix)
    unlapsed = [view.id for view in connected if view.obeys and not view.falls_back]
    if unlapsed:
        fix = "until it is, each counts its maximum when it is lost for longer than its lease"
        yield warned(area, f"not yet seen to fall back by itself: {_few(unlapsed)}", fix)
    if not (missing or unproven or unlapsed):
        yield passed(area, f"all {len(connected)} are connected and proven")


def _judge_meters(snapshot: Snapshot) -> Iterator[Finding]:
    ages_s = list(_meter_ages_s(snapshot))
    silent = [(told, age_s) for told, age_s in ages_s if age_s is None or age_s > SILENT_S]
    for told, age_s in silent:
        since = "since the start" if age_s is None else f"for {age_s:.0f} s"
        what = f"{told} has said nothing new {since}"
        fix = "check its power, its line, its unit number and baud; `headroom read` asks it once"
        is_young = snapshot.running_s < SILENT_S
        yield warned("meters", what, "wait a moment") if is_young else failed("meters", what, fix)
    if not silent:
        yield passed("meters", f"all {len(ages_s)} speak")


def _meter_ages_s(snapshot: Snapshot) -> Iterator[tuple[str, float | None]]:
    """Yield every meter that something depends on, and how old what it said last is."""
    for circuit in snapshot.circuits:
        if circuit.meter is not None:
            ages_s = [phase.age_s for phase in circuit.phases]
            known_s = [age_s for age_s in ages_s if age_s is not None]
            is_whole = len(known_s) == len(ages_s)
            yield f"{circuit.meter} (circuit {circuit.id})", max(known_s) if is_whole else None
    for source in snapshot.sources:
        if source.meter is not None:
            yield f"{source.meter} (source {source.id})", source.age_s


def _few(names: tuple[str, ...] | list[str]) -> str:
    """Return some of the names, and how many more there are."""
    more = len(names) - TOLD_COUNT
    return ", ".join(names[:TOLD_COUNT]) + (f" and {more} more" if more > 0 else "")
