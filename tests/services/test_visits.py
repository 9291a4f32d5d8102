"""What vehicles take, how they follow and what they do is learnt while they charge, and kept."""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.adapters.clock import SystemClock
from gateway.adapters.ledger_db import LedgerDb
from gateway.control.fold import evolve
from gateway.control.state import SiteState
from gateway.domain.charging import ConnectorStatus, EndCause
from gateway.domain.events import (
    ConnectorMetered,
    ConnectorStatusChanged,
    Event,
    LimitAcknowledged,
    LimitSent,
    StationConnected,
    TransactionEnded,
    TransactionStarted,
)
from gateway.domain.ids import ConnectorRef, StationId, TransactionId
from gateway.domain.memory import TransactionMemory
from gateway.domain.sessions import Statement
from gateway.planning.asking import Places
from gateway.planning.demands import STAYS_ON_S, Visit
from gateway.planning.following import SETTLING_S
from gateway.services.visits import Visits
from tests.support.small_site import at_start, small_site

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
SITE = small_site(1)
PLUG = ConnectorRef(StationId("CP-01"), 1)
BATTERY_WH = 50_000.0


class WallClock:
    """A clock that stands where the test puts it."""

    def __init__(self) -> None:
        self.at_s = 0.0

    def monotonic_s(self) -> float:
        return self.at_s

    def now_at(self) -> datetime:
        return NOON + timedelta(seconds=self.at_s)

    async def sleep_s(self, delay_s: float) -> None:
        self.at_s += delay_s


class Hall:
    """A connector whose facts are folded as the daemon does, and noted after each."""

    def __init__(self, remembered: Iterable[TransactionMemory] = ()) -> None:
        self.clock, self.kept = WallClock(), list[TransactionMemory]()
        self.state: SiteState = at_start(SITE)
        self.visits = Visits(
            self.clock, remembered, keep=self.kept.append, most_w=Places.of(SITE).most_w
        )
        self._sequence = 0

    def happen(self, *facts: Event) -> None:
        for fact in facts:
            self.clock.at_s = fact.at_s
            self.state = evolve(self.state, fact)
            self.visits.hear(fact)
            self.visits.note(self.state)

    def come(
        self, at_s: float, transaction: str, *, starts_wh: float | None = None, age_s: float = 0.0
    ) -> None:
        self.happen(
            StationConnected(at_s=at_s, station=PLUG.station),
            ConnectorStatusChanged(at_s=at_s, connector=PLUG, status=ConnectorStatus.OCCUPIED),
            TransactionStarted(
                at_s=at_s,
                connector=PLUG,
                transaction=TransactionId(transaction),
                id_token="van",
                meter_start_wh=starts_wh,
                age_s=age_s,
            ),
        )

    def limit(self, at_s: float, limit_ma: int) -> None:
        self._sequence += 1
        sent = LimitSent(
            at_s=at_s,
            connector=PLUG,
            limit_ma=limit_ma,
            phase_count=3,
            lease_until_s=at_s + 100_000.0,
            sequence=self._sequence,
        )
        acknowledged = LimitAcknowledged(at_s=at_s + 1.0, connector=PLUG, sequence=self._sequence)
        self.happen(sent, acknowledged)

    def read(self, at_s: float, current_a: float, energy_wh: float, soc_pct: float | None) -> None:
        self.happen(
            ConnectorMetered(
                at_s=at_s,
                connector=PLUG,
                current_a=(current_a,) * 3,
                energy_wh=energy_wh,
                soc_pct=soc_pct,
            )
        )

    def leave(self, at_s: float, transaction: str) -> None:
        self.happen(
            TransactionEnded(at_s=at_s, connector=PLUG, transaction=TransactionId(transaction)),
            ConnectorStatusChanged(at_s=at_s, connector=PLUG, status=ConnectorStatus.AVAILABLE),
        )

    def visit(self) -> Visit:
        (visit,) = self.visits.seen(self.state, self.clock.at_s)
        return visit


def accepts_a(missing_wh: float) -> float:
    """Return what a vehicle takes: 16 A, and less over its last 6 kWh."""
    return 0.0 if missing_wh <= 0 else min(16.0, max(2.0, 16.0 * missing_wh / 6_000.0))


