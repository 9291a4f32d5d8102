"""`headroom report` over state folders that were written by the daemon's own files."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import nan
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner, Result

from gateway.adapters.history_file import HistoryFile, Minute
from gateway.adapters.last_good import FILE_NAME, LastGood, keep_last_good
from gateway.adapters.ledger_file import Batch, LedgerFile
from gateway.cli import main
from gateway.cli.report import period_of
from gateway.domain.memory import PromiseMemory
from gateway.domain.needs import Criticality
from gateway.domain.promises import Excuse, PromiseState, Reservation, Stretch

SITE = """
site: {name: Dockside, timezone: Europe/London, voltage_v: 230}
circuits:
  - {id: supply, rating_a: [100, 0, 0], device: mcb, worst_case_base_a: 20}
stations:
  - {id: A, circuit: supply, auth: none, connectors: [{id: 1, phases: [L1], max_a: 32, fallback_a: 6}]}
  - {id: B, circuit: supply, auth: none, connectors: [{id: 1, phases: [L1], max_a: 32, fallback_a: 6}]}
"""
NOON = datetime(2026, 3, 3, 12, tzinfo=UTC)  # A Tuesday.
NAMES = (
    "circuit/supply/L1/current_a",
    *(f"connector/{name}/1/power_w" for name in "AB"),
    *(f"connector/{name}/1/limit_a" for name in "AB"),
    *(f"connector/{name}/1/draw_l1_a" for name in "AB"),
)


def report(*words: str) -> Result:
    return CliRunner().invoke(main, ["report", *words])


def promise(name: str, state: PromiseState, ended_at: datetime | None) -> Reservation:
    from_at_s = NOON.timestamp()
    is_kept = state is PromiseState.FULFILLED
    return Reservation(
        id=name,
        place="A/1",
        rows=(0,),
        envelope=(Stretch(from_at_s=from_at_s, until_at_s=from_at_s + 3_600, current_ma=16_000),),
        energy_wh=3_000,
        guaranteed_wh=3_000,
        confidence_ratio=0.9,
        criticality=Criticality.NORMAL,
        state=state,
        hold_until_at_s=from_at_s,
        delivered_wh=3_000.0 if is_kept else 1_000.0,
        is_binding=True,
        closed_at_s=None if ended_at is None else ended_at.timestamp(),
    )


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A day of an hour's charging, and some promises."""
    kept = LastGood(text=SITE, source=tmp_path / "site.yaml", kept_at=NOON)
    keep_last_good(tmp_path, kept)
    ledger = LedgerFile(tmp_path, site="Dockside", now_at=lambda: NOON)
    ledger.load()
    batch = Batch()
    fates = [PromiseState.FULFILLED] * 8 + [PromiseState.BROKEN, PromiseState.CANCELLED]
    promises = [promise(f"p{at}", fate, NOON) for at, fate in enumerate(fates)]
    promises.append(replace(promise("late", PromiseState.BROKEN, NOON), excuse=Excuse.CAME_LATE))
    promises.append(promise("before", PromiseState.BROKEN, NOON - timedelta(days=1)))
    promises.append(promise("open", PromiseState.CONFIRMED, None))
    for each in promises:
        batch.put_record(PromiseMemory(promise=each))
    ledger.write(batch)
    ledger.close()
    history = HistoryFile(tmp_path)
    first = int(NOON.timestamp()) // 60
    for minute in range(60):
        # A draws 3 kW at half its maximum, B tells amperes only and is not limited; 20 A besides.
        currents = [40.0] * 60
        if minute == 30:
            currents[17] = 70.0
        columns = [
            currents,
            [3_000.0] * 60,
            [nan] * 60,
            [16.0] * 60,
            [32.0] * 60,
            [13.0] * 60,
            [10.0] * 60,
        ]
        history.write(Minute(number=first + minute, names=NAMES, columns=columns), NOON)
    history.close()
    return tmp_path


