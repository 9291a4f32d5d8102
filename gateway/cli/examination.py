"""What `headroom doctor` looks at: it asks the machine and the daemon, and changes nothing."""

import asyncio
import errno
import grp
import ipaddress
import os
import pwd
import socket
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from gateway.adapters import audit_chain
from gateway.adapters.clock import SystemClock, is_wall_clock_synchronised
from gateway.adapters.ledger_backup import open_to_read
from gateway.adapters.ledger_schema import (
    LEDGER_NAME,
    LedgerDamagedError,
    LedgerRefusedError,
    check_is_ours,
    check_is_sound,
    is_damage,
    schema_version,
)
from gateway.adapters.state_lock import holder_of
from gateway.adapters.status_socket import StatusUnavailableError, ask_status
from gateway.cli.diagnosis import (
    ClockFacts,
    DiskFacts,
    Holder,
    LedgerFacts,
    PortFacts,
    SerialFacts,
    StateFacts,
)
from gateway.cli.state_folder import SYSTEM_FOLDER, SYSTEM_SOCKET_FOLDER
from gateway.services.snapshot import Snapshot
from gateway.settings import ListenAddress, SerialBus

SERVICE_USER = "headroom"
ADAPTERS = Path("/dev/serial/by-id")
TTY_DRIVERS = Path("/proc/tty/drivers")
LISTENING = "0A"  # proc(5), /proc/net/tcp: the state of a socket that waits for callers.


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Who runs the daemon, or would."""

    name: str
    number: int
    groups: frozenset[int]

    def may(self, status: os.stat_result, wanted: int) -> bool:
        """Return whether the rights in `status` let the user: 4 read, 2 write, 1 enter."""
        if self.number == 0:
            return True
        shift = 6 if status.st_uid == self.number else 3 if status.st_gid in self.groups else 0
        return (status.st_mode >> shift) & wanted == wanted


def user_of(folder: Path, daemon: int | None) -> User:
    """Return who runs the daemon: who has it running, who owns the state folder, or ourselves."""
    for path in ([] if daemon is None else [Path(f"/proc/{daemon}")]) + [folder]:
        with suppress(OSError):
            return _user(path.stat().st_uid)
    if folder == SYSTEM_FOLDER:
        with suppress(KeyError):
            return _user(pwd.getpwnam(SERVICE_USER).pw_uid)
    return _user(os.geteuid())


def _user(number: int) -> User:
    try:
        entry = pwd.getpwuid(number)
    except KeyError:
        return User(name=str(number), number=number, groups=frozenset())
    groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
    if number == os.geteuid():
        groups += os.getgroups()
    return User(name=entry.pw_name, number=number, groups=frozenset(groups))


# Ports.


def look_at_port(
    listener: str, address: ListenAddress, *, daemon: int | None, serves_stations: bool
) -> PortFacts:
    """Return whether an address can be listened at, and who does."""
    problem = _bind_problem(address)
    return PortFacts(
        listener=listener,
        host=address.host,
        port=address.port,
        problem=None if problem is None else problem.strerror,
        is_in_use=problem is not None and problem.errno == errno.EADDRINUSE,
        holders=tuple(_listeners_at(address.port)) if address.port else (),
        daemon=daemon,
        serves_stations=serves_stations,
        is_loopback=_is_loopback(address.host),
    )


def _bind_problem(address: ListenAddress) -> OSError | None:
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        for family, kind, protocol, _, place in found:
            with socket.socket(family, kind, protocol) as trying:
                trying.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    trying.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                trying.bind(place)
                trying.listen(1)
    except OSError as error:
        return error
    return None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def _listeners_at(port: int) -> Iterator[Holder]:
    """Yield who listens at a TCP port, as far as this user may see."""
    inodes = set()
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{fields[9]}]")
    yield from _with_open(inodes)


def _with_open(targets: set[str]) -> Iterator[Holder]:
    """Yield the processes that have one of the files or sockets open, as far as we may see."""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or not targets:
            continue
        with suppress(OSError):
            if any(_leads_to(link) in targets for link in (folder / "fd").iterdir()):
                yield _holder(int(folder.name))


def _leads_to(link: Path) -> str | None:
    with suppress(OSError):
        return str(link.readlink())
    return None


def _holder(process: int) -> Holder:
    name = None
    with suppress(OSError):
        name = Path(f"/proc/{process}/comm").read_text(encoding="utf-8").strip() or None
    return Holder(process=process, name=name)


# The state folder, and what is in it.


def look_at_state(folder: Path, user: User) -> StateFacts:
    """Return whether `user` can use the state folder, or make it."""
    try:
        exists = folder.is_dir()
        status = nearest_there(folder).stat()
        names = sorted(path.name for path in folder.iterdir() if not _is_of(path, user))
    except FileNotFoundError:
        exists, names = False, []
        status = nearest_there(folder).stat()
    except PermissionError:
        return StateFacts(
            folder=str(folder), user=user.name, exists=True, is_usable=True, foreign=None
        )
    # systemd.exec(5), StateDirectory=: a service's folder is made for it.
    is_usable = user.may(status, 0o7 if exists else 0o3) or (not exists and folder == SYSTEM_FOLDER)
    return StateFacts(
        folder=str(folder), user=user.name, exists=exists, is_usable=is_usable, foreign=tuple(names)
    )


def _is_of(path: Path, user: User) -> bool:
    try:
        return path.lstat().st_uid == user.number
    except FileNotFoundError:
        return True  # Gone since.


def nearest_there(path: Path) -> Path:
    """Return the path, or the nearest folder above it that exists."""
    path = path.absolute()
    return next(place for place in (path, *path.parents) if place.exists())


def look_at_disk(folder: Path) -> DiskFacts:
    """Return how full the file system of the state folder is."""
    place = nearest_there(folder)
    status = os.statvfs(place)
    return DiskFacts(
        path=str(place),
        free_bytes=status.f_bavail * status.f_frsize,
        total_bytes=status.f_blocks * status.f_frsize,
        # Some file systems make inodes as they need them, and count none.
        free_inodes=status.f_favail if status.f_files else None,
        is_read_only=bool(status.f_flag & os.ST_RDONLY),
    )


def look_at_ledger(folder: Path, *, site: str | None) -> LedgerFacts:
    """Return how the ledger is; a daemon may be writing it meanwhile. `site` None: of any site."""
    path = folder / LEDGER_NAME
    facts = LedgerFacts(path=str(path), exists=True)
    try:
        aside = tuple(sorted(other.name for other in folder.glob(f"{path.stem}-damaged-*.db")))
        facts = replace(facts, exists=path.is_file(), aside=aside)
        if not facts.exists:
            return facts
        with closing(open_to_read(path)) as reading:
            check_is_ours(reading, path, site=site)
            check_is_sound(reading, path)
            if schema_version(reading) == 0:
                return facts
            broken = audit_chain.verify(reading)
            (rows,) = reading.execute("SELECT count(*) FROM audit").fetchone()
    except LedgerRefusedError as error:
        return replace(facts, refused=str(error))
    except LedgerDamagedError as error:
        return replace(facts, damage=str(error))
    except sqlite3.Error as error:
        if is_damage(error):
            return replace(facts, damage=f"{path} is damaged: {error}")
        return replace(facts, unreadable=str(error))
    except OSError as error:
        return replace(facts, unreadable=error.strerror)
    return replace(facts, broken_audit=broken, audit_rows=rows)


# Serial lines, and the clock.


def look_at_serial(bus: SerialBus, *, user: User, daemon: int | None) -> SerialFacts:
    """Return how a serial port is; it is not opened."""
    path = Path(bus.port)
    try:
        status = path.stat()
    except OSError:
        status = None
    holders = [] if status is None else list(_holders_of(path))
    return SerialFacts(
        bus=bus.id,
        port=bus.port,
        user=user.name,
        group=None if status is None else _group(status.st_gid),
        exists=status is not None,
        is_tty=status is not None and _is_tty(status),
        is_permitted=status is not None and user.may(status, 0o6),
        holders=tuple(holders),
        daemon=daemon,
        adapters=_adapters(),
    )


def _holders_of(path: Path) -> Iterator[Holder]:
    locker = holder_of(path)
    openers = list(_with_open({str(path.resolve())}))
    yield from openers
    if locker is not None and locker not in [opener.process for opener in openers]:
        yield _holder(locker)


def _is_tty(status: os.stat_result) -> bool:
    """Return whether a device is a terminal line, without opening it: that would move its signals."""
    if not stat.S_ISCHR(status.st_mode):
        return False
    try:
        lines = TTY_DRIVERS.read_text(encoding="ascii").splitlines()
    except OSError:
        return True
    major, minor = os.major(status.st_rdev), os.minor(status.st_rdev)
    # Name, path, major, minor or first-last minor, kind; the name may have blanks in it.
    fields = [line.split()[-3:-1] for line in lines]
    return any(
        int(of) == major and minor in _range(minors)
        for of, minors in fields
        if of.isdigit() and minors[:1].isdigit()
    )


def _range(minors: str) -> range:
    first, _, last = minors.partition("-")
    return range(int(first), int(last or first) + 1)


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _adapters() -> tuple[str, ...]:
    try:
        return tuple(sorted(str(path) for path in ADAPTERS.iterdir()))
    except OSError:
        return ()


def look_at_clock() -> ClockFacts:
    """Return what the wall clock shows."""
    return ClockFacts(now_at=SystemClock().now_at(), is_synchronised=is_wall_clock_synchronised())


# The daemon.


def ask_daemon(folder: Path) -> Snapshot | str:
    """Return what the daemon with that state folder shows, or why it shows nothing."""
    places = [folder, SYSTEM_SOCKET_FOLDER] if folder == SYSTEM_FOLDER else [folder]
    why = ""
    for place in places:
        try:
            answer = asyncio.run(ask_status(place))
            snapshot = msgspec.json.decode(answer, type=Snapshot | None)
        except StatusUnavailableError as error:
            why = why or str(error)
        except msgspec.MsgspecError:
            return f"the daemon that answers in {place} is of another version"
        else:
            return snapshot or "the daemon has only just started: ask again"
    return why
