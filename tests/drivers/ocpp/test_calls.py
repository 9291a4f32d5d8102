"""Calls to a station: one at a time, by urgency, the newest of a kind, none left hanging."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection

from drivers.ocpp.adapter import Priority
from drivers.ocpp.calls import MAX_WAITING_CALLS
from drivers.ocpp.rpc import (
    CallNotSentError,
    CallRefusedError,
    CallUnansweredError,
    ConnectionLostError,
    SupersededError,
)
from drivers.ocpp.session import Session
from gateway.domain.ids import StationId
from tests.support.ocpp_hall import PATIENCE_S, Hall, ask, in_hall, wait_until

RESET = {"type": "Soft"}


async def next_call(connection: ClientConnection, *, action: str = "") -> list[Any]:
    """Return the next CALL of the server, past those of its interview unless one is named."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            frame: list[Any] = json.loads(await connection.recv())
            if frame[0] == 2 and action in ("", frame[2]):
                return frame


def with_session(scene: Callable[[Hall, Session, ClientConnection], Awaitable[None]]) -> None:
    async def run(hall: Hall) -> None:
        async with hall.connect("CP-01") as connection:
            await wait_until(hall.server.connected_stations)
            session = hall.server._stations[StationId("CP-01")].session
            assert session is not None
            await scene(hall, session, connection)

    in_hall(run, boot_patience_s=1_000)  # No interview in between.


async def reset(session: Session, kind: str = "Soft", **options: Any) -> str:
    options = {"priority": Priority.TRANSACTION, **options}
    return str((await session.call("Reset", {"type": kind}, **options))["status"])


async def trigger(session: Session, number: int, **options: Any) -> str:
    payload = {"requestedMessage": "MeterValues", "connectorId": number}
    options = {"priority": Priority.DIAGNOSTICS, **options}
    return str((await session.call("TriggerMessage", payload, **options))["status"])


async def accept(connection: ClientConnection, frame: list[Any]) -> None:
    await connection.send(json.dumps([3, frame[1], {"status": "Accepted"}]))


def test_one_call_is_in_flight_and_the_urgent_go_first() -> None:
    async def scene(_: Hall, session: Session, connection: ClientConnection) -> None:
        async with asyncio.TaskGroup() as tasks:
            for number, priority in enumerate(
                (Priority.DIAGNOSTICS, Priority.INTERVIEW, Priority.SAFETY, Priority.ALLOCATION)
            ):
                tasks.create_task(trigger(session, number, priority=priority))
            order = []
            for _call in range(4):
                frame = await next_call(connection)
                order.append(frame[3]["connectorId"])
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await connection.recv()
                await accept(connection, frame)

        assert order == [0, 2, 3, 1]

    with_session(scene)


def test_of_a_kind_only_the_newest_waits() -> None:
    async def scene(_: Hall, session: Session, connection: ClientConnection) -> None:
        first, *others = (
            asyncio.gather(trigger(session, n, key="limit"), return_exceptions=True)
            for n in range(4)
        )
        await accept(connection, await next_call(connection))
        frame = await next_call(connection)
        await accept(connection, frame)

        assert frame[3]["connectorId"] == 3
        assert (await first)[0] == "Accepted"
        outcomes = [(await other)[0] for other in others]
        assert [type(o) for o in outcomes] == [SupersededError, SupersededError, str]

    with_session(scene)


def test_the_newest_of_a_kind_has_the_turn_of_the_most_urgent_before_it() -> None:
    async def scene(_: Hall, session: Session, connection: ClientConnection) -> None:
        plans = [
            (0, Priority.ALLOCATION, None),  # In flight while the others queue.
            (1, Priority.SAFETY, "limit"),
            (2, Priority.ALLOCATION, None),
            (3, Priority.ALLOCATION, "limit"),
        ]
        asked = [
            asyncio.gather(
                trigger(session, number, priority=priority, key=key), return_exceptions=True
            )
            for number, priority, key in plans
        ]
        order = []
        for _call in range(3):
            frame = await next_call(connection)
            order.append(frame[3]["connectorId"])
            await accept(connection, frame)
        outcomes = [(await one)[0] for one in asked]

        assert order == [0, 3, 2]
        assert isinstance(outcomes[1], SupersededError)

    with_session(scene)


def test_too_many_calls_crowd_out_the_least_urgent() -> None:
    async def scene(_: Hall, session: Session, connection: ClientConnection) -> None:
        waiting = [
            asyncio.gather(trigger(session, n), return_exceptions=True)
            for n in range(MAX_WAITING_CALLS + 1)  # One is in flight.
        ]
        await next_call(connection)
        with pytest.raises(CallNotSentError, match="too many"):
            await trigger(session, 99)
        urgent = asyncio.gather(trigger(session, 100, priority=Priority.SAFETY))
        (crowded,) = await waiting[-1]

        assert isinstance(crowded, CallNotSentError)
        assert not waiting[-2].done()
        await connection.close()
        with pytest.raises(ConnectionLostError):
            await urgent
        await asyncio.gather(*waiting)

    with_session(scene)


def test_a_lost_connection_fails_every_call_at_once() -> None:
    async def scene(_: Hall, session: Session, connection: ClientConnection) -> None:
        calls = asyncio.gather(
            *(trigger(session, n, deadline_s=1_000) for n in range(3)), return_exceptions=True
        )
        await next_call(connection)
        connection.transport.abort()
        async with asyncio.timeout(PATIENCE_S):
            outcomes = await calls

        assert [type(outcome) for outcome in outcomes] == [ConnectionLostError] * 3
        with pytest.raises(ConnectionLostError):
            await trigger(session, 1)

    with_session(scene)


