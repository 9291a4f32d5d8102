"""Whether promises are kept in Wh delivered, through the control law and with walk-ups coming.

Each recorded building is scaled to one 200 A supply; of two years the second is judged, the first is
history, in which the forecast learns how far off it is, as it does in the daemon. At many hours six vehicles one after another ask for everything there is in a window ahead,
at 80, 90 and 95 % in turn. Then the hours come as recorded, walk-ups come too (energies and stays of
recorded sessions, at seeded instants), and the real control law gives what it gives
(`_promised_building` says what is simplified). A promise is kept if 98 % of it was delivered; those
that bind in at least one scenario are scored. Windows in which fewer than three bind are left out.

Beside it stand what the recorded load alone would have left for each promise in its turn, and what
quantiles of base hour by hour would have offered. For what was not kept though that load would have
kept it, the hours are lived through once more, without walk-ups and then without anybody else: that
tells why. The data are hourly: nothing is said about peaks within the hour.
Promises of one window share its base, so the intervals are narrower than they would be if all were
apart. HEADROOM_BENCH=short lives through one window in five.
"""

import gc
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from pathlib import Path
from random import Random
from typing import Final

import numpy as np

from benchmarks._data import Floats, folder
from benchmarks._promised_building import MAX_MA, VOLTAGE_V, PromisedBuilding, Stay, site_of
from benchmarks._recorded_building import AVAILABLE_MA, PARAMETERS, Building, building_of
from drivers.sim.scenario import VehicleTraits
from gateway.adapters.session_csv import read_sessions
from gateway.control.wiring import Wiring
from gateway.domain.needs import Need
from gateway.domain.promises import PromiseState, Reservation
from gateway.domain.sessions import Statement
from gateway.planning.answering import answer
from gateway.planning.asking import Places, asked_of
from gateway.planning.book import Book, become, hold, opened, with_promise
from gateway.planning.calibrate import KEPT_RATIO, Z_95, excuse_of, wilson
from gateway.planning.circumstances import Circumstances
from gateway.planning.coming import coming
from gateway.planning.grid import HOUR_S, Grid, even_grid
from gateway.planning.promising import of_offer, weighed
from gateway.planning.quote import Way
from gateway.planning.recorded import RecordedSession
from gateway.planning.room import Ints
from gateway.services.foresight import on_slots
from gateway.services.promisable import unused_ma

LEVELS: Final = (0.8, 0.9, 0.95)
WINDOWS_H: Final = ((1, 4), (6, 4), (12, 4))  # From so many hours ahead, so many hours long.
EVERY_H: Final = 17
SHORT_EVERY: Final = 5
PARTS: Final = 5
PROMISED, WALKED_UP = 6, 2
LEAST_BINDING: Final = 3  # Windows in which fewer promises bind are not lived through.
WARMS_UP_S: Final = 600.0
ROUNDING_WH: Final = 1.0
FREE_FOR_S: Final = 1_800.0  # On average, between two walk-ups at one connector.
MAX_W: Final = 11_040.0
PROMISED_TRAITS: Final = VehicleTraits(
    need_wh=1e9,
    max_a=MAX_MA / 1_000,
    phase_count=3,
    taper_wh=0.0,
    draw_ratio=1.0,
    ripple_a=0.1,
)


class Cause(StrEnum):
    """Why a promise was not kept: the first of these without which it would have been."""

    BASE = "base was higher than foreseen"
    WALK_UPS = "walk-ups"
    OTHERS = "others that were promised something"
    LAW = "start, climb and what the law leaves, alone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """When promises are asked for, and for when, in hours of a building's load.

    `turn` says which level the first vehicle asks for.
    """

    origin: int
    ahead_h: int
    long_h: int
    turn: int = 0

    @property
    def from_s(self) -> float:
        """Return when it begins."""
        return (self.origin + self.ahead_h) * HOUR_S

    @property
    def until_s(self) -> float:
        """Return when it ends."""
        return self.from_s + self.long_h * HOUR_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A promise that was made, and what else would have come of it.

    `recorded_wh` is what the recorded load alone would have left for it, those promised before it
    having taken theirs, `by_slots_wh` what would have been offered in its place if each hour's load
    were taken at a quantile, and `by_slots_of_all_wh` the same of a supply of which control left
    nothing unused. `cause` says why it was not kept.
    """

    promise: Reservation
    asked_ratio: float
    recorded_wh: float
    by_slots_wh: float
    by_slots_of_all_wh: float
    cause: Cause | None = None

    @property
    def would_be_kept(self) -> bool:
        """Return whether the recorded load alone would have kept it."""
        return self.recorded_wh >= KEPT_RATIO * self.promise.energy_wh - ROUNDING_WH

    @property
    def is_kept(self) -> bool:
        """Return whether it was delivered."""
        return self.promise.delivered_wh >= KEPT_RATIO * self.promise.energy_wh


