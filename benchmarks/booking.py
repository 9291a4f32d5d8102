"""Quotes and holds in process on one core, with and without the ledger on disk, and a race for room.

The mix is 95 % quotes and 5 % holds of what was quoted, on 54 connectors of six boards at their
declared worst, by 64 writers who take turns. Each has one promise held, and the next in the place of it
(`replaces`): so 64 are open at any time, with the ledger and without, and both runs are answered no or
partly as often: one time in thirteen. What a writer asks in a round it has thought of before: that is a client's work. With the
ledger a hold is done once it would survive a power cut, and what waits for the disk meanwhile is written
with one commit. Garbage is collected as seldom as in the daemon. In the race four writers quote, hold,
confirm and give up on a board that has room for two vehicles of its eight; how often open promises take
more than there is, at any instant, is told from the promises alone. Rates are per second of processor
time, and of the clock on the wall where others leave us the core.
"""

import asyncio
import contextlib
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import accumulate
from pathlib import Path
from statistics import median
from typing import Final

import uvloop

from gateway.adapters.clock import SystemClock
from gateway.adapters.ledger_db import GATHER_S, LedgerDb
from gateway.cli.serving import collect_seldom
from gateway.control.parameters import ControlParameters
from gateway.control.wiring import Wiring
from gateway.domain.access import Access, Role
from gateway.domain.circuits import (
    FASTEST_CURVE,
    ChargingStation,
    Circuit,
    Connector,
    OvercurrentDevice,
    Site,
)
from gateway.domain.electric import Phase
from gateway.domain.ids import CircuitId, ConnectorRef, StationId
from gateway.domain.needs import Need
from gateway.domain.promises import Reservation
from gateway.planning.answers import QuoteAnswer, RefusedError
from gateway.services.booking import Booking
from gateway.services.feed import Feed

MUST_PER_S: Final = 5_000
WARM: Final = 12_800
WRITERS: Final = 64
ROUNDS, MIX = 10, 6_400
RACE: Final = 100_000
A_BOARD: Final = 10
LOOKS_EVERY: Final = 1_000


