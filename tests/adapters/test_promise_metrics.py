"""What metrics tell of promises, from real ones, in words that Prometheus's own tool accepts."""

import re
from dataclasses import replace

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from gateway.adapters.promise_families import PromiseFigures, promise_families
from gateway.domain.needs import Criticality
from gateway.domain.promises import Excuse, PromiseState, Reservation, Stretch
from gateway.planning.calibrate import reliability_report
from tests.support.exposition import promtool, samples_of, value_of

KEPT = Reservation(
    id="a",
    place="CP-01/1",
    rows=(0,),
    envelope=(Stretch(from_at_s=0.0, until_at_s=3_600.0, current_ma=16_000),),
    energy_wh=10_000,
    guaranteed_wh=10_000,
    confidence_ratio=0.91,
    criticality=Criticality.NORMAL,
    state=PromiseState.FULFILLED,
    hold_until_at_s=0.0,
    delivered_wh=9_900.0,
    is_binding=True,
)
BROKEN = replace(KEPT, state=PromiseState.BROKEN, delivered_wh=9_000.0)
LATE = replace(BROKEN, excuse=Excuse.CAME_LATE)


def text_of(*closed: Reservation) -> str:
    class Told:
        def collect(self) -> object:
            return promise_families(
                PromiseFigures(
                    open_count={PromiseState.HELD: 2},
                    at_risk_count=1,
                    counts={"reservations confirmed": 7, "quotes yes": 9, "warnings": 3},
                    reliability=reliability_report(closed),
                    calls={("desk", "delivered"): 4},
                    waiting={"desk": 5},
                )
            )

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Told())  # type: ignore[arg-type]
    return generate_latest(registry).decode()


def test_promises_are_told_with_how_often_they_are_kept() -> None:
    text = text_of(*[KEPT] * 9, BROKEN, LATE)

    assert value_of(text, "headroom_promises_open", state="held") == 2
    assert value_of(text, "headroom_promises_at_risk") == 1
    assert value_of(text, "headroom_promise_states_total", state="confirmed") == 7
    assert value_of(text, "headroom_quotes_total", answer="yes") == 9
    assert value_of(text, "headroom_promise_warnings_total") == 3
    assert value_of(text, "headroom_promise_scored", level="0.9") == 10
    assert value_of(text, "headroom_promise_kept_ratio", level="0.9") == 0.9
    low = value_of(text, "headroom_promise_kept_low_ratio", level="0.9")
    high = value_of(text, "headroom_promise_kept_high_ratio", level="0.9")
    assert low < 0.9 < high
    assert round(value_of(text, "headroom_promise_said_ratio", level="0.9"), 9) == 0.91
    assert value_of(text, "headroom_promise_excused", excuse="came_late") == 1
    assert value_of(text, "headroom_promise_miscalibrated") == 0
    calls = {"webhook": "desk", "outcome": "delivered"}
    assert value_of(text, "headroom_webhook_calls_total", **calls) == 4
    assert value_of(text, "headroom_webhook_waiting", webhook="desk") == 5


def test_what_is_kept_far_less_than_said_is_told() -> None:
    assert value_of(text_of(*[BROKEN] * 20), "headroom_promise_miscalibrated") == 1


def test_a_level_nobody_was_promised_has_no_rate() -> None:
    samples = samples_of(text_of(KEPT))

    levels = {dict(labels)["level"] for labels in samples["headroom_promise_kept_ratio"]}
    assert levels == {"0.9"}
    assert len(samples["headroom_promise_scored"]) == 5


def test_names_and_words_are_as_those_of_the_other_metrics() -> None:
    families = list(text_string_to_metric_families(text_of(KEPT)))

    assert all(family.name.startswith("headroom_") for family in families)
    texts = [family.documentation for family in families]
    assert [t for t in texts if not re.fullmatch(r"[A-Z0-9].*[A-Za-z0-9]\.", t)] == []
    assert promtool("check", "metrics", text=text_of(KEPT)) == (0, "")
