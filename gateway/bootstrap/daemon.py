"""The daemon: every part of a site under control, wired, and run as one."""

import asyncio
import logging
import random
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from uuid import uuid4
from zoneinfo import ZoneInfo

import msgspec

from drivers.ocpp.driver import OcppDriver
from drivers.ocpp.server import CannotListenError, OcppServer
from gateway.adapters.calendar import Calendar
from gateway.adapters.clock import SystemClock
from gateway.adapters.history_db import HistoryDb
from gateway.adapters.http_listener import HttpListener
from gateway.adapters.ledger_db import LedgerDb
from gateway.adapters.ledger_schema import LedgerRefusedError
from gateway.adapters.metric_families import Observed
from gateway.adapters.metrics import PrometheusMetrics
from gateway.adapters.metrics_app import metrics_app
from gateway.adapters.sd_notify import SdNotify
from gateway.adapters.status_socket import (
    SNAPSHOT,
    Answer,
    StatusListener,
    serve_status,
)
from gateway.adapters.upkeep import errands_of
from gateway.bootstrap.local_door import LocalDoor
from gateway.bootstrap.modbus import (
    UnusableRequestError,
    buses_of,
    contact_of,
    meters_of,
    outputs_of,
)
from gateway.bootstrap.observation import Observation
from gateway.control.restore import Restored, last_alive, restore
from gateway.control.state import SiteState
from gateway.control.stop_latch import StopLatch
from gateway.control.wiring import Wiring
from gateway.domain.events import Event
from gateway.domain.ids import StationId
from gateway.domain.memory import Memory
from gateway.domain.moments import least_at
from gateway.domain.stops import StopCause
from gateway.domain.webhooks import Webhook
from gateway.front_desk import FrontDesk
from gateway.ports import MomentClock
from gateway.services.alarms import Alarms
from gateway.services.calendar_ratings import CalendarRatings
from gateway.services.circuit_alarms import CircuitAlarms
from gateway.services.clock_alarm import clock_problem
from gateway.services.control_loop import ControlLoop, Cycle
from gateway.services.dispatcher import Dispatcher
from gateway.services.health import life_problems, work_problems
from gateway.services.heartbeat import Heartbeat
from gateway.services.inbox import Inbox
from gateway.services.listening import AGAIN_AFTER_S, keep_listening
from gateway.services.loop_lag import watch_loop_lag
from gateway.services.metering import poll_meters
from gateway.services.obedience_alarms import ObedienceAlarms
from gateway.services.place_alarms import PlaceAlarms
from gateway.services.recollection import Recollection
from gateway.services.recording import Recorder
from gateway.services.releases import Releases
from gateway.services.remembrance import Remembrance
from gateway.services.snapshot import Snapshot
from gateway.services.station_desk import StationDesk
from gateway.services.steady_clock import SteadyClock
from gateway.services.stop_watch import StopWatch
from gateway.services.supervisor import Service, ServiceEndedError, supervise
from gateway.services.trip_outputs import TripOutputs
from gateway.settings import Settings

_log = logging.getLogger(__name__)

NO_STATIONS = "OCPP"
"""The alarm that sounds while stations cannot connect."""


