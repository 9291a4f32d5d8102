"""Work by the calendar (backups, retention, reports), on APScheduler; nothing that protects waits for it."""

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger

from gateway.domain.errors import HeadroomError
from gateway.ports import Clock

GRACE_S = 3_600
"""Work that could not begin in its minute still begins within the hour; later it is left out."""

CATCH_UP_S = 600.0
"""What is overdue at the start is done after the start's own work is over."""

PATIENCE_S = 3_600.0
"""Work that takes longer is said to hang."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """Work for a time of day, by the site's clock; on a day of the month, or each day.

    `work` may wait and take its time, in a thread of its own; it returns what it did, for the log,
    and raises `HeadroomError` with what to do. If it returns a coroutine, that is awaited in the
    event loop. `is_overdue` says, at the start, whether it has not been done for too long: a box
    that is off each night would else never do it.
    """

    name: str
    at: time
    work: Callable[[], str | Coroutine[Any, Any, str]]
    day: int | None = None
    is_overdue: Callable[[], bool] | None = None


class Calendar:
    """Does errands when their time comes. The schedule is in memory alone, made from the errands."""

    def __init__(
        self,
        errands: Sequence[Errand],
        *,
        timezone: str,
        clock: Clock,
        on_outcome: Callable[[str, str | None], None],
        catch_up_s: float = CATCH_UP_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Schedule nothing yet.

        `on_outcome` is told in the event loop the name of each errand that was done, and what
        was wrong with it: None if nothing.
        """
        self._errands = {errand.name: errand for errand in errands}
        self._zone = ZoneInfo(timezone)
        self._clock = clock
        self._on_outcome = on_outcome
        self._catch_up_s = catch_up_s
        self._patience_s = patience_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._scheduler: BackgroundScheduler | None = None
        self._jump_count = 0
        self._running: set[str] = set()
        self._begun_on: dict[str, date] = {}
        self._lock = threading.Lock()
        # Apart from that one, which who begins an errand waits for with the scheduler's own lock held.
        self._scheduling = threading.Lock()
        self.counters: Counter[str] = Counter()

    async def run(self) -> None:
        """Do errands until cancelled; whatever goes wrong with them ends with them."""
        self._loop = asyncio.get_running_loop()
        self._aside(self._begin)
        try:
            await asyncio.Event().wait()
        finally:
            self._loop = None
            self._aside(self._end)

    def rebuild(self) -> None:
        """Make the schedule anew, as after a jump of the wall clock; return at once.

        APScheduler sleeps until the wall clock will have come to the next run: set back, it would
        sleep on, and set forward by years it would count every run in between.
        """
        self._aside(self._schedule)

    def follow_clock(self, jump_count: int) -> None:
        """Make the schedule anew when the wall clock has jumped since the last call."""
        if jump_count != self._jump_count:
            self._jump_count = jump_count
            self.rebuild()

    # In threads of their own: none of them keeps the process, or the event loop, waiting.

    def _aside(self, work: Callable[[], None]) -> None:
        threading.Thread(target=self._harmless, args=(work,), name="calendar", daemon=True).start()

    def _harmless(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception:  # noqa: BLE001 - whatever it is, nothing that protects waits for it
            self.counters["faults"] += 1
            _log.exception("the calendar has a fault")

    def _begin(self) -> None:
        # It logs each run it considers; what matters of it is told by outcomes.
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        self._scheduler = BackgroundScheduler(
            # Jobs are only begun in its thread: the work has one of its own.
            executors={"default": {"type": "debug"}},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": GRACE_S},
            timezone=self._zone,
            daemon=True,
        )
        self._scheduler.start()
        if self._loop is None:  # The end has come meanwhile, and found nothing to end.
            self._end()
            return
        self._schedule()
        overdue = [e for e in self._errands.values() if e.is_overdue is not None and e.is_overdue()]
        for errand in overdue:
            self._scheduler.add_job(
                self._start,
                "date",
                run_date=self._clock.now_at() + timedelta(seconds=self._catch_up_s),
                args=(errand,),
                id=f"{errand.name} overdue",
            )

    def _schedule(self) -> None:
        scheduler = self._scheduler
        if scheduler is None:
            return
        with self._scheduling:
            for errand in self._errands.values():
                scheduler.add_job(
                    self._start,
                    CronTrigger(
                        day=errand.day,
                        hour=errand.at.hour,
                        minute=errand.at.minute,
                        second=errand.at.second,
                        timezone=self._zone,
                    ),
                    args=(errand,),
                    id=errand.name,
                    replace_existing=True,
                )

    def _end(self) -> None:
        if self._scheduler is not None:
            self._scheduler.shutdown(wait=False)

    def _start(self, errand: Errand) -> None:
        today = self._clock.now_at().astimezone(self._zone).date()
        with self._lock:
            if self._begun_on.get(errand.name) == today:
                return  # On a day that has the hour twice.
            self._begun_on[errand.name] = today
            is_running = errand.name in self._running
            self._running.add(errand.name)
        if is_running:
            self._tell(errand, "has not come to an end since the last time")
        else:
            self._aside(lambda: self._do(errand))

    def _do(self, errand: Errand) -> None:
        late = threading.Timer(
            self._patience_s,
            self._tell,
            (errand, f"has not come to an end in {self._patience_s / 60:.0f} min"),
        )
        late.daemon = True
        late.start()
        try:
            did = errand.work()
            if not isinstance(did, str):
                did = self._await(did)
            _log.info("%s: %s", errand.name, did)
            problem = None
        except HeadroomError as error:
            problem = str(error)
        except Exception as error:  # noqa: BLE001 - told on, like any other failure of an errand
            _log.exception("%s has a fault", errand.name)
            problem = f"has a fault: {error!r}"
        finally:
            late.cancel()
            with self._lock:
                self._running.discard(errand.name)
        self._tell(errand, problem)

    def _await(self, work: Coroutine[Any, Any, str]) -> str:
        loop = self._loop
        if loop is None:
            work.close()
            return "left, for the end has come"
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    def _tell(self, errand: Errand, problem: str | None) -> None:
        self.counters[f"{errand.name} {'failed' if problem else 'done'}"] += 1
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # The loop has ended since.
                loop.call_soon_threadsafe(self._on_outcome, errand.name, problem)
