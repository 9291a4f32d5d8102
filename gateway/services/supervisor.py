"""Keeps the services running, restarts what may fail, and ends them all in order or loudly."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.domain.errors import HeadroomError
from gateway.ports import Clock

_log = logging.getLogger(__name__)

MAX_FAILURES = 6
FAILURE_WINDOW_S = 600.0
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
ENDS_WITHIN_S = 12.0
"""What one service may take to end; stations get five seconds of it to close a connection."""

ALL_END_WITHIN_S = 20.0
"""What all of them together may take: whoever asked us to end will not wait for ever."""

MOMENT_S = 0.5
"""What a service gets even when the others took all the time: most need no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Something that runs until it is cancelled.

    One that `is_restartable` is begun again after a failure it expects (`HeadroomError`); any
    other failure is a fault in it, and stops the process.
    """

    name: str
    run: Callable[[], Coroutine[Any, Any, None]]
    is_restartable: bool = True


class ServiceEndedError(HeadroomError):
    """A service could not be kept running: better one clean restart than half a controller."""


async def supervise(
    services: Sequence[Service],
    *,
    clock: Clock,
    stop: asyncio.Event,
    on_stuck: Callable[[Sequence[str]], None],
) -> None:
    """Run `services` until `stop` is set, then end them, the last begun first.

    `on_stuck` is told the names of those that do not end within `ENDS_WITHIN_S` each and
    `ALL_END_WITHIN_S` in all; it is expected to end the process, for they are waited for
    otherwise.

    Raises:
        ServiceEndedError: a service returned, failed too often, or has a fault; all others
            are ended.
    """
    async with asyncio.TaskGroup() as tasks:
        stopping = tasks.create_task(stop.wait(), name="stop")
        running = [
            tasks.create_task(_keep_running(service, clock), name=service.name)
            for service in services
        ]
        done, _ = await asyncio.wait([stopping, *running], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        reasons = [task.result() for task in running if task in done]
        await _end(running, on_stuck, clock)
    if reasons:
        raise reasons[0] from reasons[0].__cause__


async def _end(
    running: Sequence[asyncio.Task[ServiceEndedError]],
    on_stuck: Callable[[Sequence[str]], None],
    clock: Clock,
) -> None:
    stuck: list[str] = []
    end_s = clock.monotonic_s() + ALL_END_WITHIN_S
    for task in reversed(running):
        if task.done():
            continue
        task.cancel()
        left_s = max(MOMENT_S, end_s - clock.monotonic_s())
        _, waiting = await asyncio.wait([task], timeout=min(ENDS_WITHIN_S, left_s))
        if waiting:
            _log.error("%s does not end", task.get_name())
            stuck.append(task.get_name())
        elif not task.cancelled():
            _log.warning("while ending: %s", task.result())
    if stuck:
        on_stuck(stuck)


async def _keep_running(service: Service, clock: Clock) -> ServiceEndedError:
    """Run a service, again and again if need be; return why it can be run no longer."""
    failures_at_s: deque[float] = deque(maxlen=MAX_FAILURES)
    pause_s = FIRST_PAUSE_S
    while True:
        begun_s = clock.monotonic_s()
        try:
            await service.run()
        except Exception as error:  # noqa: BLE001 - told apart here, for all services
            expected = _expected(error)
            if expected is None:
                leaf = _first_leaf(error)
                _log.error("%s has a fault", service.name, exc_info=error)
                return _because(error, f"{service.name} has a fault: {leaf!r}")
            if not service.is_restartable:
                return _because(error, str(expected))
        else:
            return ServiceEndedError(f"{service.name} ended, which it must not")
        now_s = clock.monotonic_s()
        failures_at_s.append(now_s)
        since_s = now_s - failures_at_s[0]
        if len(failures_at_s) == MAX_FAILURES and since_s <= FAILURE_WINDOW_S:
            message = f"failed {MAX_FAILURES} times in {since_s:.0f} s, the last time so:"
            return _because(expected, f"{service.name} {message} {expected}")
        # Who ran well for long begins with a short pause again.
        pause_s = FIRST_PAUSE_S if now_s - begun_s > FAILURE_WINDOW_S else pause_s
        _log.warning("%s failed and begins again in %.0f s: %s", service.name, pause_s, expected)
        await clock.sleep_s(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def _because(cause: Exception, message: str) -> ServiceEndedError:
    ended = ServiceEndedError(message)
    ended.__cause__ = cause
    return ended


def _expected(error: Exception) -> HeadroomError | None:
    """Return an expected failure, if that is all there is in `error`; else None."""
    if isinstance(error, ExceptionGroup):
        matching, rest = error.split(HeadroomError)
        if rest is not None or matching is None:
            return None
        error = _first_leaf(matching)
    return error if isinstance(error, HeadroomError) else None


def _first_leaf(error: Exception) -> Exception:
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
