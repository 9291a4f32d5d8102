"""What a person asks of a station: one thing at a time, compared with what was told by then."""

import asyncio
from collections.abc import Callable

import pytest

from gateway.adapters.status_socket import MAX_CALLERS
from gateway.control.decide import decide
from gateway.control.fold import evolve_all
from gateway.domain.charging import CompositePeriod
from gateway.domain.errors import NeverAskedError, StationError, StationUnreachableError
from gateway.domain.events import Event, FallbackInstalled, LimitSent, StationConnected
from gateway.domain.ids import ConnectorRef, StationId, TransactionId
from gateway.domain.memory import Act
from gateway.services.control_loop import Cycle
from gateway.services.station_desk import (
    ERRANDS_AT_ONCE,
    Schedule,
    StationDesk,
    StationRefusedError,
    StationRequest,
    Wish,
)
from tests.support.paper_ledger import PaperLedger
from tests.support.small_site import at_start, small_site
from tests.support.standing_clock import StandingClock

CP_01 = StationId("CP-01")
PLUG = ConnectorRef(CP_01, 1)
STATIONS = [StationId(f"CP-{number:02}") for number in range(1, 6)]
BEFORE: tuple[Event, ...] = tuple(StationConnected(at_s=0, station=each) for each in STATIONS)
MEANWHILE: tuple[Event, ...] = (
    FallbackInstalled(at_s=1, connector=PLUG, fallback_ma=6_000),
    LimitSent(at_s=1, connector=PLUG, limit_ma=16_000, phase_count=3, lease_until_s=75, sequence=1),
)


def cycle_after(*facts: Event) -> Cycle:
    state = evolve_all(at_start(small_site(5)), facts)
    return Cycle(state=state, decision=decide(state, 2.0))


class BusyStation:
    """One that is told a limit before it is asked for its schedule; `reset` raises what it is given."""

    def __init__(self, *, fault: StationError | None = None) -> None:
        self.cycle = cycle_after(*BEFORE)
        self._fault = fault

    async def start_transaction(self, connector: ConnectorRef, id_token: str) -> None:
        raise AssertionError

    async def stop_transaction(self, station: StationId, transaction: TransactionId) -> None:
        raise AssertionError

    async def reset(self, station: StationId, *, is_hard: bool) -> None:
        if self._fault is not None:
            raise self._fault

    async def composite_schedule(
        self, connector: ConnectorRef, *, duration_s: int
    ) -> tuple[CompositePeriod, ...]:
        self.cycle = cycle_after(*BEFORE, *MEANWHILE)
        return (CompositePeriod(start_s=0, current_ma=16_000),)


def test_a_schedule_is_beside_what_was_told_while_it_was_asked_for() -> None:
    station = BusyStation()
    desk = StationDesk(station, latest=lambda: station.cycle, clock=StandingClock(), ledger=None)
    request = StationRequest(wish=Wish.SCHEDULE, station=CP_01, number=1)

    said = asyncio.run(desk.see_to(request, "J. Smith"))

    assert isinstance(said, Schedule)
    assert (said.told_ma, said.fallback_ma) == (16_000, 6_000)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (
            StationUnreachableError(CP_01, "no answer to Reset"),
            "CP-01: no answer to Reset: look whether it did it before you ask again",
        ),
        (NeverAskedError(CP_01, "Reset never had its turn"), "CP-01: Reset never had its turn"),
    ],
)
def test_what_was_never_sent_was_surely_not_done(fault: StationError, said: str) -> None:
    station = BusyStation(fault=fault)
    desk = StationDesk(station, latest=lambda: station.cycle, clock=StandingClock(), ledger=None)

    with pytest.raises(StationRefusedError) as refused:
        asyncio.run(desk.see_to(StationRequest(wish=Wish.RESET, station=CP_01), "J. Smith"))

    assert str(refused.value) == said


class MuteStations(BusyStation):
    """Those that answer nobody before `is_due`."""

    def __init__(self) -> None:
        super().__init__()
        self.is_due = asyncio.Event()

    async def reset(self, station: StationId, *, is_hard: bool) -> None:
        await self.is_due.wait()


def test_who_is_asked_is_asked_by_one_and_few_are_asked_at_once() -> None:
    async def scene() -> None:
        mute = MuteStations()
        desk = StationDesk(mute, latest=lambda: mute.cycle, clock=StandingClock(), ledger=None)

        async def reset(station: StationId) -> object:
            return await desk.see_to(StationRequest(wish=Wish.RESET, station=station), "J. Smith")

        async with asyncio.TaskGroup() as tasks:
            asking = [tasks.create_task(reset(each)) for each in STATIONS[:ERRANDS_AT_ONCE]]
            await asyncio.sleep(0)
            for station, words in (
                (CP_01, "CP-01 has yet to answer what was asked before: ask again"),
                (STATIONS[-1], "4 stations have yet to answer what was asked before: ask again"),
            ):
                with pytest.raises(StationRefusedError, match=words):
                    await asyncio.wait_for(reset(station), timeout=1.0)
            mute.is_due.set()
            assert len([await each for each in asking]) == ERRANDS_AT_ONCE
        await reset(CP_01)

    asyncio.run(scene())


def test_errands_leave_places_at_the_socket() -> None:
    assert ERRANDS_AT_ONCE <= MAX_CALLERS // 2


def written_before_it_was_asked(*, disk: Callable[[PaperLedger], None]) -> tuple[list[Act], float]:
    """Return what was written when a station was asked, and after how many seconds it was."""

    async def scene() -> tuple[list[Act], float]:
        ledger, station, loop = PaperLedger(), BusyStation(), asyncio.get_running_loop()
        began_s, seen = loop.time(), list[tuple[list[Act], float]]()

        async def reset(station: StationId, *, is_hard: bool) -> None:
            seen.append((list(ledger.acts), loop.time() - began_s))

        station.reset = reset  # type: ignore[method-assign]
        desk = StationDesk(
            station, latest=lambda: station.cycle, clock=StandingClock(), ledger=ledger
        )
        loop.call_later(0.1, disk, ledger)
        await desk.see_to(StationRequest(wish=Wish.RESET, station=CP_01, is_hard=True), "J. Smith")
        ledger.commit()
        assert [act.detail["outcome"] for act in ledger.acts] == ["asked", "accepted"]
        return seen[0]

    return asyncio.run(scene())


def test_who_asks_for_what_is_written_before_the_station_is_asked() -> None:
    written, after_s = written_before_it_was_asked(disk=PaperLedger.commit)

    detail = {"outcome": "asked", "type": "hard"}
    assert written == [Act(kind="station-reset", subject="CP-01", detail=detail, by="J. Smith")]
    assert after_s < 1.0


def test_a_disk_that_takes_nothing_keeps_nobody_from_a_station(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.services.station_desk.DURABLE_WITHIN_S", 0.3)

    written, after_s = written_before_it_was_asked(disk=lambda _: None)

    assert written == []
    assert after_s >= 0.3
