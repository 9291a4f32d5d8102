"""The view fits whatever terminal it is on, and says of each connector the sentence of the log."""

from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.view import render
from gateway.cli.why import find_connectors
from gateway.control.decide import decide
from gateway.control.explain import sentence
from gateway.control.fold import ControlEvent, DrawsPromised, evolve_all
from gateway.control.promised_draws import PromisedDraw
from gateway.domain.alarms import Alarm
from gateway.domain.charging import ConnectorStatus
from gateway.domain.events import (
    ConnectorMetered,
    ConnectorStatusChanged,
    Event,
    LimitSent,
    StationConnected,
    TransactionStarted,
)
from gateway.domain.ids import ConnectorRef, StationId, TransactionId
from gateway.services.control_loop import Cycle
from gateway.services.shown import snapshot_of
from gateway.services.snapshot import Snapshot
from tests.support.small_site import at_start, main_read, small_site

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
CP_01 = StationId("CP-01")
PLUG = ConnectorRef(CP_01, 1)


def a_cycle(*facts: ControlEvent, station_count: int = 3, at_s: float = 2.0) -> Cycle:
    state = evolve_all(at_start(small_site(station_count)), facts)
    return Cycle(state=state, decision=decide(state, at_s))


def a_snapshot(*facts: ControlEvent, station_count: int = 3, at_s: float = 2.0) -> Snapshot:
    cycle = a_cycle(*facts, station_count=station_count, at_s=at_s)
    return snapshot_of(cycle, at=NOON, counters={}, limit_latencies_s=[0.1, 0.3])


CHARGING: tuple[Event, ...] = (
    main_read(1, 60.0),
    StationConnected(at_s=0, station=CP_01),
    ConnectorStatusChanged(at_s=0, connector=PLUG, status=ConnectorStatus.OCCUPIED),
    TransactionStarted(at_s=0, connector=PLUG, transaction=TransactionId("1")),
    LimitSent(at_s=0, connector=PLUG, limit_ma=16_000, phase_count=1, lease_until_s=75, sequence=1),
    ConnectorMetered(at_s=1, connector=PLUG, current_a=(15.2, 0.0, 0.0)),
)


def shown(snapshot: Snapshot, width: int, height: int | None = None) -> str:
    """Return the view as one paragraph: every line, its ends joined."""
    lines = render(snapshot, width=width, height=height)
    return " ".join(" ".join(line.plain.split()) for line in lines)


@given(
    width=st.integers(40, 250),
    height=st.integers(6, 80),
    station_count=st.integers(1, 60),
    ticker=st.lists(st.text(alphabet="abc ", max_size=120), max_size=5),
    pending=st.lists(st.just("CP-UNKNOWN"), max_size=20),
)
def test_the_view_has_the_size_of_the_terminal(
    width: int, height: int, station_count: int, ticker: list[str], pending: list[str]
) -> None:
    snapshot = a_snapshot(*CHARGING, station_count=station_count)
    snapshot = replace(snapshot, pending=tuple(pending), is_stopped=station_count == 1)

    lines = render(snapshot, width=width, height=height, ticker=ticker)

    assert len(lines) == height
    assert all(line.cell_len <= width for line in lines)


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_every_connector_has_the_sentence_of_the_log(width: int) -> None:
    cycle = a_cycle(*CHARGING)
    snapshot = snapshot_of(cycle, at=NOON, counters={}, limit_latencies_s=[])

    text = shown(snapshot, width)

    for connector, reason in cycle.decision.reasons.items():
        assert str(connector) in text
        assert sentence(reason) in text


def test_a_phase_shows_reading_set_point_rating_base_reserve_and_age() -> None:
    text = shown(a_snapshot(*CHARGING), 100, 40)

    # 15.2 A less its tolerance is the car's, the rest base; 15 % of the rating is the reserve.
    assert "carpark L1" in text
    for figure in ("60.0", "95.0", "100.0", "15.0", "1.0 s"):
        assert f" {figure} " in text
    assert "charging 15.2 0.0 0.0" in text


