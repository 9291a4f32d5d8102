"""Wires what is asked from outside: the book of promises, the stream of changes, the HTTP API."""

import logging
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from gateway.adapters.history_file import HistoryReader
from gateway.adapters.http_listener import HttpListener
from gateway.adapters.http_post import HttpPost
from gateway.adapters.planner_families import PlannerFigures
from gateway.adapters.promise_families import PromiseFigures
from gateway.adapters.session_key import session_key
from gateway.adapters.status_socket import Answer, Question
from gateway.adapters.token_file import TokenRegister
from gateway.api.app import api_app
from gateway.api.calls import FindAccess, understood
from gateway.api.endpoints import Sources
from gateway.api.models import QuoteRequest
from gateway.api.problems import ProblemError, crowded_response
from gateway.api.readings import Live, site_view
from gateway.api.translating import need_of, quote_view
from gateway.control.fold import DrawsPromised, PrioritySet
from gateway.control.promised_draws import PromisedDraw
from gateway.control.state import Priority, SiteState
from gateway.domain.access import Access, Role
from gateway.domain.errors import HeadroomError
from gateway.domain.events import Event, TransactionStarted
from gateway.domain.ids import ConnectorRef
from gateway.domain.memory import Memory
from gateway.domain.needs import Criticality
from gateway.domain.tokens import TokenPolicy
from gateway.domain.webhooks import Webhook
from gateway.planning.asking import Places, Vehicles
from gateway.planning.risk_words import miscalibrations_said
from gateway.ports import Clock, Ledger
from gateway.services.absences import Absences
from gateway.services.alarms import Alarms
from gateway.services.allowed import surely_allowed_ma
from gateway.services.booking import Booking
from gateway.services.calendar_book import CalendarBook
from gateway.services.control_loop import Cycle
from gateway.services.feed import Feed
from gateway.services.forecasting import Forecasting
from gateway.services.limit_news import LimitNews
from gateway.services.listening import keep_listening
from gateway.services.outbox import Outbox
from gateway.services.planner_pipe import PlannerPipe
from gateway.services.planner_worker import Cause
from gateway.services.promised_room import PromisedRoom
from gateway.services.replanning import Replanning
from gateway.services.second_thoughts import SecondThoughts
from gateway.services.session_desk import SessionDesk
from gateway.services.supervisor import Service
from gateway.services.visits import Visits
from gateway.services.webhooks import Webhooks
from gateway.settings import ListenAddress

_log = logging.getLogger(__name__)

SITE, QUOTE = "site", "quote"
TOKENS, PROMISES, CALIBRATION = "tokens", "promises", "calibration"
SETTLES_EVERY_S = 1.0
MAX_CONNECTIONS = 256
RESTS_S = 60.0
"""How long what has a fault is left alone before it is begun again."""

WELL_AFTER_S = 600.0
"""A fault that was not seen for so long is over: what had it was tried again meanwhile."""

ASKED_HERE_AT_ONCE = 3
"""What is critical is thought over for seconds: the daemon's own socket has places left for others."""

LOCAL = Access(
    name="this machine",
    role=Role.ENGINEER,
    criticality=Criticality.CRITICAL,
    quota_per_min_count=60_000,
)
"""Whoever may open the daemon's own socket may do anything with it already."""


