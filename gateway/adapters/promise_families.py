"""What Prometheus is told of promises: what is open, what is at risk, and how often they are kept."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from gateway.domain.promises import PromiseState
from gateway.planning.calibrate import ReliabilityReport
from gateway.planning.quote import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class PromiseFigures:
    """What is told from. `counts` are as the book counts them; `calls` by webhook and outcome.

    `waiting` is how much each webhook is still to be told.
    """

    open_count: Mapping[PromiseState, int]
    at_risk_count: int
    counts: Mapping[str, int]
    reliability: ReliabilityReport
    calls: Mapping[tuple[str, str], int]
    waiting: Mapping[str, int]


def promise_families(seen: PromiseFigures) -> Iterator[Metric]:
    """Yield everything there is to tell of promises."""
    still_open = GaugeMetricFamily(
        "headroom_promises_open",
        "Reservations that are held, confirmed, or whose vehicle has arrived.",
        labels=["state"],
    )
    became = CounterMetricFamily(
        "headroom_promise_states",
        "How often a reservation has come into a state since the daemon began.",
        labels=["state"],
    )
    for state in PromiseState:
        if state.is_open:
            still_open.add_metric([state], seen.open_count.get(state, 0))
        became.add_metric([state], seen.counts.get(f"reservations {state}", 0))
    yield from (still_open, became)
    yield GaugeMetricFamily(
        "headroom_promises_at_risk",
        "Reservations that are less sure to be kept than the floor of what was said.",
        value=seen.at_risk_count,
    )
    yield CounterMetricFamily(
        "headroom_promise_warnings",
        "How often somebody was told that a reservation is at risk.",
        value=seen.counts.get("warnings", 0),
    )
    quotes = CounterMetricFamily(
        "headroom_quotes", "Quotes made, by their answer in a word.", labels=["answer"]
    )
    for verdict in Verdict:
        quotes.add_metric([verdict], seen.counts.get(f"quotes {verdict}", 0))
    yield quotes
    yield CounterMetricFamily(
        "headroom_holds_refused",
        "Holds refused because what was offered did not fit any more.",
        value=seen.counts.get("holds refused", 0),
    )
    yield from _reliability(seen.reliability)
    calls = CounterMetricFamily(
        "headroom_webhook_calls",
        "What came of telling webhooks: delivered, refused, given up, dropped, failed attempts.",
        labels=["webhook", "outcome"],
    )
    for (webhook, outcome), count in sorted(seen.calls.items()):
        calls.add_metric([webhook, outcome], count)
    yield calls
    waiting = GaugeMetricFamily(
        "headroom_webhook_waiting",
        "Calls a webhook is still to hear; they outlive a restart.",
        labels=["webhook"],
    )
    for webhook, count in seen.waiting.items():
        waiting.add_metric([webhook], count)
    yield waiting


def _reliability(report: ReliabilityReport) -> Iterator[Metric]:
    def by_level(name: str, text: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"headroom_promise_{name}", text, labels=["level"])

    scored = by_level("scored", "Binding promises of a level that were scored.")
    said = by_level("said_ratio", "How surely they were to be kept, as was said, on average.")
    kept = by_level("kept_ratio", "How many of them were kept. Absent while there are none.")
    low = by_level("kept_low_ratio", "The lower end of the 95 % Wilson interval of that.")
    high = by_level("kept_high_ratio", "The upper end of the 95 % Wilson interval of that.")
    for row in report.rows:
        labels = [f"{row.level_ratio:g}"]
        scored.add_metric(labels, row.count)
        if row.count:
            said.add_metric(labels, row.promised_ratio)
            kept.add_metric(labels, row.kept_ratio)
            low.add_metric(labels, row.low_ratio)
            high.add_metric(labels, row.high_ratio)
    yield from (scored, said, kept, low, high)
    excused = GaugeMetricFamily(
        "headroom_promise_excused",
        "Promises scored apart for what their vehicle did, of the last 2,000.",
        labels=["excuse"],
    )
    for excuse, count in report.excused.items():
        excused.add_metric([excuse], count)
    yield excused
    yield GaugeMetricFamily(
        "headroom_promise_miscalibrated",
        "1 while the last 500 binding promises of a level were surely not kept as was said, else 0.",
        value=float(bool(report.miscalibrations)),
    )