def filled_up(hall: Hall, at_s: float, transaction: str, *, tells_soc: bool) -> float:
    """Have a vehicle come with 30 kWh missing and leave full; return when that is."""
    hall.come(at_s, transaction)
    hall.limit(at_s + 1.0, 32_000)
    missing_wh, register_wh = 30_000.0, 100_000.0 + at_s
    while missing_wh > -100.0:
        at_s += 60.0
        current_a = accepts_a(missing_wh)
        soc_pct = 100.0 * (1 - max(0.0, missing_wh) / BATTERY_WH) if tells_soc else None
        hall.read(at_s, current_a, register_wh, soc_pct)
        register_wh += current_a * 0.69 * 1_000 / 60
        missing_wh -= current_a * 0.69 * 1_000 / 60 if current_a else 1_000.0
    hall.read(at_s + 60.0, 0.0, register_wh, 100.0 if tells_soc else None)
    hall.leave(at_s + 120.0, transaction)
    return at_s + 120.0


def next_one(hall: Hall, at_s: float, *, soc_pct: float | None = None) -> Visit:
    """Return the next vehicle of the same driver, as it is seen once it has come."""
    hall.come(at_s, "next")
    hall.limit(at_s + 1.0, 32_000)
    hall.read(at_s + 20.0, 6.0, 0.0, soc_pct)
    return hall.visit()


def test_the_taper_of_those_before_it_is_planned_for_by_its_state_of_charge() -> None:
    hall, at_s = Hall(), 0.0
    for at in range(2):
        at_s = filled_up(hall, at_s + 600.0, f"{at}", tells_soc=True)
    visit = next_one(hall, at_s + 600.0, soc_pct=60.0)

    assert visit.accepts_ma == 16_000
    # 20 kWh are missing of its 50 kWh: it takes less and less over the last 6.
    assert visit.wants_wh == pytest.approx(20_000.0, rel=0.02)
    first_wh, _ = visit.taper[0]
    assert 12_500 <= first_wh <= 16_500
    assert [ma for _, ma in visit.taper] == sorted((ma for _, ma in visit.taper), reverse=True)
    assert visit.taper[-1][1] == 6_000


def test_where_no_state_of_charge_is_told_nothing_is_planned_of_a_taper_nobody_can_place() -> None:
    hall, at_s = Hall(), 0.0
    for at in range(2):
        at_s = filled_up(hall, at_s + 600.0, f"{at}", tells_soc=False)
    hall.come(at_s + 600.0, "said")
    hall.visits.say(PLUG, Statement(energy_wh=8_000.0))
    said = hall.visit()
    hall.visits.say(PLUG, Statement(energy_wh=8_000.0, full_wh=12_000.0))
    of_battery = hall.visit()

    assert said.taper == ()  # That it wants 8 kWh does not say when it is full.
    assert of_battery.taper[0][0] == pytest.approx(12_000.0 - 6_000.0, abs=2_500.0)


def test_one_that_said_when_it_leaves_is_taken_at_its_word_until_then_and_stays_on_after() -> None:
    hall = Hall()
    hall.come(0.0, "said")
    hall.visits.say(PLUG, Statement(departs_at_s=NOON.timestamp() + 600.0))
    assert hall.visit().leaves_at_s == NOON.timestamp() + 600.0
    hall.clock.at_s = 700.0
    assert hall.visit().leaves_at_s == NOON.timestamp() + 700.0 + STAYS_ON_S


def test_a_session_that_was_taken_to_be_over_and_is_found_running_is_the_same_one() -> None:
    hall, transaction = Hall(), TransactionId("on")
    hall.come(0.0, "on")
    hall.visits.say(PLUG, Statement(energy_wh=8_000.0))
    hall.read(60.0, 16.0, 100_000.0, None)
    hall.read(600.0, 16.0, 103_000.0, None)
    hall.happen(
        TransactionEnded(
            at_s=700.0, connector=PLUG, transaction=transaction, cause=EndCause.LOST_IN_REBOOT
        ),
        ConnectorStatusChanged(at_s=700.0, connector=PLUG, status=ConnectorStatus.AVAILABLE),
    )
    assert hall.visits.sessions() == ()
    hall.happen(
        ConnectorStatusChanged(at_s=760.0, connector=PLUG, status=ConnectorStatus.OCCUPIED),
        TransactionStarted(at_s=760.0, connector=PLUG, transaction=transaction),
    )
    hall.read(800.0, 16.0, 103_500.0, None)
    visit = hall.visit()

    assert (visit.since_at_s, visit.delivered_wh) == (NOON.timestamp(), 3_500.0)
    assert (visit.wants_wh, visit.id_token) == (4_500.0, "van")
    hall.leave(900.0, "on")
    (kept,) = hall.kept  # It is learnt of once.
    assert kept.session is not None
    assert kept.session.delivered_wh == 3_500.0


