"""The doctor's eyes, on real files, sockets, terminals and processes."""

import os
import pty
import socket
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.adapters.audit_chain import append, read_head
from gateway.adapters.ledger_schema import LEDGER_NAME, Seal, open_ledger, write_seal
from gateway.adapters.state_lock import holding_state
from gateway.cli.examination import (
    User,
    ask_daemon,
    look_at_clock,
    look_at_disk,
    look_at_ledger,
    look_at_port,
    look_at_serial,
    look_at_state,
    user_of,
)
from gateway.domain.ids import BusId
from gateway.settings import ListenAddress, SerialBus

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
HERE = user_of(Path("/nonexistent/state"), None)
SOMEBODY = User(name="somebody", number=12_345, groups=frozenset({12_345}))


# Rights.


@pytest.mark.parametrize(
    ("mode", "owner", "group", "may_write"),
    [
        (0o600, 12_345, 0, True),
        (0o460, 12_345, 12_345, False),  # The owner's rights count for the owner.
        (0o460, 0, 12_345, True),
        (0o646, 0, 0, True),
        (0o664, 0, 0, False),
    ],
)
def test_rights_are_those_of_the_user_who_runs_the_daemon(
    mode: int, owner: int, group: int, *, may_write: bool
) -> None:
    status = os.stat_result((stat.S_IFREG | mode, 0, 0, 1, owner, group, 0, 0, 0, 0))

    assert SOMEBODY.may(status, 0o6) is may_write
    assert replace(SOMEBODY, number=0).may(status, 0o6)


# Ports.


def at(host: str, port: int) -> ListenAddress:
    return ListenAddress(host=host, port=port)


def test_a_port_in_use_is_seen_with_who_has_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        facts = look_at_port("ocpp", at("127.0.0.1", port), daemon=None, serves_stations=True)

        assert facts.is_in_use
        assert os.getpid() in [holder.process for holder in facts.holders]
        assert facts.is_loopback

    facts = look_at_port("ocpp", at("127.0.0.1", port), daemon=None, serves_stations=True)
    assert (facts.problem, facts.is_in_use, facts.holders) == (None, False, ())


@pytest.mark.parametrize("host", ["192.0.2.7", "2001:db8::7", "no-such-host.invalid"])
def test_an_address_that_is_not_ours_is_told_as_such(host: str) -> None:
    facts = look_at_port("ocpp", at(host, 0), daemon=None, serves_stations=True)

    assert facts.problem
    assert not facts.is_in_use
    assert not facts.is_loopback


# Serial lines.


def a_bus(port: Path | str) -> SerialBus:
    return SerialBus(id=BusId("line"), port=str(port), baud=9600, format="8N1", timeout_s=0.5)


@pytest.fixture
def line() -> Iterator[str]:
    near, far = pty.openpty()
    try:
        name = os.ttyname(far)
        os.close(far)
        yield name
    finally:
        os.close(near)


def test_a_terminal_line_that_nobody_has_is_free(line: str) -> None:
    facts = look_at_serial(a_bus(line), user=HERE, daemon=None)

    assert (facts.exists, facts.is_tty, facts.is_permitted, facts.holders) == (True, True, True, ())


def test_a_line_somebody_may_not_open_is_seen_for_that_user(line: str) -> None:
    Path(line).chmod(0o600)

    assert not look_at_serial(a_bus(line), user=SOMEBODY, daemon=None).is_permitted