def test_the_deadline_covers_waiting_and_flight() -> None:
    async def scene(hall: Hall, session: Session, connection: ClientConnection) -> None:
        outcomes = await asyncio.gather(
            trigger(session, 1, deadline_s=0.2),
            trigger(session, 2, deadline_s=0.1),
            return_exceptions=True,
        )

        assert [type(outcome) for outcome in outcomes] == [CallUnansweredError, CallNotSentError]
        # The next has its turn, and the late answer of the first is not its.
        third = asyncio.gather(trigger(session, 3))
        first_frame, third_frame = await next_call(connection), await next_call(connection)
        await accept(connection, first_frame)
        assert (await ask(connection, [2, "h", "Heartbeat", {}]))[0] == 3
        assert not third.done()
        await accept(connection, third_frame)
        assert (await third)[0] == "Accepted"
        assert hall.server.counters["late-reply"] == 1
        assert hall.server.counters["unsolicited"] == 0

    with_session(scene)


def test_what_waited_too_long_is_not_done_when_nobody_waits_for_it_any_more() -> None:
    async def scene(hall: Hall, session: Session, connection: ClientConnection) -> None:
        outcomes = await asyncio.gather(
            *(reset(session, deadline_s=0.5) for _ in range(5)),
            trigger(session, 1, deadline_s=0.5),
            return_exceptions=True,
        )
        after = asyncio.gather(reset(session, "Hard"))
        frames = [await next_call(connection) for _ in range(2)]
        await accept(connection, frames[1])

        assert (await after)[0] == "Accepted"
        assert [frame[3] for frame in frames] == [RESET, {"type": "Hard"}]
        assert isinstance(outcomes[0], CallUnansweredError)
        assert [type(outcome) for outcome in outcomes[1:]] == [CallNotSentError] * 5
        assert {str(outcome) for outcome in outcomes[1:5]} == {"CP-01: Reset never had its turn"}
        assert hall.server.counters["call-not-sent"] == 5

    with_session(scene)


def test_a_limit_is_sent_however_long_it_waited() -> None:
    async def scene(_: Hall, session: Session, connection: ClientConnection) -> None:
        flying = asyncio.gather(reset(session, deadline_s=1.0), return_exceptions=True)
        await next_call(connection)
        # Of its time, as much as nothing is left when it has its turn.
        limit = asyncio.gather(trigger(session, 1, priority=Priority.SAFETY, deadline_s=1.2))
        frame = await next_call(connection)
        assert frame[2] == "TriggerMessage"
        await accept(connection, frame)

        assert (await limit)[0] == "Accepted"
        await flying

    with_session(scene)


def test_a_caller_that_goes_away_withdraws_what_waits_and_leaves_what_flies() -> None:
    async def scene(hall: Hall, session: Session, connection: ClientConnection) -> None:
        flying = asyncio.gather(trigger(session, 1))
        waiting = asyncio.gather(trigger(session, 2))
        frame = await next_call(connection)
        flying.cancel()
        waiting.cancel()
        for cancelled in (flying, waiting):
            with pytest.raises(asyncio.CancelledError):
                await cancelled
        third = asyncio.gather(trigger(session, 3))
        await accept(connection, frame)
        last = await next_call(connection)
        await accept(connection, last)

        assert last[3]["connectorId"] == 3
        assert (await third)[0] == "Accepted"
        assert hall.server.counters["unsolicited"] == 0

    with_session(scene)


def test_a_refusal_keeps_its_code() -> None:
    async def scene(_: Hall, session: Session, connection: ClientConnection) -> None:
        asked = asyncio.gather(reset(session), return_exceptions=True)
        frame = await next_call(connection)
        await connection.send(json.dumps([4, frame[1], "RpcFrameworkError", "no", {}]))
        (error,) = await asked

        assert isinstance(error, CallRefusedError)
        assert error.code == "RpcFrameworkError"

    with_session(scene)


@pytest.mark.parametrize(
    "answer", [{}, {"status": "Perhaps"}, {"status": 5}, [], "Accepted", {"status": [[]]}]
)
def test_an_answer_that_cannot_be_read_leaves_the_outcome_unknown(answer: Any) -> None:
    async def scene(_: Hall, session: Session, connection: ClientConnection) -> None:
        asked = asyncio.gather(reset(session), return_exceptions=True)
        frame = await next_call(connection)
        await connection.send(json.dumps([3, frame[1], answer]))
        (error,) = await asked

        assert isinstance(error, CallUnansweredError)
        following = asyncio.gather(reset(session))
        await accept(connection, await next_call(connection))
        assert (await following)[0] == "Accepted"

    with_session(scene)


def test_an_answer_is_taken_in_spite_of_its_form() -> None:
    async def scene(_: Hall, session: Session, connection: ClientConnection) -> None:
        asked = asyncio.gather(reset(session))
        frame = await next_call(connection)
        odd = {"status": "accepted", "vendorField": 1, "more": None}
        await connection.send(json.dumps([3, frame[1], odd]))

        assert (await asked)[0] == "Accepted"

    with_session(scene)


def test_what_we_send_is_strict() -> None:
    async def scene(_: Hall, session: Session, __: ClientConnection) -> None:
        with pytest.raises(ValueError, match="type"):
            await reset(session, "Gently")

    with_session(scene)


def test_ids_differ_from_connection_to_connection() -> None:
    async def scene(hall: Hall) -> None:
        ids = []
        for _ in range(2):
            async with hall.connect("CP-01") as connection:
                ids.append((await next_call(connection, action="TriggerMessage"))[1])
            await wait_until(lambda: not hall.server.connected_stations())

        assert len(set(ids)) == 2
        assert all(len(call_id) <= 36 for call_id in ids)

    in_hall(scene)