def test_a_phase_adds_up_where_a_load_was_promised_room() -> None:
    draw = PromisedDraw(current_ma=7_000, before_ma=None, until_s=60.0)
    cycle = a_cycle(*CHARGING, DrawsPromised(at_s=1, draws={0: draw}))

    (circuit,) = snapshot_of(cycle, at=NOON, counters={}, limit_latencies_s=[]).circuits

    for phase, promised_ma in zip(circuit.phases, (7_000, 0, 0), strict=True):
        assert phase.promised_ma == promised_ma
        kept_ma = phase.base_ma + phase.reserve_ma + phase.promised_ma
        assert phase.available_ma == phase.bound_ma - kept_ma


@pytest.mark.parametrize("width", [79, 80, 100, 120])
def test_a_phase_shows_what_charging_has_and_what_is_kept_for_promised_loads(width: int) -> None:
    draw = PromisedDraw(current_ma=7_000, before_ma=None, until_s=60.0)
    without = a_snapshot(*CHARGING)
    kept = a_snapshot(*CHARGING, DrawsPromised(at_s=1, draws={0: draw}))

    (beside,), (row,) = (
        [line.plain for line in render(snapshot, width=width) if "carpark" in line.plain][:1]
        for snapshot in (without, kept)
    )

    (phase, *_), (before, *_) = kept.circuits[0].phases, without.circuits[0].phases
    amperes = [f"{ma / 1_000:.1f}" for ma in (phase.base_ma, phase.reserve_ma, phase.available_ma)]
    assert row.split()[-6:] == [*amperes[:2], "7.0", amperes[2], "1.0", "s"]
    assert beside.split()[-5:-2] == [*amperes[:2], f"{before.available_ma / 1_000:.1f}"]
    heads = [line.plain.split() for line in render(kept, width=width)]
    assert ["base", "reserve", "promised", "available", "age"] in [head[-5:] for head in heads]


def test_what_nobody_measured_is_not_shown_as_nothing() -> None:
    text = shown(a_snapshot(), 100, 40)

    assert "– 95.0 100.0 40.0 0.0 55.0 never" in text


def test_connectors_that_do_not_fit_are_counted() -> None:
    text = shown(a_snapshot(station_count=60), 100, 40)

    assert "CP-01/1" in text
    assert "more: headroom why" in text


def test_too_many_phases_leave_the_one_that_binds() -> None:
    lines = render(a_snapshot(*CHARGING), width=100, height=8)

    assert sum(line.plain.startswith("carpark") for line in lines) == 1


def test_a_snapshot_survives_the_wire() -> None:
    snapshot = a_snapshot(*CHARGING)

    again = msgspec.json.decode(msgspec.json.encode(snapshot), type=Snapshot | None)

    assert again == snapshot


@pytest.mark.parametrize(
    ("name", "found"),
    [("CP-02/1", "CP-02/1"), ("cp-02/1", "CP-02/1"), ("CP-02", "CP-02/1")],
)
def test_a_connector_is_found_by_its_name_or_its_stations(name: str, found: str) -> None:
    (view,) = find_connectors(a_snapshot(), name)

    assert view.connector == found


@pytest.mark.parametrize("name", ["CP-2/1", "CP02", "", "🚗" * 1_000])
def test_a_connector_that_is_not_there_is_said_so(name: str) -> None:
    with pytest.raises(LookupError, match="there is no connector"):
        find_connectors(a_snapshot(), name)


def test_an_alarm_stands_on_top_and_leaves_room_for_the_circuits() -> None:
    alarm = Alarm(name="ledger", text="the disk is full: make room. " * 40, since_at=NOON)
    snapshot = replace(a_snapshot(*CHARGING), alarms=(alarm, alarm))

    lines = [line.plain for line in render(snapshot, width=60, height=12)]

    assert lines[1].startswith("ALARM ledger: the disk is full: make room.")
    assert sum("disk is full" in line for line in lines) <= 4
    assert any(line.startswith("carpark") for line in lines)
    assert max(len(line) for line in lines) <= 60