HOLD = """
import fcntl, os, sys
held = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
if sys.argv[2] == "locked":
    fcntl.flock(held, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("how", ["locked", "open"])
def test_a_line_another_process_has_is_seen_with_that_process(line: str, how: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, line, how], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        facts = look_at_serial(a_bus(line), user=HERE, daemon=None)
        other.kill()

    assert [holder.process for holder in facts.holders] == [other.pid]
    assert facts.holders[0].name is not None
    assert facts.is_tty


def test_what_is_no_serial_port_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert not look_at_serial(a_bus(tmp_path / "file"), user=HERE, daemon=None).is_tty
    assert not look_at_serial(a_bus("/dev/null"), user=HERE, daemon=None).is_tty
    assert not look_at_serial(a_bus(tmp_path / "none"), user=HERE, daemon=None).exists


# The state folder and the ledger.


def test_a_state_folder_is_judged_for_who_runs_the_daemon(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    (folder / LEDGER_NAME).touch()

    assert look_at_state(folder, HERE).foreign == ()
    facts = look_at_state(folder, SOMEBODY)
    assert not facts.is_usable
    assert facts.foreign == (LEDGER_NAME,)
    missing = look_at_state(tmp_path / "none" / "yet", HERE)
    assert (missing.exists, missing.is_usable, missing.foreign) == (False, True, ())


def test_who_runs_the_daemon_is_who_owns_its_folder(tmp_path: Path) -> None:
    assert user_of(tmp_path, None).number == os.geteuid()
    assert user_of(tmp_path / "none", os.getpid()).number == os.geteuid()


def a_ledger(folder: Path, *, acts: int = 3) -> Path:
    path = folder / LEDGER_NAME
    with closing(open_ledger(path, site="Dockside", now_at=NOON)) as ledger:
        head = read_head(ledger)
        for n in range(acts):
            head = append(
                ledger, head, noted_at=NOON.isoformat(), kind="act", subject=f"{n}", detail="{}"
            )
    return path


def test_a_sound_ledger_is_sound_while_somebody_writes_it(tmp_path: Path) -> None:
    path = a_ledger(tmp_path)
    with closing(sqlite3.connect(path, isolation_level=None)) as writing:
        writing.execute("BEGIN IMMEDIATE")
        writing.execute("UPDATE audit SET kind = kind")
        facts = look_at_ledger(tmp_path, site="Dockside")

    assert (facts.exists, facts.audit_rows) == (True, 3)
    assert not any((facts.refused, facts.unreadable, facts.damage, facts.broken_audit))
    assert facts.aside == ()


def test_a_ledger_of_another_site_is_refused(tmp_path: Path) -> None:
    a_ledger(tmp_path)

    assert "Dockside" in (look_at_ledger(tmp_path, site="Quayside").refused or "")
    assert look_at_ledger(tmp_path, site=None).refused is None


def test_a_ledger_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(a_ledger(tmp_path), isolation_level=None)) as ledger:
        write_seal(ledger, Seal(site="Dockside", begun_at="", version=99))
        ledger.execute("PRAGMA user_version = 99")

    assert "newer Headroom" in (look_at_ledger(tmp_path, site="Dockside").refused or "")


def test_a_row_of_the_audit_that_was_changed_is_found(tmp_path: Path) -> None:
    with closing(sqlite3.connect(a_ledger(tmp_path), isolation_level=None)) as ledger:
        ledger.execute("UPDATE audit SET subject = 'another' WHERE number = 2")

    assert "row 2" in (look_at_ledger(tmp_path, site="Dockside").broken_audit or "")


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0" * 300])
def test_a_file_that_is_no_sound_database_is_damage(tmp_path: Path, content: bytes) -> None:
    (tmp_path / LEDGER_NAME).write_bytes(content)

    assert "damaged" in (look_at_ledger(tmp_path, site="Dockside").damage or "")


def test_ledgers_moved_aside_are_seen_and_none_is_none(tmp_path: Path) -> None:
    (tmp_path / "ledger-damaged-20260105T120000Z.db").touch()

    facts = look_at_ledger(tmp_path, site="Dockside")

    assert not facts.exists
    assert facts.aside == ("ledger-damaged-20260105T120000Z.db",)


# The machine, and the daemon.


def test_the_disk_and_the_clock_are_those_of_this_machine(tmp_path: Path) -> None:
    disk = look_at_disk(tmp_path / "not" / "there")

    assert disk.path == str(tmp_path)
    assert 0 <= disk.free_bytes <= disk.total_bytes
    assert not disk.is_read_only
    assert look_at_disk(Path("/proc/self")).total_bytes == 0
    assert look_at_clock().now_at.year >= 2024


def test_a_daemon_that_is_not_there_is_said_to_be_so(tmp_path: Path) -> None:
    with holding_state(tmp_path):
        assert ask_daemon(tmp_path) == f"no daemon runs with the state folder {tmp_path}"