class Daemon:
    """A site under control: every part wired, nothing started before `run`."""

    def __init__(
        self,
        settings: Settings,
        *,
        keys: Mapping[StationId, bytes | None],
        clock: MomentClock | None = None,
        status: socket.socket | Path | None = None,  # Its folder where it cannot be had yet.
        manager: SdNotify | None = None,
        folder: Path | None = None,
        hooks: Sequence[Webhook] = (),
    ) -> None:
        """Wire the parts.

        `keys` are the stations that may log in, with their passwords; `status` is where people
        on this machine may ask (`bind_status_socket`), None for nowhere; `manager` is told how
        the daemon is; `folder` is where what must outlive it is kept, None for nowhere; `hooks`
        are called about promises.

        Raises:
            UnusableRequestError: the site needs what this version cannot do, or the ledger in
                `folder` must not be used.
        """
        site, self._settings = settings.site, settings
        self._clock = clock or SystemClock()
        self.alarms, self._status, self._inbox = Alarms(self._clock), status, Inbox()
        fitted = [output.circuit for output in settings.trip_outputs]
        self._circuit_alarms = CircuitAlarms(self.alarms, fitted=fitted)
        self._station_alarms = ObedienceAlarms(self.alarms), PlaceAlarms(self.alarms)
        self._manager = manager or SdNotify({})
        self._heartbeat = Heartbeat(self._manager, self.alarms)
        self._buses = buses_of(settings, self._clock)
        self._meters = meters_of(settings, self._buses, self._clock)
        self._ledger = LedgerDb(folder, site=site.name, clock=self._clock) if folder else None
        memory = self._recall()
        self._steady_clock = self._wire_steady_clock(memory)
        restored, self._recollection = self._restore(memory)
        self._remembrance = (
            Remembrance(self._ledger, restored.state, clock=self._clock, adopted=memory.stations)
            if self._ledger
            else None
        )
        self._history = HistoryDb(folder, clock=self._clock) if folder else None
        self._recorder = Recorder(self._history, restored.state.wiring) if self._history else None
        self._calendar = self._wire_calendar(folder)
        self._ratings = self._wire_ratings(memory)
        self._desk = self._wire_desk(restored.state, memory, folder, tuple(hooks))
        self._server = self._wire_server(keys, memory)
        self._stop_watch = self._wire_stop_input(restored.state)
        self._trip_outputs = self._wire_trip_outputs(memory)
        self._metrics = PrometheusMetrics(site.stations, self._observe, clock=self._clock)
        self._dispatcher = Dispatcher(
            site.stations,
            OcppDriver(self._server),
            clock=self._clock,
            post=self._inbox.post,
            parameters=settings.control,
            gate=self._remembrance,
            metrics=self._metrics,
        )
        self._control = ControlLoop(
            restored.state,
            self._inbox,
            self._dispatcher.offer,
            clock=self._clock,
            on_cycle=self._follow,
            awaited=restored.awaited,
            metrics=self._metrics,
            is_forgiving=True,
        )
        self._releases, self._observation = self._wire_releases(), self._wire_observation()

    def _wire_steady_clock(self, memory: Memory) -> SteadyClock:
        """Return what promises go by, from the time that was believed when something was last noted."""
        clock, noted = self._clock, None if memory.run is None else memory.run.noted
        steady = SteadyClock(
            clock,
            is_kept_right=lambda: clock.moment().is_synchronised,
            least_at=None if noted is None else least_at(noted, clock.moment()),
        )
        if self._ledger is not None:
            self._ledger.note_by(steady.known_at)
        return steady

    def _wire_calendar(self, folder: Path | None) -> Calendar | None:
        if folder is None or self._ledger is None or self._history is None:
            return None
        return Calendar(
            errands_of(folder, ledger=self._ledger, history=self._history, clock=self._clock),
            timezone=self._settings.site.timezone,
            clock=self._clock,
            on_outcome=self.alarms.show,
        )

    def _wire_ratings(self, memory: Memory) -> CalendarRatings:
        site, standing = self._settings.site, memory.site.constraints
        zone, post = ZoneInfo(site.timezone), self._inbox.post
        ratings = CalendarRatings(
            site.circuits,
            zone,
            clock=self._clock,
            post=post,
            standing=standing,
            steady_clock=self._steady_clock,
        )
        ratings.look()  # Before the first decision.
        return ratings

    def _wire_server(self, keys: Mapping[StationId, bytes | None], memory: Memory) -> OcppServer:
        return OcppServer(
            host=self._settings.listen.ocpp.host,
            port=self._settings.listen.ocpp.port,
            credentials=keys,
            clock=self._clock,
            post=self._post,
            rng=random.Random(),
            ledger=self._ledger,
            memory=memory,
            tokens=self._settings.tokens,
        )

    def _wire_desk(
        self, state: SiteState, memory: Memory, folder: Path | None, hooks: tuple[Webhook, ...]
    ) -> FrontDesk:
        return FrontDesk(
            state,
            clock=self._steady_clock,
            wall_clock=self._clock,
            alarms=self.alarms,
            ledger=self._ledger,
            memory=memory,
            address=self._settings.listen.api,
            folder=folder,
            post=self._inbox.post,
            plan_min_gap_s=self._settings.plan_min_gap_s,
            tokens=self._settings.tokens,
            hooks=hooks,
            doubt_s=self._steady_clock.doubt_s,
        )

    def _recall(self) -> Memory:
        if self._ledger is None:
            return Memory()
        try:
            return self._ledger.load(run=uuid4().hex)
        except LedgerRefusedError as error:
            raise UnusableRequestError(str(error)) from error

    def _restore(self, memory: Memory) -> tuple[Restored, Recollection]:
        """Return the state to begin with: what is remembered, counted at its worst."""
        now, now_s = self._clock.moment(), self._clock.monotonic_s()
        restored = restore(
            Wiring.of(self._settings.site),
            self._settings.control,
            memory,
            alive=last_alive(memory.run, now),
            now=now,
            now_s=now_s,
        )
        post = self._inbox.post
        return restored, Recollection(restored, at=now, at_s=now_s, clock=self._clock, post=post)

    def _post(self, fact: Event) -> None:
        if self._remembrance is not None:
            self._remembrance.hear(fact)
        self._desk.hear(fact)
        self._inbox.post(fact)

    def _follow(self, cycle: Cycle) -> None:
        """Take note of a complete cycle."""
        self._heartbeat.beat(cycle)
        self._trip_outputs.follow(cycle)
        self._circuit_alarms.follow(cycle)
        for alarms in self._station_alarms:
            alarms.follow(cycle)
        self._ratings.look()
        self._desk.note(cycle)
        if self._remembrance is not None:
            self._remembrance.note(cycle.state)
        if self._recorder is not None:
            self._recorder.note(cycle)
        self._recollection.review()
        self.alarms.show("clock", clock_problem(self._clock.now_at()))
        self.alarms.show("clock-jump", self._steady_clock.problem())
        for name, problem in self._storage_problems().items():
            self.alarms.show(name, problem)
        if self._calendar is not None:
            self._calendar.follow_clock(self._control.counters["clock_jumps"])

    def _storage_problems(self) -> dict[str, str | None]:
        """Return what is wrong with the state folder's files, by the alarm's name."""
        if self._ledger is None or self._history is None:
            return {}
        health = self._ledger.health
        return {
            "ledger": health.problem,
            "ledger-damaged": health.damage,
            "history": self._history.problem,
            "history-damaged": self._history.damage,
        }

    async def run(
        self,
        *,
        stop: asyncio.Event,
        on_ready: Callable[[int], None],
        on_stuck: Callable[[Sequence[str]], None],
        on_good: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Control the site until `stop` is set; leases then lapse to the fallbacks.

        `on_ready` gets the port stations connect to, once they can; `on_stuck` the names of
        services that do not end (see `supervise`). `on_good` is awaited beside control once
        that has run long enough to call the configuration good; its failure harms nothing.

        Raises:
            ServiceEndedError: a service could not be kept running.
        """
        failure: ServiceEndedError | None = None
        async with asyncio.TaskGroup() as tasks:
            beside = [
                tasks.create_task(self._tell_when_listening(on_ready), name="ready"),
                tasks.create_task(self._tell_when_good(on_good), name="good"),
                tasks.create_task(self._tell_when_stopping(stop), name="stopping"),
            ]
            try:
                await supervise(self._services(), clock=self._clock, stop=stop, on_stuck=on_stuck)
            except ServiceEndedError as error:
                failure = error
            for task in beside:
                task.cancel()
        if failure is not None:
            raise failure

    async def _tell_when_listening(self, on_ready: Callable[[int], None]) -> None:
        port = await self._server.wait_listening()
        self.alarms.end(NO_STATIONS)
        self._heartbeat.note_listening()
        on_ready(port)

    async def _tell_when_good(self, on_good: Callable[[], Awaitable[None]] | None) -> None:
        await self._heartbeat.wait_good()
        if on_good is None:
            return
        try:
            await on_good()
        except Exception:  # noqa: BLE001 - whatever it is, it must not end control
            _log.exception("what is done with a good configuration has a fault")

    async def _tell_when_stopping(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._manager.stopping("stopping; every limit lapses to its fallback")

    @property
    def api_url(self) -> str | None:
        """Return where the API can be asked, such as `http://127.0.0.1:8080`; None until it can."""
        return self._desk.url

    def snapshot(self) -> Snapshot | None:
        """Return what people are shown; None before the first cycle."""
        return self._observation.snapshot()

    def _observe(self) -> Observed | None:
        return self._observation.observed()

    def _services(self) -> list[Service]:
        """Return the services; they end in the reverse of this order, control first."""
        services = [] if self._status is None else [self._status_service(self._status)]
        services.append(Service(name="metrics", run=self._serve_metrics))
        services += self._desk.services()
        if self._calendar is not None:
            services.append(Service(name="calendar", run=self._calendar.run))
        if self._ledger is not None:
            services.append(Service(name="ledger", run=self._ledger.run, is_restartable=False))
        if self._history is not None:
            services.append(Service(name="history", run=self._history.run, is_restartable=False))
        services += [
            # A bus cannot be begun again, and has no failure it expects.
            Service(name=f"bus {name}", run=bus.run, is_restartable=False)
            for name, bus in self._buses.items()
        ]
        services += [
            Service(name="OCPP server", run=self._serve_stations, is_restartable=False),
            Service(name="meters", run=self._poll_meters),
            Service(name="stop input", run=self._stop_watch.run),
            Service(name="trip outputs", run=self._trip_outputs.run),
            Service(name="loop lag", run=self._watch_loop_lag),
            Service(name="dispatcher", run=self._dispatcher.run),
            Service(name="control", run=self._control.run, is_restartable=False),
        ]
        return services

    async def _serve_stations(self) -> None:
        """Serve stations for ever; while their address cannot be had an alarm sounds, and no more.

        A fault in it ends the process, unlike one in what `keep_listening` keeps up.
        """
        while True:
            try:
                await self._server.run()
            except CannotListenError as error:
                self.alarms.sound(NO_STATIONS, str(error))
                self._heartbeat.note_deaf()
            await self._clock.sleep_s(AGAIN_AFTER_S)

    async def _serve_metrics(self) -> None:
        def life() -> list[str]:
            return life_problems(self._control.latest, now_s=self._clock.monotonic_s())

        def work() -> list[str]:
            now_s, cycle = self._clock.monotonic_s(), self._control.latest
            return work_problems(cycle, now_s=now_s, is_listening=self._heartbeat.is_listening)

        app = metrics_app(
            exposition=self._metrics.exposition, life_problems=life, work_problems=work
        )
        address = self._settings.listen.metrics
        listener = HttpListener(app, host=address.host, port=address.port, purpose="metrics")
        await keep_listening(listener, name="metrics", alarms=self.alarms, clock=self._clock)

    async def _watch_loop_lag(self) -> None:
        await watch_loop_lag(self._metrics, clock=self._clock)

    def _status_service(self, where: socket.socket | Path) -> Service:
        door = LocalDoor(
            site=self._settings.site.name,
            stop_watch=self._stop_watch,
            releases=self._releases,
            stations=StationDesk(
                OcppDriver(self._server),
                latest=lambda: self._control.latest,
                clock=self._clock,
                ledger=self._ledger,
            ),
            ledger=self._ledger,
        )

        async def run() -> None:
            answers: dict[str, Answer] = {
                SNAPSHOT: lambda _: msgspec.json.encode(self.snapshot()),
                **door.answers(),
                **self._desk.answers(),
            }
            if isinstance(where, Path):
                listener = StatusListener(where, answers)
                await keep_listening(listener, name="status", alarms=self.alarms, clock=self._clock)
            else:
                await serve_status(where, answers)

        return Service(name="status", run=run, is_restartable=False)

    async def _poll_meters(self) -> None:
        if not self._meters:
            await asyncio.Event().wait()
        await poll_meters(self._meters, clock=self._clock, post=self._inbox.post)

    def _wire_stop_input(self, state: SiteState) -> StopWatch:
        stop = self._settings.stop_input
        # A stop that is remembered without its cause is one that a person must release.
        cause = state.stop_cause or (StopCause.UNRELEASED if state.is_stopped else None)
        return StopWatch(
            contact_of(self._settings, self._buses),
            StopLatch.after_restart(
                cause,
                is_self_releasing=stop is not None and stop.is_self_releasing,
                now_s=self._clock.monotonic_s(),
            ),
            stops_when_closed=stop is not None and stop.stops_when_closed,
            told=state.stop_cause,
            clock=self._clock,
            post=self._post,
            alarms=self.alarms,
        )

    def _wire_releases(self) -> Releases:
        return Releases(
            self._trip_outputs,
            latest=lambda: self._control.latest,
            clock=self._clock,
            ledger=self._ledger,
            post=self._inbox.post,
        )

    def _wire_trip_outputs(self, memory: Memory) -> TripOutputs:
        return TripOutputs(
            outputs_of(self._settings, self._buses),
            tripped=[circuit for circuit, trip in memory.trips.items() if trip.is_tripped],
            clock=self._clock,
            alarms=self.alarms,
            ledger=self._ledger,
            post=self._inbox.post,
        )

    def _wire_observation(self) -> Observation:
        return Observation(
            clock=self._clock,
            inbox=self._inbox,
            control=self._control,
            dispatcher=self._dispatcher,
            server=self._server,
            desk=self._desk,
            alarms=self.alarms,
            ledger=self._ledger,
            history=self._history,
            calendar=self._calendar,
        )
