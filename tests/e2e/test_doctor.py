"""The doctor as it is called: beside a real daemon, without one, and with a refused site file."""

import asyncio
import json
from pathlib import Path

from tests.support.daemon_process import Iem3000, a_building, headroom, run, station, wait_until


def verdicts(text: str) -> dict[str, list[str]]:
    """Return the verdicts of each area."""
    found: dict[str, list[str]] = {}
    for finding in json.loads(text)["findings"]:
        found.setdefault(finding["area"], []).append(finding["verdict"])
    return found


def test_a_daemon_is_looked_at_while_it_runs_and_when_it_is_gone(tmp_path: Path) -> None:
    async def test() -> None:
        meter = Iem3000()
        async with a_building(tmp_path, meter) as process:
            words = ("doctor", "-c", str(tmp_path / "site.yaml"), "--state", str(process.state))
            port = await process.ocpp_port()
            async with station(port, "CP-01") as connected:
                await connected.boot()
                await process.wait_for_line("station CP-01 is connected")
                await wait_until(lambda: meter.polls > 2)

                code, out, err = await headroom(*words, "--json")
                assert (code, err) == (0, "")
                found = verdicts(out)
                assert found["site file"] == ["PASS"]
                assert found["passwords"] == ["PASS"]
                assert found["daemon"] == ["PASS"]
                assert found["meters"] == ["PASS"]
                assert found["ledger"] == ["PASS"]
                assert found["state folder"] == ["PASS"]
                # CP-02 has not come yet; CP-01 has not been tried.
                assert set(found["stations"]) == {"WARN"}
                assert json.loads(out)["verdict"] == "WARN"
            assert await process.end(lambda p: p.terminate()) == 0

            code, out, _ = await headroom(*words)
            assert code == 0
            assert "WARN daemon: stations and meters cannot be judged: no daemon runs" in out
            assert "PASS ledger: " in out
            assert "     start it (" in out

    run(test())


def test_a_refused_site_file_is_told_with_everything_else(tmp_path: Path) -> None:
    config = tmp_path / "site.yaml"
    config.write_text("site: {name: X, timezone: Nowhere/Land, voltage_v: 230}\n")

    code, out, _ = asyncio.run(
        headroom("doctor", "-c", str(config), "--state", str(tmp_path / "state"))
    )

    assert code == 2
    assert "FAIL site file: " in out
    assert "Nowhere/Land" in out
    assert " clock: " in out
    assert not (tmp_path / "state").exists()


def test_what_fails_is_the_exit_code(tmp_path: Path) -> None:
    config = tmp_path / "site.yaml"
    config.write_text(
        "site: {name: X, timezone: Europe/London, voltage_v: 230}\n"
        "buses: [{id: line, serial: {port: /dev/serial/by-id/gone, baud: 9600, format: 8N1}}]\n"
        "circuits: [{id: supply, rating_a: 63, device: mcb, worst_case_base_a: 15}]\n"
        "listen: {ocpp: {port: 0}}\n"
    )

    code, out, _ = asyncio.run(
        headroom("doctor", "-c", str(config), "--state", str(tmp_path / "state"))
    )

    assert code == 1
    assert "FAIL bus line: /dev/serial/by-id/gone does not exist" in out
