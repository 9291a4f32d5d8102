"""Base is learnt while the daemon runs, and promises are made of what it is expected to be."""

import asyncio
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from math import isnan, nan
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from gateway.adapters.clock import SystemClock
from gateway.adapters.history_file import HistoryFile, HistoryReader, Minute
from gateway.adapters.ledger_db import LedgerDb
from gateway.control.decide import decide
from gateway.control.fold import evolve_all
from gateway.control.parameters import ControlParameters
from gateway.control.wiring import Wiring
from gateway.domain.access import Access, Role
from gateway.domain.calendar_events import CalendarEvent
from gateway.domain.charging import ConnectorStatus
from gateway.domain.events import (
    ConnectorMetered,
    ConnectorStatusChanged,
    Event,
    StationConnected,
    TransactionStarted,
)
from gateway.domain.ids import ConnectorRef, StationId, TransactionId
from gateway.domain.limits import Authority, Constraint
from gateway.domain.memory import ForecastMemory
from gateway.domain.needs import Need
from gateway.planning.grid import HOUR_S, even_grid, grid_of
from gateway.planning.quote import Verdict
from gateway.services.base_load import BaseLoad, Gathered, base_now_a
from gateway.services.booking import Booking
from gateway.services.control_loop import Cycle
from gateway.services.feed import Feed
from gateway.services.forecasting import DRIFTS_NO_SOONER_S, LOOKS_EVERY_S, Forecasting
from gateway.services.promisable import WorstCase
from gateway.services.recording import base_names
from tests.support.small_site import CARPARK, at_start, main_read, small_site

LONDON = ZoneInfo("Europe/London")
WIRING, PARAMETERS = Wiring.of(small_site()), ControlParameters()
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
DESK = Access(name="desk", role=Role.OPERATOR)
FIRST = ConnectorRef(StationId("CP-01"), 1)


class SetClock:
    """A clock that goes on by what is slept, at once, up to an end: threads run beside it."""

    def __init__(self, at: datetime = NOON) -> None:
        self.at, self.passed_s, self.until_s = at, 0.0, 0.0
        self.on_passed: Callable[[], None] = lambda: None
        self.over = asyncio.Event()

    def monotonic_s(self) -> float:
        return self.passed_s

    def now_at(self) -> datetime:
        return self.at + timedelta(seconds=self.passed_s)

    async def sleep_s(self, delay_s: float) -> None:
        self.passed_s += delay_s
        self.on_passed()
        if self.passed_s >= self.until_s:
            self.over.set()
            await asyncio.Event().wait()


