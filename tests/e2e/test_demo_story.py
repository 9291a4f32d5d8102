"""The demo's story: promised through the API, under a rating that drops, and told when at risk."""

import asyncio
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.cli.demo_story import SHORTEST_S, Story
from gateway.settings import load_site
from tests.support import daemon_process
from tests.support.daemon_process import started
from tests.support.http_asking import get

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "config" / "site.demo.yaml"


def test_what_is_promised_ahead_what_drops_and_what_is_at_risk_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(daemon_process, "PATIENCE_S", 240.0)
    file, config = tmp_path / "r.json", tmp_path / "site.yaml"
    config.write_text(CONFIG.read_text().replace("port: 9464", "port: 0"))

    async def seen() -> tuple[int, str]:
        words = ("demo", "-c", str(config), "--for", "120s", "--report", str(file))
        async with asyncio.timeout(240.0), started(*words, state=tmp_path) as demo:
            url = (await demo.wait_for_line(r"metrics at (http://127\.0\.0\.1:\d+)$"))[1]
            # Not only said: control goes by it, whichever circuit is the shortest then.
            told = 'headroom_circuit_limit_amperes{circuit="carpark",phase="L1",source="site"} 57.0'
            while told not in (await get(url, "/metrics")).body.decode():  # noqa: ASYNC110 - it is far away
                await asyncio.sleep(0.5)
            await demo.is_over.wait()
            return await demo.process.wait(), "\n".join(demo.lines)

    code, err = asyncio.run(seen())

    report = json.loads(file.read_text())
    assert (code, report["violations"]) == (0, []), err
    told = "\n".join(re.findall(r"story: (.*)", err))
    assert re.search(
        r"^drone dock \(critical\): confirmed, \d+% sure: .* on CP-02/1", told, re.MULTILINE
    )
    assert re.search(
        r"^van \(high, fixed\): confirmed, \d+% sure: .* on CP-04/1", told, re.MULTILINE
    )
    assert "carpark is rated 60 A now, instead of 100 A" in told
    # It is late by what it needs at the power it said it takes; it comes, and takes more.
    at_risk = r"^AT RISK, van: the \S+ kWh on CP-04/1 by .* not 100% sure any more.* not known: "
    assert re.search(at_risk, told, re.MULTILINE), told
    # The building's report has what each of them was promised beside what it was given.
    promised_wh = {one["connector"]: one["promised_wh"] for one in report["sessions"]}
    assert {place: wh for place, wh in promised_wh.items() if wh is not None} == {
        "CP-02/1": pytest.approx(414, abs=10),
        "CP-04/1": pytest.approx(683, abs=10),
    }
    # Both came in the end.
    assert "a vehicle arrives at CP-02/1" in err
    assert "a vehicle arrives at CP-04/1" in err
    assert "the story ends here" not in told


def test_a_site_or_a_time_too_small_for_it_has_no_story() -> None:
    site = load_site(CONFIG).site

    assert Story.of(site, None) is not None
    assert Story.of(site, SHORTEST_S - 1.0) is None
    assert Story.of(replace(site, stations=site.stations[:3]), None) is None
