"""Plans and quotes: CPU at 54, 200 and 1,000 connectors, and how far from the linear optimum.

Seeded days of 288 slots on a tree of a supply, risers of 100 and boards of ten connectors; vehicles
on one and three phases, 1.3 a connector. Rows have about half of what everybody's maximum
would be at the fullest time. The gap is to the linear program over every slot, which leaves out steps
and minimums, on the days on which the greedy plan alone falls 3 % short of it or more.
"""

import random
import sys
import time
from collections.abc import Callable
from statistics import fmean
from typing import Final, TypeVar

import numpy as np

from gateway.planning.check import check
from gateway.planning.greedy import greedy
from gateway.planning.grid import even_grid
from gateway.planning.improve import improve, plan
from gateway.planning.linear import solve
from gateway.planning.problem import Demand, Problem
from gateway.planning.quote import Ask, fits_many, quote
from gateway.planning.room import Outlet, Room

T = TypeVar("T")
SIZES: Final = (54, 200, 1_000)
SEEDS: Final = {54: range(12), 200: range(4), 1_000: range(1)}
MUST_GREEDY_MS: Final = {54: 15, 200: 60, 1_000: 400}
MUST_PLAN_MS: Final = {54: 200, 200: 1_000, 1_000: 3_000}
MUST_QUOTES: Final = {
    "plain_p99_must_us": 200,
    "with_confidence_p99_must_us": 500,
    "batch_must_per_s": 200_000,
}
SLOTS, SLOT_S, HOUR_S = 288, 300.0, 3_600.0
SHORT_RATIO: Final = 0.03  # Days on which the greedy plan falls so far short are the hard ones.
QUOTES: Final = 4_000
BATCH: Final = 200_000
SCENARIOS: Final = 200


