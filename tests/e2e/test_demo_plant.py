"""The demo whole: the daemon, and the building in a process of its own behind real protocols."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import daemon_process
from tests.support.daemon_process import headroom

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "config" / "site.demo.yaml"
KEYS = {
    "energy_vs_omniscient",
    "limit_changes_per_connector_h",
    "needless_pauses_per_connector_h",
    "circuits",
    "sessions",
    "stations",
    "meters",
    "faults",
    "limit_latency_s",
    "invariants_violated",
}
KINDS = {
    "station_watts_only",
    "station_lost",
    "station_disobedient",
    "base_step",
    "meter_lost",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(daemon_process, "PATIENCE_S", 120.0)
    return tmp_path


def test_the_demo_runs_on_real_protocols_and_the_building_finds_no_fault_with_it(
    folder: Path,
) -> None:
    file = folder / "r.json"

    code, out, err = asyncio.run(
        headroom("demo", "-c", str(CONFIG), "--for", "30s", "--report", str(file))
    )

    report: dict[str, Any] = json.loads(file.read_text())
    assert (code, report["violations"]) == (0, []), err
    assert out.splitlines()[-1] == "invariants violated: 0"
    assert set(report) >= KEYS
    assert {meter["transport"] for meter in report["meters"]} == {"tcp", "rtu"}
    versions = [station["ocpp_version"] for station in report["stations"]]
    assert min(versions.count("ocpp1.6"), versions.count("ocpp2.0.1")) >= 4
    assert {fault["kind"] for fault in report["faults"]} == KINDS
    assert all(session["delivered_wh"] >= 0.0 for session in report["sessions"])
    assert sum(session["delivered_wh"] for session in report["sessions"]) > 0.0
    # The watts-only station took a limit: it was read that it takes no other.
    watts = next(f for f in report["faults"] if f["kind"] == "station_watts_only")
    assert watts["answered_in_s"] > 0.0
    assert report["limit_latency_s"]["p99"] > 0.0
    assert "main goes mute" in err


def test_a_building_whose_gateway_is_gone_ends_with_its_report(folder: Path) -> None:
    order = {
        "site": {
            "name": "Nowhere",
            "timezone": "Europe/London",
            "voltage_v": 230.0,
            "circuits": [],
            "meters": [],
            "stations": [],
        },
        "buses": [{"id": "line", "transport": "rtu", "baud": 9_600, "format": "8N1"}],
    }
    site = folder / "site.json"
    site.write_text(json.dumps(order))
    command = (sys.executable, "-m", "drivers.sim.live", "--seed", "1")
    reports = {name: folder / f"{name}.json" for name in ("orphan", "stopped")}

    def start(report: Path) -> subprocess.Popen[bytes]:
        words = (*command, "--site", str(site), "--report", str(report))
        process = subprocess.Popen(
            words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        assert process.stdin is not None
        assert process.stdout is not None
        buses = json.loads(process.stdout.readline())["buses"]
        assert os.path.exists(buses["line"]["serial"]["port"])  # noqa: PTH110 - a device
        process.stdin.write(b'{"ocpp": "ws://127.0.0.1:1"}\n')
        process.stdin.flush()
        return process

    with start(reports["orphan"]) as orphan:
        assert orphan.stdin is not None
        orphan.stdin.close()
        assert orphan.wait(30) == 0
    with start(reports["stopped"]) as stopped:
        stopped.send_signal(signal.SIGTERM)
        assert stopped.wait(30) == 0

    for report in reports.values():
        assert json.loads(report.read_text())["invariants_violated"] == 0
