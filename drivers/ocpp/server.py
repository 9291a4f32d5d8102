"""The place stations connect to: who is let in, and who is there."""

import asyncio
import errno
import itertools
import logging
import random
from collections import Counter
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, cast

from websockets.asyncio.server import ServerConnection, serve
from websockets.extensions.permessage_deflate import enable_server_permessage_deflate
from websockets.frames import CloseCode
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from drivers.ocpp.adapter import (
    BOOT_PATIENCE_S,
    CALL_DEADLINE_S,
    SAMPLE_INTERVAL_S,
    Conversation,
    StationAdapter,
    StationContext,
    VersionSupport,
)
from drivers.ocpp.connection import StationConnection
from drivers.ocpp.handshake import Doorkeeper, choose_version, read_station
from drivers.ocpp.intake import Intake
from drivers.ocpp.liveness import Patience
from drivers.ocpp.lobby import Lobby
from drivers.ocpp.minute_budget import MinuteBudget
from drivers.ocpp.pending import PendingAdapter, PendingStation
from drivers.ocpp.remembered import Forgetful, Past, StationPast, TransactionNumbers
from drivers.ocpp.rpc import plain_text
from drivers.ocpp.session import Session
from drivers.ocpp.versions import SUPPORTED
from gateway.domain.charging import OcppVersion
from gateway.domain.errors import HeadroomError, StationUnreachableError
from gateway.domain.events import StationConnected, StationDisconnected
from gateway.domain.ids import StationId
from gateway.domain.memory import Memory
from gateway.domain.tokens import TokenPolicy
from gateway.ports import Clock, Ledger, Post

OPEN_TIMEOUT_S: Final = 20.0  # For a handshake: a round trip, over a modem that repeats it.
CLOSE_TIMEOUT_S: Final = 5  # For the closing handshake: a stop waits so long for who never ends it.
BACKLOG: Final = 2048
MAX_PENDING_STATIONS: Final = 64
MAX_STRANGER_LINES_A_MINUTE: Final = 10
MAX_STATION_LINES_A_MINUTE: Final = 10

# What a connection is ended with when its frames break the WebSocket's own rules (RFC 6455 §7.4).
_FRAMING_FAULTS: Final = frozenset(
    {CloseCode.PROTOCOL_ERROR, CloseCode.INVALID_DATA, CloseCode.MESSAGE_TOO_BIG}
)

_log = logging.getLogger(__name__)


class CannotListenError(HeadroomError):
    """The address stations are to connect to cannot be had."""


@dataclass(slots=True, kw_only=True)
class _Station:
    """An adopted station: its adapters live on from connection to connection.

    `is_silent` while nothing comes on the connection it has: it may not hear us. `log_lines` is
    how often its bad frames are told of, however often it connects.
    """

    adapters: dict[OcppVersion, StationAdapter] = field(default_factory=dict)
    adapter: StationAdapter | None = None
    session: Session | None = None
    is_silent: bool = False
    log_lines: MinuteBudget = field(
        default_factory=lambda: MinuteBudget(MAX_STATION_LINES_A_MINUTE)
    )


