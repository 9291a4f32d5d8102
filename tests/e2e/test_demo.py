"""The demo, on a plant that is one meter and one station: it starts, shows, ends and judges."""

import asyncio
import json
import os
import pty
import re
import signal
import sys
from pathlib import Path

import pytest

from tests.support.daemon_process import PATIENCE_S, SITE, headroom

ROOT = Path(__file__).resolve().parents[2]
DEMO = ("demo", "--plant", "tests.support.toy_plant", "--no-browser")


@pytest.fixture
def site_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "states"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "states").mkdir()
    path = tmp_path / "site.yaml"
    path.write_text(SITE.format(meter_port=1, ocpp_port=1, metrics_port=0))
    return path


def states(site_file: Path) -> list[Path]:
    return sorted((site_file.parent / "states").glob("headroom-demo-*"))


def test_a_demo_ends_by_itself_with_the_plants_report(site_file: Path) -> None:
    report = site_file.parent / "report.json"

    code, out, err = asyncio.run(
        headroom(*DEMO, "-c", str(site_file), "--for", "4s", "--report", str(report))
    )

    assert (code, out.splitlines()[-1]) == (0, "invariants violated: 0")
    assert json.loads(report.read_text())["limit_count"] >= 1
    assert "plant: a vehicle came" in err
    assert "CP-01/1: 6.0 A: the station has not yet been seen to obey" in err
    assert states(site_file) == []


@pytest.mark.parametrize(
    ("mood", "words"),
    [
        ("violated", "invariants violated: 1"),
        ("silent", "wrote no report that can be read"),
        ("crash", "ended at its start: the roof fell in"),
    ],
)
def test_a_demo_fails_if_its_plant_says_so_or_does_not_come_to_say_it(
    site_file: Path, monkeypatch: pytest.MonkeyPatch, mood: str, words: str
) -> None:
    monkeypatch.setenv("TOY_PLANT", mood)

    code, _, err = asyncio.run(headroom(*DEMO, "-c", str(site_file), "--for", "1s"))

    assert code == 1
    assert words in err.splitlines()[-1]
    (kept,) = states(site_file)
    assert str(kept) in err


def test_json_is_the_report_and_nothing_else(site_file: Path) -> None:
    code, out, _ = asyncio.run(headroom(*DEMO, "-c", str(site_file), "--for", "1s", "--json"))

    assert code == 0
    assert json.loads(out)["invariants_violated"] == 0


@pytest.mark.parametrize("duration", ["soon", "0s", "-5s", "5 parsecs"])
def test_a_duration_that_is_none_is_refused(site_file: Path, duration: str) -> None:
    code, _, err = asyncio.run(headroom(*DEMO, "-c", str(site_file), "--for", duration))

    assert code == 2
    assert "such as 60s" in err


def test_a_report_that_could_not_be_written_is_refused_before_anything_runs(
    site_file: Path,
) -> None:
    report = site_file.parent / "nowhere" / "report.json"

    code, _, err = asyncio.run(
        headroom(*DEMO, "-c", str(site_file), "--for", "1h", "--report", str(report))
    )

    assert code == 2
    assert "there is no folder" in err


def test_on_a_terminal_it_is_looked_at_until_it_is_interrupted(site_file: Path) -> None:
    async def test() -> None:
        ours, theirs = pty.openpty()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from gateway.cli import main; main()"),
            *(*DEMO, "-c", str(site_file)),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"},
            start_new_session=True,
        )
        os.close(theirs)
        os.set_blocking(ours, False)
        seen = b""

        async def see(words: str) -> None:
            nonlocal seen
            async with asyncio.timeout(PATIENCE_S):
                while words not in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode()):
                    try:
                        seen += os.read(ours, 65_536)
                    except BlockingIOError:
                        await asyncio.sleep(0.05)

        await see("CP-01/1")
        await see("6.0 A: the station has not yet been seen to obey")
        await see("a vehicle came")
        seen = b""
        process.send_signal(signal.SIGINT)
        await see("invariants violated: 0")
        async with asyncio.timeout(PATIENCE_S):
            assert await process.wait() == 0
        os.close(ours)
        assert states(site_file) == []

    asyncio.run(test())
