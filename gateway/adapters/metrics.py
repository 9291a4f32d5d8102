"""The registry of metrics: distributions noted as they happen, all else read when it is asked for."""

import asyncio
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import Metric

from gateway.adapters.metric_families import Observed, build_info, families_of
from gateway.domain.circuits import ChargingStation
from gateway.domain.ids import StationId
from gateway.ports import Clock

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

FRESH_S = 0.5
"""What was written so lately is handed out again: many who ask cost no more than one."""

FAST_S = (
    *(0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05),
    *(0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5),
)
"""Bounds for what happens within this process."""

CALL_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds for what a station takes to answer; a call is given up after 10 s."""


class PrometheusMetrics:
    """`gateway.ports.Metrics`, and the text that Prometheus reads; for one event loop."""

    def __init__(
        self,
        stations: Iterable[ChargingStation],
        observe: Callable[[], Observed | None],
        *,
        clock: Clock,
    ) -> None:
        """Begin with empty distributions; `observe` returns None before the first cycle."""
        # When a series began is told by no rule of ours, and doubles the length of the text.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._observe = observe
        self._clock = clock
        self._turn = asyncio.Lock()
        self._text = b""
        self._written_at_s = float("-inf")
        self._registry = registry = CollectorRegistry(auto_describe=False)
        self._cycle = _distribution(
            registry, "headroom_control_cycle_seconds", "How long a control cycle takes, in s."
        )
        self._lag = _distribution(
            registry,
            "headroom_event_loop_lag_seconds",
            "How much later than asked for the event loop comes back, in s, ten times a second.",
        )
        self._limit = _distribution(
            registry,
            "headroom_limit_acknowledged_seconds",
            "The time from a decision to the acknowledgement of a limit it made, in s.",
            bounds_s=CALL_S,
        )
        calls = Histogram(
            "headroom_station_call_seconds",
            "How long the station took to answer a call of Headroom, whatever it answered, in s.",
            labelnames=["station"],
            buckets=CALL_S,
            registry=registry,
        )
        self._calls = {station.id: calls.labels(station.id) for station in stations}
        self._site = _SiteCollector()
        registry.register(self._site)
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)

    def note_cycle(self, duration_s: float) -> None:
        """See `gateway.ports.Metrics`."""
        self._cycle.observe(duration_s)

    def note_lag(self, lag_s: float) -> None:
        """See `gateway.ports.Metrics`."""
        self._lag.observe(lag_s)

    def note_call(self, station: StationId, duration_s: float) -> None:
        """See `gateway.ports.Metrics`."""
        self._calls[station].observe(duration_s)

    def note_limit(self, latency_s: float) -> None:
        """See `gateway.ports.Metrics`."""
        self._limit.observe(latency_s)

    async def exposition(self) -> bytes:
        """Return all metrics as text, no older than `FRESH_S`.

        It is written in a thread, from values that do not change, so that control waits for a
        thread's turn and no longer.
        """
        async with self._turn:
            if self._clock.monotonic_s() - self._written_at_s >= FRESH_S:
                self._site.seen = self._observe()
                self._text = await asyncio.to_thread(generate_latest, self._registry)
                self._written_at_s = self._clock.monotonic_s()
            return self._text


class _SiteCollector:
    """Tells what was observed when it was last asked to."""

    def __init__(self) -> None:
        self.seen: Observed | None = None

    def collect(self) -> Iterator[Metric]:
        yield build_info()
        if self.seen is not None:
            yield from families_of(self.seen)


def _distribution(
    registry: CollectorRegistry, name: str, text: str, *, bounds_s: tuple[float, ...] = FAST_S
) -> Histogram:
    return Histogram(name, text, buckets=bounds_s, registry=registry)