def day(count: int, seed: int, *, share: float) -> Problem:
    """Return a day; `share` is what part of everybody's maximum a supply has."""
    chance = random.Random(1_000 * count + seed)
    boards = -(-count // 10)
    risers = -(-boards // 10)
    demands = []
    for at in range(int(1.3 * count)):
        connector, is_second = at % count, at >= count
        board = connector // 10
        circuits = (1 + risers + board, 1 + board // 10, 0)
        phases = (0, 1, 2) if chance.random() < 0.6 else (connector % 3,)
        arrives_s = (chance.uniform(0, 7) + (9 if is_second else 0)) * HOUR_S
        stays_s = chance.uniform(2, 8) * HOUR_S
        demands.append(
            Demand(
                key=f"{at}",
                place=f"{connector}",
                rows=tuple(3 * circuit + phase for circuit in circuits for phase in phases),
                phase_count=len(phases),
                voltage_v=230.0,
                earliest_s=arrives_s,
                latest_s=min(arrives_s + stays_s, SLOTS * SLOT_S),
                energy_wh=chance.uniform(4_000, 14_000) * len(phases),
                max_ma=chance.choice((16_000, 32_000)),
            )
        )
    supply_ma = int(count * 32_000 * share)
    rows_ma = [supply_ma] * 3 + [int(min(count, 100) * 32_000 * share * 1.15)] * (3 * risers)
    rows_ma += [int(10 * 32_000 * share * 1.4)] * (3 * boards)
    return Problem(
        grid=even_grid(SLOTS, SLOT_S),
        available_ma=tuple((ma,) * SLOTS for ma in rows_ma),
        demands=tuple(demands),
    )


def measure() -> dict[str, object]:
    """Return the plans by size, the gaps of the hard days, and the quotes."""
    plans = {str(count): _plans(count) for count in SIZES}
    return {"plans": plans, "gap": _gap(), "quotes": {str(n): _quotes(n) for n in SIZES[:2]}}


def _timed(work: Callable[..., T], *given: object, **named: object) -> tuple[T, float]:
    """Return what comes of the work, and the CPU ms it took."""
    began_s = time.process_time()
    done = work(*given, **named)
    return done, (time.process_time() - began_s) * 1_000


def _plans(count: int) -> dict[str, object]:
    greedy_ms, full_ms = [], []
    for seed in SEEDS[count]:
        print(f"  plan {count}, day {seed}", file=sys.stderr, flush=True)
        asked = day(count, seed, share=0.06)
        first_ms = min(_timed(greedy, asked)[1] for _ in range(3))
        better, ms = _timed(plan, asked, time_limit_s=60.0)
        assert check(asked, better) == ()
        greedy_ms.append(first_ms)
        full_ms.append(ms)
    return {
        "greedy_max_ms": round(max(greedy_ms), 1),
        "greedy_must_ms": MUST_GREEDY_MS[count],
        "full_max_ms": round(max(full_ms), 1),
        "full_must_ms": MUST_PLAN_MS[count],
    }


def _gap() -> dict[str, object]:
    """Return the gap on the days on which the greedy plan alone falls short."""
    gaps, short = [], []
    for count in SIZES[:2]:
        for seed in SEEDS[count]:
            for share in (0.035, 0.045, 0.06):
                asked = day(count, seed, share=share)
                exact = solve(asked, time_limit_s=60.0, interval_count=SLOTS)
                assert exact is not None
                first = greedy(asked)
                short_ratio = 1 - first.energy_wh / exact.bound_wh
                if short_ratio < SHORT_RATIO:
                    continue
                better = improve(asked, first, time_limit_s=60.0)
                assert check(asked, better) == ()
                gaps.append(1 - better.energy_wh / exact.bound_wh)
                short.append(short_ratio)
    return {
        "days": len(gaps),
        "greedy_short_mean": round(fmean(short), 4),
        "gap_mean": round(fmean(gaps), 4),
        "gap_max": round(max(gaps), 4),
        "must": "mean 0.01, max 0.02",
    }


def _quotes(count: int) -> dict[str, object]:
    """Return single quotes that fit, the same with scenarios, and many at once."""
    chance = np.random.default_rng(count)
    boards = -(-count // 10)
    left_ma = chance.integers(30_000, 90_000, (3 * (2 + boards), SLOTS))
    paths_ma = {row: chance.integers(-5_000, 9_000, (SCENARIOS, SLOTS)) for row in range(3)}
    figures: dict[str, object] = {}
    outlets = [_outlet(at) for at in range(count)]
    grid = even_grid(SLOTS, SLOT_S)
    plain = Room(version=1, grid=grid, left_ma=left_ma)
    uncertain = Room(version=1, grid=grid, left_ma=left_ma, base_paths_ma=paths_ma)
    for name, room in (("plain", plain), ("with_confidence", uncertain)):
        for outlet in outlets:
            room.outlook(outlet)
        took_us = []
        for at in range(QUOTES):
            from_s = float(chance.uniform(0, 15)) * HOUR_S
            ask = Ask(
                from_s=from_s,
                until_s=from_s + float(chance.uniform(2, 8)) * HOUR_S,
                energy_wh=float(chance.uniform(2_000, 9_000)),
            )
            _, ms = _timed(quote, room, outlets[at % count], ask)
            took_us.append(ms * 1_000)
        took_us.sort()
        figures[f"{name}_p50_us"] = round(took_us[QUOTES // 2], 1)
        figures[f"{name}_p99_us"] = round(took_us[QUOTES * 99 // 100], 1)
    outlook = plain.outlook(outlets[0])
    starts_s = chance.uniform(0, 15, BATCH) * HOUR_S
    energies_wh = chance.uniform(2_000, 30_000, BATCH)
    _, ms = _timed(fits_many, outlook, starts_s, starts_s + 3 * HOUR_S, energies_wh)
    figures["batch_per_s"] = int(BATCH / (ms / 1_000))
    return {**figures, **MUST_QUOTES}


def _outlet(at: int) -> Outlet:
    rows = tuple(3 * circuit + phase for circuit in (2 + at // 10, 1, 0) for phase in range(3))
    return Outlet(key=f"{at}", rows=rows, phase_count=3, voltage_v=230.0, max_ma=32_000)
