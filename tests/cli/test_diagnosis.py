"""What the doctor makes of what it found: each fault has its words, and a fix that says what to do."""

import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gateway.cli.diagnosis import (
    ClockFacts,
    DiskFacts,
    Finding,
    Holder,
    LedgerFacts,
    PortFacts,
    SerialFacts,
    SiteFacts,
    StateFacts,
    Verdict,
    judge_clock,
    judge_daemon,
    judge_disk,
    judge_ledger,
    judge_port,
    judge_serial,
    judge_silence,
    judge_site,
    judge_state,
)
from gateway.domain.alarms import Alarm
from gateway.services.snapshot import CircuitView, PhaseView, Snapshot, SourceView, StationView

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
PASS, WARN, FAIL = Verdict

PORT = PortFacts(
    listener="ocpp",
    host="10.0.0.2",
    port=9000,
    problem=None,
    is_in_use=False,
    holders=(),
    daemon=None,
    serves_stations=True,
    is_loopback=False,
)
TAKEN = replace(PORT, problem="Address already in use", is_in_use=True)
US, OTHER = Holder(process=7, name="headroom"), Holder(process=8, name="nginx")


@pytest.mark.parametrize(
    ("facts", "verdict", "words"),
    [
        (PORT, PASS, "10.0.0.2:9000 is free"),
        (replace(PORT, port=0, daemon=7), PASS, "any free port"),
        (replace(TAKEN, daemon=7, holders=(US,)), PASS, "the daemon listens"),
        (replace(TAKEN, daemon=7), PASS, "the daemon listens"),  # Another user's: holders unseen.
        (replace(TAKEN, holders=(OTHER,)), FAIL, r"in use by process 8 \(nginx\)"),
        (replace(TAKEN, daemon=7, holders=(OTHER,)), FAIL, r"process 8"),
        (TAKEN, FAIL, "in use by another process"),
        (replace(PORT, problem="Permission denied"), FAIL, "Permission denied"),
        (replace(PORT, daemon=7), WARN, "does not listen"),
    ],
)
def test_a_port(facts: PortFacts, verdict: Verdict, words: str) -> None:
    (finding,) = judge_port(facts)

    check(finding, verdict, words)


def test_a_listener_of_this_machine_alone_is_no_use_to_stations() -> None:
    local = replace(PORT, host="127.0.0.1", is_loopback=True)

    assert [f.verdict for f in judge_port(local)] == [PASS, WARN]
    assert [f.verdict for f in judge_port(replace(local, serves_stations=False))] == [PASS]


SERIAL = SerialFacts(
    bus="plant",
    port="/dev/serial/by-id/usb-A",
    user="headroom",
    group="dialout",
    exists=True,
    is_tty=True,
    is_permitted=True,
    holders=(),
    daemon=None,
    adapters=("/dev/serial/by-id/usb-A",),
)


@pytest.mark.parametrize(
    ("facts", "verdict", "words"),
    [
        (SERIAL, PASS, "usb-A is a serial port headroom may open"),
        (replace(SERIAL, exists=False), FAIL, "does not exist .*plugged in: .*usb-A"),
        (replace(SERIAL, exists=False, adapters=()), FAIL, "does not exist .*none is plugged in"),
        (replace(SERIAL, is_tty=False), FAIL, "is no serial port"),
        (replace(SERIAL, is_permitted=False), FAIL, "may not open .*usermod -aG dialout headroom"),
        (replace(SERIAL, holders=(OTHER,)), FAIL, r"held by process 8 \(nginx\)"),
        (replace(SERIAL, holders=(US, OTHER), daemon=7), FAIL, r"held by process 8 "),
        (replace(SERIAL, holders=(US,), daemon=7), PASS, "serial port"),
        (replace(SERIAL, port="/dev/ttyUSB0"), WARN, "another adapter .*by-id/usb-A"),
        (replace(SERIAL, port="/dev/ttyS0", adapters=()), PASS, "serial port"),
    ],
)
def test_a_serial_port(facts: SerialFacts, verdict: Verdict, words: str) -> None:
    check(judge_serial(facts), verdict, words)


@pytest.mark.parametrize(
    ("now_at", "is_synchronised", "verdict", "words"),
    [
        (NOON, True, PASS, "2026-01-05 12:00 UTC and is kept right"),
        (NOON, False, WARN, "nothing keeps it right .*set-ntp"),
        (datetime(1970, 1, 1, tzinfo=UTC), False, FAIL, "1970-01-01 .*never set .*set-time"),
        (datetime(2023, 12, 31, tzinfo=UTC), True, FAIL, "never set"),
    ],
)
def test_the_clock(
    now_at: datetime, verdict: Verdict, words: str, *, is_synchronised: bool
) -> None:
    check(judge_clock(ClockFacts(now_at=now_at, is_synchronised=is_synchronised)), verdict, words)


