"""Webhooks against a real server on this machine: one that fails, is slow, resets, and comes back."""

import asyncio
import hashlib
import hmac
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.adapters.http_post import HttpPost
from gateway.domain.memory import PromiseMemory
from gateway.domain.needs import Criticality
from gateway.domain.promises import PromiseState, Reservation, Stretch
from gateway.domain.webhooks import PostFailedError, Webhook
from gateway.services.alarms import Alarms
from gateway.services.feed import Feed
from gateway.services.outbox import MAX_WAITING, Outbox
from gateway.services.promise_shelf import PromiseShelf
from gateway.services.webhooks import MAX_ANSWERS, Webhooks, signature
from tests.support.paper_ledger import PaperLedger

SECRET = b"between us two"
PATIENCE_S = 20.0


class HastyClock:
    """A clock whose pauses are ten thousand times shorter, and counted in full."""

    def __init__(self) -> None:
        self.passed_s = 0.0
        self.pauses_s: list[float] = []

    def monotonic_s(self) -> float:
        return 1_000.0 + self.passed_s

    def now_at(self) -> datetime:
        return datetime.fromtimestamp(1_767_600_000.0 + self.passed_s, tz=UTC)

    async def sleep_s(self, delay_s: float) -> None:
        self.pauses_s.append(delay_s)
        self.passed_s += delay_s
        await asyncio.sleep(delay_s / 10_000)


Answering = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def say(status: int, *, more: bytes = b"") -> Answering:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 {status} Whatever\r\nContent-Length: 2\r\n\r\nok"
        writer.write(more + head.encode())
        await writer.drain()

    return answer


