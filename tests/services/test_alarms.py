"""An alarm is told once, counted once, and shown until it is over."""

import logging

import pytest

from gateway.services.alarms import Alarms
from tests.support.virtual_time import VirtualClock, run_virtual


def test_an_alarm_sounds_until_it_is_over_and_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)

    async def test() -> None:
        clock = VirtualClock()
        alarms = Alarms(clock)
        began_at = clock.now_at()
        alarms.sound("ledger", "the disk is full: make room")
        await clock.sleep_s(60)
        alarms.sound("ledger", "the disk is full: make room")
        alarms.sound("ledger", "the disk is gone: put it back")

        (alarm,) = alarms.sounding()
        assert (alarm.name, alarm.text) == ("ledger", "the disk is gone: put it back")
        assert alarm.since_at == began_at
        assert alarms.counters == {"ledger": 1}

        alarms.end("ledger")
        alarms.end("ledger")
        assert alarms.sounding() == ()
        alarms.sound("ledger", "the disk is full: make room")
        assert alarms.counters == {"ledger": 2}

    run_virtual(test())
    assert [record.getMessage() for record in caplog.records] == [
        "ALARM ledger: the disk is full: make room",
        "ALARM ledger: the disk is gone: put it back",
        "alarm ledger is over",
        "ALARM ledger: the disk is full: make room",
    ]
