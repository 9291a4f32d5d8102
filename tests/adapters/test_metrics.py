"""What Prometheus is told is what the decision says, in base units, in words promtool accepts."""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.adapters.clock import SystemClock
from gateway.adapters.metric_families import Observed
from gateway.adapters.metrics import PrometheusMetrics
from gateway.control.condition import Condition
from gateway.control.fold import DrawsPromised
from gateway.control.promised_draws import PromisedDraw
from gateway.domain.events import ConnectorMetered, StationDisconnected
from gateway.domain.ids import StationId
from gateway.domain.limits import Authority, Constraint
from gateway.domain.reasons import ReasonKind
from gateway.services.dispatcher import ProfileKind
from tests.support.exposition import Labels, promtool, samples_of, value_of
from tests.support.one_circuit import BOARD, METER, OneCircuit, ref, site

CP_1 = StationId("CP-1")


def observed(board: OneCircuit, *, later_s: float = 0.0, **counters: int) -> Observed:
    """Return what the board shows after its next decision."""
    decision = board.decide()
    return Observed(
        state=board.state,
        decision=decision,
        now_s=board.now_s + later_s,
        alarms=("ledger",),
        alarms_begun={"ledger": 2},
        pending_count=1,
        counters={f"control.{name}": count for name, count in counters.items()},
        profile_writes={(CP_1, str(ProfileKind.FALLBACK)): 3},
        flash_writes={CP_1: 7},
    )


def told(observe: Callable[[], Observed | None]) -> str:
    """Return the text that is told."""
    metrics = PrometheusMetrics(site().stations, observe, clock=SystemClock())
    return asyncio.run(metrics.exposition()).decode()


def text_of(seen: Observed) -> str:
    return told(lambda: seen)


def on_phases(text: str, name: str, **labels: str) -> list[float]:
    return [value_of(text, name, phase=phase, **labels) for phase in ("L1", "L2", "L3")]


def labelled(samples: Mapping[Labels, float], label: str) -> dict[str, float]:
    return {dict(labels)[label]: value for labels, value in samples.items()}


def test_a_phase_adds_up_where_a_load_was_promised_room() -> None:
    board = OneCircuit()
    board.flow(20.5)
    draw = PromisedDraw(current_ma=7_000, before_ma=None, until_s=board.now_s + 60)
    board.learn(DrawsPromised(at_s=board.now_s, draws={0: draw}))
    text = text_of(observed(board))
    left = {
        name: on_phases(text, f"headroom_circuit_{name}_amperes", circuit=BOARD)[0]
        for name in ("set_point", "base", "reserve", "promised", "available")
    }

    assert left["promised"] == 7.0
    assert left["available"] == pytest.approx(
        left["set_point"] - left["base"] - left["reserve"] - left["promised"]
    )


def test_a_circuit_is_told_as_the_decision_sees_it() -> None:
    board = OneCircuit()
    board.flow(20.5)
    seen = observed(board, later_s=2.0)
    text = text_of(seen)
    row = seen.decision.survey.rows[0]

    def circuit(name: str) -> list[float]:
        return on_phases(text, f"headroom_circuit_{name}", circuit=BOARD)

    assert circuit("rating_amperes") == [100.0] * 3
    assert circuit("set_point_amperes") == [95.0] * 3
    assert circuit("current_amperes") == [20.5] * 3
    assert circuit("sample_age_seconds") == [2.0] * 3
    assert circuit("base_amperes") == [row.base_ma / 1_000] * 3
    assert circuit("reserve_amperes") == [15.0] * 3
    assert circuit("available_amperes") == [row.available_ma / 1_000] * 3
    assert circuit("claimed_amperes") == [c / 1_000 for c in seen.decision.survey.claimed_ma]
    assert circuit("thermal_budget_ratio") == [0.0] * 3
    names = {"circuit": BOARD, "parent": "", "device": "mcb", "meter": METER}
    assert value_of(text, "headroom_circuit_info", **names) == 1
    assert value_of(text, "headroom_circuit_locked_out", circuit=BOARD) == 0
    assert value_of(text, "headroom_circuit_trip_wanted", circuit=BOARD) == 0