class FrontDesk:
    """What the daemon tells and promises those who ask; control needs none of it."""

    def __init__(
        self,
        state: SiteState,
        *,
        clock: Clock,
        wall_clock: Clock,
        alarms: Alarms,
        ledger: Ledger | None,
        memory: Memory,
        address: ListenAddress,
        folder: Path | None,
        post: Callable[[PrioritySet | DrawsPromised], None],
        plan_min_gap_s: float,
        tokens: TokenPolicy,
        hooks: Sequence[Webhook] = (),
        doubt_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """Take up the promises that are remembered; without a folder there are no tokens.

        Promises go by `clock`; readings are told by `wall_clock`, as people have it. Who goes
        first, and the draws that are promised, are posted to control as facts; plans are made no
        more often than `plan_min_gap_s`. `hooks` are called about promises. `doubt_s` tells in how
        many seconds the time of `clock` may be known.
        """
        self._clock, self._alarms, self._address = clock, alarms, address
        self._wall_clock, self._post, self._faulty_s = wall_clock, post, float("-inf")
        self._outbox = Outbox(
            hooks, clock=clock, alarms=alarms, ledger=ledger, remembered=memory.calls
        )
        self._feed = Feed(clock, outbox=self._outbox)
        self._calendar = CalendarBook(
            clock=clock, ledger=ledger, remembered=memory.events, on_changed=self._on_seen
        )
        self._forecasting = self._wire_forecasting(state, folder, ledger, memory)
        self._visits = Visits(
            clock,
            memory.transactions,
            tokens=tokens,
            keep=(lambda _: None) if ledger is None else ledger.keep,
            most_w=Places.of(state.wiring.site).most_w,
        )
        pipe = PlannerPipe()
        self._booking = Booking(
            state.wiring,
            state.parameters,
            clock=clock,
            feed=self._feed,
            ledger=ledger,
            remembered=memory.promises,
            prospects=self._forecasting,
            leaves_at_s=self._visits.leaves_at_s,
            vehicles=Vehicles(acceptance=self._visits.acceptance, following=self._visits.following),
            were_there=(*self._visits.sessions(), *self._visits.left_before()),
            tokens=tokens,
            think_over=SecondThoughts(pipe, clock).on,
            doubt_s=doubt_s,
        )
        self._planning = self._wire_planning(pipe, min_gap_s=plan_min_gap_s)
        self._booking.go_by(lambda: self._planning.plan)
        self._sessions = self._wire_sessions(ledger, memory, folder)
        self._hooks = Webhooks(
            hooks, self._outbox, HttpPost(), clock=clock, alarms=alarms, rng=random.Random()
        )
        self._news, self._absences = LimitNews(self._feed), Absences()
        self._room, self._asked_here_count = PromisedRoom(self._keep_room), 0
        self.url: str | None = None  # Where the API can be asked, once it can.
        self._latest: Cycle | None = None
        self._find_access: FindAccess = lambda _: None
        if folder is not None:
            self._find_access = TokenRegister(folder, on_problem=self._on_token_problem).find

    def _wire_forecasting(
        self, state: SiteState, folder: Path | None, ledger: Ledger | None, memory: Memory
    ) -> Forecasting:
        return Forecasting(
            state.wiring,
            state.parameters,
            zone=ZoneInfo(state.wiring.site.timezone),
            clock=self._clock,
            past=None if folder is None else HistoryReader(folder=folder),
            on_seen=self._on_seen,
            events=self._calendar.known,
            remembered=memory.forecasts,
            keep=(lambda _: None) if ledger is None else ledger.keep,
        )

    def _wire_planning(self, pipe: PlannerPipe, *, min_gap_s: float) -> Replanning:
        return Replanning(
            pipe=pipe,
            places=self._booking.places,
            prospects=self._forecasting,
            visits=self._visits,
            book=lambda: self._booking.book,
            prioritise=self._prioritise,
            clock=self._clock,
            min_gap_s=min_gap_s,
        )

    def _wire_sessions(
        self, ledger: Ledger | None, memory: Memory, folder: Path | None
    ) -> SessionDesk:
        return SessionDesk(
            self._visits,
            key=session_key(folder),
            ledger=ledger,
            remembered=memory.statements,
            on_said=lambda: self._planning.ask(Cause.ARRIVAL),
            tie=self._booking.tie,
        )

    @property
    def counters(self) -> Counter[str]:
        """Return what was counted of quotes and promises."""
        return self._booking.counters

    def figures(self) -> PromiseFigures:
        """Return what metrics tell of promises."""
        promises = (*self._booking.book.promises.values(), *self._booking.unheard)
        states = Counter(promise.state for promise in promises)
        return PromiseFigures(
            open_count=states,
            at_risk_count=self._booking.at_risk_count,
            counts=self._booking.counters,
            reliability=self._booking.reliability(),
            calls=self._hooks.counters,
            waiting=self._outbox.waiting,
        )

    @property
    def planner_counters(self) -> Counter[str]:
        """Return what was counted of plans."""
        return self._planning.counters

    def planner_figures(self) -> PlannerFigures:
        """Return what metrics tell of plans."""
        planning = self._planning
        return PlannerFigures(
            counts=planning.counters, age_s=planning.age_s, took_s=planning.took_s
        )

    def hear(self, fact: Event) -> None:
        """Take note of a fact. Never waits, never raises."""
        with self._harmless():
            self._booking.hear(fact)
            if self._visits.hear(fact):
                has_come = isinstance(fact, TransactionStarted)
                self._planning.ask(Cause.ARRIVAL if has_come else Cause.DEPARTURE)
                self._sessions.hear(fact)

    def note(self, cycle: Cycle) -> None:
        """Take note of a complete cycle. Never waits, never raises."""
        self._latest = cycle
        with self._harmless():
            self._news.note(cycle)
            self._forecasting.note(cycle)
            now_s = self._clock.now_at().timestamp()
            self._booking.miss(self._absences.note(cycle.state, cycle.decision.at_s, now_s=now_s))
            self._booking.limit(cycle.state.constraints.values())
            at_s = cycle.decision.at_s
            self._booking.allow(partial(surely_allowed_ma, cycle.state, now_s=at_s), at_s=at_s)
            lacks = self._room.note(cycle, self._booking.book.promises.values(), now_s)
            self._booking.spoil(lacks.broken, lacks.unknown)
            self._planning.note(cycle)

    def services(self) -> Sequence[Service]:
        """Return the services of the desk."""
        return (
            Service(name="promises", run=self._see_to_promises, is_restartable=False),
            Service(name="forecast", run=self._forecast, is_restartable=False),
            Service(name="planner", run=self._plan, is_restartable=False),
            Service(name="webhooks", run=self._hooks.run, is_restartable=False),
            Service(name="API", run=self._serve),
        )

    def answers(self) -> Mapping[str, Answer]:
        """Return what people on this machine may ask on the daemon's own socket."""
        return {SITE: self._say_site, QUOTE: self._say_quote}

    async def _see_to_promises(self) -> None:
        while True:
            with self._harmless():
                await self._booking.review()
                found = self._booking.reliability().miscalibrations
                self._alarms.show(CALIBRATION, miscalibrations_said(found))
            if self._clock.monotonic_s() - self._faulty_s >= WELL_AFTER_S:
                self._alarms.end(PROMISES)
            await self._clock.sleep_s(SETTLES_EVERY_S)

    async def _forecast(self) -> None:
        while True:
            with self._harmless():
                await self._forecasting.run()
            await self._clock.sleep_s(RESTS_S)

    async def _plan(self) -> None:
        while True:
            with self._harmless():
                await self._planning.run()
            await self._clock.sleep_s(RESTS_S)
            self._planning.ask(Cause.RECOVERY)  # What it was asked for was not planned.

    def _prioritise(self, connector: ConnectorRef, priority: Priority | None) -> None:
        now_s = self._clock.monotonic_s()
        self._post(PrioritySet(at_s=now_s, connector=connector, priority=priority))

    def _keep_room(self, draws: Mapping[int, PromisedDraw]) -> None:
        self._post(DrawsPromised(at_s=self._clock.monotonic_s(), draws=draws))

    def _on_seen(self) -> None:
        self._booking.look_again()
        self._planning.look_again()

    @contextmanager
    def _harmless(self) -> Iterator[None]:
        """Let a fault in what is promised be an alarm for a while: all charge without promises."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not reach control
            self._faulty_s = self._clock.monotonic_s()
            if PROMISES not in {alarm.name for alarm in self._alarms.sounding()}:
                _log.exception("what is promised has a fault")
            message = f"promises cannot be seen to ({error!r}): send the log to the developers"
            self._alarms.sound(PROMISES, message)

    async def _serve(self) -> None:
        sources = Sources(
            bookings=self._booking,
            notices=self._feed,
            live=self._live,
            clock=self._clock,
            plan=lambda: self._planning.plan,
            sessions=self._sessions,
            calendar=self._calendar,
            effects_of=self._forecasting.effects_of,
        )
        listener = HttpListener(
            api_app(sources, find_access=self._find_access),
            host=self._address.host,
            port=self._address.port,
            purpose="the API",
            max_connections=MAX_CONNECTIONS,
            crowded=crowded_response(),
        )
        await keep_listening(
            listener,
            name="API",
            alarms=self._alarms,
            clock=self._clock,
            on_address=self._note_address,
        )

    def _note_address(self, url: str) -> None:
        self.url = url

    def _live(self) -> Live | None:
        cycle = self._latest
        if cycle is None:
            return None
        return Live(
            state=cycle.state,
            decision=cycle.decision,
            now_s=self._clock.monotonic_s(),
            at=self._wall_clock.now_at(),
        )

    def _say_site(self, question: Question) -> bytes:
        del question
        site = self._booking.places.site
        return site_view(site, self._clock.now_at()).model_dump_json().encode()

    async def _say_quote(self, question: Question) -> bytes:
        try:
            words = msgspec.json.encode(question.words)
            request = understood(words, QuoteRequest, content_type="application/json")
        except ProblemError as problem:
            raise HeadroomError(problem.detail) from problem
        places = self._booking.places
        if self._asked_here_count >= ASKED_HERE_AT_ONCE:
            raise HeadroomError("others on this machine are being answered: ask again in seconds")
        self._asked_here_count += 1
        try:
            quote = await self._booking.quote_thoroughly(need_of(request, places), LOCAL)
        finally:
            self._asked_here_count -= 1
        return quote_view(quote, places).model_dump_json().encode()

    def _on_token_problem(self, problem: str | None) -> None:
        if problem is None:
            self._alarms.end(TOKENS)
        else:
            self._alarms.sound(TOKENS, problem)
