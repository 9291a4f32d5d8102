"""Quotes of a real daemon go by what its building did in the weeks before, as its history has it."""

import asyncio
import json
import random
from array import array
from datetime import timedelta
from math import nan
from pathlib import Path
from typing import Any

from gateway.adapters.clock import SystemClock
from gateway.adapters.history_file import HistoryFile, Minute
from tests.support.daemon_process import Iem3000, Process, a_building, headroom, run

NAMES = tuple(f"circuit/supply/L{phase}/base_a" for phase in (1, 2, 3))
WORST_A, USUAL_A = 40.0, 20.0


def record_weeks(state: Path, weeks: int) -> None:
    """Write the history of a building that draws 20 A, more or less by up to 8 A each day."""
    state.mkdir(mode=0o700)
    file, chance = HistoryFile(state), random.Random(7)
    now_at = SystemClock().now_at()
    at = now_at.replace(minute=0, second=0, microsecond=0) - timedelta(weeks=weeks)
    days: dict[int, float] = {}
    while at < now_at - timedelta(minutes=15):
        base_a = USUAL_A + days.setdefault(at.toordinal(), chance.uniform(-8.0, 8.0))
        for minute in range(5):
            number = int((at + timedelta(minutes=minute)).timestamp()) // 60
            columns = [array("f", [nan] * 59 + [base_a]) for _ in NAMES]
            file.write(Minute(number=number, names=NAMES, columns=columns), at)
        at += timedelta(minutes=15)
    file.close()


async def quoted(process: Process, *words: str) -> Any:
    code, out, err = await headroom("quote", *words, "--state", str(process.state), "--json")
    assert code == 0, err
    return json.loads(out)


def test_a_quote_says_how_surely_by_what_the_building_did_in_the_weeks_before(
    tmp_path: Path,
) -> None:
    async def test() -> None:
        await asyncio.to_thread(record_weeks, tmp_path / "state", 4)
        async with a_building(tmp_path, Iem3000()) as process, asyncio.timeout(60):
            await process.ocpp_port()
            window = [SystemClock().now_at() + timedelta(hours=hours) for hours in (10, 14)]
            begins, ends = (at.isoformat(timespec="minutes") for at in window)
            need = ("--circuit", "supply", "--energy", "300kWh", "--confidence", "0.9")
            words = (*need, "--arrive", begins, "--depart", ends)
            offers: list[Any] = []
            while not offers or offers[0]["confidence"] == 1.0:  # Until the past has been read.
                offers = (await quoted(process, *words))["offers"]
                await asyncio.sleep(0.2)

            worst_wh = (95.0 - WORST_A - 15.0) * 3 * 230.0 * 4
            most_wh = (95.0 - USUAL_A + 8.0 - 10.0) * 3 * 230.0 * 4
            assert worst_wh < offers[0]["energy_wh"] < most_wh
            assert 0.9 <= offers[0]["confidence"] < 1.0

    run(test())