def measure() -> dict[str, object]:
    """Return promised and kept per level, and what per-slot quantiles would offer."""
    where = folder()
    if where is None:
        return {"left_out": "no recordings: name their folder in HEADROOM_DATA"}
    files = sorted(where.glob("building-load/*_2017.csv.gz"))
    began_s = time.monotonic()
    made: list[Made] = []
    all_made: list[Made] = []
    # What is thrown away in a replay has no cycles in it, and there is much of it.
    workers = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(max_workers=workers, initializer=gc.disable) as pool:
        buildings = list(pool.map(building_of, files))
        parts = [(where, building, nth) for nth in range(PARTS) for building in buildings]
        for lived, not_lived_too in pool.map(lived_through, parts):
            made += lived
            all_made += not_lived_too
            print(f"  {len(made)} promises", file=sys.stderr, flush=True)
    return {
        "buildings": len(buildings),
        **{f"asked {level:g}": row(made, level) for level in LEVELS},
        "by_recorded_load_alone_in_every_window": {
            f"asked {level:g}": by_recorded_load(all_made, level) for level in LEVELS
        },
        "took_s": round(time.monotonic() - began_s),
    }


def row(made: list[Made], level: float) -> dict[str, object]:
    """Return what became of the binding promises of a level."""
    binding = [m for m in made if m.asked_ratio == level and m.promise.is_binding]
    scored = [m for m in binding if excuse_of(m.promise, has_left=False) is None]
    kept, count = sum(m.is_kept for m in scored), max(1, len(scored))
    low, high = wilson(kept, len(scored), Z_95)
    offered_wh = sum(m.promise.energy_wh for m in binding)
    recorded = sum(m.would_be_kept for m in scored)
    causes = Counter(m.cause for m in scored if m.cause is not None)
    return {
        "promises": len(scored),
        "said": round(sum(m.promise.confidence_ratio for m in scored) / count, 3),
        "kept": round(kept / count, 3),
        "kept_low_95": round(low, 3),
        "kept_high_95": round(high, 3),
        "kept_by_recorded_load": round(recorded / count, 3),
        "kept_though_base_was_higher": sum(m.is_kept and not m.would_be_kept for m in scored),
        "not_kept": {cause.value: causes[cause] for cause in Cause},
        "took_less_than_allowed": len(binding) - len(scored),
        "energy_against_quantiles_per_slot": round(
            offered_wh / max(1.0, sum(m.by_slots_wh for m in binding)), 3
        ),
        "energy_against_quantiles_with_nothing_unused": round(
            offered_wh / max(1.0, sum(m.by_slots_of_all_wh for m in binding)), 3
        ),
    }


def by_recorded_load(made: list[Made], level: float) -> dict[str, float]:
    """Return how many binding promises of a level the recorded load would have kept."""
    binding = [m for m in made if m.asked_ratio == level and m.promise.is_binding]
    kept = sum(m.would_be_kept for m in binding)
    said = sum(m.promise.confidence_ratio for m in binding)
    count = max(1, len(binding))
    return {
        "promises": len(binding),
        "said": round(said / count, 3),
        "kept": round(kept / count, 3),
    }


def lived_through(part: tuple[Path, Building, int]) -> tuple[list[Made], list[Made]]:
    """Return what became of promises in a building's second year, and all that were made.

    Each part has one window of so many.
    """
    where, building, nth = part
    sessions = _sessions(where)
    every = SHORT_EVERY if os.environ.get("HEADROOM_BENCH") == "short" else 1
    lived, all_made = list[Made](), list[Made]()
    for at, window in enumerate(windows_of(building)):
        if at % PARTS != nth:
            continue
        made = promised(building, window)
        all_made += made
        if at % every == 0 and sum(one.promise.is_binding for one in made) >= LEAST_BINDING:
            lived += with_causes(building, window, kept_of(building, window, made, sessions))
    return lived, all_made


@cache
def _sessions(where: Path) -> tuple[RecordedSession, ...]:
    return tuple(
        session
        for file in sorted(where.glob("ev-sessions/*.csv.gz"))
        for session in read_sessions(file, max_w=MAX_W)
    )


