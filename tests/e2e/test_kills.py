"""The daemon is killed at random under load; its stations' own logs say what it must not lose."""

import asyncio
import logging
from pathlib import Path
from random import Random

import pytest

from tests.support.daemon_process import run
from tests.support.kill_house import IN_FLIGHT_S, LEASE_S, KillHouse, kill_house

_log = logging.getLogger(__name__)

LIVES_S = (9.0, 1.0, 4.0, 2.0, 5.0, 1.0)


async def live_and_die(house: KillHouse, life_s: float, dead_s: float) -> None:
    """Let a daemon live for a while under load, kill it, and see what the next would know."""
    awaited, died_s = house.awaited(), house.now_s
    house.raises.clear()
    house.be_eager()
    async with house.a_life():
        await asyncio.sleep(life_s)
    early = [
        raised
        for raised in house.raises
        if raised.at_s < died_s + LEASE_S
        and any(
            house.connected_s.get(name, 0.0) < died_s or house.connected_s[name] > raised.at_s
            for name in awaited
        )
    ]
    assert early == [], f"raised before {awaited} were accounted for"
    await asyncio.sleep(IN_FLIGHT_S + dead_s)
    house.plant._pace.catch_up()
    memory = house.remember()
    assert house.lost_transactions(memory) == []
    assert house.forgotten_limits(memory) == []


def numbers_given(house: KillHouse) -> list[str]:
    """Return every number a 1.6 transaction was given."""
    return [name for log in house.logs.values() for t, name in log.begun.items() if name != t]


async def kill(folder: Path, lives_s: list[float], *, seed: int) -> None:
    rng = Random(f"kills/{seed}")
    duration_s = sum(lives_s) + 12.0 * len(lives_s)
    async with kill_house(folder, seed=seed, duration_s=duration_s) as house:
        for life_s in lives_s:
            await live_and_die(house, life_s, rng.choice((0.0, 0.0, 1.0)))
        given = numbers_given(house)
        begun = sum(len(log.begun) for log in house.logs.values())
        over = sum(len(log.over) for log in house.logs.values())
        _log.info("%d kills, %d transactions begun, %d over", len(lives_s), begun, over)
        assert len(given) == len(set(given)) > 0
        assert begun > over > 0


def test_nothing_acknowledged_is_lost_by_a_few_kills(tmp_path: Path) -> None:
    run(kill(tmp_path, list(LIVES_S), seed=1))


@pytest.mark.soak
def test_nothing_acknowledged_is_lost_by_200_kills(tmp_path: Path) -> None:
    rng = Random("lives")
    lives_s = [rng.uniform(0.1, 6.0) if rng.random() < 0.85 else 20.0 for _ in range(200)]
    run(kill(tmp_path, lives_s, seed=2))