DISK = DiskFacts(
    path="/var/lib",
    free_bytes=2 * 2**30,
    total_bytes=8 * 2**30,
    free_inodes=100_000,
    is_read_only=False,
)


@pytest.mark.parametrize(
    ("facts", "verdict", "words"),
    [
        (DISK, PASS, "2,048 MB of 8,192 MB are free"),
        (replace(DISK, free_inodes=None), PASS, "2,048 MB"),
        (replace(DISK, free_bytes=300 * 2**20), WARN, "300 MB .*make room"),
        (replace(DISK, free_bytes=0), FAIL, "0 MB .*make room"),
        (replace(DISK, free_inodes=3), FAIL, "room for 3 more files"),
        (replace(DISK, is_read_only=True), FAIL, "takes nothing .*dmesg"),
    ],
)
def test_the_disk(facts: DiskFacts, verdict: Verdict, words: str) -> None:
    check(judge_disk(facts), verdict, words)


STATE = StateFacts(folder="/s", user="headroom", exists=True, is_usable=True, foreign=())


@pytest.mark.parametrize(
    ("facts", "verdict", "words"),
    [
        (STATE, PASS, "/s belongs to headroom"),
        (replace(STATE, exists=False), PASS, "can be made"),
        (
            replace(STATE, is_usable=False),
            FAIL,
            "cannot be written to by headroom .*-o headroom /s",
        ),
        (replace(STATE, exists=False, is_usable=False), FAIL, "cannot be made"),
        (replace(STATE, foreign=None), WARN, "cannot be looked into .*sudo"),
        (replace(STATE, foreign=("ledger.db",)), FAIL, "ledger.db .*chown -R headroom: /s"),
    ],
)
def test_the_state_folder(facts: StateFacts, verdict: Verdict, words: str) -> None:
    check(judge_state(facts), verdict, words)


LEDGER = LedgerFacts(path="/s/ledger.db", exists=True, audit_rows=3)


@pytest.mark.parametrize(
    ("facts", "verdict", "words"),
    [
        (LEDGER, PASS, "sound, and its audit of 3 rows whole"),
        (replace(LEDGER, exists=False), PASS, "not there yet"),
        (replace(LEDGER, refused="it is newer: run that one"), FAIL, "it is newer run that one"),
        (replace(LEDGER, unreadable="locked"), WARN, "cannot be read: locked"),
        (replace(LEDGER, damage="a page is bad"), FAIL, "a page is bad"),
        (replace(LEDGER, broken_audit="row 2 is missing"), FAIL, "row 2 is missing .*backup"),
    ],
)
def test_the_ledger(facts: LedgerFacts, verdict: Verdict, words: str) -> None:
    (finding,) = judge_ledger(facts)

    check(finding, verdict, words)


def test_damaged_ledgers_that_were_moved_aside_are_told_of() -> None:
    findings = list(judge_ledger(replace(LEDGER, aside=("ledger-damaged-1.db",))))

    check(findings[1], WARN, "ledger-damaged-1.db")


SITE = SiteFacts(path="/e/site.yaml", user="headroom", mistakes=(), station_count=2)


def test_a_site_file_without_fault_passes() -> None:
    assert [f.verdict for f in judge_site(SITE)] == [PASS, PASS]


def test_a_trip_output_is_listed_with_its_place() -> None:
    facts = replace(SITE, trip_outputs={"carpark": "coil 5 of unit 9 on bus plant"})

    (found,) = (finding for finding in judge_site(facts) if finding.area == "trip outputs")

    assert found.verdict is PASS
    assert found.what == "circuit carpark is opened by coil 5 of unit 9 on bus plant"


@pytest.mark.parametrize(
    ("facts", "verdict", "words"),
    [
        (replace(SITE, mistakes=("site.yaml:3:4: rating",)), FAIL, "3:4: rating .*headroom check"),
        (replace(SITE, doubts=("site.yaml:3:4: odd",)), WARN, "3:4: odd"),
        (replace(SITE, is_readable=False), FAIL, "headroom may not read .*chmod"),
        (replace(SITE, damaged_copy="the copy is damaged"), WARN, "the copy is damaged"),
        (replace(SITE, locked_out={"CP-01": "no password"}), FAIL, "CP-01 cannot log in: no pass"),
        (replace(SITE, poor={"CP-01": "too short"}), WARN, "CP-01: too short"),
    ],
)
def test_a_site_file(facts: SiteFacts, verdict: Verdict, words: str) -> None:
    (finding,) = [f for f in judge_site(facts) if f.verdict is not PASS]

    check(finding, verdict, words)


