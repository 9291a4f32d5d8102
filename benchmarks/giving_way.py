"""What questions cost that a plan leaves no room for, and how many are rescued by others giving way.

The days of `planning`, planned greedily; asked is for 10 to 20 kWh within one to three hours of the
busiest time, at connectors of their own. Of questions refused beside the plan it tells how many
fit once charging is moved that was promised to nobody (nobody gets less), and how many by the
linear program, for which everybody counts as promised and keeps energy and departure. A supply
with 0.08 of what all could take is full while it serves 91 %; one with 0.11 serves 98 %.
"""

import random
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar

import numpy as np

from benchmarks.planning import HOUR_S, day
from gateway.planning.book import Book, opened
from gateway.planning.charging import Charging, charging_of
from gateway.planning.greedy import greedy
from gateway.planning.moving import rearranging_of
from gateway.planning.problem import Problem
from gateway.planning.quote import Ask, Verdict, quote
from gateway.planning.rearranging import rearrange
from gateway.planning.room import Outlet
from gateway.planning.shifting import shift

T = TypeVar("T")
QUESTIONS: Final = 300
SOLVED: Final = 12
SHARES: Final = {54: (0.08, 0.11), 200: (0.08, 0.11)}


def measure() -> dict[str, object]:
    """Return by size what the questions cost and how many are rescued."""
    return {
        f"{count} connectors, {share:g} of their maximum": _asked(count, share)
        for count, shares in SHARES.items()
        for share in shares
    }


def _asked(count: int, share: float) -> dict[str, object]:
    asked = day(count, 1, share=share)
    there = charging_of(asked.demands, greedy(asked), grid=asked.grid, begins_s=0.0)
    book = opened(asked.grid, np.array(asked.available_ma), from_at_s=0.0)
    chance = random.Random(count)
    refused, shift_ms, rescued = 0, [], 0
    solve_ms, solved, tried = [], 0, 0
    for _ in range(QUESTIONS):
        outlet, ask = _question(asked, chance)
        if quote(there.beside(book.room), outlet, ask).verdict is Verdict.YES:
            continue
        refused += 1
        shifted, ms = _timed(partial(shift, book.room, there, outlet, ask))
        shift_ms.append(ms)
        if quote(shifted.room, outlet, ask).verdict is Verdict.YES:
            rescued += 1
        if tried < SOLVED:
            tried += 1
            planned, ms = _timed(partial(_rearranged, book, there, outlet, ask))
            solve_ms.append(ms)
            solved += planned
        print(f"  {count}: {refused} refused, {rescued} rescued", file=sys.stderr, end="\r")
    print(file=sys.stderr)
    shift_ms.sort()
    solve_ms.sort()
    return {
        "questions": QUESTIONS,
        "refused": refused,
        "rescued_by_moving": rescued,
        "moving_p50_ms": round(shift_ms[len(shift_ms) // 2], 2),
        "moving_p99_ms": round(shift_ms[len(shift_ms) * 99 // 100], 2),
        "asked_of_the_program": tried,
        "rescued_by_the_program": solved,
        "program_p50_ms": round(solve_ms[len(solve_ms) // 2], 1),
        "program_max_ms": round(solve_ms[-1], 1),
    }


def _question(asked: Problem, chance: random.Random) -> tuple[Outlet, Ask]:
    like = chance.choice(asked.demands)
    outlet = Outlet(
        key="asked",
        rows=like.rows,
        phase_count=like.phase_count,
        voltage_v=like.voltage_v,
        max_ma=32_000,
    )
    from_s = chance.uniform(2, 14) * HOUR_S
    energy_wh = chance.uniform(3_000, 6_000) * like.phase_count
    until_s = from_s + chance.uniform(1, 3) * HOUR_S
    return outlet, Ask(from_s=from_s, until_s=until_s, energy_wh=energy_wh)


def _rearranged(book: Book, there: Charging, outlet: Outlet, ask: Ask) -> bool:
    """Return whether a plan has the question's energy and as much as before for everybody."""
    gets_wh = there.moves_wh(book.room.grid, np.zeros_like(there.current_ma))
    kept = tuple(
        replace(demand, energy_wh=wh, promised_wh=max(0.0, wh - 2.0))
        for demand, wh in zip(there.demands, gets_wh, strict=True)
    )
    all_kept = Charging(demands=kept, current_ma=there.current_ma)
    question = rearranging_of(book, all_kept, outlet, ask, now_s=0.0, time_limit_s=60.0)
    return rearrange(question) is not None


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    began_s = time.process_time()
    done = work()
    return done, (time.process_time() - began_s) * 1_000