def windows_of(building: Building) -> Iterator[Window]:
    """Yield the windows in which promises are made, one kind after the other."""
    longest_h = max(ahead_h + long_h for ahead_h, long_h in WINDOWS_H)
    origins = range(building.first_hour, len(building.load_ma) - longest_h, EVERY_H)
    for at, origin in enumerate(origins):
        turn, kind = divmod(at, len(WINDOWS_H))
        ahead_h, long_h = WINDOWS_H[kind]
        yield Window(origin=origin, ahead_h=ahead_h, long_h=long_h, turn=turn)


# What is promised.


def promised(building: Building, window: Window) -> list[Made]:
    """Return what is promised of a window, to one vehicle after another."""
    hours = window.ahead_h + window.long_h
    seen, grid = building.seen(window.origin, hours), even_grid(hours, HOUR_S)
    paths_ma, planned_ma = seen.paths_ma.astype(np.int64), seen.planned_ma.astype(np.int64)
    came_ma = np.ceil(building.load_ma[np.newaxis, window.origin : window.origin + hours])
    came_ma = came_ma.astype(np.int64)
    # The book as it is seen, and as if it were known what base will be.
    book, known = (
        opened(
            grid,
            np.repeat(_promisable_ma(planned_ma)[np.newaxis], 3, axis=0),
            from_at_s=window.origin * HOUR_S,
            base_paths_ma=dict.fromkeys(range(3), of_base_ma - planned_ma),
        )
        for of_base_ma in (paths_ma, came_ma)
    )
    places = _places()
    made: list[Made] = []
    for at in range(PROMISED):
        level = LEVELS[(at + window.turn) % len(LEVELS)]
        promise = _asked(book, places, window, at, level)
        if promise is None:
            continue
        less_ma = planned_ma - np.quantile(paths_ma, level, axis=0, method="higher")
        left_unused_ma = AVAILABLE_MA - planned_ma - _promisable_ma(planned_ma)
        made.append(
            Made(
                promise=promise,
                asked_ratio=level,
                recorded_wh=_known_wh(known, promise, places),
                by_slots_wh=_left_wh(book, promise, places, less_ma),
                by_slots_of_all_wh=_left_wh(book, promise, places, less_ma + left_unused_ma),
            )
        )
        book = become(hold(book, promise), promise.id, PromiseState.CONFIRMED)
        known = with_promise(known, promise)
    return made


@cache
def _places() -> Places:
    return Places.of(site_of(PROMISED + WALKED_UP, worst_case_base_ma=AVAILABLE_MA))


def _asked(book: Book, places: Places, window: Window, at: int, level: float) -> Reservation | None:
    """Return what is promised to a vehicle that asks for all its connector could give."""
    now_s = book.from_at_s
    ref = places.site.connectors[at].ref
    need = Need(
        arrive_at=datetime.fromtimestamp(window.from_s, tz=UTC),
        depart_at=datetime.fromtimestamp(window.until_s, tz=UTC),
        energy_wh=int(places.outlet(str(ref), phase_count=None, max_power_w=None).power_w(MAX_MA))
        * window.long_h,
        confidence_ratio=level,
        connector=ref,
    )
    end_s = now_s + book.room.grid.edges_s[-1]
    said = answer(
        book,
        need,
        asked_of(need, places, from_at_s=now_s, now_s=now_s, end_s=end_s),
        quote_id=f"q{at}",
        expires_at_s=now_s + 120.0,
        circumstances=Circumstances(places=places, now_s=now_s, zone=UTC),
    )
    found = [o for o in said.offers if o.offer.way in (Way.AS_ASKED, Way.MOST_ENERGY)]
    if not found:
        return None
    promise = of_offer(found[0], need, name=f"p{at}", holder="", hold_until_at_s=now_s + 120.0)
    return weighed(promise, book, places)


def _promisable_ma(base_ma: Ints) -> Ints:
    """Return what there is for connectors beside base, as the daemon counts it."""
    left_ma: Ints = AVAILABLE_MA - base_ma
    return left_ma - unused_ma(_wiring(), PARAMETERS, 0, left_ma)


@cache
def _wiring() -> Wiring:
    return Wiring.of(_places().site)


def _known_wh(known: Book, promise: Reservation, places: Places) -> float:
    """Return what a promise is left where it is known what base will be, and what others take."""
    from_s, until_s = promise.from_at_s - known.from_at_s, promise.until_at_s - known.from_at_s
    outlet = places.at(promise.place, promise.phase_count)
    begins_s, outlook = coming(outlet, known.room.outlook(outlet), from_s)
    return float(outlook.path_energies_wh(begins_s, until_s)[0])