def a_station(
    name: str, *, is_connected: bool = True, obeys: bool = True, falls_back: bool = True
) -> StationView:
    return StationView(id=name, is_connected=is_connected, obeys=obeys, falls_back=falls_back)


def a_circuit(*ages_s: float | None) -> CircuitView:
    phases = tuple(
        PhaseView(
            phase=f"L{n}",
            rating_ma=63_000,
            set_point_ma=60_000,
            bound_ma=60_000,
            bound_source=None,
            current_ma=0,
            age_s=age_s,
            base_ma=0,
            reserve_ma=0,
            promised_ma=0,
            available_ma=0,
            claimed_ma=0,
        )
        for n, age_s in enumerate(ages_s, 1)
    )
    return CircuitView(id="supply", parent=None, device="mcb", meter="main", phases=phases)


def a_source(age_s: float | None) -> SourceView:
    return SourceView(id="roof", meter="roof-meter", age_s=age_s)


WELL = Snapshot(
    site="Dockside",
    at=NOON,
    running_s=600,
    is_stopped=False,
    circuits=(a_circuit(0.4, 0.4, 0.4),),
    connectors=(),
    stations=(a_station("CP-01"), a_station("CP-02")),
    counters={},
)


def test_a_daemon_that_is_well_passes() -> None:
    findings = list(judge_daemon(WELL, site="Dockside"))

    assert {f.verdict for f in findings} == {PASS}
    assert {f.area for f in findings} == {"daemon", "stations", "meters"}

    unmetered = SourceView(id="roof", meter=None, age_s=None)
    with_sources = replace(WELL, sources=(a_source(0.4), unmetered))
    findings = list(judge_daemon(with_sources, site="Dockside"))
    assert {f.verdict for f in findings} == {PASS}
    assert findings[-1].what == "all 2 speak"


ALARM = Alarm(name="configuration", text="site.yaml is refused", since_at=NOON)


@pytest.mark.parametrize(
    ("snapshot", "verdict", "words"),
    [
        (replace(WELL, alarms=(ALARM,)), FAIL, "ALARM configuration: site.yaml is refused"),
        (replace(WELL, site="Quayside"), FAIL, "controls 'Quayside', .*'Dockside'"),
        (replace(WELL, stations=(a_station("A", is_connected=False),)), FAIL, "not connected: A"),
        (replace(WELL, pending=("CP-99",)), WARN, "not in the site file: CP-99"),
        (replace(WELL, stations=(a_station("A", obeys=False),)), WARN, "to obey a limit: A"),
        (replace(WELL, stations=(a_station("A", falls_back=False),)), WARN, "fall back .*: A"),
        (replace(WELL, circuits=(a_circuit(0.4, 12.0),)), FAIL, "main .*supply.* for 12 s"),
        (replace(WELL, circuits=(a_circuit(None),)), FAIL, "main .* since the start"),
        (replace(WELL, sources=(a_source(11.0),)), FAIL, "roof-meter .*source roof.* for 11 s"),
        (replace(WELL, sources=(a_source(None),)), FAIL, "roof-meter .* since the start"),
    ],
)
def test_what_a_daemon_misses(snapshot: Snapshot, verdict: Verdict, words: str) -> None:
    (finding,) = [f for f in judge_daemon(snapshot, site="Dockside") if f.verdict is not PASS]

    check(finding, verdict, words)


def test_a_daemon_that_does_not_answer_is_told_from_none() -> None:
    check(judge_silence("nobody is there", daemon=None), WARN, "nobody is there .*systemctl start")
    check(judge_silence("no answer", daemon=7), FAIL, "process 7 has .*no answer .*status headroom")


def test_a_daemon_that_has_just_begun_may_still_wait() -> None:
    young = replace(
        WELL,
        running_s=5,
        stations=(a_station("A", is_connected=False),),
        circuits=(a_circuit(None),),
    )

    assert [f.verdict for f in judge_daemon(young, site=None) if f.verdict is not PASS] == [
        WARN,
        WARN,
    ]


def check(finding: Finding, verdict: Verdict, words: str) -> None:
    """Fail unless the finding has the verdict, the words, and a fix if it wants one."""
    assert finding.verdict is verdict
    said = f"{finding.what} {finding.fix or ''}"
    assert re.search(words, said), said
    assert (finding.fix is None) is (verdict is PASS)
