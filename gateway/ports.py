"""What the gateway asks of the world, as protocols; drivers and adapters make them real."""

from asyncio import Future
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from gateway.domain.access import Access
from gateway.domain.calendar_events import CalendarEvent
from gateway.domain.charging import CompositePeriod
from gateway.domain.events import Event
from gateway.domain.ids import ConnectorRef, StationId, TransactionId
from gateway.domain.limits import Constraint, CurrentLimit
from gateway.domain.memory import Entry
from gateway.domain.metering import MeterReading
from gateway.domain.moments import Moment
from gateway.domain.needs import Criticality, Need
from gateway.domain.notices import Notice
from gateway.domain.promises import Reservation
from gateway.domain.sessions import Session, Statement
from gateway.planning.answers import OwnEnvelope, QuoteAnswer, UsedKey
from gateway.planning.asking import Places
from gateway.planning.at_risk import Risk
from gateway.planning.book import Book
from gateway.planning.calibrate import ReliabilityReport
from gateway.planning.chance import Standing

Post = Callable[[Event], None]
"""Where a driver puts its facts: never blocks, never calls back."""


class Clock(Protocol):
    """The one source of time. Monotonic seconds protect, the wall clock only labels."""

    def monotonic_s(self) -> float:
        """Return seconds that never jump."""

    def now_at(self) -> datetime:
        """Return the aware UTC instant."""

    async def sleep_s(self, delay_s: float) -> None:
        """Wait; may wake up to a millisecond early (uvloop), so read the clock again."""


class MomentClock(Clock, Protocol):
    """A clock that also tells instants that still mean something after a restart."""

    def moment(self) -> Moment:
        """Return now, by every clock the machine has."""


class Ledger(Protocol):
    """What must survive us, written by one writer at its own pace. Nothing here waits or raises.

    Of entries about the same thing the newest counts. While nothing can be written they are
    kept, and written once that is possible again.
    """

    def keep(self, *entries: Entry) -> None:
        """Have entries written with the next batch, within a minute."""

    def keep_durably(self, *entries: Entry) -> Future[None]:
        """Have entries written at once; the future is done when they would survive a power cut.

        It stays undone while the ledger cannot be written: who must not act before, waits.
        """


class History(Protocol):
    """What was, for people and reports; nothing depends on it, and it may lose the newest minute."""

    def sample(self, names: tuple[str, ...], values: Sequence[float]) -> None:
        """Keep a second's values of the series of these names, NaN where there is none.

        The last word of a name is its unit. Never waits, never raises. While the series are the
        same, `names` is best the same tuple.
        """


class Metrics(Protocol):
    """Durations of which only the distribution tells anything. Nothing here waits or raises."""

    def note_cycle(self, duration_s: float) -> None:
        """Note how long a control cycle took, from its first fact to its handing over."""

    def note_lag(self, lag_s: float) -> None:
        """Note how much later than asked for the event loop came back."""

    def note_call(self, station: StationId, duration_s: float) -> None:
        """Note how long a station took to answer a call, whatever it answered."""

    def note_limit(self, latency_s: float) -> None:
        """Note the time from a decision to the acknowledgement of a limit it made."""


class MeterDriver(Protocol):
    """A power meter, whatever its registers."""

    async def read(self) -> MeterReading:
        """Return a fresh reading.

        Raises:
            MeterFaultError: no answer in time, or none that can be trusted.
        """


class ContactDriver(Protocol):
    """A contact somewhere in the building that is open or closed."""

    async def is_closed(self) -> bool:
        """Return whether it is closed now.

        Raises:
            ContactFaultError: no answer in time, or none that can be trusted.
        """


class OutputDriver(Protocol):
    """A contact of ours somewhere in the building that can be opened and closed."""

    async def is_closed(self) -> bool:
        """Return whether it is closed now.

        Raises:
            OutputFaultError: no answer in time, or none that can be trusted.
        """

    async def switch(self, *, is_closed: bool) -> None:
        """Close or open it, and return once it was read back so.

        Raises:
            OutputFaultError: it did not confirm; whether it has changed is unknown.
        """


class StationDriver(Protocol):
    """Charging stations, whatever OCPP version they speak."""

    async def set_limit(
        self, connector: ConnectorRef, limit: CurrentLimit, *, valid_for: timedelta
    ) -> None:
        """Apply a limit that lapses to the fallback after `valid_for`.

        Raises:
            LimitRejectedError: the station answered and refused.
            StationUnreachableError: no answer in time; the limit in force is unknown.
        """

    async def set_fallback(self, connector: ConnectorRef, limit: CurrentLimit) -> None:
        """Write the persistent limit that holds whenever no lease does.

        Raises:
            LimitRejectedError: the station answered and refused.
            StationUnreachableError: no answer in time; the fallback in force is unknown.
        """

    async def request_reading(self, connector: ConnectorRef) -> None:
        """Ask for meter values at once; they arrive as facts, or do not.

        Raises:
            StationUnreachableError: no answer in time, or the station does not know how.
        """

    def connected_stations(self) -> frozenset[StationId]:
        """Return the adopted stations that are within reach.

        One whose connection stands but is silent may not hear us, and is left out.
        """