class Weeks:
    """A past of weeks: 10 A at night and 30 A by day (8 to 18 h UTC), and more or less by chance.

    Chance has a say each day, or each quarter of an hour.
    """

    def __init__(self, weeks: int, *, noise_a: float = 0.0, every_h: float = 24.0) -> None:
        self._weeks, self._noise_a, self._every_s = weeks, noise_a, every_h * HOUR_S
        self._chances = np.random.default_rng(4).normal(size=977)

    def means(
        self, names: Sequence[str], since_at: datetime, until_at: datetime
    ) -> Iterator[tuple[float, list[float]]]:
        since_at = max(since_at, NOON - timedelta(weeks=self._weeks))
        while since_at < until_at:
            chance = self._chances[int(since_at.timestamp() // self._every_s) % 977]
            mean_a = max(0.0, usual_a(since_at) + self._noise_a * chance)
            for minute in range(0, 15, 3):
                at = since_at + timedelta(minutes=minute)
                yield at.timestamp(), [mean_a] * len(names)
            since_at += timedelta(minutes=15)


def usual_a(at: datetime) -> float:
    return 30.0 if 8 <= at.hour < 18 else 10.0


def cycle_of(clock: SetClock, current_a: float, *facts: Event) -> Cycle:
    """Return a cycle in which the circuit shows a current."""
    now_s = clock.monotonic_s()
    state = evolve_all(at_start(WIRING.site), (*facts, main_read(now_s, current_a)))
    return Cycle(state=state, decision=decide(state, now_s))


def forecasting(
    clock: SetClock, past: Weeks | HistoryReader | None, seen: list[float]
) -> Forecasting:
    return Forecasting(
        WIRING,
        PARAMETERS,
        zone=LONDON,
        clock=clock,
        past=past,
        on_seen=lambda: seen.append(clock.monotonic_s()),
    )


def run(made: Forecasting, clock: SetClock, *phases: tuple[float, float | None]) -> None:
    """Run it for phases of hours, in which the circuit shows a current or what it usually does."""

    ends_h = list(accumulate(hours for hours, _ in phases))
    clock.until_s = ends_h[-1] * HOUR_S

    def note() -> None:
        hours = clock.monotonic_s() / HOUR_S
        _, current_a = phases[min(bisect_right(ends_h, hours), len(phases) - 1)]
        shows_a = usual_a(clock.now_at()) if current_a is None else current_a
        made.note(cycle_of(clock, shows_a))

    clock.on_passed = note

    async def play() -> None:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(made.run(), name="forecast")
            await clock.over.wait()
            running.cancel()

    asyncio.run(play())


def test_base_is_what_the_meter_shows_less_what_vehicles_draw() -> None:
    clock, transaction = SetClock(), TransactionId("T")
    plugged = (
        StationConnected(at_s=0.0, station=FIRST.station),
        ConnectorStatusChanged(at_s=0.0, connector=FIRST, status=ConnectorStatus.OCCUPIED),
        TransactionStarted(at_s=0.0, connector=FIRST, transaction=transaction),
    )
    drawing = ConnectorMetered(at_s=0.0, connector=FIRST, current_a=(16.0, 0.0, 0.0))
    powered = ConnectorMetered(at_s=0.0, connector=FIRST, power_w=3 * 230.0 * 10)

    assert base_now_a(cycle_of(clock, 60.0)) == [60.0] * 3
    assert base_now_a(cycle_of(clock, 60.0, *plugged, drawing)) == [44.0, 60.0, 60.0]
    assert base_now_a(cycle_of(clock, 60.0, *plugged, powered)) == [50.0] * 3
    assert all(isnan(base_a) for base_a in base_now_a(cycle_of(clock, 60.0, *plugged)))


def test_weeks_fall_on_one_another_over_a_change_of_the_clocks() -> None:
    base = BaseLoad(WIRING, LONDON)
    change_at = datetime(2026, 3, 29, 1, tzinfo=UTC)
    minutes = [
        (at_s, [10.0 if datetime.fromtimestamp(at_s, LONDON).hour < 8 else 30.0] * 3)
        for at_s in range(
            int((change_at - timedelta(weeks=1)).timestamp()),
            int((change_at + timedelta(weeks=1)).timestamp()),
            60,
        )
    ]
    base.recall(base.gathered(minutes))
    loads = base.history(base.step_of(minutes[-1][0]) + 1)[0].loads
    week = loads[-7 * 96 :]

    assert np.nanmax(np.abs(week - loads[-14 * 96 : -7 * 96])) == 0.0
    assert np.isnan(loads).sum() == 4  # The hour that was left out.


def test_where_little_is_known_the_declared_worst_case_counts() -> None:
    clock, seen, grid = SetClock(), list[float](), grid_of()
    made = forecasting(clock, Weeks(1), seen)
    run(made, clock, (0.5, None))
    from_at_s = NOON.timestamp()
    worst = WorstCase(WIRING, PARAMETERS).prospect(grid, from_at_s=from_at_s, constraints=())
    told = made.prospect(grid, from_at_s=from_at_s, constraints=())

    assert seen
    assert (told.available_ma == worst.available_ma).all()
    assert told.base_paths_ma == {}
    # Of which nobody can tell how much of it will be drawn.
    for prospect in (told, worst):
        assert {row: set(ma.tolist()) for row, ma in prospect.unmeasured_ma.items()} == {
            row: {40_000} for row in range(3)
        }


def test_an_hour_measured_weeks_ago_is_no_weeks_of_measurements() -> None:
    class Commissioned(Weeks):
        def means(
            self, names: Sequence[str], since_at: datetime, until_at: datetime
        ) -> Iterator[tuple[float, list[float]]]:
            for at_s, means_a in super().means(names, since_at, until_at):
                if at_s < (NOON - timedelta(weeks=3) + timedelta(hours=1)).timestamp():
                    yield at_s, means_a

    clock, seen = SetClock(), list[float]()
    made = forecasting(clock, Commissioned(3), seen)
    run(made, clock, (0.5, None))

    assert seen
    assert made.foresight.rows == {}


def test_what_is_known_of_weeks_is_promised_from() -> None:
    clock, seen = SetClock(), list[float]()
    made = forecasting(clock, Weeks(10), seen)
    run(made, clock, (0.3, None))
    grid = even_grid(48, HOUR_S)
    limit = Constraint(
        subject=CARPARK, limit_ma=(50_000, 95_000, 95_000), authority=Authority.GRID, source="grid"
    )
    told = made.prospect(grid, from_at_s=NOON.timestamp(), constraints=(limit,))

    reserve_ma, dead_band_ma = 15_000, 1_000
    of_each_ma = 640  # A reading of 32 A is sure to 2 %, one of 6 A to 0.3 A.
    for hour in range(48):
        base_ma = usual_a(NOON + timedelta(hours=hour)) * 1_000
        there_ma = [bound_ma - base_ma - reserve_ma for bound_ma in (50_000, 95_000, 95_000)]
        left_ma = [ma - dead_band_ma - min(2 * of_each_ma, ma / 20) for ma in there_ma]
        assert told.available_ma[:, hour].tolist() == pytest.approx(left_ma, abs=50)
    assert set(told.base_paths_ma) == {0, 1, 2}
    assert told.unmeasured_ma == {}


def test_what_is_taken_off_for_an_hour_that_no_week_measured_may_not_be_drawn() -> None:
    class Closed(Weeks):
        def means(
            self, names: Sequence[str], since_at: datetime, until_at: datetime
        ) -> Iterator[tuple[float, list[float]]]:
            for at_s, means_a in super().means(names, since_at, until_at):
                if datetime.fromtimestamp(at_s, UTC).hour != 15:
                    yield at_s, means_a

    clock, seen = SetClock(), list[float]()
    made = forecasting(clock, Closed(10), seen)
    run(made, clock, (0.3, None))
    told = made.prospect(even_grid(6, HOUR_S), from_at_s=NOON.timestamp(), constraints=())

    assert told.unmeasured_ma[0].tolist() == [0, 0, 0, 40_000, 0, 0]


def test_a_quote_says_how_surely_by_scenarios_and_the_worst_case_would_not_do() -> None:
    clock, seen = SetClock(), list[float]()
    made = forecasting(clock, Weeks(10, noise_a=2.0), seen)
    desk = Booking(WIRING, PARAMETERS, clock=clock, feed=Feed(clock), prospects=made)
    need = Need(
        arrive_at=NOON + timedelta(hours=22),
        depart_at=NOON + timedelta(hours=26),
        energy_wh=None,
        connector=FIRST,
        confidence_ratio=0.9,
    )
    before = desk.quote(need, DESK)
    run(made, clock, (0.3, None))
    desk.look_again()
    narrow = Constraint(
        subject=CARPARK, limit_ma=(75_000,) * 3, authority=Authority.GRID, source="grid"
    )
    desk.limit((narrow,))
    after = desk.quote(need, DESK)

    assert before.offers[0].offer.confidence_ratio == 1.0
    assert after.verdict is Verdict.YES
    assert 0.9 <= after.offers[0].offer.confidence_ratio < 1.0


def test_what_was_learnt_outlives_a_restart(tmp_path: Path) -> None:
    clock, file = SetClock(), HistoryFile(tmp_path)
    names = ("circuit/other/L1/current_a", *base_names(WIRING))
    since_at = NOON - timedelta(days=14, hours=6)
    while since_at < NOON:
        for minute in range(5):
            at = since_at + timedelta(minutes=minute)
            columns = [array("f", [nan] * 59 + [value]) for value in (1.0, *[usual_a(at)] * 3)]
            number = int(at.timestamp()) // 60
            file.write(Minute(number=number, names=names, columns=columns), at)
        since_at += timedelta(minutes=15)
    file.close()
    seen = list[float]()
    made = forecasting(clock, HistoryReader(folder=tmp_path), seen)
    run(made, clock, (0.1, None))

    (first, *_) = made.foresight.rows.values()
    by_night = first.paths_ma[:, 40]  # 22 h.
    assert np.median(by_night) == pytest.approx(10_000, abs=100)
    assert by_night.max() == 40_000  # Two weeks are few: the worst case is thought possible.


def party(hours: float, lasts_h: float, extra_a: float) -> CalendarEvent:
    from_at_s = (NOON + timedelta(hours=hours)).timestamp()
    extra_ma = int(extra_a * 1_000)
    return CalendarEvent(
        id="party",
        circuit=CARPARK,
        from_at_s=from_at_s,
        until_at_s=from_at_s + lasts_h * HOUR_S,
        extra_ma=(extra_ma, 0, extra_ma),
    )


def taken_a(made: Forecasting, hours: int = 24) -> list[list[float]]:
    """Return what is taken off for base per row and quarter of an hour from noon on, A."""
    grid = even_grid(4 * hours, 900.0)
    available_ma = made.prospect(grid, from_at_s=NOON.timestamp(), constraints=()).available_ma
    # Of two readings and the dead-band, where base is learnt.
    unused_a = 2 * 0.64 + 1.0 if made.foresight.rows else 0.0
    taken: list[list[float]] = (95.0 - 15.0 - unused_a - available_ma / 1_000).tolist()
    return taken


def test_what_people_know_will_come_is_on_top_of_what_is_usual_and_only_then() -> None:
    clock, seen, known = SetClock(), list[float](), [party(7, 2, 15.0)]
    made = forecasting(clock, Weeks(10), seen)
    made._events = lambda: known
    run(made, clock, (0.01, None))
    base_a, other_a, _ = taken_a(made)

    added = [at for at in range(96) if abs(base_a[at] - other_a[at]) > 0.1]
    assert added == list(range(28, 36))
    assert base_a[28] == pytest.approx(25.0, abs=0.05)
    (effect,) = made.effects_of(replace(party(7, 2, 15.0), id="another"))
    assert (effect.before_ma, effect.after_ma) == (25_000, 40_000)
    assert effect.said() == (
        "carpark, L1: 40.0 A of base are planned for while it lasts, 25.0 A without it"
    )


def test_what_people_knew_came_is_not_taken_for_usual() -> None:
    clock, seen, known = SetClock(), list[float](), [party(-1, 2, 15.0)]

    class WithParty(Weeks):
        def means(
            self, names: Sequence[str], since_at: datetime, until_at: datetime
        ) -> Iterator[tuple[float, list[float]]]:
            for at_s, means_a in super().means(names, since_at, until_at):
                extra_a = 15.0 if known[0].from_at_s <= at_s < known[0].until_at_s else 0.0
                yield at_s, [mean_a + extra_a for mean_a in means_a]

    made = forecasting(clock, WithParty(10, noise_a=1.0), seen)
    made._events = lambda: known
    run(made, clock, (0.01, None))
    base_a = taken_a(made)[0]

    # Until 13 h, and no longer, though the last that was seen was 15 A more than usual. What
    # somebody knows counts beyond the declared worst case of 40 A too.
    assert 42.0 < base_a[0] < 50.0
    assert base_a[8] < 34.0


def test_what_people_know_counts_before_anything_is_learnt() -> None:
    clock, seen, known = SetClock(), list[float](), [party(7, 2, 9.0)]
    made = forecasting(clock, Weeks(1), seen)
    made._events = lambda: known
    run(made, clock, (0.01, None))

    # At most 30 A were seen, and the worst case is 40 A: it covers 9 A more, and not 15 A.
    assert taken_a(made) == [[40.0] * 96] * 3
    (effect,) = made.effects_of(known[0])
    assert effect.said() == (
        "carpark, L1: nothing changes: its declared worst case, 40.0 A, counts there until two weeks"
        " are measured, and covers it (at most 30.0 A were measured without it)"
    )
    assert made.effects_of(replace(known[0], extra_ma=(0, 0, 0))) == ()
    known[0] = party(7, 2, 15.0)
    assert taken_a(made)[0] == [45.0 if 28 <= at < 36 else 40.0 for at in range(96)]
    assert (
        made.effects_of(known[0])[0]
        .said()
        .endswith("40.0 A, does not cover it: 45.0 A count while it lasts")
    )


def test_what_is_measured_in_an_event_is_not_counted_twice() -> None:
    clock, seen, known = SetClock(), list[float](), [party(0, 4, 15.0)]
    made = forecasting(clock, None, seen)
    made._events = lambda: known
    run(made, clock, (2.0, 45.0))  # It has begun: 30 A as ever, and 15 A of the party.

    assert taken_a(made)[0] == [45.0] * 16 + [40.0] * 80


def test_where_nobody_measures_what_people_know_counts_once_it_is_above_the_worst_case() -> None:
    bare = small_site()
    silent = replace(bare, circuits=(replace(bare.circuits[0], meter=None),))
    known = [party(7, 2, 39.0)]
    made = Forecasting(
        Wiring.of(silent), PARAMETERS, zone=LONDON, clock=SetClock(), events=lambda: known
    )

    assert (
        made.effects_of(known[0])[0]
        .said()
        .endswith("counts there, where nothing was measured so far")
    )
    known[0] = party(7, 2, 50.0)
    base_a = (
        95.0
        - made.prospect(
            even_grid(96, 900.0), from_at_s=NOON.timestamp(), constraints=()
        ).available_ma[0]
        / 1_000
    )
    assert base_a.tolist() == [50.0 if 28 <= at < 36 else 40.0 for at in range(96)]


CLOCKS_GO_BACK = datetime(2026, 10, 25, 1, tzinfo=UTC)  # From 2 h to 1 h in London.


@pytest.mark.parametrize("now_min", [-180, -45, 10])
@pytest.mark.parametrize(
    ("from_min", "until_min"), [(-45, 10), (-30, 30), (-30, 90), (-60, 0), (0, 60), (15, 30)]
)
def test_in_the_hour_that_is_there_twice_an_event_counts_for_as_long_as_it_lasts(
    now_min: int, from_min: int, until_min: int
) -> None:
    now = CLOCKS_GO_BACK + timedelta(minutes=now_min)
    event = replace(
        party(0, 0, 50.0),
        from_at_s=(CLOCKS_GO_BACK + timedelta(minutes=from_min)).timestamp(),
        until_at_s=(CLOCKS_GO_BACK + timedelta(minutes=until_min)).timestamp(),
    )
    made = Forecasting(
        WIRING, PARAMETERS, zone=LONDON, clock=SetClock(at=now), events=lambda: (event,)
    )
    grid = even_grid(96, 300.0)
    there_ma = made.prospect(grid, from_at_s=now.timestamp(), constraints=()).available_ma[0]
    base_a = dict(enumerate((95.0 - 15.0 - there_ma / 1_000).tolist()))

    for slot, of_slot_a in base_a.items():
        at_min = now_min + 5 * slot
        if from_min <= at_min < until_min:
            assert of_slot_a == 50.0
        # By its step nobody can tell the one hour from the other.
        elif not -60 <= at_min < 60:
            assert of_slot_a == 40.0


def test_a_slot_over_the_change_of_the_clocks_has_all_the_steps_it_leads_through() -> None:
    base = BaseLoad(WIRING, LONDON)
    first = base.step_of(
        (CLOCKS_GO_BACK - timedelta(hours=1)).timestamp()
    )  # 1 h, for the first time.

    def within(from_min: int, until_min: int) -> range:
        edges = (CLOCKS_GO_BACK + timedelta(minutes=at) for at in (from_min, until_min))
        found = base.steps_within(*(at.timestamp() for at in edges))
        return range(found.start - first, found.stop - first)

    assert within(-15, 0) == range(3, 4)
    assert within(0, 15) == range(1)
    assert within(-15, 15) == range(4)
    assert within(-75, 90) == range(-1, 6)


def test_a_limit_on_power_is_a_third_of_it_on_each_phase() -> None:
    bare = small_site()
    limited = replace(bare, circuits=(replace(bare.circuits[0], power_limit_va=60_000),))
    told = WorstCase(Wiring.of(limited), PARAMETERS).prospect(
        grid_of(), from_at_s=NOON.timestamp(), constraints=()
    )

    # 60 kVA at 253 V are 237.1 A over all phases, 79.0 A on each; the worst case takes 55 A.
    assert (told.available_ma == 79_051 - 55_000).all()


def test_no_file_and_one_that_is_none_are_a_cold_start(tmp_path: Path) -> None:
    for content in (None, b"no history" * 1_000):
        if content is not None:
            (tmp_path / "history.db").write_bytes(content)
        clock, seen = SetClock(), list[float]()
        made = forecasting(clock, HistoryReader(folder=tmp_path), seen)
        run(made, clock, (0.1, None))
        assert seen
        assert made.foresight.rows == {}


def test_base_that_drifts_is_looked_at_anew_at_once() -> None:
    clock, seen = SetClock(at=NOON + timedelta(minutes=1)), list[float]()
    made = forecasting(clock, Weeks(10, noise_a=1.0), seen)
    drifting_s = DRIFTS_NO_SOONER_S + 3 * LOOKS_EVERY_S
    run(made, clock, (0.01, None), (drifting_s / HOUR_S, 48.0))

    assert len(seen) == 2
    assert made.foresight.rows[0].planned_ma[1] > 35_000


def test_a_forecast_that_is_too_low_learns_to_go_higher() -> None:
    clock, seen = SetClock(), list[float]()
    made = forecasting(clock, Weeks(10, noise_a=2.0, every_h=0.25), seen)
    run(made, clock, (12.0, 35.0))
    offsets = list(made._offsets.of_rows.values())

    assert min(offsets) > 0.1


def test_how_far_off_forecasts_were_outlives_a_restart(tmp_path: Path) -> None:
    clock, written = SetClock(), list[ForecastMemory]()
    made = forecasting(clock, Weeks(10, noise_a=2.0, every_h=0.25), [])
    made._keep = written.append
    run(made, clock, (6.0, 35.0))

    async def kept() -> None:
        ledger = LedgerDb(tmp_path, site="Small", clock=SystemClock(), batch_s=0.05)
        ledger.load(run="first")
        async with asyncio.TaskGroup() as group:
            running = group.create_task(ledger.run())
            await ledger.keep_durably(*written)
            running.cancel()

    asyncio.run(kept())
    with closing(LedgerDb(tmp_path, site="Small", clock=SystemClock())) as reading:
        remembered = reading.load(run="second")
    again = Forecasting(
        WIRING, PARAMETERS, zone=LONDON, clock=clock, remembered=remembered.forecasts
    )

    assert again._offsets.of_rows == made._offsets.of_rows
    assert min(again._offsets.of_rows.values()) > 0.05


def test_a_clock_that_was_wrong_leaves_nothing_behind() -> None:
    clock, seen = SetClock(at=NOON - timedelta(days=365)), list[float]()
    made = forecasting(clock, Weeks(10), seen)
    made._on_seen = lambda: setattr(clock, "at", NOON)  # It is set right while it runs.
    run(made, clock, (0.005, 90.0), (0.3, None))

    assert made.foresight.rows[0].planned_ma[0] == pytest.approx(30_000, abs=50)


def test_steps_too_old_are_not_taken_and_gaps_are_gaps() -> None:
    base = BaseLoad(WIRING, LONDON)
    step = base.step_of(NOON.timestamp())
    base.recall([_gathered(step, 20.0), _gathered(step - 100_000, 1.0), _gathered(step + 3, 26.0)])

    assert base.mean_a(step).tolist() == [20.0] * 3
    assert np.isnan(base.mean_a(step + 1)).all()
    (loads, *_) = (history.loads.tolist() for history in base.history(step + 6))
    assert str(loads) == "[20.0, nan, nan, 26.0, nan, nan]"


def _gathered(step: int, mean_a: float) -> Gathered:
    return Gathered(step=step, summed_a=np.full(3, 15 * mean_a), minutes=np.full(3, 15.0))
