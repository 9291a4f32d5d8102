"""The plan over HTTP: what it gives whom, and whose reservation is nobody else's business."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.domain.access import Role
from gateway.domain.events import TransactionStarted
from gateway.domain.ids import ConnectorRef, StationId, TransactionId
from gateway.domain.needs import Criticality
from gateway.domain.promises import PromiseState, Reservation, Stretch
from gateway.planning.grid import even_grid
from gateway.planning.problem import Demand, Plan, Problem
from gateway.planning.standing_plan import Origin, StandingPlan
from tests.support.api_desk import BEGINS_AT, Desk, api_desk

NOW_S = BEGINS_AT.timestamp()
PROMISE = Reservation(
    id="P1",
    place="CP-01/1",
    rows=(0, 1, 2),
    envelope=(Stretch(from_at_s=NOW_S, until_at_s=NOW_S + 7_200, current_ma=16_000),),
    energy_wh=22_000,
    guaranteed_wh=22_000,
    confidence_ratio=0.9,
    criticality=Criticality.CRITICAL,
    state=PromiseState.CONFIRMED,
    hold_until_at_s=NOW_S,
    holder="drones",
)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with api_desk(tmp_path) as running:
        yield running


def demand(key: str, place: str, rank: int, energy_wh: float | None) -> Demand:
    return Demand(
        key=key,
        place=place,
        rows=(0, 1, 2),
        phase_count=3,
        voltage_v=230.0,
        earliest_s=0.0,
        latest_s=7_200.0,
        energy_wh=energy_wh,
        max_ma=32_000,
        rank=rank,
    )


def started(connector: ConnectorRef) -> TransactionStarted:
    """Return the fact of a transaction that begins."""
    return TransactionStarted(
        at_s=0.0, connector=connector, transaction=TransactionId("17"), id_token="card"
    )


def standing_plan() -> StandingPlan:
    grid = even_grid(3, 3_600.0)
    demands = (demand("P1", "CP-01/1", 0, 22_000.0), demand("CP-02/1", "CP-02/1", 2, None))
    currents_ma = ((16_000, 8_000, 0), (0, 10_000, 10_000))
    return StandingPlan(
        origin=Origin.WORKER,
        from_at_s=NOW_S,
        problem=Problem(grid=grid, available_ma=((40_000,) * 3,) * 3, demands=demands),
        plan=Plan(grid=grid, current_ma=currents_ma, delivered_wh=(16_560.0, 13_800.0)),
        promises={"P1": PROMISE},
        short_wh={"P1": 5_440.0},
    )


def test_while_nobody_wants_anything_there_is_no_plan(desk: Desk) -> None:
    said = desk.ask("GET", "/plan", token=desk.token("screen", Role.VIEWER)).said

    assert (said["made_by"], said["made_at"], said["planned"]) == ("nobody", None, [])


def test_a_plan_says_who_is_meant_to_get_what_and_what_is_missing(desk: Desk) -> None:
    desk.plan = standing_plan()
    said = desk.ask("GET", "/plan", token=desk.token("desk", Role.OPERATOR)).said

    assert (said["made_by"], said["made_at"]) == ("worker", "2026-01-05T08:00:00Z")
    promised, walked_up = said["planned"]
    assert promised == {
        "connector": "CP-01/1",
        "circuit": None,
        "reservation_id": "P1",
        "is_promised": True,
        "criticality": "critical",
        "from_at": "2026-01-05T08:00:00Z",
        "until_at": "2026-01-05T10:00:00Z",
        "wanted_wh": 22_000,
        "energy_wh": 16_560,
        "short_wh": 5_440,
        "profile": [
            {"start_at": "2026-01-05T08:00:00Z", "power_w": 11_040},
            {"start_at": "2026-01-05T09:00:00Z", "power_w": 5_520},
            {"start_at": "2026-01-05T10:00:00Z", "power_w": 0},
        ],
    }
    assert (walked_up["wanted_wh"], walked_up["criticality"]) == (None, "normal")
    assert [step["power_w"] for step in walked_up["profile"]] == [6_900, 0]


def test_whose_reservation_it_is_is_told_to_nobody_else(desk: Desk) -> None:
    desk.plan = standing_plan()
    names = {
        name: desk.ask("GET", "/plan", token=desk.token(name)).said["planned"][0]["reservation_id"]
        for name in ("drones", "vans")
    }

    assert names == {"drones": "P1", "vans": None}


def test_what_a_plan_gives_is_told_once_it_goes_by_what_was_said(desk: Desk) -> None:
    desk.hear(started(ConnectorRef(StationId("CP-02"), 1)))
    operator = desk.token("desk", Role.OPERATOR)
    desk.plan = replace(standing_plan(), from_at_s=NOW_S - 60.0)
    (session,) = desk.ask("GET", "/sessions", token=operator).said["sessions"]
    assert session["planned_wh"] is None  # Nothing was said of it, and nothing promised.
    path = f"/sessions/{session['session_id']}"

    said = desk.ask("PUT", f"{path}/need", {"energy_wh": 20_000}, token=operator).said
    assert (said["wants_wh"], said["planned_wh"], said["short_wh"]) == (20_000, None, None)

    desk.plan = replace(standing_plan(), from_at_s=NOW_S + 60.0)
    said = desk.ask("GET", path, token=operator).said
    assert (said["planned_wh"], said["short_wh"]) == (13_800, 6_200)


@pytest.mark.parametrize(
    ("changes", "energy_wh", "depart_h", "planned_wh"),
    [
        ({}, 20_000, 2.0, 15_000),
        ({"place": "CP-01/1"}, 20_000, 2.0, 15_000),  # It follows its vehicle, once it begins.
        ({"id_token": None}, 20_000, 2.0, 15_000),
        ({}, 10_000, 2.0, 10_000),
        ({"id_token": "another"}, 20_000, 2.0, 3_000),
        ({"state": PromiseState.HELD}, 20_000, 2.0, 3_000),
        ({}, 20_000, 0.25, 3_000),
    ],
)
def test_a_vehicle_before_its_time_is_told_what_its_promise_is_given(
    desk: Desk, changes: dict[str, object], energy_wh: int, depart_h: float, planned_wh: int
) -> None:
    later = Stretch(from_at_s=NOW_S + 1_800, until_at_s=NOW_S + 7_200, current_ma=16_000)
    its = replace(PROMISE, place="CP-02/1", envelope=(later,), id_token="card")
    made = standing_plan()
    desk.hear(started(ConnectorRef(StationId("CP-02"), 1)))
    desk.plan = replace(
        made,
        from_at_s=NOW_S + 60.0,
        plan=replace(made.plan, delivered_wh=(12_000.0, 3_000.0)),
        promises={"P1": replace(its, **changes)},  # type: ignore[arg-type]
    )
    operator = desk.token("desk", Role.OPERATOR)
    (session,) = desk.ask("GET", "/sessions", token=operator).said["sessions"]
    needs = {"energy_wh": energy_wh, "depart_at": desk.at(depart_h)}
    said = desk.ask("PUT", f"/sessions/{session['session_id']}/need", needs, token=operator).said

    assert (said["planned_wh"], said["short_wh"]) == (planned_wh, energy_wh - planned_wh)
