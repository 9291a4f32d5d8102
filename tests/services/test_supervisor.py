"""Services are restarted, given up or ended in order; nothing ends half."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from gateway.domain.errors import HeadroomError
from gateway.services.supervisor import (
    ALL_END_WITHIN_S,
    ENDS_WITHIN_S,
    MAX_FAILURES,
    Service,
    ServiceEndedError,
    supervise,
)
from tests.support.virtual_time import VirtualClock, run_virtual

Run = Callable[[], Coroutine[Any, Any, None]]


async def forever() -> None:
    await asyncio.Event().wait()


def run_for(
    duration_s: float,
    *services: Service,
    on_stuck: Callable[[Sequence[str]], None] = lambda names: pytest.fail(f"stuck: {names}"),
) -> float:
    """Supervise, stop after `duration_s`; return the virtual second at which all had ended."""

    async def run() -> float:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(duration_s, stop.set)
        await supervise(services, clock=VirtualClock(), stop=stop, on_stuck=on_stuck)
        return asyncio.get_running_loop().time()

    return run_virtual(run())


def failing(error: Exception, *, after_s: float = 0.0) -> tuple[Run, list[float]]:
    begun_s: list[float] = []

    async def run() -> None:
        begun_s.append(asyncio.get_running_loop().time())
        await asyncio.sleep(after_s)
        raise error

    return run, begun_s


def test_all_run_until_told_to_stop_and_end_in_reverse_order() -> None:
    ended: list[str] = []

    def lasting(name: str) -> Service:
        async def run() -> None:
            try:
                await forever()
            finally:
                await asyncio.sleep(1)
                ended.append(name)

        return Service(name=name, run=run)

    at_s = run_for(100, lasting("first"), lasting("second"), lasting("third"))

    assert ended == ["third", "second", "first"]
    assert at_s == pytest.approx(103)


def test_an_expected_failure_is_begun_again_with_growing_pauses() -> None:
    run, begun_s = failing(HeadroomError("the line is cut"))

    with pytest.raises(ServiceEndedError, match=r"meters failed 6 times .* the line is cut"):
        run_for(1_000, Service(name="meters", run=run), Service(name="other", run=forever))

    assert begun_s == pytest.approx([0, 1, 3, 7, 15, 31])
    assert len(begun_s) == MAX_FAILURES


def test_failures_far_apart_are_borne() -> None:
    run, begun_s = failing(HeadroomError("now and then"), after_s=300)

    run_for(86_400, Service(name="meters", run=run))

    assert len(begun_s) > 200


def test_after_a_long_good_run_the_pause_is_short_again() -> None:
    run, begun_s = failing(HeadroomError("once a day"), after_s=86_400)

    run_for(86_400 * 9, Service(name="meters", run=run))

    assert begun_s == pytest.approx([n * 86_401 for n in range(9)])


@pytest.mark.parametrize(
    ("service", "words"),
    [
        (failing(ZeroDivisionError("oh"))[0], "meters has a fault: ZeroDivisionError"),
        (failing(ExceptionGroup("", [KeyError("x")]))[0], "meters has a fault: KeyError"),
        (
            failing(ExceptionGroup("", [HeadroomError("fine"), KeyError("x")]))[0],
            "meters has a fault",
        ),
    ],
)
def test_a_fault_is_not_begun_again(service: Run, words: str) -> None:
    with pytest.raises(ServiceEndedError, match=words):
        run_for(10, Service(name="meters", run=service), Service(name="other", run=forever))


def test_an_expected_failure_in_a_group_is_expected() -> None:
    run, begun_s = failing(ExceptionGroup("", [HeadroomError("a"), HeadroomError("b")]))

    with pytest.raises(ServiceEndedError, match="failed 6 times"):
        run_for(1_000, Service(name="meters", run=run))

    assert len(begun_s) == MAX_FAILURES


def test_what_cannot_be_begun_again_stops_the_process_in_its_own_words() -> None:
    run, begun_s = failing(HeadroomError("port 9000 is in use"))

    with pytest.raises(ServiceEndedError, match=r"^port 9000 is in use$"):
        run_for(10, Service(name="ocpp", run=run, is_restartable=False))

    assert len(begun_s) == 1


def test_a_service_that_returns_stops_the_process() -> None:
    async def run() -> None:
        await asyncio.sleep(1)

    was_ended = []

    async def other() -> None:
        try:
            await forever()
        finally:
            was_ended.append(True)

    with pytest.raises(ServiceEndedError, match="meters ended, which it must not"):
        run_for(10, Service(name="meters", run=run), Service(name="other", run=other))

    assert was_ended == [True]


def test_an_error_while_ending_is_no_reason() -> None:
    async def sore() -> None:
        try:
            await forever()
        finally:
            raise ZeroDivisionError("while ending")

    run_for(1, Service(name="sore", run=sore), Service(name="other", run=forever))


def test_a_failure_ends_the_others_in_a_bounded_time_too() -> None:
    run, _ = failing(ZeroDivisionError("oh"), after_s=1)
    is_released = asyncio.Event()
    told: list[str] = []

    async def stubborn() -> None:
        while not is_released.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await is_released.wait()

    def on_stuck(names: Sequence[str]) -> None:
        told.extend(names)
        is_released.set()

    with pytest.raises(ServiceEndedError, match="ZeroDivisionError"):
        run_for(
            100,
            Service(name="stubborn", run=stubborn),
            Service(name="faulty", run=run),
            on_stuck=on_stuck,
        )

    assert told == ["stubborn"]


def test_who_does_not_end_is_named_after_a_bounded_time() -> None:
    released: list[asyncio.Event] = []
    told: list[tuple[int, list[str]]] = []

    async def stubborn() -> None:
        released.append(asyncio.Event())
        while not released[0].is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await released[0].wait()

    def on_stuck(names: Sequence[str]) -> None:
        told.append((round(asyncio.get_running_loop().time()), list(names)))
        released[0].set()

    run_for(
        1,
        Service(name="good", run=forever),
        Service(name="stubborn", run=stubborn),
        on_stuck=on_stuck,
    )

    assert told == [(round(1 + ENDS_WITHIN_S), ["stubborn"])]


def test_however_many_do_not_end_the_end_comes_in_time() -> None:
    told: list[tuple[float, int]] = []
    released = asyncio.Event()

    async def stubborn() -> None:
        while not released.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await released.wait()

    def on_stuck(names: Sequence[str]) -> None:
        told.append((asyncio.get_running_loop().time(), len(names)))
        released.set()

    run_for(100, *(Service(name=f"{n}", run=stubborn) for n in range(6)), on_stuck=on_stuck)

    ((at_s, count),) = told
    assert count == 6
    assert 100 < at_s <= 100 + ALL_END_WITHIN_S + 3