class StationErrands(Protocol):
    """What only a person has a charging station do; limits go before it.

    Each raises:
        LimitRejectedError: the station answered and refused.
        StationUnreachableError: no answer in time, or no connection.
    """

    async def start_transaction(self, connector: ConnectorRef, id_token: str) -> None:
        """Have it begin a transaction."""

    async def stop_transaction(self, station: StationId, transaction: TransactionId) -> None:
        """Have it end a transaction."""

    async def reset(self, station: StationId, *, is_hard: bool) -> None:
        """Have it restart; one that is not hard lets what runs end in order."""

    async def composite_schedule(
        self, connector: ConnectorRef, *, duration_s: int
    ) -> tuple[CompositePeriod, ...]:
        """Return what it says a connector's limits add up to from now on. Evidence, not truth."""


class Bookings(Protocol):
    """The book of promises, for who asks from outside; every act is durable when it returns."""

    @property
    def places(self) -> Places:
        """Return where the site can give power."""

    def beside_plan(self) -> Book:
        """Return the book as it is now, less what is planned for those who were promised nothing."""

    async def quote_thoroughly(self, need: Need, by: Access) -> QuoteAnswer:
        """Return what can be offered; what is critical may have promises moved for it in time.

        Raises:
            AskError: the need cannot be answered as it was said.
            NotAllowedError: the criticality is above what `by` may claim.
        """

    def quote(self, need: Need, by: Access) -> QuoteAnswer:
        """Return what can be offered.

        Raises:
            AskError, RefusedError: it cannot be answered; the message says what to do.
        """

    def free_from_s(self) -> Mapping[str, float]:
        """Return when (epoch s) connectors that are occupied or away are taken to be of use again."""

    async def hold(
        self,
        wanted: str | OwnEnvelope,
        by: Access,
        *,
        key: UsedKey | None = None,
        replaces: str | None = None,
    ) -> Reservation:
        """Hold an offer by its id, or an envelope of one's own, in the place of another or not.

        Raises:
            AskError, RefusedError: it is refused; the message says what to do.
        """

    async def confirm(
        self, reservation_id: str, by: Access, *, key: UsedKey | None = None
    ) -> Reservation:
        """Make a promise of a hold.

        Raises:
            RefusedError: it is refused; the message says what to do.
        """

    async def cancel(
        self, reservation_id: str, by: Access, *, key: UsedKey | None = None
    ) -> Reservation:
        """Give a reservation up.

        Raises:
            RefusedError: it is refused; the message says what to do.
        """

    async def reservation(self, reservation_id: str, by: Access) -> Reservation:
        """Return a reservation as it stands.

        Raises:
            RefusedError: `by` has no such reservation.
        """

    def reservations(self, by: Access) -> tuple[Reservation, ...]:
        """Return the reservations `by` may see."""

    def risk(self, reservation_id: str) -> Risk | None:
        """Return how a promise stood at the last look; None before its first, and once it is closed."""

    def place_of(self, promise: Reservation) -> str | None:
        """Return the connector at which the vehicle of a promise is, None while it is at none."""

    def waits_for(self, promise: Reservation) -> str:
        """Return whose leaving an open promise needs as things are now, empty if nobody's."""

    def broken_by(self, constraints: Iterable[Constraint]) -> tuple[Standing, ...]:
        """Return the promises that would be at risk under limits beside those that hold now."""

    def reliability(self) -> ReliabilityReport:
        """Return whether promises are kept as often as they say."""


class Sessions(Protocol):
    """The vehicles that are there, for who may speak for them; what is said is durable."""

    def running(self) -> Mapping[str, Session]:
        """Return the sessions that run, by their names."""

    def find(self, name: str) -> Session:
        """Return a session that runs.

        Raises:
            RefusedError: there is none of that name (any more).
        """

    def link_of(self, session: Session) -> str:
        """Return the secret word that lets its bearer speak for a session and for nothing else."""

    def opens(self, name: str, word: str) -> bool:
        """Return whether a word is the link of the session of that name, which runs."""

    async def say(
        self,
        name: str,
        statement: Statement,
        by: Access,
        *,
        criticality: Criticality | None = None,
        reference: str | None = None,
    ) -> Session:
        """Take what somebody says of a session, and return it so; `criticality` None: as it was.

        Raises:
            RefusedError: it is refused; the message says what to do.
        """


class EventCalendar(Protocol):
    """What people know of the future; what is said is durable."""

    def to_come(self) -> tuple[CalendarEvent, ...]:
        """Return the events that are not over, the soonest first."""

    async def put(self, event: CalendarEvent, by: Access) -> CalendarEvent:
        """Know of an event, in the place of the one of that id.

        Raises:
            RefusedError: it is refused; the message says what to do.
        """

    async def cancel(self, event_id: str, by: Access) -> CalendarEvent:
        """Know no more of an event.

        Raises:
            RefusedError: it is refused; the message says what to do.
        """


class Notices(Protocol):
    """What changed, for who follows along."""

    @property
    def life(self) -> str:
        """Return a name that no other life of the daemon has: numbers begin anew with each."""

    @property
    def newest_number(self) -> int:
        """Return the number of the newest notice, 0 before the first."""

    async def wait_newer(self, after_number: int, *, within_s: float) -> tuple[Notice, ...]:
        """Return the notices after a number, once there are any; none when there are none in time.

        A gap in the numbers is something missed.
        """

    def forgotten(self, after_number: int) -> tuple[str | None, ...] | None:
        """Return whose the notices after a number are that are no longer remembered, one each.

        None where it is not known either whose they were; of a notice to everybody it is None.
        """


class Poster(Protocol):
    """Somebody else's address, to which something is sent."""

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Send a body (POST); return the status of the answer, whatever it is.

        Raises:
            PostFailedError: no answer in time, or none in HTTP; it may have been heard all the same.
        """