def test_a_vehicle_that_is_told_late_has_been_there_since_it_came() -> None:
    hall = Hall()
    hall.come(3_600.0, "late", age_s=1_800.0)
    assert hall.visits.sessions()[0].began_at_s == NOON.timestamp() + 1_800.0


@pytest.mark.parametrize("cause", [EndCause.TOLD, EndCause.DENIED])
def test_a_vehicle_whose_going_is_told_late_has_left_when_it_went(cause: EndCause) -> None:
    hall = Hall()
    hall.come(0.0, "late")
    hall.happen(
        TransactionEnded(
            at_s=9_000.0,
            connector=PLUG,
            transaction=TransactionId("late"),
            cause=cause,
            age_s=1_800.0,
        )
    )
    hall.come(9_000.0, "next")
    (kept,) = hall.kept
    assert kept.session is not None
    assert kept.session.left_at_s == NOON.timestamp() + 7_200.0


def test_of_a_vehicle_that_is_told_to_have_left_before_it_came_nothing_is_learnt() -> None:
    """The clock of its station was set between, and what it tells of the start has no time."""
    hall = Hall()
    for hour in range(30):
        came_at_s = 3_600.0 * hour
        hall.come(came_at_s, f"{hour}", starts_wh=0.0)
        hall.read(came_at_s + 1_800.0, 16.0, 5_000.0, None)
        ended = TransactionEnded(
            at_s=came_at_s + 1_900.0,
            connector=PLUG,
            transaction=TransactionId(f"{hour}"),
            age_s=7_200.0,
        )
        hall.happen(ended)
    hall.come(108_000.0, "next")
    stranger = Hall()
    stranger.come(108_000.0, "next")
    assert hall.visit().leaves_at_s == stranger.visit().leaves_at_s


def test_when_a_vehicle_came_whose_station_had_no_time_is_not_known_after_it_has_left() -> None:
    ended = TransactionMemory(
        station=PLUG.station,
        transaction=TransactionId("1"),
        connector_number=1,
        is_over=True,
        began_at=datetime(1970, 1, 1, 0, 20, tzinfo=UTC),
        ended_at=NOON,
        meter_start_wh=0.0,
        meter_stop_wh=9_000.0,
    )
    assert not Hall((ended,)).visits.left_before()


def test_a_session_that_was_taken_to_be_over_is_learnt_of_once_another_begins() -> None:
    hall = Hall()
    hall.come(0.0, "lost")
    hall.read(60.0, 16.0, 100_000.0, None)
    hall.read(600.0, 16.0, 103_000.0, None)
    hall.happen(
        TransactionEnded(
            at_s=700.0, connector=PLUG, transaction=TransactionId("lost"), cause=EndCause.DENIED
        )
    )
    assert hall.kept == []
    hall.come(2_000.0, "next")

    (kept,) = hall.kept
    assert kept.session is not None
    assert kept.session.left_at_s == NOON.timestamp() + 700.0


def test_another_vehicle_with_the_same_card_is_seen_to_be_another() -> None:
    hall, at_s = Hall(), 0.0
    for at in range(2):
        at_s = filled_up(hall, at_s + 600.0, f"{at}", tells_soc=True)
    next_one(hall, at_s + 600.0, soc_pct=60.0)
    hall.read(at_s + 700.0, 31.0, 500.0, 61.0)
    visit = hall.visit()

    assert (visit.accepts_ma, visit.taper) == (None, ())