def site_of(connectors: int, *, supply_a: int) -> Site:
    """Return a supply with boards of ten connectors of 32 A on three phases."""
    boards = -(-connectors // A_BOARD)
    device = OvercurrentDevice.MCB

    def circuit(name: str, rating_a: int, parent: str | None = None) -> Circuit:
        return Circuit(
            id=CircuitId(name),
            parent=None if parent is None else CircuitId(parent),
            rating_ma=(rating_a * 1_000,) * 3,
            device=device,
            set_point_ratio=0.95,
            curve=FASTEST_CURVE[device],
            meter=None,
            worst_case_base_ma=(0, 0, 0),
        )

    circuits = [circuit("supply", supply_a)]
    circuits += [circuit(f"board-{at}", 200, "supply") for at in range(boards)]
    stations = []
    for at in range(connectors):
        connector = Connector(
            ref=ConnectorRef(StationId(f"CP-{at}"), 1),
            circuit=CircuitId(f"board-{at // A_BOARD}"),
            phases=(Phase.L1, Phase.L2, Phase.L3),
            max_ma=32_000,
            fallback_ma=6_000,
        )
        stations.append(ChargingStation(id=connector.ref.station, connectors=(connector,)))
    return Site(
        name="Booking",
        timezone="UTC",
        voltage_v=230.0,
        circuits=tuple(circuits),
        meters=(),
        loads=(),
        stations=tuple(stations),
    )


class _Writer:
    """Asks, and holds what it was offered: in the place of what it holds, or gives up the oldest of it."""

    def __init__(
        self, made: Booking, number: int, *, keeps: int, replaces: bool, confirms: bool
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.holds_s: list[float] = []
        self.open_counts: list[int] = []
        self._made, self._keeps, self._replaces = made, keeps, replaces
        self._confirms = confirms
        self._chance = random.Random(number)
        self._by = Access(name=f"writer {number}", role=Role.VEHICLE_OPERATOR)
        self._clock = SystemClock()
        self._connectors = made.places.site.connectors
        self._needs: list[Need] = []
        self._quotes: list[QuoteAnswer] = []
        self._held: list[str] = []

    def draw(self, count: int) -> None:
        """Think of what will be asked next: that is the client's work."""
        self._needs = [self._need() for _ in range(count)]

    async def act(self, quote_ratio: float) -> None:
        """Ask, or hold something of the last answers."""
        if not self._quotes or self._chance.random() < quote_ratio:
            quote = self._made.quote(self._needs.pop() if self._needs else self._need(), self._by)
            self._quotes = [*self._quotes[-4:], quote]
            self.counts[f"quotes {quote.verdict}"] += 1
            return
        offers = self._chance.choice(self._quotes).offers
        if not offers:
            return
        self.open_counts.append(len(self._made.book.promises))
        begun_s = time.perf_counter()
        self.counts["holds"] += 1
        try:
            replaces = self._held[0] if self._replaces and self._held else None
            held = await self._made.hold(
                self._chance.choice(offers).id, self._by, replaces=replaces
            )
        except RefusedError:
            self.counts["refused"] += 1
            return
        self.holds_s.append(time.perf_counter() - begun_s)
        self._held.append(held.id)
        if replaces is not None:
            self._held.remove(replaces)
        if self._confirms and self._chance.random() < 0.5:
            await self._made.confirm(held.id, self._by)
            self.counts["confirmed"] += 1
        if len(self._held) > self._keeps:
            await self._made.cancel(self._held.pop(0), self._by)
            self.counts["given_up"] += 1

    def _need(self) -> Need:
        chance, now_at = self._chance, self._clock.now_at()
        arrive_at = now_at + timedelta(hours=chance.uniform(0.1, 40))
        return Need(
            arrive_at=arrive_at,
            depart_at=arrive_at + timedelta(hours=chance.uniform(1, 4)),
            energy_wh=chance.randrange(2_000, 15_000),
            connector=chance.choice(self._connectors).ref,
        )


@asynccontextmanager
async def _booking(
    site: Site, folder: Path | None, *, gather_s: float = GATHER_S
) -> AsyncIterator[tuple[Booking, LedgerDb | None]]:
    """Open a book; with a folder, on a ledger that is written there."""
    clock = SystemClock()
    ledger = None
    if folder is not None:
        ledger = LedgerDb(folder, site=site.name, clock=clock, gather_s=gather_s)
    made = Booking(
        Wiring.of(site), ControlParameters(), clock=clock, feed=Feed(clock), ledger=ledger
    )
    if ledger is None:
        yield made, None
        return
    ledger.load(run="bench")
    async with asyncio.TaskGroup() as tasks:
        writing = tasks.create_task(ledger.run())
        yield made, ledger
        writing.cancel()


async def _mix(folder: Path | None) -> dict[str, object]:
    async with _booking(site_of(54, supply_a=1_000), folder) as (made, ledger):
        writers = [
            _Writer(made, number, keeps=1, replaces=True, confirms=False)
            for number in range(WRITERS)
        ]

        async def write(writer: _Writer, acts: int) -> None:
            for _ in range(acts):
                await writer.act(0.95)
                await asyncio.sleep(0)  # All take turns, whether a hold waits for the disk or not.

        await asyncio.gather(*(write(writer, WARM // len(writers)) for writer in writers))
        for writer in writers:
            writer.holds_s.clear()
            writer.open_counts.clear()
        before, commits = _counted(writers), 0 if ledger is None else ledger.counters["commits"]
        rates, on_the_wall = [], []
        for _ in range(ROUNDS):
            done = _counted(writers)
            for writer in writers:
                writer.draw(MIX // len(writers))
            wall_s, used_s = time.perf_counter(), time.process_time()
            await asyncio.gather(*(write(writer, MIX // len(writers)) for writer in writers))
            wall_s, used_s = time.perf_counter() - wall_s, time.process_time() - used_s
            counts = _counted(writers) - done
            rates.append((_asked(counts)) / used_s)
            on_the_wall.append((_asked(counts)) / wall_s)
        counts = _counted(writers) - before
        holds_s = sorted(took_s for writer in writers for took_s in writer.holds_s)
        open_counts = sorted(count for writer in writers for count in writer.open_counts)
        figures: dict[str, object] = {
            "per_s": round(max(rates)),
            "per_s_median": round(median(rates)),
            "per_s_on_the_wall": round(max(on_the_wall)),
            "must_per_s": MUST_PER_S,
            **counts,
            "open_least": open_counts[0],
            "open_median": round(median(open_counts)),
            "open_most": open_counts[-1],
            "hold_p50_ms": round(holds_s[len(holds_s) // 2] * 1_000, 2),
            "hold_p99_ms": round(holds_s[len(holds_s) * 99 // 100] * 1_000, 2),
        }
        if ledger is not None:
            figures["commits"] = ledger.counters["commits"] - commits
        return figures


def _asked(counts: Counter[str]) -> int:
    """Return how many questions and holds there were: the rest is not of the mix."""
    return sum(counts[word] for word in ("quotes yes", "quotes partly", "quotes no", "holds"))


def _counted(writers: list[_Writer]) -> Counter[str]:
    return sum((writer.counts for writer in writers), Counter[str]())


def _operations(writers: list[_Writer]) -> int:
    counts = _counted(writers)
    return counts.total() - counts["refused"]  # It is a hold.


async def _race(folder: Path) -> dict[str, object]:
    site = site_of(8, supply_a=80)
    # Four who each wait for the disk share few commits: so it is over in a minute or two.
    async with _booking(site, folder, gather_s=0.0) as (made, _):
        available_ma = made.book.room.left_ma.min(axis=1).tolist()
        writers = [
            _Writer(made, number, keeps=12, replaces=False, confirms=True) for number in range(4)
        ]
        over, most_open = 0, 0

        async def write(writer: _Writer) -> None:
            nonlocal over, most_open
            while _operations([writer]) < RACE // len(writers):
                await writer.act(0.4)
                if writer.counts["holds"] % LOOKS_EVERY == 0:
                    promises = made.book.promises.values()
                    over += over_commits(promises, available_ma)
                    most_open = max(most_open, len(promises))

        wall_s = time.perf_counter()
        await asyncio.gather(*(write(writer) for writer in writers))
        wall_s = time.perf_counter() - wall_s
        promises = dict(made.book.promises)
        over += over_commits(promises.values(), available_ma)
    with contextlib.closing(LedgerDb(folder, site=site.name, clock=SystemClock())) as ledger:
        remembered = ledger.load(run="again").promises
        stands = {name: m.promise for name, m in remembered.items() if m.promise.state.is_open}
    return {
        "operations": _operations(writers),
        **_counted(writers),
        "most_open": most_open,
        "over_commits": over,
        "over_commits_must": 0,
        "otherwise_in_the_ledger": sum(stands.get(name) != p for name, p in promises.items()),
        "took_s": round(wall_s, 1),
    }


def over_commits(promises: Iterable[Reservation], available_ma: list[int]) -> int:
    """Return how often open promises begin to take more of a row than there is, told from them alone."""
    steps: dict[int, list[tuple[float, int]]] = {}
    for promise in promises:
        for row in promise.rows if promise.state.is_open else ():
            for part in promise.envelope:
                steps.setdefault(row, []).append((part.from_at_s, part.current_ma))
                steps[row].append((part.until_at_s, -part.current_ma))
    found = 0
    for row, changes in steps.items():
        # Where one ends as another begins, the end comes first.
        taken_ma = accumulate(change_ma for _, change_ma in sorted(changes))
        found += sum(ma > available_ma[row] for ma in taken_ma)
    return found


def measure() -> dict[str, object]:
    """Return the mix of design §9 with and without the ledger, and the race."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    collect_seldom()
    figures: dict[str, object] = {}
    for name in ("in_memory", "durable"):
        with tempfile.TemporaryDirectory() as folder:
            print(f"  {name} ...", file=sys.stderr, flush=True)
            figures[name] = uvloop.run(_mix(Path(folder) if name == "durable" else None))
    with tempfile.TemporaryDirectory() as folder:
        print("  race ...", file=sys.stderr, flush=True)
        figures["race"] = uvloop.run(_race(Path(folder)))
    return figures


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