def _left_wh(book: Book, promise: Reservation, places: Places, more_ma: Floats) -> float:
    """Return what a connector would be left in a promise's window, with so much more than planned."""
    left_ma = book.room.left_ma + np.floor(more_ma).astype(np.int64)
    outlook = replace(book.room, left_ma=left_ma, base_paths_ma={}).outlook(
        places.at(promise.place, promise.phase_count)
    )
    return outlook.energy_within_wh(
        promise.from_at_s - book.from_at_s, promise.until_at_s - book.from_at_s
    )


# What is kept.


def kept_of(
    building: Building,
    window: Window,
    made: Sequence[Made],
    sessions: Sequence[RecordedSession],
    **steps: float,
) -> list[Made]:
    """Return what was promised of a window, with what was delivered and allowed.

    Without `sessions` nobody walks up.
    """
    places, seed = _places(), f"{building.name}/{window.origin}"
    stays = [
        Stay(
            at=int(one.promise.id.removeprefix("p")),
            from_s=window.from_s,
            until_s=window.until_s,
            traits=PROMISED_TRAITS,
            promise_id=one.promise.id,
        )
        for one in made
    ]
    if sessions:
        stays += walk_ups(Random(seed), sessions, window.from_s - WARMS_UP_S, window.until_s)

    def available(grid: Grid, from_at_s: float) -> tuple[tuple[int, ...], ...]:
        return _available(building, grid, from_at_s)

    lived = PromisedBuilding(
        places.site,
        building.load_ma / 1_000,
        stays,
        {one.promise.id: replace(one.promise, state=PromiseState.CONFIRMED) for one in made},
        available=available,
        from_s=window.from_s - WARMS_UP_S,
        seed=seed,
        **steps,
    )
    lived.run(window.until_s)
    return [replace(one, promise=lived.promises[one.promise.id]) for one in made]


def with_causes(building: Building, window: Window, lived: Sequence[Made]) -> list[Made]:
    """Return what became of promises with why those that bind were not kept."""
    found = list(lived)
    for at, one in enumerate(lived):
        if not one.promise.is_binding or one.is_kept:
            continue
        cause = Cause.BASE
        if one.would_be_kept:
            cause = _cause(building, window, at, lived)
        found[at] = replace(one, cause=cause)
    return found


def _cause(building: Building, window: Window, at: int, lived: Sequence[Made]) -> Cause:
    """Return without whom a promise would have been kept, which base did not break."""
    asked = [replace(one, promise=_not_begun(one.promise)) for one in lived]
    if kept_of(building, window, asked, ())[at].is_kept:
        return Cause.WALK_UPS
    (alone,) = kept_of(building, window, [asked[at]], ())
    return Cause.OTHERS if alone.is_kept else Cause.LAW


def _not_begun(promise: Reservation) -> Reservation:
    return replace(promise, delivered_wh=0.0, allowed_wh=0.0, arrived_at_s=None)


def _available(building: Building, grid: Grid, from_at_s: float) -> tuple[tuple[int, ...], ...]:
    """Return what rows are planned to have, as forecast at the hour that has begun."""
    hour = int(from_at_s // HOUR_S)
    edges = (np.array(grid.edges_s) + from_at_s - hour * HOUR_S) / HOUR_S
    seen = building.seen(hour, int(np.ceil(edges[-1])) + 1)
    first, last = np.floor(edges[:-1]), np.ceil(edges[1:])
    base_ma = on_slots(seen.planned_ma, np.stack((first, last), 1).astype(np.intp))
    of_row = tuple(_promisable_ma(base_ma).tolist())
    return (of_row, of_row, of_row)


def walk_ups(
    rng: Random, sessions: Sequence[RecordedSession], from_s: float, until_s: float
) -> Iterator[Stay]:
    """Yield walk-ups that come between two instants, with the energies and stays of sessions."""
    for at in range(PROMISED, PROMISED + WALKED_UP):
        at_s = from_s + rng.uniform(1.0, FREE_FOR_S)
        while at_s < until_s:
            session = rng.choice(sessions)
            leaves_s = at_s + session.depart_s - session.arrive_s
            stated_s = at_s + session.stated_depart_s - session.arrive_s
            yield Stay(
                at=at,
                from_s=at_s,
                until_s=leaves_s,
                traits=VehicleTraits(
                    need_wh=session.energy_wh,
                    max_a=MAX_W / 3 / VOLTAGE_V,
                    phase_count=3,
                    taper_wh=session.energy_wh / 10,
                ),
                said=Statement(departs_at_s=stated_s, energy_wh=session.stated_energy_wh),
            )
            at_s = leaves_s + rng.expovariate(1.0 / FREE_FOR_S)
