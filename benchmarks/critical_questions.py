"""How late the event loop is while critical questions are thought over, for which promises may move.

The book is that of `booking`: 54 connectors on a supply that is promised full to vans for hours.
Askers ask, each as soon as it is answered, for power that fits nowhere unless vans charge at other
times; the process that plans thinks it over. Meanwhile something is due each 5 ms; told is how late it
was, and beside it, in the same run, how late it is while nobody asks.
"""

import asyncio
import json
import random
import sys
import time
from datetime import timedelta
from typing import Final

import uvloop

from benchmarks.booking import site_of
from gateway.adapters.clock import SystemClock
from gateway.control.parameters import ControlParameters
from gateway.control.wiring import Wiring
from gateway.domain.access import Access, Role
from gateway.domain.needs import Criticality, Need
from gateway.planning.quote import Verdict
from gateway.services.booking import Booking
from gateway.services.feed import Feed
from gateway.services.planner_pipe import PlannerPipe
from gateway.services.second_thoughts import SecondThoughts

SUPPLY_A: Final = 250
LASTS_S: Final = 20.0
DUE_EACH_S: Final = 0.005
ASKERS: Final = (0, 1, 6, 0)
VANS: Final = Access(name="vans", role=Role.VEHICLE_OPERATOR)
DRONES: Final = Access(name="drones", role=Role.VEHICLE_OPERATOR, criticality=Criticality.CRITICAL)


async def _filled(clock: SystemClock, chance: random.Random, pipe: PlannerPipe) -> Booking:
    site = site_of(54, supply_a=SUPPLY_A)
    made = Booking(
        Wiring.of(site),
        ControlParameters(),
        clock=clock,
        feed=Feed(clock),
        think_over=SecondThoughts(pipe, clock).on,
    )
    for connector in made.places.site.connectors:
        begins_at = clock.now_at() + timedelta(hours=chance.uniform(1, 3))
        need = Need(
            arrive_at=begins_at,
            depart_at=begins_at + timedelta(hours=6),
            energy_wh=20_000,
            connector=connector.ref,
        )
        quote = made.quote(need, VANS)
        if quote.verdict is Verdict.YES and connector.ref.station[-1] != "0":
            held = await made.hold(quote.offers[0].id, VANS)
            await made.confirm(held.id, VANS)
    return made


async def _ask(made: Booking, chance: random.Random, took_s: list[float]) -> None:
    free = [c.ref for c in made.places.site.connectors if c.ref.station[-1] == "0"]
    while True:
        begins_at = SystemClock().now_at() + timedelta(hours=chance.uniform(2, 4))
        need = Need(
            arrive_at=begins_at,
            depart_at=begins_at + timedelta(hours=1),
            energy_wh=chance.randrange(15_000, 21_000),
            connector=chance.choice(free),
            criticality=Criticality.CRITICAL,
        )
        begun_s = time.perf_counter()
        await made.quote_thoroughly(need, DRONES)
        took_s.append(time.perf_counter() - begun_s)


async def _watched(made: Booking, askers: int) -> dict[str, object]:
    """Return how late the loop is while so many ask, and what they wait."""
    late_s: list[float] = []
    took_s: list[float] = []
    before = dict(made.counters)
    tasks = [asyncio.create_task(_ask(made, random.Random(at), took_s)) for at in range(askers)]
    ends_s = time.perf_counter() + LASTS_S
    while time.perf_counter() < ends_s:
        due_s = time.perf_counter() + DUE_EACH_S
        await asyncio.sleep(DUE_EACH_S)
        late_s.append(max(0.0, time.perf_counter() - due_s))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    yes = made.counters["quotes yes"] - before.get("quotes yes", 0)
    return {
        "askers": askers,
        "late_p50_ms": _quantile_ms(late_s, 0.5),
        "late_p99_ms": _quantile_ms(late_s, 0.99),
        "late_max_ms": _quantile_ms(late_s, 1.0),
        "answers": len(took_s),
        "answers_yes": yes,
        **({"answered_p50_ms": _quantile_ms(took_s, 0.5)} if took_s else {}),
        **({"answered_max_ms": _quantile_ms(took_s, 1.0)} if took_s else {}),
    }


def _quantile_ms(values_s: list[float], part: float) -> float:
    ordered = sorted(values_s)
    return round(ordered[min(len(ordered) - 1, int(part * len(ordered)))] * 1_000, 1)


async def _measured() -> dict[str, object]:
    pipe = PlannerPipe()
    try:
        made = await _filled(SystemClock(), random.Random(1), pipe)
        watched = []
        for askers in ASKERS:
            print(f"  {askers} askers ...", file=sys.stderr, flush=True)
            watched.append(await _watched(made, askers))
    finally:
        await pipe.end()
    return {"promises": len(made.book.promises), "watched": watched}


def measure() -> dict[str, object]:
    """Return how late the loop is with nobody, one and six who ask."""
    return uvloop.run(_measured())


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