def test_what_is_not_known_is_not_told_and_its_age_is() -> None:
    board = OneCircuit()
    never = samples_of(text_of(observed(board)))
    board.flow(20.0)
    board.now_s += 60.0
    stale = samples_of(text_of(observed(board)))

    for samples, age_s in ((never, float("inf")), (stale, 60.0)):
        assert "headroom_circuit_current_amperes" not in samples
        assert set(samples["headroom_circuit_sample_age_seconds"].values()) == {age_s}
        assert set(samples["headroom_circuit_base_amperes"].values()) == {70.0}


def test_an_overload_shows_in_the_budget_and_the_lockout() -> None:
    board = OneCircuit()
    board.flow(20.0)
    for _ in range(200):
        board.now_s += 1.0
        board.flow(150.0 + 0.001 * (board.now_s % 7))
    text = text_of(observed(board))
    (circuit,) = board.state.circuits
    locked = replace(circuit, lockout_until_s=board.now_s + 60.0)
    board.state = replace(board.state, circuits=(locked,))

    assert on_phases(text, "headroom_circuit_thermal_budget_ratio", circuit=BOARD)[0] > 0.5
    assert value_of(text, "headroom_circuit_trip_wanted", circuit=BOARD) == 1
    assert value_of(text_of(observed(board)), "headroom_circuit_locked_out", circuit=BOARD) == 1


def test_bounds_are_told_by_whose_they_are_and_name_no_person() -> None:
    board = OneCircuit()
    for name, limit_ma in (("veto by J. Smith", 50_000), ("veto by A. Jones", 40_000)):
        bound = Constraint(
            subject=BOARD, limit_ma=(limit_ma,) * 3, authority=Authority.VETO, source=name
        )
        board.state.constraints[BOARD, name] = bound
    text = text_of(observed(board))
    bounds = samples_of(text)["headroom_circuit_limit_amperes"]
    bounds_l2 = {labels: v for labels, v in bounds.items() if ("phase", "L2") in labels}

    assert labelled(bounds_l2, "source") == {"set-point": 95.0, "veto": 40.0}
    assert "Smith" not in text


def test_a_connector_is_told_with_its_limit_its_draw_its_bounds_and_one_reason() -> None:
    board = OneCircuit()
    board.flow(20.0)
    board.prove(1)
    board.draw(1, 6.2)
    seen = observed(board, later_s=1.0)
    text, samples = text_of(seen), samples_of(text_of(seen))
    labels = {"connector": "CP-1/1", "circuit": BOARD}
    reason = seen.decision.reasons[ref(1)]

    assert value_of(text, "headroom_connector_limit_amperes", **labels) == reason.limit_ma / 1_000
    assert value_of(text, "headroom_connector_maximum_amperes", **labels) == 32.0
    high_a = seen.decision.survey.high_ma[0] / 1_000
    assert value_of(text, "headroom_connector_high_amperes", **labels) == high_a
    low_a = on_phases(text, "headroom_connector_low_amperes", **labels)
    assert 0 < max(low_a) <= high_a
    assert on_phases(text, "headroom_connector_draw_amperes", **labels) == [6.2] * 3
    assert value_of(text, "headroom_connector_draw_age_seconds", **labels) == 1.0
    assert value_of(text, "headroom_connector_readings_refused_total", **labels) == 0.0
    assert value_of(text, "headroom_connector_state", state="charging", **labels) == 1
    assert value_of(text, "headroom_connector_reason", reason=str(reason.kind), **labels) == 1
    for name in ("headroom_connector_state", "headroom_connector_reason"):
        assert len(samples[name]) == len(board.state.connectors)


def test_what_is_drawn_beyond_what_was_told_is_told_once_it_has_lasted() -> None:
    board = OneCircuit()
    board.prove(1)
    board.run(15, base_a=20.0, draws_a={1: 6.0})
    told_a = board.told_ma(1) / 1_000
    before = text_of(observed(board))
    board.run(60, base_a=20.0, draws_a={1: told_a + 5.0})
    after = text_of(observed(board))

    name, labels = "headroom_connector_excess_amperes", {"connector": "CP-1/1", "circuit": BOARD}
    assert (value_of(before, name, **labels), value_of(after, name, **labels)) == (0.0, 5.0)


