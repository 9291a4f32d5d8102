"""The stop input is looked at each second, and control is told once of every change, in virtual time."""

import asyncio

import pytest

from gateway.control.stop_latch import ReleaseRefusedError, StopLatch
from gateway.domain.events import Event, StopInputChanged
from gateway.domain.stops import StopCause
from gateway.services.alarms import Alarms
from gateway.services.stop_watch import StopWatch
from tests.support.scripted_contacts import ScriptedContact
from tests.support.virtual_time import VirtualClock, run_virtual

Told = tuple[float, StopCause | None]


def watch(
    contact: ScriptedContact | None,
    for_s: float,
    *,
    stops_when_closed: bool = False,
    is_self_releasing: bool = False,
    told: StopCause | None = None,
    release_s: tuple[float, ...] = (),
) -> tuple[list[Told], list[str], Alarms]:
    """Return what control was told, what became of each release, and the alarms left."""
    clock, facts, outcomes = VirtualClock(), list[Event](), list[str]()
    alarms = Alarms(clock)

    async def main() -> float:
        began_s = clock.monotonic_s()
        watching = StopWatch(
            contact,
            StopLatch.after_restart(told, is_self_releasing=is_self_releasing, now_s=began_s),
            stops_when_closed=stops_when_closed,
            told=told,
            clock=clock,
            post=facts.append,
            alarms=alarms,
        )
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(watching.run())
            for at_s in release_s:
                await clock.sleep_s(began_s + at_s - clock.monotonic_s())
                try:
                    watching.release("J. Smith")
                    outcomes.append("released")
                except ReleaseRefusedError as error:
                    outcomes.append(str(error))
            await clock.sleep_s(began_s + for_s - clock.monotonic_s())
            running.cancel()
        return began_s

    began_s = run_virtual(main())
    changes = [fact for fact in facts if isinstance(fact, StopInputChanged)]
    assert all(change.is_stopped is (change.cause is not None) for change in changes)
    return [(round(change.at_s - began_s, 1), change.cause) for change in changes], outcomes, alarms


def test_a_contact_that_opens_stops_everything_within_a_second_until_it_is_released() -> None:
    contact = ScriptedContact(lambda now_s: not 10.5 <= now_s < 20.5)

    told, outcomes, alarms = watch(contact, 60.0, release_s=(15.0, 30.0, 40.0))

    assert told == [
        (11.0, StopCause.ACTIVE),
        (21.0, StopCause.UNRELEASED),
        (30.0, None),
    ]
    assert ["asks for a stop" in outcomes[0], *outcomes[1:]] == [
        True,
        "released",
        "nothing is stopped",
    ]
    assert not alarms.sounding()


def test_a_contact_that_closes_stops_where_it_is_wired_so() -> None:
    contact = ScriptedContact(lambda now_s: now_s >= 5.5)

    told, _, alarms = watch(contact, 10.0, stops_when_closed=True)

    assert told == [(6.0, StopCause.ACTIVE)]
    assert [alarm.name for alarm in alarms.sounding()] == ["stop input"]


def test_a_panel_that_is_reset_lets_the_site_go_on_where_that_is_enough() -> None:
    contact = ScriptedContact(lambda now_s: not 5.5 <= now_s < 8.5)

    told, _, _ = watch(contact, 20.0, is_self_releasing=True)

    assert told == [(6.0, StopCause.ACTIVE), (9.0, None)]


def test_silence_is_a_stop_after_a_while_and_ends_with_the_first_answer() -> None:
    contact = ScriptedContact(lambda now_s: None if 5.5 <= now_s < 40.5 else True)

    told, outcomes, _ = watch(contact, 60.0, release_s=(30.0,))

    assert told == [(21.0, StopCause.SILENT), (41.0, None)]
    assert "does not answer" in outcomes[0]


def test_a_silence_is_told_once_and_with_what_went_wrong(caplog: pytest.LogCaptureFixture) -> None:
    watch(ScriptedContact(lambda _: None), 60.0)

    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("ALARM stop input: the stop input does not answer")
    assert said.endswith("(mute 16 times)")


def test_a_read_that_hangs_does_not_hide_the_silence() -> None:
    contact = ScriptedContact(lambda _: True, takes_s=1_000.0)

    told, _, _ = watch(contact, 60.0)

    assert told == [(16.0, StopCause.SILENT)]


def test_a_few_lost_answers_are_no_silence() -> None:
    contact = ScriptedContact(lambda now_s: True if int(now_s) % 12 == 0 else None)

    told, _, _ = watch(contact, 120.0)

    assert told == []


@pytest.mark.parametrize("before", [StopCause.ACTIVE, StopCause.UNRELEASED])
def test_a_stop_before_a_restart_waits_for_its_release_after_it(before: StopCause) -> None:
    told, outcomes, _ = watch(ScriptedContact(lambda _: True), 20.0, told=before, release_s=(10.0,))

    assert outcomes == ["released"]
    assert told[-1] == (10.0, None)
    assert {cause for _, cause in told[:-1]} <= {StopCause.UNRELEASED}


def test_a_site_without_a_stop_input_is_never_stopped_by_it() -> None:
    told, outcomes, _ = watch(None, 100.0, release_s=(50.0,))

    assert told == []
    assert outcomes == ["nothing is stopped"]


def test_a_stop_can_be_released_though_the_site_file_has_lost_its_stop_input() -> None:
    told, outcomes, _ = watch(None, 100.0, told=StopCause.ACTIVE, release_s=(50.0,))

    assert outcomes == ["released"]
    assert told == [(0.0, StopCause.UNRELEASED), (50.0, None)]