class OcppServer:
    """Serves `ws://host:port/<station id>`.

    `credentials` says which stations are adopted and with which key (None: no key is asked);
    it is read at every handshake. Any other station is kept waiting: answered, listed by
    `pending_stations`, without effect on facts.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        credentials: Mapping[StationId, bytes | None],
        clock: Clock,
        post: Post,
        rng: random.Random,
        versions: Mapping[OcppVersion, VersionSupport] = SUPPORTED,
        sample_interval_s: int = SAMPLE_INTERVAL_S,
        boot_patience_s: float = BOOT_PATIENCE_S,
        call_deadline_s: float = CALL_DEADLINE_S,
        ledger: Ledger | None = None,
        memory: Memory | None = None,
        patience: Patience | None = None,
        lobby: Lobby | None = None,
        open_timeout_s: float = OPEN_TIMEOUT_S,
        tokens: TokenPolicy | None = None,
    ) -> None:
        """Open nothing yet: `run` does. `versions` are offered in their order.

        `tokens` says which id tokens may charge: all where it is None. `memory` is what an earlier
        run knew of the stations; what must outlive this one goes into `ledger`, and no transaction
        is acknowledged before it is safe there.
        """
        self._patience = patience or Patience()
        self._lobby = Lobby.for_this_process() if lobby is None else lobby
        self._open_timeout_s = open_timeout_s
        self._tokens = tokens or TokenPolicy()
        self._sample_interval_s = sample_interval_s
        self._boot_patience_s = boot_patience_s
        self._call_deadline_s = call_deadline_s
        self._host = host
        self._port = port
        self._clock = clock
        self._post = post
        self._rng = rng
        self._versions = versions
        self._ledger = ledger or Forgetful()
        self._past = Past.of(memory or Memory())
        self._numbers = TransactionNumbers(clock.now_at(), last_number=self._past.last_number)
        self._door = Doorkeeper(credentials)
        self._stations: dict[StationId, _Station] = {}
        self._pending: dict[StationId, tuple[Session, PendingAdapter]] = {}
        # Ids of our calls begin with the generation, so they differ over restarts as well.
        self._generations = itertools.count(int(clock.now_at().timestamp()))
        self._interview_slots = asyncio.Semaphore(20)
        self._stranger_lines = MinuteBudget(MAX_STRANGER_LINES_A_MINUTE)
        self._tasks: asyncio.TaskGroup | None = None
        self._listening: asyncio.Future[int] | None = None
        self.counters: Counter[str] = Counter()
        self._lobby.tell = self._note_crowd
        self._intakes = {v: Intake(s, self.counters) for v, s in versions.items()}

    async def run(self) -> None:
        """Serve until cancelled; then close every connection with 1001.

        Raises:
            CannotListenError: the port is in use, or the address is not this machine's; it may
                be run again.
        """
        try:
            server = await serve(
                self._serve_connection,
                self._host,
                self._port,
                subprotocols=[Subprotocol(version) for version in self._versions],
                process_request=self._process_request,
                compression=None,
                server_header=None,
                open_timeout=self._open_timeout_s,
                ping_interval=None,  # `_watch` pings who is quiet, and nobody else.
                close_timeout=CLOSE_TIMEOUT_S,
                backlog=BACKLOG,
                create_connection=cast(
                    "type[ServerConnection]", partial(StationConnection, lobby=self._lobby)
                ),
            )
        except OSError as error:
            message = f"cannot listen for stations on {self._host}:{self._port}: {_why(error)}"
            raise CannotListenError(message) from error
        if not server.sockets:  # So asyncio says that this machine has no such family of addresses.
            raise CannotListenError(
                f"cannot listen for stations on {self._host}: no such address here"
            )
        async with asyncio.TaskGroup() as tasks, server:
            self._tasks = tasks
            self._listen_future().set_result(next(iter(server.sockets)).getsockname()[1])
            try:
                await self._watch()
            finally:
                # The server would wait for each of them to finish or to be given up.
                self._lobby.close()

    async def _watch(self) -> None:
        """Look at every connection, for ever: who is quiet, is asked, and who is silent, told."""
        while True:
            await asyncio.sleep(self._patience.look_each_s)
            for station, record in self._stations.items():
                if record.session is not None:
                    is_silent = self._is_silent(record.session)
                    if is_silent != record.is_silent:
                        self._note_silence(station, record, is_silent=is_silent)
            for session, _ in self._pending.values():
                self._is_silent(session)

    def _is_silent(self, session: Session) -> bool:
        """Return whether nothing came for too long; pings in time, and gives up in the end."""
        look_count = session.look()
        if look_count and self._patience.is_due(look_count):
            session.ping()
        if self._patience.is_over(look_count):
            self.counters["given-up"] += 1
            session.abandon()
        return self._patience.is_silent(look_count)

    def _note_silence(self, station: StationId, record: _Station, *, is_silent: bool) -> None:
        record.is_silent = is_silent
        if is_silent:
            self.counters["silent"] += 1
            _log.info("%s: nothing comes on its connection, which is kept for now", station)
            self._post(StationDisconnected(at_s=self._clock.monotonic_s(), station=station))
        else:
            _log.info("%s: its connection carries again", station)
            self._post(StationConnected(at_s=self._clock.monotonic_s(), station=station))

    async def wait_listening(self) -> int:
        """Return the port once stations can connect."""
        return await asyncio.shield(self._listen_future())

    def _listen_future(self) -> asyncio.Future[int]:
        if self._listening is None:
            self._listening = asyncio.get_running_loop().create_future()
        return self._listening

    def _spawn(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        assert self._tasks is not None
        return self._tasks.create_task(work, name=name)

    # The handshake.

    def _note_crowd(self, place: str) -> None:
        self.counters["crowded-out"] += 1
        if self._stranger_lines.spend(self._clock.monotonic_s()):
            _log.warning("%s begins too many handshakes: the oldest is ended", place)

    def _process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        station = read_station(request.path)
        if station is None:
            return connection.respond(404, "The path must be /<station id>.\n")
        offers = request.headers.get_all("Sec-WebSocket-Protocol")
        version = choose_version(offers, self._versions)
        if version is None:
            self._log_stranger(
                "%s from %s offers no version of OCPP spoken here", station, connection
            )
            return None  # websockets answers 400 and says that the subprotocol is missing.
        assert isinstance(connection, StationConnection)  # As `create_connection` says.
        connection.is_adopted = self._door.is_adopted(station)
        if connection.is_adopted:
            turned = self._door.turn_away(
                station,
                peer=_peer(connection),
                # There is one at most (RFC 9110 §5.3, §11.6.2): two read as one open nothing.
                authorization=", ".join(request.headers.get_all("Authorization")) or None,
                now_s=self._clock.monotonic_s(),
            )
            if turned is not None:
                self.counters[f"turned-away.{turned.status}"] += 1
                if turned.status == 401:  # Those that follow within the minute are only counted.
                    _log.warning("%s from %s: %s", station, _peer(connection), turned.reason)
                response = connection.respond(turned.status, f"{turned.reason}\n")
                if turned.status == 401:
                    response.headers["WWW-Authenticate"] = 'Basic realm="OCPP"'
                return response
        elif station not in self._pending and len(self._pending) >= MAX_PENDING_STATIONS:
            self.counters["turned-away.503"] += 1
            return connection.respond(503, "Too many stations wait for adoption.\n")
        protocol = connection.protocol
        protocol.max_message_size = self._versions[version].max_frame_bytes
        if version is not OcppVersion.V16:
            # 2.0.1 part 4 §3.3 requires RFC 7692 of a central system; 1.6 does without.
            protocol.available_extensions = enable_server_permessage_deflate(None)
        return None

    async def _serve_connection(self, connection: ServerConnection) -> None:
        assert isinstance(connection, StationConnection)  # As `create_connection` says.
        request = connection.request
        station = read_station(request.path) if request is not None else None
        if station is None or connection.subprotocol is None:
            return
        version = OcppVersion(connection.subprotocol)
        connection.forget_handshake()
        if connection.is_adopted:  # As it was when the key was asked for.
            await self._serve_adopted(station, version, connection)
        else:
            await self._serve_pending(station, version, connection)

    async def _serve_adopted(
        self, station: StationId, version: OcppVersion, connection: StationConnection
    ) -> None:
        record = self._stations.setdefault(station, _Station())
        adapter = record.adapters.get(version)
        if adapter is None:
            adapter = self._versions[version].make_adapter(self._context(station))
            record.adapters[version] = adapter
        session = self._make_session(station, version, connection, adapter, record.log_lines)
        if record.session is not None:
            _log.info("%s: a newer connection takes over", station)
            self.counters["taken-over"] += 1
            record.session.close(1000, "a newer connection took over")
            self._part(station, record)
        record.session, record.adapter = session, adapter
        adapter.opened(session)
        self._post(StationConnected(at_s=self._clock.monotonic_s(), station=station))
        try:
            await session.run()
        finally:
            self._tell_fault(station, connection)
            if record.session is session:  # Else a newer one has its place already.
                self._part(station, record)

    def _part(self, station: StationId, record: _Station) -> None:
        if record.adapter is not None:
            record.adapter.closed()
        record.session = record.adapter = None
        if not record.is_silent:  # Else it has been told.
            self._post(StationDisconnected(at_s=self._clock.monotonic_s(), station=station))
        record.is_silent = False

    async def _serve_pending(
        self, station: StationId, version: OcppVersion, connection: StationConnection
    ) -> None:
        adapter = PendingAdapter(
            station,
            version,
            peer=_peer(connection),
            clock=self._clock,
            is_adopted=lambda: self._door.is_adopted(station),
        )
        session = self._make_session(station, version, connection, adapter, self._stranger_lines)
        adapter.close = session.close
        if station in self._pending:
            self._pending[station][0].close(1000, "a newer connection took over")
        elif len(self._pending) >= MAX_PENDING_STATIONS:
            await connection.close(1013, "too many stations wait for adoption")
            return
        self._pending[station] = session, adapter
        self._log_stranger("%s from %s waits for adoption", station, connection)
        try:
            await session.run()
        finally:
            self._tell_fault(station, connection)
            if self._pending.get(station, (None,))[0] is session:
                del self._pending[station]

    def _tell_fault(self, station: StationId, connection: StationConnection) -> None:
        """Tell of a connection that had to be ended for what came on it."""
        close = connection.protocol.close_sent
        if close is None or close.code not in _FRAMING_FAULTS:
            return
        self.counters[f"ended.{close.code}"] += 1
        if connection.is_adopted or self._stranger_lines.spend(self._clock.monotonic_s()):
            _log.warning("%s: connection ended: %s", station, plain_text(close.reason))

    def _log_stranger(self, line: str, station: StationId, connection: ServerConnection) -> None:
        if self._stranger_lines.spend(self._clock.monotonic_s()):
            _log.warning(line, station, _peer(connection))

    def _context(self, station: StationId) -> StationContext:
        return StationContext(
            station=station,
            clock=self._clock,
            post=self._post,
            random=self._rng,
            counters=self.counters,
            interview_slots=self._interview_slots,
            sample_interval_s=self._sample_interval_s,
            boot_patience_s=self._boot_patience_s,
            call_deadline_s=self._call_deadline_s,
            numbers=self._numbers,
            tokens=self._tokens,
            past=self._past.stations.get(station, StationPast()),
            ledger=self._ledger,
        )

    def _make_session(
        self,
        station: StationId,
        version: OcppVersion,
        connection: StationConnection,
        conversation: Conversation,
        log_lines: MinuteBudget,
    ) -> Session:
        return Session(
            station=station,
            version=version,
            connection=connection,
            conversation=conversation,
            intake=self._intakes[version],
            generation=next(self._generations),
            counters=self.counters,
            may_log=lambda: log_lines.spend(self._clock.monotonic_s()),
            spawn=self._spawn,
        )

    # Who is there.

    def connected_stations(self) -> frozenset[StationId]:
        """Return the adopted stations that are connected and hear us, as far as is known."""
        return frozenset(
            station
            for station, record in self._stations.items()
            if record.session is not None and not record.is_silent
        )

    def pending_stations(self) -> tuple[PendingStation, ...]:
        """Return the unknown stations that are connected now, by id."""
        return tuple(self._pending[station][1].seen for station in sorted(self._pending))

    def station(self, station: StationId) -> StationAdapter:
        """Return the adapter of a connected station.

        Raises:
            StationUnreachableError: it is not connected.
        """
        record = self._stations.get(station)
        if record is None or record.adapter is None:
            raise StationUnreachableError(station, "not connected")
        return record.adapter

    def flash_writes(self) -> dict[StationId, int]:
        """Return how many profiles that wear its flash were sent to each station that was here."""
        return {
            station: sum(adapter.flash_writes for adapter in record.adapters.values())
            for station, record in self._stations.items()
        }


def _why(error: OSError) -> str:
    """Return why an address cannot be had, and what to do."""
    if error.errno == errno.EADDRINUSE:
        return "another program has the port: end it, or choose another in listen.ocpp.port"
    if error.errno == errno.EACCES:
        return "it is not permitted: choose a port above 1023 in listen.ocpp.port"
    said = error.strerror or str(error)  # The asyncio of newer Pythons may name no cause.
    return f"{said} (is that an address of this machine? see listen.ocpp.host)"


def _peer(connection: ServerConnection) -> str:
    address = connection.remote_address
    return str(address[0]) if address else "?"
