"""The API over a real socket in a thread of its own, before a book in memory; asked by http.client."""

import asyncio
import http.client
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from gateway.adapters.http_listener import HttpListener
from gateway.adapters.session_key import session_key
from gateway.adapters.token_file import TokenRegister, make_token
from gateway.api.app import PREFIX, api_app
from gateway.api.endpoints import Sources
from gateway.api.problems import crowded_response
from gateway.api.readings import Live
from gateway.control.decide import decide
from gateway.control.fold import evolve
from gateway.control.parameters import ControlParameters
from gateway.control.wiring import Wiring
from gateway.domain.access import Access, Role
from gateway.domain.events import Event
from gateway.domain.needs import Criticality
from gateway.planning.standing_plan import StandingPlan
from gateway.services.booking import Booking
from gateway.services.calendar_book import CalendarBook
from gateway.services.feed import Feed
from gateway.services.forecasting import Forecasting
from gateway.services.quoting import ThinkOver, nothing_moves
from gateway.services.session_desk import SessionDesk
from gateway.services.visits import Visits
from tests.support.small_site import at_start, main_read, small_site

MAX_CONNECTIONS = 64
PATIENCE_S = 20.0
BEGINS_AT = datetime(2026, 1, 5, 8, tzinfo=UTC)


class HandClock:
    """A clock that a test sets; it waits for nobody."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.slept_s: list[float] = []

    def monotonic_s(self) -> float:
        return self.now_s

    def now_at(self) -> datetime:
        return BEGINS_AT + timedelta(seconds=self.now_s - 1_000.0)

    async def sleep_s(self, delay_s: float) -> None:
        self.slept_s.append(delay_s)
        await asyncio.sleep(delay_s)


class Reply(NamedTuple):
    """What came back; `said` is its JSON."""

    status: int
    headers: Mapping[str, str]
    said: Any


class Desk:
    """A running API, and what a test does to it."""

    def __init__(self, folder: Path, think_over: ThinkOver) -> None:
        self.clock = HandClock()
        self.feed = Feed(self.clock)
        site = small_site(3)
        self.doubt_s = 0.0
        self.booking = Booking(
            Wiring.of(site),
            ControlParameters(),
            clock=self.clock,
            feed=self.feed,
            think_over=think_over,
            doubt_s=lambda: self.doubt_s,
        )
        self.visits = Visits(self.clock)
        self.calendar_changes: list[float] = []
        self.effects_of = Forecasting(
            Wiring.of(site), ControlParameters(), zone=UTC, clock=self.clock
        ).effects_of
        self.calendar = CalendarBook(
            clock=self.clock,
            ledger=None,
            remembered={},
            on_changed=lambda: self.calendar_changes.append(self.clock.now_s),
        )
        self.sessions = SessionDesk(
            self.visits,
            key=session_key(folder),
            ledger=None,
            remembered={},
            on_said=lambda: None,
            tie=self.booking.tie,
        )
        self.folder = folder
        self.state = evolve(at_start(site), main_read(1_000.0, 20.0))
        self.live: Live | None = None
        self.plan: StandingPlan | None = None
        self.port = 0
        self.loop = asyncio.new_event_loop()

    def decide(self) -> None:
        """Let a control cycle pass."""
        decision = decide(self.state, self.clock.now_s)
        self.live = Live(
            state=self.state,
            decision=decision,
            now_s=self.clock.now_s,
            at=self.clock.now_at(),
        )

    def review(self) -> None:
        """Let it be looked at which promises are at risk, in the API's own loop."""
        reviewing = asyncio.run_coroutine_threadsafe(self.booking.review(), self.loop)
        reviewing.result(PATIENCE_S)

    def hear(self, fact: Event) -> None:
        """Let a fact be known, in the API's own loop."""

        async def take() -> None:
            self.booking.hear(fact)
            self.visits.hear(fact)
            self.sessions.hear(fact)

        asyncio.run_coroutine_threadsafe(take(), self.loop).result(PATIENCE_S)

    def token(
        self,
        name: str,
        role: Role = Role.VEHICLE_OPERATOR,
        *,
        criticality: Criticality = Criticality.NORMAL,
        quota: int = 60_000,
    ) -> str:
        """Return a token of that name."""
        access = Access(name=name, role=role, criticality=criticality, quota_per_min_count=quota)
        return make_token(self.folder, access, now_at=BEGINS_AT)

    def events(self, token: str, count: int, **headers: str) -> list[tuple[int, str, Any]]:
        """Return so many server-sent events: number, kind and data."""
        connection = self.connection()
        connection.request(
            "GET", f"{PREFIX}/events", headers={"Authorization": f"Bearer {token}", **headers}
        )
        answer = connection.getresponse()
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        found: list[tuple[int, str, Any]] = []
        fields: dict[str, str] = {}
        while len(found) < count:
            line = answer.readline().decode().rstrip("\n")
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "id" in fields:
                found.append(
                    (int(fields["id"].split("-")[1]), fields["event"], json.loads(fields["data"]))
                )
                fields = {}
        connection.close()
        return found

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Return what is answered to a request under /api/v1; bytes go as they are."""
        connection = self.connection()
        sent = {"Content-Type": "application/json", **(headers or {})}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        raw = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        try:
            connection.request(method, f"/api/v1{path}", raw, sent)
            answer = connection.getresponse()
            content = answer.read()
            known = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, known, json.loads(content) if content else None)
        finally:
            connection.close()

    def connection(self) -> http.client.HTTPConnection:
        """Return a connection to the API."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)

    def at(self, hours: float) -> str:
        """Return an instant so many hours from now, as the API takes it."""
        return (self.clock.now_at() + timedelta(hours=hours)).isoformat()


@contextmanager
def api_desk(folder: Path, think_over: ThinkOver = nothing_moves) -> Iterator[Desk]:
    """Run an API until the block ends."""
    desk = Desk(folder, think_over)
    register = TokenRegister(folder, on_problem=lambda _: None)
    sources = Sources(
        bookings=desk.booking,
        notices=desk.feed,
        live=lambda: desk.live,
        clock=desk.clock,
        plan=lambda: desk.plan,
        sessions=desk.sessions,
        calendar=desk.calendar,
        effects_of=desk.effects_of,
    )
    app = api_app(sources, find_access=register.find)
    listener = HttpListener(
        app,
        host="127.0.0.1",
        port=0,
        purpose="tests",
        max_connections=MAX_CONNECTIONS,
        crowded=crowded_response(),
    )
    is_up = threading.Event()

    def on_listening(url: str) -> None:
        desk.port = int(url.rpartition(":")[2])
        is_up.set()

    serving = desk.loop.create_task(listener.run(on_listening))

    def serve() -> None:
        asyncio.set_event_loop(desk.loop)
        with suppress(asyncio.CancelledError):
            desk.loop.run_until_complete(serving)
        desk.loop.run_until_complete(desk.loop.shutdown_asyncgens())
        desk.loop.close()

    thread = threading.Thread(target=serve, name="api")
    thread.start()
    try:
        assert is_up.wait(PATIENCE_S)
        yield desk
    finally:
        desk.loop.call_soon_threadsafe(serving.cancel)
        thread.join(PATIENCE_S)
