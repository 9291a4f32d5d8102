"""Meters are read on time, in virtual time, by drivers that are slow, mute or gone."""

import asyncio
import contextlib
import logging

import pytest

from gateway.domain.circuits import Meter
from gateway.domain.events import Event, MeterRead
from gateway.domain.ids import BusId, MeterId
from gateway.domain.metering import MeterReading
from gateway.ports import MeterDriver
from gateway.services.metering import poll_meter, poll_meters
from tests.support.scripted_meter import MAIN, ScriptedMeter
from tests.support.virtual_time import VirtualClock, run_virtual


class HastyClock(VirtualClock):
    """A clock whose sleeps end a little early, as uvloop's do."""

    async def sleep_s(self, delay_s: float) -> None:
        await asyncio.sleep(max(0.0, delay_s - 0.000_9) if delay_s > 0.001 else delay_s)


def watch(
    driver: MeterDriver, for_s: float, *, meter: Meter = MAIN, clock: VirtualClock | None = None
) -> list[Event]:
    """Return what is posted in `for_s` virtual seconds."""
    facts: list[Event] = []

    async def poll() -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(for_s):
                await poll_meter(meter, driver, clock=clock or VirtualClock(), post=facts.append)

    run_virtual(poll())
    return facts


def test_a_meter_is_read_once_an_interval() -> None:
    driver = ScriptedMeter()

    facts = watch(driver, 9.5)

    assert driver.begun_s == pytest.approx(range(10))
    assert [type(fact) for fact in facts] == [MeterRead] * 10
    assert [fact.at_s for fact in facts] == pytest.approx([n + 0.05 for n in range(10)])


def test_a_slow_answer_does_not_make_the_next_readings_hurry() -> None:
    driver = ScriptedMeter(takes_s=lambda number: 3.3 if number == 2 else 0.05)

    watch(driver, 8)

    assert driver.begun_s == pytest.approx([0, 1, 4.3, 5.3, 6.3, 7.3])


def test_no_reading_begins_before_its_interval_even_if_the_clock_wakes_early() -> None:
    driver = ScriptedMeter()

    watch(driver, 100, clock=HastyClock())

    gaps_s = [b - a for a, b in zip(driver.begun_s, driver.begun_s[1:], strict=False)]
    assert min(gaps_s) >= MAIN.interval_s - 1e-6


def test_a_lost_meter_posts_nothing_and_is_asked_again() -> None:
    driver = ScriptedMeter(is_mute=lambda at_s: 3 <= at_s < 6)

    facts = watch(driver, 8.5)

    assert [round(fact.at_s) for fact in facts] == [0, 1, 2, 6, 7, 8]
    assert len(driver.begun_s) == 9


def test_a_loss_is_logged_once_and_so_is_the_return(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    watch(ScriptedMeter(is_mute=lambda at_s: 10 <= at_s < 70), 100)

    assert [record.getMessage() for record in caplog.records] == [
        "meter main is lost for 5 s: no answer",
        "meter main is back after 61 s",
    ]


def test_a_single_miss_is_not_a_loss(caplog: pytest.LogCaptureFixture) -> None:
    watch(ScriptedMeter(is_mute=lambda at_s: 10 <= at_s < 13), 100)

    assert caplog.records == []


def test_a_meter_that_never_answered_is_logged_as_lost(caplog: pytest.LogCaptureFixture) -> None:
    watch(ScriptedMeter(is_mute=lambda _: True), 100)

    assert len(caplog.records) == 1


def test_a_mute_meter_does_not_delay_the_others() -> None:
    other = Meter(id=MeterId("other"), bus=BusId("plant"), unit=2, profile="any", interval_s=2.0)
    mute = ScriptedMeter(takes_s=lambda _: 60.0, is_mute=lambda _: True)
    good = ScriptedMeter(meter=other.id)
    facts: list[Event] = []

    async def poll() -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(20):
                meters = [(MAIN, mute), (other, good)]
                await poll_meters(meters, clock=VirtualClock(), post=facts.append)

    run_virtual(poll())

    assert len(mute.begun_s) == 1
    assert good.begun_s == pytest.approx(range(0, 20, 2))
    assert len(facts) == 10


def test_a_bug_in_a_driver_is_not_taken_for_a_lost_meter() -> None:
    class BrokenMeter:
        async def read(self) -> MeterReading:
            raise ZeroDivisionError

    async def poll() -> None:
        await poll_meters([(MAIN, BrokenMeter())], clock=VirtualClock(), post=lambda _: None)

    with pytest.raises(ExceptionGroup) as caught:
        run_virtual(poll())

    assert caught.value.subgroup(ZeroDivisionError)