def starts(hall: Hall, *, after_s: float, times: int) -> Iterator[float]:
    """Have a vehicle start after pauses, so much later each time, and tell of it every 10 s."""
    hall.come(0.0, "slow")
    for at in range(times):
        told_s = 1_000.0 * at + 100.0
        hall.limit(told_s - 60.0, 0)
        hall.limit(told_s, 16_000)
        for seconds in range(10, 100, 10):
            drawn_a = 16.0 if seconds >= after_s else 0.0
            hall.read(told_s + seconds, drawn_a, 0.0, None)
        yield told_s


def test_how_a_station_is_seen_to_follow_is_planned_for() -> None:
    slow, quick = Hall(), Hall()
    assert slow.visits.following(PLUG.station).settling_s == SETTLING_S
    for _ in starts(slow, after_s=45.0, times=3):
        pass
    for _ in starts(quick, after_s=8.0, times=3):
        pass

    assert 38.0 <= slow.visit().following.settling_s <= 50.0
    raised = Hall()
    raised.come(0.0, "raised")
    raised.limit(1.0, 6_000)
    for seconds in range(10, 100, 10):
        raised.read(seconds, 6.0, 0.0, None)
    raised.limit(100.0, 16_000)
    for seconds in range(110, 180, 10):
        raised.read(seconds, 15.8 if seconds >= 130 else 6.0, 0.0, None)
    assert 18.0 <= raised.visit().following.settling_s <= 30.0
    assert quick.visit().following.settling_s <= 10.0


def test_what_was_learnt_of_vehicles_outlives_a_restart(tmp_path: Path) -> None:
    hall, at_s = Hall(), 0.0
    for at in range(30):
        hall.come(at_s, f"{at}")
        hall.visits.say(PLUG, Statement(energy_wh=10_000.0))
        hall.limit(at_s + 1.0, 32_000)
        for minute in range(1, 12):
            hall.read(at_s + 60.0 * minute, 12.0, 500.0 * minute, None)
        at_s += 3_600.0
        hall.leave(at_s, f"{at}")

    async def written() -> None:
        ledger = LedgerDb(tmp_path, site="Small", clock=SystemClock(), batch_s=0.05)
        ledger.load(run="first")
        async with asyncio.TaskGroup() as group:
            running = group.create_task(ledger.run())
            for at, entry in enumerate(hall.kept):
                begun = TransactionMemory(
                    station=PLUG.station,
                    transaction=TransactionId(f"{at}"),
                    connector_number=1,
                    id_token="van",
                )
                await ledger.keep_durably(begun, entry)
            running.cancel()

    # Of what is over nothing more may be told that would have it run again.
    assert all(entry.is_over and entry.connector_number for entry in hall.kept)
    asyncio.run(written())
    with closing(LedgerDb(tmp_path, site="Small", clock=SystemClock())) as reading:
        remembered = reading.load(run="second")
    after = Hall(remembered.transactions)
    after.come(0.0, "next")
    after.visits.say(PLUG, Statement(energy_wh=10_000.0))
    visit = after.visit()
    stranger = Hall()
    stranger.come(0.0, "next")
    stranger.visits.say(PLUG, Statement(energy_wh=10_000.0))

    assert (visit.wants_wh, visit.accepts_ma) == (5_000.0, 12_000)
    assert visit.leaves_at_s == NOON.timestamp() + 3_600.0
    assert stranger.visit().wants_wh == 10_000.0


def test_who_left_a_connector_last_in_an_earlier_life_is_known() -> None:
    def stay(name: str, *, token: str, from_h: float) -> TransactionMemory:
        began_at = NOON + timedelta(hours=from_h)
        return TransactionMemory(
            station=PLUG.station,
            transaction=TransactionId(name),
            connector_number=1,
            is_over=True,
            id_token=token,
            began_at=began_at,
            ended_at=began_at + timedelta(minutes=30),
        )

    hall = Hall((stay("1", token="van", from_h=-3), stay("2", token="car", from_h=-1)))
    (left,) = hall.visits.left_before()
    assert (left.connector, left.transaction, left.id_token) == (PLUG, "2", "car")
    assert left.left_at_s == (NOON - timedelta(minutes=30)).timestamp()
    assert not hall.visits.sessions()