def test_watts_are_told_where_a_station_gives_no_currents() -> None:
    board = OneCircuit()
    board.plug_in(1)
    board.learn(
        ConnectorMetered(
            at_s=board.now_s, connector=ref(1), current_a=(None, None, None), power_w=1_380.0
        )
    )
    samples = samples_of(text_of(observed(board)))

    amperes = labelled(samples["headroom_connector_draw_amperes"], "connector")
    assert amperes.keys() == {"CP-2/1", "CP-3/1"}  # Nothing is plugged in there.
    watts = labelled(samples["headroom_connector_draw_watts"], "connector")
    assert watts == {"CP-1/1": 1_380.0}


def test_a_station_is_told_with_what_it_was_seen_to_do() -> None:
    board = OneCircuit(answers=False)
    board.plug_in(1)
    board.send(1, 6_000)
    board.learn(StationDisconnected(at_s=board.now_s, station=StationId("CP-2")))
    samples = samples_of(text_of(observed(board)))

    def stations(name: str) -> dict[str, float]:
        return labelled(samples[f"headroom_station_{name}"], "station")

    assert stations("connected") == {"CP-1": 1, "CP-2": 0, "CP-3": 1}
    assert stations("unconfirmed_limits")["CP-1"] == 1
    assert stations("unconfirmed_limits")["CP-3"] == 0
    assert stations("proven") == stations("falls_back") == {"CP-1": 0, "CP-2": 0, "CP-3": 0}
    writes = samples["headroom_station_profile_writes_total"]
    assert writes[frozenset({("station", "CP-1"), ("profile", "fallback")})] == 3
    assert len(writes) == 2 * 3
    assert stations("flash_writes_total") == {"CP-1": 7, "CP-2": 0, "CP-3": 0}


def test_an_acknowledged_limit_is_confirmed_until_it_is_sent_anew() -> None:
    board = OneCircuit()
    board.plug_in(1)
    board.send(1, 6_000)
    name = "headroom_station_unconfirmed_limits"
    confirmed = value_of(text_of(observed(board)), name, station="CP-1")
    board.answers = False
    board.now_s += 21.0
    board.send(1, board.state.connectors[0].wanted_ma)

    assert confirmed == 0
    assert value_of(text_of(observed(board)), name, station="CP-1") == 1


def test_what_was_counted_is_told() -> None:
    board = OneCircuit()
    counts = {"cycles": 40, "late": 2, "guarded": 3, "clock_jumps": 1, "dropped": 5}
    text = text_of(observed(board, later_s=4.0, unfoldable=7, **counts))

    assert value_of(text, "headroom_control_cycles_total") == 40
    assert value_of(text, "headroom_control_late_cycles_total") == 2
    assert value_of(text, "headroom_control_guarded_limits_total") == 3
    assert value_of(text, "headroom_clock_jumps_total") == 1
    assert value_of(text, "headroom_facts_dropped_total", cause="overtaken") == 5
    assert value_of(text, "headroom_facts_dropped_total", cause="not understood") == 7
    assert value_of(text, "headroom_control_cycle_age_seconds") == 4.0
    assert value_of(text, "headroom_alarms_active") == 1
    assert value_of(text, "headroom_alarm_active", alarm="ledger") == 1
    assert value_of(text, "headroom_alarms_begun_total", alarm="ledger") == 2
    assert value_of(text, "headroom_stations_pending") == 1
    assert value_of(text, "headroom_stopped") == 0


def test_a_stations_own_words_never_become_labels() -> None:
    seen = replace(
        observed(OneCircuit()),
        counters={"ocpp.lenient.Reset.x": 1, "ocpp.lenient.Rubbish.y": 2, "dispatcher.fault": 9},
    )
    events = samples_of(text_of(seen))["headroom_events_total"]

    assert events == {frozenset({("part", "ocpp"), ("event", "lenient")}): 3.0}


