"""The description against the running API: schemathesis asks by it, and sees that it is true."""

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from gateway.api.app import PREFIX
from gateway.domain.access import Role
from gateway.domain.events import TransactionStarted
from gateway.domain.ids import ConnectorRef, StationId, TransactionId
from gateway.domain.needs import Criticality
from tests.support.api_desk import Desk, api_desk

SUPPORT = Path(__file__).parents[1] / "support"
SOMETHING_CHANGES_EVERY_S = 0.1
"""Whoever follows the stream of events sees one, and need not wait."""


def ids_of(desk: Desk, token: str) -> dict[str, list[str]]:
    """Return what is there to be named, by what stands for it in the configuration."""
    offers = []
    for hour in range(1, 13, 2):
        need = {"energy_wh": 1_000, "arrive_at": desk.at(hour), "depart_at": desk.at(hour + 1)}
        offers.append(desk.ask("POST", "/quotes", need, token=token).said["offers"][0]["offer_id"])
    first, *others = offers
    held = desk.ask("POST", "/reservations", {"offer_id": first}, token=token).said
    path = f"/reservations/{held['reservation_id']}/confirm"
    assert desk.ask("POST", path, token=token).status == 200
    return {"AN-OFFER": others, "A-RESERVATION": [held["reservation_id"]]}


def run_schemathesis(desk: Desk, folder: Path) -> tuple[int, str]:
    """Return how schemathesis ends that asks this API by its description, and what it says."""
    token = desk.token("engineer", Role.ENGINEER, criticality=Criticality.CRITICAL, quota=6_000_000)
    told = (SUPPORT / "schemathesis.toml").read_text(encoding="utf-8")
    for name, ids in ids_of(desk, token).items():
        told = told.replace(json.dumps([name]), json.dumps(ids))
    (folder / "schemathesis.toml").write_text(told, encoding="utf-8")  # It looks for it there.
    with (folder / "said").open("w+", encoding="utf-8") as said:
        running = subprocess.Popen(
            [
                *(sys.executable, "-m", "schemathesis.cli", "--no-color"),
                *("run", f"http://127.0.0.1:{desk.port}{PREFIX}/openapi.json"),
                *("--report", "json", "--report-json-path", "report.json"),
            ],
            cwd=folder,
            env={
                **os.environ,
                "HEADROOM_TOKEN": token,
                "SCHEMATHESIS_HOOKS": str(SUPPORT / "schemathesis_checks.py"),
            },
            stdout=said,
            stderr=subprocess.STDOUT,
        )
        try:
            while running.poll() is None:
                desk.loop.call_soon_threadsafe(desk.feed.tell, "limit", "CP-01/1")
                with suppress(subprocess.TimeoutExpired):
                    running.wait(SOMETHING_CHANGES_EVERY_S)
        finally:
            running.kill()
            running.wait()
        said.seek(0)
        return running.returncode, said.read()


def test_whatever_is_asked_by_the_description_is_answered_as_it_says(tmp_path: Path) -> None:
    with api_desk(tmp_path) as desk:
        desk.decide()
        desk.hear(
            TransactionStarted(
                at_s=0.0,
                connector=ConnectorRef(StationId("CP-03"), 1),
                transaction=TransactionId("17"),
            )
        )
        status, said = run_schemathesis(desk, tmp_path)
        described = desk.ask("GET", "/openapi.json").said["paths"]

    if status:
        pytest.fail(f"schemathesis ended with {status}:\n{said}", pytrace=False)
    # It was not idle: every operation was asked with what it accepts.
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    accepted = {
        operation: sum(phase["accepted"] for phase in of_phase.values())
        for operation, of_phase in report["valid_rates"].items()
    }
    assert set(accepted) == {f"{m.upper()} {path}" for path, of in described.items() for m in of}
    assert [operation for operation, count in accepted.items() if not count] == []