async def be_slow(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def talk_nonsense(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.6\r\n" + b"x" * 20_000)
    await writer.drain()


async def dribble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"H")
        await writer.drain()
        await asyncio.sleep(0.02)


async def wait_until(claim: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not claim():  # noqa: ASYNC110 - what it waits for tells nobody
            await asyncio.sleep(0.002)


class Ear:
    """A server that hears calls, and answers each as it is told to, at last with 204."""

    def __init__(self, *answers: Answering) -> None:
        self.answers = list(answers)
        self.heard: list[tuple[dict[str, str], bytes]] = []
        self.port = 0

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(body) for _, body in self.heard]

    @asynccontextmanager
    async def listening(self, port: int = 0) -> AsyncIterator["Ear"]:
        server = await asyncio.start_server(self._hear, "127.0.0.1", port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            await server.wait_closed()

    async def _hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            lines = head.split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines[1:] if line)
            body = await reader.readexactly(int(headers["Content-Length"]))
            self.heard.append(({**headers, "line": lines[0]}, body))
            await (self.answers.pop(0) if self.answers else say(204))(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def wait_heard(self, count: int) -> None:
        await wait_until(lambda: len(self.heard) >= count)


class Calling:
    """Webhooks that run, and what a test does with them."""

    def __init__(
        self, port: int, *, within_s: float = 0.25, ledger: PaperLedger | None = None, **more: Any
    ) -> None:
        self.clock = HastyClock()
        self.alarms = Alarms(self.clock)
        hook = Webhook(id="desk", url=f"http://127.0.0.1:{port}/hear?a=b", secret=SECRET, **more)
        self.outbox = Outbox(
            (hook,),
            clock=self.clock,
            alarms=self.alarms,
            ledger=ledger,
            remembered=None if ledger is None else ledger.memory.calls,
        )
        self.feed = Feed(self.clock, outbox=self.outbox)
        self.hooks = Webhooks(
            (hook,),
            self.outbox,
            HttpPost(within_s=within_s),
            clock=self.clock,
            alarms=self.alarms,
            rng=random.Random(1),
        )

    def tell(self, subject: str, kind: str = "reservation-at-risk", holder: str = "vans") -> None:
        self.feed.tell(kind, subject, holder=holder, why="the grid", offers=[{"energy_wh": 5}])

    async def wait_counted(self, what: str, count: int = 1) -> None:
        await wait_until(lambda: self.hooks.counters["desk", what] >= count)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Calling"]:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self.hooks.run())
            try:
                yield self
            finally:
                task.cancel()


def run(*answers: Answering, test: Callable[[Ear, Calling], Awaitable[None]], **more: Any) -> None:
    async def whole() -> None:
        async with AsyncExitStack() as stack:
            ear = await stack.enter_async_context(Ear(*answers).listening())
            calling = await stack.enter_async_context(Calling(ear.port, **more).running())
            await test(ear, calling)

    asyncio.run(whole())


def test_what_happens_is_told_once_and_signed() -> None:
    async def test(ear: Ear, calling: Calling) -> None:
        calling.tell("r1")
        calling.tell("CP-01/1", kind="limit")
        calling.tell("r2", kind="reservation-safe-again")
        await calling.wait_counted("delivered", 2)

        (headers, body), second = ear.heard
        said = json.loads(body)
        assert headers["line"] == "POST /hear?a=b HTTP/1.1"
        assert headers["Headroom-Event"] == said["kind"] == "reservation-at-risk"
        assert (said["subject"], said["holder"]) == ("r1", "vans")
        assert said["data"] == {"why": "the grid", "offers": [{"energy_wh": 5}]}
        assert said["id"] == headers["Headroom-Delivery"] != second[0]["Headroom-Delivery"]
        when, _, digest = headers["Headroom-Signature"].removeprefix("t=").partition(",v1=")
        whole = f"{when}.".encode() + body
        assert digest == hmac.new(SECRET, whole, hashlib.sha256).hexdigest()
        assert int(when) == 1_767_600_000
        assert calling.alarms.sounding() == ()

    run(test=test)


def test_the_signature_is_that_of_the_document() -> None:
    assert signature(b"key", b'{"a":1}', at_s=17) == (
        "t=17,v1=" + hmac.new(b"key", b'17.{"a":1}', hashlib.sha256).hexdigest()
    )
    assert signature(b"key", b"1", at_s=17) != signature(b"key", b"1", at_s=18)


@pytest.mark.parametrize(
    "failing",
    [say(500), say(503), say(429), be_slow, reset, talk_nonsense, dribble],
    ids=["500", "503", "429", "slow", "reset", "nonsense", "dribble"],
)
def test_who_fails_is_told_again_later_and_in_order(failing: Answering) -> None:
    async def test(ear: Ear, calling: Calling) -> None:
        calling.tell("r1")
        calling.tell("r2")
        await calling.wait_counted("delivered", 2)

        assert [said["subject"] for said in ear.bodies] == ["r1", "r1", "r1", "r2"]
        deliveries = [headers["Headroom-Delivery"] for headers, _ in ear.heard]
        assert len(set(deliveries)) == 2
        assert calling.hooks.counters["desk", "failed attempts"] == 2
        first_s, second_s = calling.clock.pauses_s
        assert 0.75 <= first_s <= 1.25
        assert 1.5 <= second_s <= 2.5
        # Signed anew each time: an old signature would be refused.
        assert len({headers["Headroom-Signature"] for headers, _ in ear.heard[:3]}) > 1

    run(failing, failing, test=test)


def test_an_answer_that_is_announced_first_is_waited_for() -> None:
    async def test(_: Ear, calling: Calling) -> None:
        calling.tell("r1")
        await calling.wait_counted("delivered")

    run(say(200, more=b"HTTP/1.1 102 Processing\r\nX: y\r\n\r\n"), test=test)


def test_who_refuses_is_not_asked_again_and_an_alarm_says_so() -> None:
    async def test(ear: Ear, calling: Calling) -> None:
        calling.tell("r1")
        await calling.wait_counted("refused")
        (alarm,) = calling.alarms.sounding()
        assert alarm.name == "webhook desk"
        assert "it answered 404" in alarm.text
        calling.tell("r2")
        await calling.wait_counted("delivered")
        assert len(ear.heard) == 2
        assert calling.alarms.sounding() == ()

    run(say(404), test=test)


def test_a_redirect_is_not_followed() -> None:
    async def test(ear: Ear, calling: Calling) -> None:
        calling.tell("r1")
        await calling.wait_counted("refused")
        assert len(ear.heard) == 1

    run(say(307), test=test)


def test_who_always_answers_with_a_fault_is_given_up_and_the_next_is_told() -> None:
    async def test(ear: Ear, calling: Calling) -> None:
        calling.tell("r1")
        calling.tell("r2")
        await calling.wait_counted("given up")
        assert len(ear.heard) >= MAX_ANSWERS
        assert calling.alarms.counters == {"webhook desk": 1}
        await calling.wait_counted("delivered")
        assert ear.bodies[-1]["subject"] == "r2"

    run(*[say(500)] * MAX_ANSWERS, test=test)


def test_who_is_out_of_reach_is_told_when_it_comes_back_with_bounded_pauses() -> None:
    async def whole() -> None:
        async with Ear().listening() as gone:
            port = gone.port
        async with Calling(port).running() as calling:
            calling.tell("r1")
            await calling.wait_counted("failed attempts", 12)
            assert max(calling.clock.pauses_s) <= 375.0
            assert "no connection" in calling.alarms.sounding()[0].text
            async with Ear().listening(port) as back:
                await calling.wait_counted("delivered")
                assert [said["subject"] for said in back.bodies] == ["r1"]
                assert calling.alarms.sounding() == ()

    asyncio.run(whole())


def test_who_stays_out_of_reach_for_hours_is_given_up() -> None:
    async def whole() -> None:
        async with Ear().listening() as gone:
            port = gone.port
        async with Calling(port).running() as calling:
            calling.tell("r1")
            await calling.wait_counted("given up")
            assert 6 * 3_600 <= calling.clock.passed_s < 7 * 3_600

    asyncio.run(whole())


def test_what_waits_is_bounded_and_the_newest_is_kept() -> None:
    async def test(ear: Ear, calling: Calling) -> None:
        calling.tell("first")
        await ear.wait_heard(1)
        for number in range(MAX_WAITING + 7):
            calling.tell(f"r{number}")
            if number % 100 == 0:
                await asyncio.sleep(0)
        await calling.wait_counted("dropped", 7)
        await calling.wait_counted("delivered", MAX_WAITING + 1)
        assert ear.bodies[-1]["subject"] == f"r{MAX_WAITING + 6}"
        assert calling.hooks.counters["desk", "dropped"] == 7

    run(be_slow, test=test)


def test_a_warning_that_waits_gives_way_to_warnings_alone_and_a_drop_is_an_alarm() -> None:
    async def test(ear: Ear, calling: Calling) -> None:
        calling.tell("first")
        await ear.wait_heard(1)
        calling.tell("vans")
        for number in range(MAX_WAITING):
            calling.tell(f"r{number}", kind="reservation", holder="drones")
        calling.tell("vans", kind="reservation-safe-again")
        assert [alarm.name for alarm in calling.alarms.sounding()] == ["line of webhook desk"]
        await calling.wait_counted("delivered", MAX_WAITING + 1)
        await wait_until(lambda: calling.alarms.sounding() == ())

        assert calling.hooks.counters["desk", "dropped"] == 2
        told = [(said["subject"], said["kind"]) for said in ear.bodies[2:]]
        assert told[0] == ("vans", "reservation-at-risk")
        assert told[1] == ("r2", "reservation")
        assert told[-1] == ("vans", "reservation-safe-again")
        assert calling.alarms.counters == {"line of webhook desk": 1}

    run(be_slow, test=test)


def test_where_warnings_alone_wait_the_oldest_gives_way_and_no_news_displaces_one() -> None:
    async def whole() -> None:
        calling = Calling(1)
        for number in range(MAX_WAITING + 1):
            calling.tell(f"r{number}")
        calling.tell("news", kind="reservation")
        waiting = [(await calling.outbox.next("desk")).call.subject for _ in range(MAX_WAITING)]
        assert waiting == [f"r{number}" for number in range(1, MAX_WAITING + 1)]
        assert calling.outbox.dropped == {"desk": 2}

    asyncio.run(whole())


def test_what_nobody_has_heard_outlives_us_in_order_and_under_its_names() -> None:
    async def whole() -> None:
        paper = PaperLedger(asyncio.get_running_loop())
        async with Ear().listening() as gone:
            port = gone.port
        async with Calling(port, ledger=paper).running() as calling:
            for number in range(12):
                calling.tell(f"r{number}")
            paper.commit()
            await calling.wait_counted("failed attempts", 3)
            assert calling.outbox.waiting == {"desk": 12}
        waiting = sorted(paper.memory.calls.values(), key=lambda call: call.sequence)
        assert [call.subject for call in waiting] == [f"r{number}" for number in range(12)]

        async with (
            Ear().listening(port) as ear,
            Calling(port, ledger=paper).running() as calling,
        ):
            calling.tell("r12")
            await calling.wait_counted("delivered", 13)
            assert [said["subject"] for said in ear.bodies] == [f"r{n}" for n in range(13)]
            assert [body.decode() for _, body in ear.heard[:12]] == [call.body for call in waiting]
            names = [headers["Headroom-Delivery"] for headers, _ in ear.heard]
            assert names[:12] == [call.id for call in waiting]
            assert len(set(names)) == 13
            assert calling.outbox.waiting == {"desk": 0}
            paper.commit()
            assert paper.memory.calls == {}

    asyncio.run(whole())


def test_what_was_heard_in_our_last_seconds_may_be_heard_again_under_the_same_name() -> None:
    async def whole() -> None:
        paper = PaperLedger(asyncio.get_running_loop())
        async with Ear().listening() as ear:
            async with Calling(ear.port, ledger=paper).running() as calling:
                calling.tell("r1")
                paper.commit()
                await calling.wait_counted("delivered")
            async with Calling(ear.port, ledger=paper).running() as calling:
                await calling.wait_counted("delivered")
            first, second = ear.heard
            assert first[0]["Headroom-Delivery"] == second[0]["Headroom-Delivery"]
            assert first[1] == second[1]

    asyncio.run(whole())


def test_a_restart_makes_nothing_younger_and_lets_go_of_what_is_for_nobody() -> None:
    async def whole() -> None:
        paper = PaperLedger(asyncio.get_running_loop())
        async with Ear().listening() as gone:
            port = gone.port
        async with Calling(port, ledger=paper).running() as calling:
            calling.tell("r1")
            paper.commit()
        # Seven hours go by while nobody is there to tell it.
        ((name, call),) = paper.memory.calls.items()
        old = replace(call, told_at=call.told_at - timedelta(hours=7))
        paper.memory = replace(paper.memory, calls={name: old})
        async with Calling(port, ledger=paper).running() as again:
            await again.wait_counted("given up")
            assert again.clock.pauses_s == []
        assert paper.memory.calls == {name: old}
        Outbox(
            (),
            clock=again.clock,
            alarms=again.alarms,
            ledger=paper,
            remembered=paper.memory.calls,
        )
        paper.commit()
        assert paper.memory.calls == {}

    asyncio.run(whole())


@pytest.mark.parametrize("written", [False, True])
def test_a_promise_and_whom_it_is_told_outlive_us_together_or_not_at_all(written: bool) -> None:
    async def whole() -> None:
        paper = PaperLedger(asyncio.get_running_loop())
        calling = Calling(1, ledger=paper)
        shelf = PromiseShelf(ledger=paper, feed=calling.feed)
        promise = Reservation(
            id="r1",
            place="CP-01/1",
            rows=(0,),
            envelope=(Stretch(from_at_s=0.0, until_at_s=3_600.0, current_ma=6_000),),
            energy_wh=1_380,
            guaranteed_wh=1_380,
            confidence_ratio=1.0,
            criticality=Criticality.NORMAL,
            state=PromiseState.HELD,
            hold_until_at_s=120.0,
        )
        shelf.note(PromiseMemory(promise=promise))
        assert calling.feed.newest_number == 0
        if written:
            paper.commit()  # And there the process ends, before anybody is told.
        assert set(paper.memory.promises) == ({"r1"} if written else set())
        assert [call.subject for call in paper.memory.calls.values()] == ["r1"] * written

    asyncio.run(whole())


def test_it_may_be_for_one_holder_and_some_kinds_alone() -> None:
    async def test(ear: Ear, calling: Calling) -> None:
        calling.tell("theirs", holder="drones")
        calling.tell("confirmed", kind="reservation")
        calling.tell("mine")
        await calling.wait_counted("delivered")
        assert [said["subject"] for said in ear.bodies] == ["mine"]

    run(test=test, holder="vans", kinds=("reservation-at-risk",))


def test_an_end_in_the_middle_of_a_call_waits_for_nobody() -> None:
    async def test(ear: Ear, calling: Calling) -> None:
        calling.tell("r1")
        await ear.wait_heard(1)

    # The server never answers; the block ends all the same.
    run(be_slow, test=test, within_s=600.0)


def test_what_is_no_tls_is_no_answer() -> None:
    async def whole() -> None:
        async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(PostFailedError, match="no connection"):
            await HttpPost(within_s=PATIENCE_S).post(f"https://127.0.0.1:{port}/", b"{}", {})
        server.close()
        await server.wait_closed()

    asyncio.run(whole())
