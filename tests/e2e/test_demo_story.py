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
from tests.support.daemon_process import headroom

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "config" / "site.demo.yaml"


def test_what_is_promised_ahead_what_drops_and_what_is_at_risk_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(daemon_process, "PATIENCE_S", 240.0)
    file = tmp_path / "r.json"

    code, _, err = asyncio.run(
        headroom("demo", "-c", str(CONFIG), "--for", "120s", "--report", str(file))
    )

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
    # Not only said: limits were made of it.
    assert "calendar 57.0 A" in err
    assert re.search(r"^AT RISK, van: the 0\.7 kWh on CP-04/1 by .* not 100%", told, re.MULTILINE)
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
