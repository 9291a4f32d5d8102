"""Errands are done when their time comes, and whatever goes wrong with one stays with it."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

import apscheduler.executors.base
import apscheduler.schedulers.base
import pytest

from gateway.adapters.calendar import Calendar, Errand
from gateway.adapters.clock import SystemClock
from gateway.domain.errors import HeadroomError

PATIENCE_S = 40.0
LONDON = ZoneInfo("Europe/London")


class Wall(SystemClock):
    """The machine's clock, set forward or back, for us and for APScheduler alike."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shift = timedelta()
        wall = self

        class Shifted(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
                return wall.now_at().astimezone(tz)

        # It has no clock of its own to be given.
        monkeypatch.setattr(apscheduler.schedulers.base, "datetime", Shifted)
        monkeypatch.setattr(apscheduler.executors.base, "datetime", Shifted)

    def now_at(self) -> datetime:
        return super().now_at() + self.shift

    def set_to(self, at: datetime) -> None:
        self.shift += at - self.now_at()


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    """The clock, at eight in the morning of a Monday in January."""
    clock = Wall(monkeypatch)
    clock.set_to(datetime(2026, 1, 5, 8, tzinfo=LONDON))
    return clock


class Desk:
    """A calendar that runs, with what it told."""

    def __init__(self, wall: Wall, *errands: Errand, **more: float) -> None:
        self.told: list[tuple[str, str | None]] = []
        self.calendar = Calendar(
            errands,
            timezone="Europe/London",
            clock=wall,
            on_outcome=lambda name, problem: self.told.append((name, problem)),
            **more,
        )

    async def wait_told(self, count: int) -> list[tuple[str, str | None]]:
        await wait_until(lambda: len(self.told) >= count)
        return self.told

    async def wait_scheduled(self) -> dict[str, datetime]:
        await wait_until(lambda: next_runs(self.calendar))
        return next_runs(self.calendar)


def next_runs(calendar: Calendar) -> dict[str, datetime]:
    """Return when each errand is next due."""
    jobs = [] if calendar._scheduler is None else calendar._scheduler.get_jobs()
    return {job.id: job.next_run_time for job in jobs if job.id in calendar._errands}


async def wait_until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - threads know nothing of events
            await asyncio.sleep(0.02)


def at_work(desk: Desk, scene: Callable[[], Awaitable[None]]) -> None:
    """Play a scene while the calendar runs."""

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(desk.calendar.run())
            await scene()
            running.cancel()

    asyncio.run(main())


def soon(wall: Wall, seconds: float = 1.5) -> time:
    """Return a time of day that comes in a moment."""
    return (wall.now_at() + timedelta(seconds=seconds)).astimezone(LONDON).time()


def done() -> str:
    return "done"


def test_an_errand_is_done_when_its_time_comes_and_not_before(wall: Wall) -> None:
    desk = Desk(
        wall,
        Errand(name="backup", at=soon(wall), work=done),
        Errand(name="report", at=time(9), work=done),
        Errand(name="monthly", at=time(9), day=1, work=done),
    )

    async def scene() -> None:
        due = await desk.wait_scheduled()
        assert due["report"] == datetime(2026, 1, 5, 9, tzinfo=LONDON)
        assert due["monthly"] == datetime(2026, 2, 1, 9, tzinfo=LONDON)
        assert await desk.wait_told(1) == [("backup", None)]
        assert next_runs(desk.calendar)["backup"].date() == date(2026, 1, 6)

    at_work(desk, scene)
    assert desk.calendar.counters == {"backup done": 1}


def fail() -> str:
    raise HeadroomError("the disk is full: make room")


def break_down() -> str:
    raise ZeroDivisionError("oh")


@pytest.mark.parametrize(
    ("work", "words"), [(fail, "the disk is full: make room"), (break_down, "has a fault: ZeroDiv")]
)
def test_an_errand_that_fails_is_told_of_and_the_others_are_done(
    wall: Wall, work: Callable[[], str], words: str
) -> None:
    desk = Desk(
        wall,
        Errand(name="bad", at=soon(wall), work=work),
        Errand(name="good", at=soon(wall, 2.5), work=done),
    )

    async def scene() -> None:
        bad, good = await desk.wait_told(2)
        assert bad[0] == "bad"
        assert words in str(bad[1])
        assert good == ("good", None)
        assert next_runs(desk.calendar)["bad"].date() == date(2026, 1, 6)

    at_work(desk, scene)


def test_an_errand_that_hangs_holds_up_neither_the_loop_nor_the_end(wall: Wall) -> None:
    released = threading.Event()

    def hang() -> str:
        released.wait()
        return "at last"

    desk = Desk(
        wall,
        Errand(name="stuck", at=soon(wall), work=hang),
        Errand(name="good", at=soon(wall, 2.5), work=done),
        patience_s=0.2,
    )

    async def scene() -> None:
        stuck, good = await desk.wait_told(2)
        assert stuck[0] == "stuck"
        assert "has not come to an end" in str(stuck[1])
        assert good == ("good", None)
        # The next day it is not begun a second time.
        wall.set_to(next_runs(desk.calendar)["stuck"] - timedelta(seconds=1))
        desk.calendar.rebuild()
        assert ("stuck", "has not come to an end since the last time") in await desk.wait_told(3)

    at_work(desk, scene)
    assert not released.is_set()
    released.set()


def test_set_forward_by_years_the_calendar_goes_on_from_there(wall: Wall) -> None:
    wall.set_to(datetime(1970, 1, 1, 0, 5, tzinfo=UTC))
    desk = Desk(wall, Errand(name="backup", at=time(4, 20), work=done))

    async def scene() -> None:
        assert (await desk.wait_scheduled())["backup"].year == 1970
        wall.set_to(datetime(2026, 1, 5, 4, 19, 58, tzinfo=LONDON))
        desk.calendar.rebuild()
        assert await desk.wait_told(1) == [("backup", None)]
        assert next_runs(desk.calendar)["backup"].date() == date(2026, 1, 6)

    at_work(desk, scene)


def test_set_back_the_calendar_does_not_sleep_until_the_clock_has_caught_up(wall: Wall) -> None:
    desk = Desk(wall, Errand(name="backup", at=time(9), work=done))

    async def scene() -> None:
        await desk.wait_scheduled()
        wall.set_to(datetime(2026, 1, 4, 8, 59, 58, tzinfo=LONDON))
        desk.calendar.rebuild()
        assert await desk.wait_told(1) == [("backup", None)]

    at_work(desk, scene)


def test_made_anew_while_an_errand_begins_the_calendar_goes_on(wall: Wall) -> None:
    desk = Desk(
        wall,
        Errand(name="report", at=time(9), work=done),
        Errand(name="backup", at=time(9), work=done),
    )

    async def scene() -> None:
        await wait_until(lambda: len(next_runs(desk.calendar)) == 2)
        scheduler = desk.calendar._scheduler
        assert scheduler is not None
        add = scheduler.add_job

        def add_and_dawdle(*job: object, **more: object) -> None:
            add(*job, **more)  # Wakes the scheduler, which finds the other errand due.
            threading.Event().wait(0.3)

        scheduler.add_job = add_and_dawdle
        wall.set_to(datetime(2026, 1, 5, 9, 0, 10, tzinfo=LONDON))
        desk.calendar.rebuild()
        assert await desk.wait_told(1) == [("backup", None)]
        await wait_until(lambda: {at.day for at in next_runs(desk.calendar).values()} == {6})

    at_work(desk, scene)


def test_what_is_overdue_at_the_start_is_done_soon(wall: Wall) -> None:
    desk = Desk(
        wall,
        Errand(name="backup", at=time(4, 20), work=done, is_overdue=lambda: True),
        Errand(name="fresh", at=time(4, 20), work=done, is_overdue=lambda: False),
        catch_up_s=0.5,
    )

    async def scene() -> None:
        assert await desk.wait_told(1) == [("backup", None)]

    at_work(desk, scene)


@pytest.mark.parametrize("zone", ["Europe/London", "Europe/Helsinki", "America/New_York"])
@pytest.mark.parametrize("day", [date(2026, 3, 29), date(2026, 10, 25), date(2026, 11, 1)])
@pytest.mark.parametrize("at", [time(1, 30), time(3, 10), time(4, 20)])
def test_on_days_that_are_longer_or_shorter_an_errand_is_done_once(
    wall: Wall, zone: str, day: date, at: time
) -> None:
    errand = Errand(name="backup", at=at, work=done)
    told: list[str | None] = []
    calendar = Calendar(
        [errand], timezone=zone, clock=wall, on_outcome=lambda _, problem: told.append(problem)
    )
    wall.set_to(datetime.combine(day, time(), ZoneInfo(zone)))
    end_at = datetime.combine(day + timedelta(days=1), time(), ZoneInfo(zone))

    def due() -> float:
        return next_runs(calendar)["backup"].timestamp()

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(calendar.run())
            await wait_until(lambda: next_runs(calendar))
            while (due_s := due()) < end_at.timestamp():
                wall.set_to(datetime.fromtimestamp(due_s + 0.1, UTC))
                assert calendar._scheduler is not None
                calendar._scheduler.wakeup()
                await wait_until(lambda: due() > due_s)
            await wait_until(lambda: told)
            running.cancel()

    asyncio.run(main())
    assert told == [None]