@pytest.mark.parametrize(("stop_wh", "given_wh"), [(5e6 + 4_000, 4_000.0), (0.0, 0.0)])
def test_one_that_ended_while_we_were_away_was_given_nothing_less_than_nothing(
    stop_wh: float, given_wh: float
) -> None:
    ended = TransactionMemory(
        station=PLUG.station,
        transaction=TransactionId("1"),
        connector_number=1,
        is_over=True,
        began_at=NOON - timedelta(hours=1),
        ended_at=NOON,
        meter_start_wh=5e6,
        meter_stop_wh=stop_wh,
    )
    (left,) = Hall((ended,)).visits.left_before()
    assert left.delivered_wh == given_wh


@pytest.mark.parametrize("wrong_wh", [0.0, 4e9], ids=["nothing", "gigawatt-hours"])
def test_a_meter_that_is_wrong_once_gives_a_vehicle_nothing(wrong_wh: float) -> None:
    hall = Hall()
    hall.come(0.0, "1")
    for at_s, register_wh in (
        (60.0, 5e6),
        (120.0, 5e6 + 100),
        (180.0, wrong_wh),
        (240.0, 5e6 + 300),
    ):
        hall.read(at_s, 9.0, register_wh, None)

    (session,) = hall.visits.sessions()
    assert session.delivered_wh == 300.0


def test_a_meter_that_is_wrong_once_after_a_nights_standstill_gives_a_vehicle_nothing() -> None:
    hall, morning_s = Hall(), 10 * 3_600.0
    hall.come(0.0, "1")
    for at_s, register_wh in (
        (60.0, 5e6),
        (morning_s, 5e6),
        (morning_s + 60, 5e6 + 123_000),
        (morning_s + 120, 5e6 + 300),
    ):
        hall.read(at_s, 9.0, register_wh, None)

    (session,) = hall.visits.sessions()
    assert session.delivered_wh == 300.0


def test_the_power_of_the_vehicle_before_is_not_given_to_the_next() -> None:
    hall = Hall()

    def tell(at_s: float, power_w: float) -> None:
        hall.happen(ConnectorMetered(at_s=at_s, connector=PLUG, power_w=power_w))

    hall.come(0.0, "1")
    tell(60.0, 6_000.0)
    tell(120.0, 6_000.0)
    hall.leave(130.0, "1")
    hall.come(400.0, "2")
    tell(460.0, 0.0)
    tell(520.0, 3_000.0)
    tell(580.0, 3_000.0)

    (session,) = hall.visits.sessions()
    assert session.delivered_wh == pytest.approx(50.0)


@pytest.mark.parametrize("age_s", [0.0, 1_800.0])
def test_a_vehicle_is_given_what_its_meter_shows_more_than_when_it_came(age_s: float) -> None:
    hall = Hall()
    hall.come(0.0, "1")
    hall.read(60.0, 9.0, 5e6, None)
    hall.leave(120.0, "1")
    # Another was there since, and nobody listened.
    hall.come(7_200.0, "2", starts_wh=5e6 + 10_000, age_s=age_s)
    hall.read(7_260.0, 9.0, 5e6 + 10_400, None)
    (session,) = hall.visits.sessions()
    assert session.delivered_wh == 400.0
    # What is told at the end is more than the last that was measured.
    hall.happen(ConnectorMetered(at_s=7_290.0, connector=PLUG, energy_wh=5e6 + 10_500))
    hall.leave(7_290.0, "2")
    memory = hall.kept[-1].session
    assert memory is not None
    assert memory.delivered_wh == 500.0


def test_what_flowed_while_we_were_away_is_given_by_what_was_shown_at_the_start() -> None:
    began = TransactionMemory(
        station=PLUG.station,
        transaction=TransactionId("1"),
        connector_number=1,
        id_token="van",
        began_at=NOON - timedelta(hours=1),
        meter_start_wh=5e6,
    )
    for shown_wh, given_wh in ((5e6 + 4_000, 4_000.0), (4e9, 0.0)):
        hall = Hall((began,))
        hall.read(30.0, 9.0, shown_wh, None)
        (session,) = hall.visits.sessions()
        assert session.delivered_wh == given_wh
