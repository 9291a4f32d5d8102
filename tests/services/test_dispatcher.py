"""Limits reach each station at its own pace, newest first, and every outcome becomes a fact."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import pairwise

import pytest

from gateway.control.decide import Decision
from gateway.control.orders import FallbackOrder, LimitOrder
from gateway.control.parameters import ControlParameters
from gateway.domain.events import (
    Event,
    FallbackInstalled,
    LimitAcknowledged,
    LimitRejected,
    LimitSent,
    LimitUnanswered,
)
from gateway.domain.ids import ConnectorRef, StationId
from gateway.domain.limits import CurrentLimit
from gateway.services.dispatcher import Dispatcher
from tests.support.scripted_stations import ScriptedStations, Temper
from tests.support.small_site import no_decision, order, small_site
from tests.support.virtual_time import VirtualClock, run_virtual

PARAMETERS = ControlParameters()
CP_01, CP_02 = StationId("CP-01"), StationId("CP-02")


@dataclass(kw_only=True)
class Bench:
    """A dispatcher that runs, stations that answer as scripted, and the facts posted."""

    dispatcher: Dispatcher
    stations: ScriptedStations
    nothing: Decision
    facts: list[Event] = field(default_factory=list)

    def offer(
        self,
        *orders: LimitOrder,
        fallbacks: tuple[FallbackOrder, ...] = (),
        ask: tuple[ConnectorRef, ...] = (),
    ) -> None:
        at_s = asyncio.get_running_loop().time()
        decision = replace(self.nothing, at_s=at_s, orders=orders, fallbacks=fallbacks, ask=ask)
        self.dispatcher.offer(decision)


def on_bench(
    test: Callable[[Bench], Awaitable[None]],
    tempers: dict[str, Temper] | None = None,
    *,
    connector_count: int = 1,
) -> Bench:
    """Run `test` in virtual time; return what it left."""
    site = small_site(2, connector_count=connector_count)
    facts: list[Event] = []
    given = {StationId(name): temper for name, temper in (tempers or {}).items()}
    stations = ScriptedStations(
        tempers={station.id: given.get(station.id, Temper()) for station in site.stations},
        post=facts.append,
    )
    dispatcher = Dispatcher(
        site.stations, stations, clock=VirtualClock(), post=facts.append, parameters=PARAMETERS
    )
    bench = Bench(dispatcher=dispatcher, stations=stations, nothing=no_decision(site), facts=facts)

    async def run() -> None:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(dispatcher.run())
            await test(bench)
            running.cancel()

    run_virtual(run())
    return bench


def sent_to(bench: Bench, station: str) -> list[int | None]:
    return [h.limit_ma for h in bench.stations.heard_of("limit", station)]


def test_a_limit_is_believed_sent_before_the_driver_hears_of_it() -> None:
    known_when_called: list[list[Event]] = []

    async def test(bench: Bench) -> None:
        set_limit = bench.stations.set_limit

        async def watched(
            connector: ConnectorRef, limit: CurrentLimit, *, valid_for: timedelta
        ) -> None:
            known_when_called.append(list(bench.facts))
            await set_limit(connector, limit, valid_for=valid_for)

        bench.stations.set_limit = watched  # type: ignore[method-assign]
        bench.offer(order("CP-01", 10))
        await asyncio.sleep(1)

    bench = on_bench(test)

    (known,) = known_when_called
    assert [type(fact) for fact in known] == [LimitSent]
    assert [type(fact) for fact in bench.facts] == [LimitSent, LimitAcknowledged]


def test_a_lease_is_believed_to_run_from_the_latest_moment_it_can_begin() -> None:
    async def test(bench: Bench) -> None:
        bench.offer(order("CP-01", 10, valid_for_s=60))
        await asyncio.sleep(30)

    # The station hears it at the last moment of the driver's patience.
    bench = on_bench(test, {"CP-01": Temper(takes_s=PARAMETERS.acknowledgement_s - 0.1)})

    (sent,) = [fact for fact in bench.facts if isinstance(fact, LimitSent)]
    (heard,) = bench.stations.heard_of("limit")
    assert heard.valid_for == timedelta(seconds=60)
    assert sent.lease_until_s >= sent.at_s + PARAMETERS.acknowledgement_s + 60


def test_sendings_to_a_connector_are_numbered_upwards() -> None:
    async def test(bench: Bench) -> None:
        for limit_a in (6, 8, 10):
            bench.offer(order("CP-01", limit_a), order("CP-02", limit_a))
            await asyncio.sleep(1)

    bench = on_bench(test)

    for station in (CP_01, CP_02):
        numbers = [
            fact.sequence
            for fact in bench.facts
            if isinstance(fact, LimitSent) and fact.connector.station == station
        ]
        assert numbers == [1, 2, 3]


@pytest.mark.parametrize(
    ("temper", "kind"),
    [
        (Temper(is_refusing=True), LimitRejected),
        (Temper(takes_s=float("inf")), LimitUnanswered),
        (Temper(has_bug=True), LimitUnanswered),
    ],
)
def test_every_failure_becomes_a_fact_and_the_next_limit_is_sent(
    temper: Temper, kind: type[Event]
) -> None:
    async def test(bench: Bench) -> None:
        bench.offer(order("CP-01", 10))
        await asyncio.sleep(15)
        bench.offer(order("CP-01", 8))
        await asyncio.sleep(15)

    bench = on_bench(test, {"CP-01": temper})

    assert [type(fact) for fact in bench.facts] == [LimitSent, kind, LimitSent, kind]
    assert sent_to(bench, "CP-01") == [10_000, 8_000]
    assert bench.dispatcher.counters["fault"] == (2 if temper.has_bug else 0)


def test_a_driver_that_never_returns_is_given_up() -> None:
    async def test(bench: Bench) -> None:
        bench.stations.deadline_s = float("inf")
        bench.offer(order("CP-01", 10))
        await asyncio.sleep(PARAMETERS.acknowledgement_s + 1)

    bench = on_bench(test, {"CP-01": Temper(takes_s=1e6)})

    assert [type(fact) for fact in bench.facts] == [LimitSent, LimitUnanswered]


def test_a_station_that_is_slow_delays_no_other() -> None:
    async def test(bench: Bench) -> None:
        for limit_a in (6, 8, 10):
            bench.offer(order("CP-01", limit_a), order("CP-02", limit_a))
            await asyncio.sleep(1)
        await asyncio.sleep(15)

    bench = on_bench(test, {"CP-01": Temper(takes_s=8)})

    assert sent_to(bench, "CP-02") == [6_000, 8_000, 10_000]
    answered_s = [
        fact.at_s
        for fact in bench.facts
        if isinstance(fact, LimitAcknowledged) and fact.connector.station == CP_02
    ]
    assert answered_s == pytest.approx([0.05, 1.05, 2.05])


def test_of_what_waits_for_a_slow_station_only_the_newest_is_sent() -> None:
    async def test(bench: Bench) -> None:
        for limit_a in (6, 8, 10, 12):
            bench.offer(order("CP-01", limit_a))
            await asyncio.sleep(1)
        await asyncio.sleep(15)

    bench = on_bench(test, {"CP-01": Temper(takes_s=5)})

    assert sent_to(bench, "CP-01") == [6_000, 12_000]


def test_a_raise_that_is_no_longer_meant_is_not_sent() -> None:
    async def test(bench: Bench) -> None:
        bench.offer(order("CP-01", 6))
        await asyncio.sleep(1)
        bench.offer(order("CP-01", 16))
        await asyncio.sleep(1)
        bench.offer()
        await asyncio.sleep(15)

    bench = on_bench(test, {"CP-01": Temper(takes_s=5)})

    assert sent_to(bench, "CP-01") == [6_000]


def test_what_was_just_acknowledged_is_not_sent_again() -> None:
    async def test(bench: Bench) -> None:
        bench.offer(order("CP-01", 6))
        await asyncio.sleep(1)
        bench.offer(order("CP-01", 6))
        await asyncio.sleep(15)

    bench = on_bench(test, {"CP-01": Temper(takes_s=5)})

    assert sent_to(bench, "CP-01") == [6_000]


def test_cuts_go_before_everything_else() -> None:
    fallback = FallbackOrder(connector=ConnectorRef(CP_01, 1), limit=CurrentLimit(limit_ma=6_000))

    async def test(bench: Bench) -> None:
        bench.offer(
            order("CP-01", 20, number=1),
            order("CP-01", 9, number=2, is_cut=True),
            order("CP-01", 0, number=3, is_cut=True),
            fallbacks=(fallback,),
        )
        await asyncio.sleep(5)

    bench = on_bench(test, connector_count=3)

    said = [(h.what, h.connector.number) for h in bench.stations.heard]
    assert said == [("limit", 3), ("limit", 2), ("fallback", 1), ("limit", 1)]


def test_stations_to_be_cut_are_served_first() -> None:
    async def test(bench: Bench) -> None:
        await asyncio.sleep(1)
        bench.offer(order("CP-01", 20), order("CP-02", 9, is_cut=True))
        await asyncio.sleep(5)

    bench = on_bench(test)

    assert [h.connector.station for h in bench.stations.heard] == [CP_02, CP_01]


def test_nothing_is_believed_sent_to_a_station_that_is_not_connected() -> None:
    async def test(bench: Bench) -> None:
        bench.offer(order("CP-01", 20), ask=(ConnectorRef(CP_01, 1),))
        await asyncio.sleep(5)

    bench = on_bench(test, {"CP-01": Temper(is_connected=False)})

    assert bench.facts == []


def test_a_limit_refused_is_not_repeated_every_second() -> None:
    async def test(bench: Bench) -> None:
        for _ in range(21):
            bench.offer(order("CP-01", 10))
            await asyncio.sleep(1)

    bench = on_bench(test, {"CP-01": Temper(is_refusing=True)})

    assert 4 <= len(sent_to(bench, "CP-01")) <= 5


def test_refusals_are_said_once_and_so_is_their_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    temper = Temper(is_refusing=True)

    async def test(bench: Bench) -> None:
        for second in range(60):
            temper.is_refusing = second < 30
            bench.offer(order("CP-01", 10))
            await asyncio.sleep(1)

    on_bench(test, {"CP-01": temper})

    assert [r.getMessage() for r in caplog.records] == [
        "CP-01/1: limit rejected: Rejected",
        "CP-01/1 takes limits again",
    ]


def test_where_a_station_has_no_place_it_is_said_at_once_and_asked_for_each_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    temper = Temper(has_no_place=True)

    async def test(bench: Bench) -> None:
        for second in range(200):
            temper.has_no_place = second < 150
            bench.offer(order("CP-01", 10 + second % 3))
            await asyncio.sleep(1)

    bench = on_bench(test, {"CP-01": temper})

    at_s = [h.at_s for h in bench.stations.heard]
    assert all(later - earlier >= 60 for earlier, later in pairwise(at_s[:4]))
    refused = [fact for fact in bench.facts if isinstance(fact, LimitRejected)]
    assert [fact.detail for fact in refused] == ["4 are needed, and it keeps 3"] * 3
    assert bench.dispatcher.counters["limit rejected"] == 3
    assert [r.getMessage() for r in caplog.records] == [
        "CP-01/1: limit without a place: 4 are needed, and it keeps 3",
        "CP-01/1 takes limits again",
    ]


def test_a_cut_does_not_wait_because_a_raise_had_no_place() -> None:
    temper = Temper(has_no_place=True)

    async def test(bench: Bench) -> None:
        bench.offer(order("CP-01", 10))
        await asyncio.sleep(1)
        temper.has_no_place = False
        bench.offer(order("CP-01", 12))
        await asyncio.sleep(1)
        bench.offer(order("CP-01", 0, is_cut=True))
        await asyncio.sleep(1)

    assert sent_to(on_bench(test, {"CP-01": temper}), "CP-01") == [10_000, 0]


def test_a_refusal_that_does_not_last_is_not_worth_a_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    temper = Temper(is_refusing=True)

    async def test(bench: Bench) -> None:
        for second in range(30):
            temper.is_refusing = second < 4
            bench.offer(order("CP-01", 10 + second))
            await asyncio.sleep(1)

    on_bench(test, {"CP-01": temper})

    assert caplog.records == []


def fallback(limit_a: float) -> tuple[FallbackOrder, ...]:
    limit = CurrentLimit(limit_ma=int(limit_a * 1_000))
    return (FallbackOrder(connector=ConnectorRef(CP_01, 1), limit=limit),)


def test_a_fallback_is_written_once_a_minute_at_most() -> None:
    async def test(bench: Bench) -> None:
        for _ in range(181):
            bench.offer(fallbacks=fallback(6))
            await asyncio.sleep(1)

    bench = on_bench(test, {"CP-01": Temper(is_refusing=True)})

    at_s = [h.at_s for h in bench.stations.heard_of("fallback")]
    assert at_s == pytest.approx([0, 60, 120, 180])


def test_a_days_writes_are_ten_and_come_back_a_day_later() -> None:
    async def test(bench: Bench) -> None:
        for _ in range(3_600):
            bench.offer(fallbacks=fallback(6))
            await asyncio.sleep(30)

    bench = on_bench(test, {"CP-01": Temper(is_refusing=True)})

    at_s = [h.at_s for h in bench.stations.heard_of("fallback")]
    assert len([at for at in at_s if at < 86_400]) == 10
    assert len([at for at in at_s if at >= 86_400]) == 10


def test_a_fallback_without_a_place_is_said_once_and_spends_no_write(
    caplog: pytest.LogCaptureFixture,
) -> None:
    temper = Temper(has_no_place=True)

    async def test(bench: Bench) -> None:
        for second in range(960):
            temper.has_no_place = second < 890
            bench.offer(fallbacks=fallback(6))
            await asyncio.sleep(1)

    bench = on_bench(test, {"CP-01": temper})

    assert len(bench.stations.heard) == 16  # The last was written: none before wore anything.
    assert any(isinstance(fact, FallbackInstalled) for fact in bench.facts)
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING] == [
        "CP-01/1: fallback without a place: 4 are needed, and it keeps 3"
    ]


def test_a_prohibition_is_written_at_once_whatever_was_spent() -> None:
    async def test(bench: Bench) -> None:
        for _ in range(12):
            bench.offer(fallbacks=fallback(6))
            await asyncio.sleep(60)
        bench.offer(fallbacks=fallback(0))
        await asyncio.sleep(1)
        bench.offer(fallbacks=fallback(6))  # Taking it back may wait.
        await asyncio.sleep(120)

    bench = on_bench(test)

    written = [h.limit_ma for h in bench.stations.heard_of("fallback")]
    assert written == [6_000] * 10 + [0]
    installed = [fact for fact in bench.facts if isinstance(fact, FallbackInstalled)]
    assert installed[-1].fallback_ma == 0


def test_a_prohibition_that_was_not_answered_is_tried_again_each_minute() -> None:
    temper = Temper()

    async def test(bench: Bench) -> None:
        for _ in range(12):
            bench.offer(fallbacks=fallback(6))
            await asyncio.sleep(60)
        temper.takes_s = float("inf")
        for _ in range(180):
            bench.offer(fallbacks=fallback(0))
            await asyncio.sleep(1)

    bench = on_bench(test, {"CP-01": temper})

    assert [h.limit_ma for h in bench.stations.heard_of("fallback")][10:] == [0, 0, 0]


@pytest.mark.parametrize(
    "temper",
    [Temper(is_unable_to_report=True), Temper(is_refusing=True), Temper(has_bug=True)],
)
def test_a_question_that_fails_harms_nothing_and_is_counted(temper: Temper) -> None:
    async def test(bench: Bench) -> None:
        bench.offer(ask=(ConnectorRef(CP_01, 1),))
        await asyncio.sleep(5)

    bench = on_bench(test, {"CP-01": temper})

    assert bench.facts == []
    assert bench.dispatcher.counters["question unanswered"] == 1


def test_an_unanswered_question_does_not_hold_up_a_cut() -> None:
    async def test(bench: Bench) -> None:
        bench.offer(ask=(ConnectorRef(CP_01, 1),))
        await asyncio.sleep(1)
        bench.offer(order("CP-01", 6, is_cut=True))
        await asyncio.sleep(1)

    bench = on_bench(test, {"CP-01": Temper(takes_s=9)})

    # Whether the wire is free is the driver's to know.
    assert [h.what for h in bench.stations.heard] == ["question", "limit"]


def test_latency_is_counted_from_the_decision() -> None:
    async def test(bench: Bench) -> None:
        bench.offer(order("CP-01", 10))
        await asyncio.sleep(5)

    bench = on_bench(test, {"CP-01": Temper(takes_s=2)})

    assert bench.dispatcher.limit_latencies_s() == pytest.approx([2])
