"""Turns: one at a time, and who asks for many waits behind others."""

import asyncio

from gateway.services.turns import Turns
from tests.support.virtual_time import run_virtual


def test_one_goes_at_a_time_and_nobody_waits_for_all_of_another_s() -> None:
    async def test() -> None:
        turns, went, inside = Turns(), list[str](), 0

        async def go(holder: str) -> None:
            nonlocal inside
            async with turns.taken(holder, within_s=60.0) as is_taken:
                assert is_taken
                inside += 1
                assert inside == 1
                await asyncio.sleep(1.0)
                inside -= 1
                went.append(holder)

        async with asyncio.TaskGroup() as tasks:
            for holder in ("many", "many", "many", "many", "one"):
                tasks.create_task(go(holder))

        assert went.index("one") <= 1

    run_virtual(test())


def test_a_turn_that_does_not_come_in_time_keeps_no_other_from_theirs() -> None:
    async def test() -> None:
        turns = Turns()
        async with turns.taken("first", within_s=1.0) as is_first_taken:
            async with turns.taken("second", within_s=1.0) as is_second_taken:
                pass
            assert (is_first_taken, is_second_taken) == (True, False)
        async with turns.taken("second", within_s=1.0) as is_taken:
            assert is_taken

    run_virtual(test())
