"""How long the event loop is held when the book of promises is opened anew.

A hundred connectors on ten boards; base is metered on all eleven circuits, and forecast from twelve weeks
of it. Three hundred vehicles are promised something in the next two days, at quarters of an hour or
at any second. Control decides in the same loop: what opening takes there it may wait.
"""

import asyncio
import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Final

import numpy as np

from benchmarks.booking import site_of
from gateway.control.parameters import ControlParameters
from gateway.control.wiring import Wiring
from gateway.domain.access import Access, Role
from gateway.domain.circuits import Site
from gateway.domain.ids import MeterId
from gateway.domain.needs import Need
from gateway.services.booking import Booking
from gateway.services.feed import Feed
from gateway.services.forecasting import Forecasting

CONNECTORS, PROMISES, A_HOLDER = 100, 300, 100
ROUNDS: Final = 20
NOON: Final = datetime(2026, 1, 5, 12, tzinfo=UTC)
MONTHS: Final = timedelta(days=84)


class _Clock:
    """Stands still; who sleeps has done what was to be done."""

    def __init__(self) -> None:
        self.slept = asyncio.Event()

    def monotonic_s(self) -> float:
        return 0.0

    def now_at(self) -> datetime:
        return NOON

    async def sleep_s(self, delay_s: float) -> None:
        del delay_s
        self.slept.set()
        await asyncio.Event().wait()


class _Weeks:
    """A past in which base is higher by day than at night, on each row otherwise."""

    def __init__(self) -> None:
        self._chance = np.random.default_rng(4)

    def means(
        self, names: Sequence[str], since_at: datetime, until_at: datetime
    ) -> Iterator[tuple[float, list[float]]]:
        usual_a = np.linspace(10.0, 40.0, len(names))
        while since_at < until_at:
            by_day = 2.0 if 8 <= since_at.hour < 18 else 1.0
            off_a = self._chance.normal(scale=3.0, size=len(names))
            means_a = np.maximum(0.0, by_day * usual_a + off_a).tolist()
            for minute in range(0, 15, 3):
                yield (since_at + timedelta(minutes=minute)).timestamp(), means_a
            since_at += timedelta(minutes=15)


def _metered(site: Site) -> Site:
    circuits = tuple(
        replace(
            circuit,
            meter=MeterId(f"meter-{circuit.id}"),
            worst_case_base_ma=(8 * circuit.rating_ma[0] // 10,) * 3,
        )
        for circuit in site.circuits
    )
    return replace(site, circuits=circuits)


async def _filled(*, at_quarters: bool) -> Booking:
    wiring, parameters, clock = (
        Wiring.of(_metered(site_of(CONNECTORS, supply_a=1_000))),
        ControlParameters(),
        _Clock(),
    )
    seen = Forecasting(wiring, parameters, zone=UTC, clock=clock, past=_Weeks())
    learning = asyncio.create_task(seen.run())
    await clock.slept.wait()
    learning.cancel()
    made = Booking(wiring, parameters, clock=clock, feed=Feed(clock), prospects=seen)
    chance, promised = random.Random(4), 0
    while promised < PROMISES:
        begins_s = chance.uniform(1_800, 42 * 3_600)
        begins_s -= begins_s % 900 if at_quarters else 0
        arrive_at = NOON + timedelta(seconds=begins_s)
        by = Access(name=f"holder {promised // A_HOLDER}", role=Role.VEHICLE_OPERATOR)
        need = Need(
            arrive_at=arrive_at,
            depart_at=arrive_at + timedelta(hours=chance.randrange(2, 12) / 2),
            energy_wh=chance.randrange(2_000, 15_000),
            connector=chance.choice(made.places.site.connectors).ref,
        )
        quote = made.quote(need, by)
        if quote.offers and quote.offers[0].outlet.key == str(need.connector):
            held = await made.hold(quote.offers[0].id, by)
            await made.confirm(held.id, by)
            promised += 1
    return made


async def _took(*, at_quarters: bool) -> dict[str, object]:
    made = await _filled(at_quarters=at_quarters)
    took_s = []
    for _ in range(ROUNDS):
        begun_s = time.process_time()
        made.look_again()
        took_s.append(time.process_time() - begun_s)
    room = made.book.room
    return {
        "promises": len(made.book.promises),
        "slots": room.grid.slot_count,
        "rows_forecast": len(room.base_paths_ma),
        "scenarios": max(len(paths_ma) for paths_ma in room.base_paths_ma.values()),
        "ms": round(median(took_s) * 1_000, 1),
        "ms_most": round(max(took_s) * 1_000, 1),
    }


def measure() -> dict[str, object]:
    """Return what opening takes, in ms of processor time."""
    return {
        name: asyncio.run(_took(at_quarters=at_quarters))
        for name, at_quarters in (("at_quarters_of_an_hour", True), ("at_any_second", False))
    }


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
