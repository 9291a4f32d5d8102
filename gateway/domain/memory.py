"""What must outlive us: the records of the ledger, one for each thing they are about."""

from dataclasses import dataclass, field
from datetime import datetime

from gateway.domain.acceptance import NOT_KNOWN, Acceptance
from gateway.domain.calendar_events import CalendarEvent
from gateway.domain.charging import StationCapabilities
from gateway.domain.electric import NOTHING, PerPhase
from gateway.domain.ids import CircuitId, ConnectorRef, StationId, TransactionId
from gateway.domain.limits import Constraint
from gateway.domain.moments import Moment
from gateway.domain.promises import PromiseState, Reservation
from gateway.domain.sessions import Statement
from gateway.domain.stops import StopCause


@dataclass(frozen=True, slots=True, kw_only=True)
class RememberedLimit:
    """A limit that may be in force; one that is leased lapses by itself."""

    limit_ma: int
    phase_count: int = 1
    is_leased: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorMemory:
    """What a connector may do: every limit that may be in force, oldest first, and its fallback.

    `max_ma` is its installed maximum as it was declared then; `fallback_ma` the highest
    persistent fallback it may have, None if none was ever written; `excess_ma` how far above its
    limits it was seen to settle.
    """

    connector: ConnectorRef
    limits: tuple[RememberedLimit, ...]
    max_ma: int
    fallback_ma: int | None = None
    is_plugged: bool = False
    excess_ma: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StationMemory:
    """Who a station is and what was proven of it; `firmware` is None while it has not said."""

    station: StationId
    is_proven: bool = False
    is_dead_man_proven: bool = False
    firmware: str | None = None
    vendor: str = ""
    model: str = ""
    capabilities: StationCapabilities | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FlashMemory:
    """When a station's flash memory was last written to, oldest first, by the wall clock."""

    station: StationId
    written_at: tuple[datetime, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitMemory:
    """A circuit's excursions and lockout, as they were at `noted`."""

    circuit: CircuitId
    noted: Moment
    excursions_ago_s: tuple[float, ...] = ()
    is_in_excursion: bool = False
    lockout_left_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RisesMemory:
    """How much base rose within windows of one length, day by day, in bins of the rating.

    It has been learnt for `known_for_s`, of which the last day for `day_for_s`.
    """

    known_for_s: float
    day_for_s: float
    days: tuple[tuple[int, ...], ...]
    quantile_ma: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LearntMemory:
    """What was learnt of a circuit's base, phase by phase, at the rating it had then.

    `base_seen_ma` is the most that base has surely been where that was above its worst case.
    """

    circuit: CircuitId
    rating_ma: PerPhase
    rises: tuple[RisesMemory | None, ...]
    lease_rises: tuple[RisesMemory | None, ...]
    base_seen_ma: PerPhase = NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastMemory:
    """How far off forecasts of a circuit's base were, by phase, in parts of their own spread.

    See `gateway.planning.forecast.moved_offset`.
    """

    circuit: CircuitId
    offsets_ratio: tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteMemory:
    """What people and the building have ordered for the site as a whole."""

    is_stopped: bool = False
    stop_cause: StopCause | None = None
    constraints: tuple[Constraint, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TripMemory:
    """Whether a circuit's trip output was opened for an overload and is not released."""

    circuit: CircuitId
    is_tripped: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionMemory:
    """How a vehicle's stay went, between two epoch seconds, and what was said of it before."""

    began_at_s: float
    left_at_s: float
    delivered_wh: float
    said: Statement = field(default_factory=Statement)
    acceptance: Acceptance = NOT_KNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionMemory:
    """What is known of a transaction; what a later record leaves None stands as it was.

    `connector_number` is 0 where the station named none; `given_number` the number we gave it, in
    OCPP 1.6; `told` what makes a second telling of the same start recognisable; `began_at` and
    `ended_at` are by the station's own clock, but of one that runs and whose start was not told,
    as it is read: that began when it was heard of. `session` is what we learn of it, once it is over.
    """

    station: StationId
    transaction: TransactionId
    connector_number: int | None = None
    given_number: int | None = None
    is_over: bool = False
    id_token: str | None = None
    told: str | None = None
    began_at: datetime | None = None
    ended_at: datetime | None = None
    meter_start_wh: float | None = None
    meter_stop_wh: float | None = None
    reason: str | None = None
    session: SessionMemory | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PromiseKey:
    """An idempotency key that was used on a promise: by whom, for what words, to what end.

    `digest` stands for the whole request; `state` is what the promise became by it.
    """

    holder: str
    key: str
    digest: str
    state: PromiseState


@dataclass(frozen=True, slots=True, kw_only=True)
class PromiseMemory:
    """A promise as it stands, with the keys it was made and changed under.

    `register_wh` is what the connector's own meter showed when `promise.delivered_wh` was counted,
    at the epoch second `counted_at_s`; `drawn_in` where and in which transaction its vehicle was when
    it came for it, or somebody said which it is: what came before the window was drawn in that;
    `is_warned` whether its holder was told last that it is at risk.
    """

    promise: Reservation
    keys: tuple[PromiseKey, ...] = ()
    register_wh: float | None = None
    counted_at_s: float | None = None
    drawn_in: tuple[ConnectorRef, TransactionId] | None = None
    is_warned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementMemory:
    """What somebody has said of the vehicle of a transaction; it is over when that is."""

    connector: ConnectorRef
    transaction: TransactionId
    statement: Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class CallMemory:
    """What an address is to be told, until it has been: the text that is sent, under the name `id`.

    Calls are told in the order of `sequence`; one that is over is forgotten.
    """

    id: str
    hook: str
    kind: str
    subject: str
    body: str
    told_at: datetime
    sequence: int
    is_over: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Something that is to be found in the audit: what was done, to what, by whom.

    `kind` is a word or two with hyphens; `by` is empty where nobody but Headroom did it.
    """

    kind: str
    subject: str
    detail: dict[str, str] = field(default_factory=dict)
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunMemory:
    """One life of the daemon: when it began, and when it ended if it ended in order.

    `noted` is when anything was last written down by the time that was believed, in it or before.
    """

    run: str
    began: Moment
    ended: Moment | None = None
    noted: Moment | None = None


Entry = (
    ConnectorMemory
    | StationMemory
    | FlashMemory
    | CircuitMemory
    | LearntMemory
    | ForecastMemory
    | SiteMemory
    | TripMemory
    | TransactionMemory
    | PromiseMemory
    | StatementMemory
    | CalendarEvent
    | CallMemory
    | Act
)
"""What can be written into the ledger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Everything the ledger remembers that matters for going on.

    `run` is the process before this one, None if there was none; `transactions` are those that
    run and the last few that are over, oldest first; `last_given_number` is the highest number
    given to an OCPP 1.6 transaction. `problems` says, for people, what could not be read.
    """

    connectors: dict[ConnectorRef, ConnectorMemory] = field(default_factory=dict)
    stations: dict[StationId, StationMemory] = field(default_factory=dict)
    flash: dict[StationId, FlashMemory] = field(default_factory=dict)
    circuits: dict[CircuitId, CircuitMemory] = field(default_factory=dict)
    learnt: dict[CircuitId, LearntMemory] = field(default_factory=dict)
    forecasts: dict[CircuitId, ForecastMemory] = field(default_factory=dict)
    site: SiteMemory = field(default_factory=SiteMemory)
    trips: dict[CircuitId, TripMemory] = field(default_factory=dict)
    transactions: tuple[TransactionMemory, ...] = ()
    last_given_number: int = 0
    promises: dict[str, PromiseMemory] = field(default_factory=dict)
    statements: dict[ConnectorRef, StatementMemory] = field(default_factory=dict)
    events: dict[str, CalendarEvent] = field(default_factory=dict)
    calls: dict[str, CallMemory] = field(default_factory=dict)
    run: RunMemory | None = None
    problems: tuple[str, ...] = ()