def test_promtool_has_nothing_to_say() -> None:
    board = OneCircuit()
    board.flow(20.0)
    board.prove(1)
    board.learn(
        ConnectorMetered(
            at_s=board.now_s, connector=ref(2), current_a=(None, None, None), power_w=1_380.0
        )
    )
    seen = observed(board, cycles=3)
    before_the_first_cycle, text = told(lambda: None), text_of(seen)

    assert "headroom_build_info" in before_the_first_cycle
    assert promtool("check", "metrics", text=before_the_first_cycle) == (0, "")
    assert promtool("check", "metrics", text=text) == (0, "")


def test_promtool_would_have_something_to_say() -> None:
    code, words = promtool("check", "metrics", text="# TYPE x_total gauge\nx_total 1\n")

    assert code != 0
    assert "x_total" in words


def test_every_name_is_ours_and_every_help_text_is_a_sentence() -> None:
    families = list(text_string_to_metric_families(text_of(observed(OneCircuit()))))
    ours = [f for f in families if not f.name.startswith(("process_", "python_gc_"))]

    assert [f.name for f in ours if not f.name.startswith("headroom_")] == []
    assert [
        f.name for f in ours if not re.fullmatch(r"[A-Z0-9].*[A-Za-z0-9]\.", f.documentation)
    ] == []
    units = {"amperes": "A", "watts": "W", "seconds": "s"}
    unsaid = [
        f.name
        for f in ours
        if (unit := units.get(f.name.rsplit("_", maxsplit=1)[-1]))
        and not re.search(rf"\b{unit}\b", f.documentation)
    ]
    assert unsaid == []


def test_states_and_reasons_are_from_closed_lists() -> None:
    board = OneCircuit()
    board.plug_in(1)
    samples = samples_of(text_of(observed(board)))

    states = labelled(samples["headroom_connector_state"], "state")
    reasons = labelled(samples["headroom_connector_reason"], "reason")
    assert set(states) <= set(Condition)
    assert set(reasons) <= set(ReasonKind)


def test_durations_are_told_as_distributions() -> None:
    async def text() -> str:
        metrics = PrometheusMetrics(site().stations, lambda: None, clock=SystemClock())
        metrics.note_cycle(0.004)
        metrics.note_lag(0.2)
        metrics.note_call(CP_1, 0.3)
        metrics.note_limit(0.7)
        return (await metrics.exposition()).decode()

    said = asyncio.run(text())

    def below(name: str, bound: str, **labels: str) -> float:
        return value_of(said, f"headroom_{name}_seconds_bucket", le=bound, **labels)

    assert (below("control_cycle", "0.003"), below("control_cycle", "0.005")) == (0, 1)
    assert (below("event_loop_lag", "0.15"), below("event_loop_lag", "0.25")) == (0, 1)
    assert (below("station_call", "0.25", station=CP_1), below("limit_acknowledged", "1.0")) == (
        0,
        1,
    )
    assert value_of(said, "headroom_station_call_seconds_count", station="CP-2") == 0
    assert not re.search(r"^\w+_created", said, re.MULTILINE)


def test_many_who_ask_at_once_cost_no_more_than_one() -> None:
    asked = 0

    def observe() -> None:
        nonlocal asked
        asked += 1

    class StoppedClock(SystemClock):
        def monotonic_s(self) -> float:
            return 1_000.0

    async def test() -> None:
        metrics = PrometheusMetrics(site().stations, observe, clock=StoppedClock())
        texts = await asyncio.gather(*(metrics.exposition() for _ in range(20)))
        assert len(set(texts)) == 1

    asyncio.run(test())
    assert asked == 1


@pytest.mark.parametrize("stop", [False, True])
def test_a_stop_is_told(*, stop: bool) -> None:
    board = OneCircuit()
    board.state = replace(board.state, is_stopped=stop)

    assert value_of(text_of(observed(board)), "headroom_stopped") == stop