def test_a_day_is_told_for_programs(state: Path) -> None:
    done = report("--of", "2026-03-03", "--state", str(state), "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)

    assert (said["site"], said["from_at"]) == ("Dockside", "2026-03-03T00:00:00+00:00")
    assert said["promises"] == {
        "ended": {"fulfilled": 8, "broken": 2, "cancelled": 1},
        "open_now": 1,
        "promised_wh": 30_000,
        "delivered_wh": 26_000,
    }
    (level,) = [row for row in said["reliability"]["levels"] if row["count"]]
    assert (level["level"], level["count"]) == (0.9, 9)
    assert level["kept"] == pytest.approx(8 / 9)
    assert level["low"] < 8 / 9 < level["high"] < 1
    assert said["reliability"]["excused"]["came_late"] == 1
    assert said["connectors"] == [
        {
            "connector": "A/1",
            "energy_wh": 3_000,
            "charging_h": 1.0,
            "limited_h": 1.0,
            "known_h": 1.0,
        },
        {
            "connector": "B/1",
            "energy_wh": 2_300,
            "charging_h": 1.0,
            "limited_h": 0.0,
            "known_h": 1.0,
        },
    ]
    assert said["circuits"] == [
        {
            "circuit": "supply",
            "phase": "L1",
            "rating_a": 100.0,
            "set_point_a": 95.0,
            "peak_a": 70.0,
            "peak_at": "2026-03-03T12:30:00+00:00",
            "share_of_set_point": 0.737,
            "share_of_rating": 0.7,
        }
    ]


def test_a_day_is_told_for_people(state: Path) -> None:
    done = report("--of", "2026-03-03", "--state", str(state))
    assert done.exit_code == 0, done.output
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]

    assert "11 promises ended: 8 fulfilled, 2 broken, 1 cancelled; 1 open now." in done.stdout
    assert "90% 9 89% 57% to 98%" in lines
    assert "supply L1 70.0 A 74% 70% of 100 A Tue 12:30" in lines
    assert "A/1 3.0 kWh 1.0 h 1.0 h" in lines


@pytest.mark.parametrize("length", ["day", "month"])
@pytest.mark.parametrize("of", ["2999-01-01", "9999-12-31"])
def test_of_a_day_that_is_to_come_there_is_no_report(state: Path, length: str, of: str) -> None:
    done = report(length, "--of", of, "--state", str(state))

    assert done.exit_code == 2
    assert f"{of} is to come: name today or a day before it" in done.output


def test_what_is_not_known_is_not_said_to_be_nothing(state: Path) -> None:
    (state / "history.db").unlink()
    done = report("--of", "2026-03-03", "--state", str(state), "--json")
    said = json.loads(done.stdout)
    assert said["circuits"][0]["peak_a"] is None
    assert said["connectors"][0]["known_h"] == 0

    done = report("day", "--of", "2026-03-01", "--state", str(state))
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "0 promises ended; 1 open now." in lines
    assert "supply L1 ? ? ?" in lines
    assert "A/1 ? 0.0 h 0.0 h" in lines


@pytest.mark.parametrize(
    ("length", "of", "since", "until"),
    [
        ("day", "2026-03-03", "2026-03-03T00:00+00:00", "2026-03-04T00:00+00:00"),
        ("week", "2026-03-08", "2026-03-02T00:00+00:00", "2026-03-09T00:00+00:00"),
        ("month", "2026-02-14", "2026-02-01T00:00+00:00", "2026-03-01T00:00+00:00"),
        # The day on which clocks go forward has 23 hours.
        ("day", "2026-03-29", "2026-03-29T00:00+00:00", "2026-03-30T00:00+01:00"),
        ("month", "2026-12-31", "2026-12-01T00:00+00:00", "2026-12-31T15:00+00:00"),
    ],
)
def test_a_period_is_whole_by_the_building_s_clock_and_ends_now(
    length: str, of: str, since: str, until: str
) -> None:
    zone = ZoneInfo("Europe/London")
    now_at = datetime(2026, 12, 31, 15, tzinfo=zone)
    found = period_of(length, datetime.fromisoformat(of).replace(tzinfo=zone), now_at=now_at)

    assert found.since_at.isoformat(timespec="minutes") == since
    assert found.until_at.isoformat(timespec="minutes") == until


def test_where_nothing_is_written_it_is_said_what_to_do(state: Path, tmp_path: Path) -> None:
    done = report("--state", str(tmp_path / "nowhere"))
    assert (done.exit_code, "name its folder with --state" in done.stderr) == (1, True)
    (state / FILE_NAME).unlink()
    done = report("--state", str(state))
    assert (done.exit_code, "name one with -c" in done.stderr) == (1, True)
    other = state / "other.yaml"
    other.write_text(SITE.replace("Dockside", "Elsewhere"))
    done = report("--state", str(state), "-c", str(other))
    assert (done.exit_code, "is the ledger of the site 'Dockside'" in done.stderr) == (1, True)
    other.write_text("site: {}")
    assert report("--state", str(state), "-c", str(other)).exit_code == 2
