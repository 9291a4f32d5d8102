"""Facts: everything that can change what Headroom believes about a site.

Every fact carries `at_s`, the monotonic second it was learnt at. Drivers post them, the
control loop folds them into `SiteState`, and nothing else changes it.
"""

from dataclasses import dataclass

from gateway.domain.charging import (
    ChargingState,
    ConnectorStatus,
    EndCause,
    StationCapabilities,
)
from gateway.domain.ids import CircuitId, ConnectorRef, StationId, TransactionId
from gateway.domain.limits import Constraint
from gateway.domain.metering import MeterReading
from gateway.domain.stops import StopCause


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterRead:
    """A meter answered a poll."""

    at_s: float
    reading: MeterReading


@dataclass(frozen=True, slots=True, kw_only=True)
class StationConnected:
    """A station's connection is up and the station is adopted."""

    at_s: float
    station: StationId


@dataclass(frozen=True, slots=True, kw_only=True)
class StationDisconnected:
    """A station's connection is gone, or it has stopped answering."""

    at_s: float
    station: StationId


@dataclass(frozen=True, slots=True, kw_only=True)
class StationBooted:
    """A station reported a boot (BootNotification): what was proven of it is open again."""

    at_s: float
    station: StationId
    vendor: str = ""
    model: str = ""
    firmware: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StationStatusChanged:
    """A station said how it is as a whole: its connectors have states of their own, as they were."""

    at_s: float
    station: StationId
    status: ConnectorStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class CapabilitiesRead:
    """A station's smart charging capabilities were read."""

    at_s: float
    station: StationId
    capabilities: StationCapabilities


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorStatusChanged:
    """A connector's status, or the charging state of its transaction, was reported.

    None means: that part was not reported and stands as it was.
    """

    at_s: float
    connector: ConnectorRef
    status: ConnectorStatus | None = None
    charging_state: ChargingState | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionStarted:
    """A transaction began, or was found running.

    It began `age_s` before it was learnt of, by its station's clock, and `meter_start_wh` is what
    the connector's own meter showed then: None where the station does not tell.
    """

    at_s: float
    connector: ConnectorRef
    transaction: TransactionId
    id_token: str | None = None
    meter_start_wh: float | None = None
    age_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionEnded:
    """A transaction is over; `cause` says how that is known, and whether who charged ended it.

    One that was not told to be over may be found running after all: it is then started anew. It
    ended `age_s` before that was learnt of, by its station's clock.
    """

    at_s: float
    connector: ConnectorRef
    transaction: TransactionId
    cause: EndCause = EndCause.TOLD
    age_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorMetered:
    """A connector's own meter values.

    `current_a` has one entry per phase *of the connector* (its own L1, L2, L3), None where the
    station gave none; `power_w` is the total. `at_s` is the arrival, the sample itself may be
    a few seconds older; that of an end that has waited for a connection is `age_s` older.
    """

    at_s: float
    connector: ConnectorRef
    current_a: tuple[float | None, float | None, float | None] = (None, None, None)
    power_w: float | None = None
    energy_wh: float | None = None
    soc_pct: float | None = None
    age_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSent:
    """A limit is about to go on the wire, as number `sequence` to this connector.

    `lease_until_s` is the second after which it has surely lapsed to the fallback.
    """

    at_s: float
    connector: ConnectorRef
    limit_ma: int
    phase_count: int
    lease_until_s: float
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitAcknowledged:
    """The station accepted the limit sent under `sequence`."""

    at_s: float
    connector: ConnectorRef
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitRejected:
    """The station answered and refused the limit sent under `sequence`; the one before stands."""

    at_s: float
    connector: ConnectorRef
    sequence: int
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitUnanswered:
    """No answer came to the limit sent under `sequence`: it may or may not be in force."""

    at_s: float
    connector: ConnectorRef
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FallbackInstalled:
    """The persistent fallback of a connector was written and accepted."""

    at_s: float
    connector: ConnectorRef
    fallback_ma: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadManProven:
    """A lease of this station was seen to lapse to the fallback without our help."""

    at_s: float
    station: StationId


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstraintSet:
    """A bound from outside came into force, replacing the one of the same subject and source."""

    at_s: float
    constraint: Constraint


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstraintLifted:
    """A bound from outside is over."""

    at_s: float
    constraint: Constraint


@dataclass(frozen=True, slots=True, kw_only=True)
class StopInputChanged:
    """The stop input stops everything (0 A), for another cause than before, or no longer."""

    at_s: float
    is_stopped: bool
    cause: StopCause | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitTripped:
    """A circuit had to be opened, by its trip output or by a person: its lockout begins.

    Once it is open no reading is over the rating any more, so nothing else would say so.
    """

    at_s: float
    circuit: CircuitId


@dataclass(frozen=True, slots=True, kw_only=True)
class LockoutEnded:
    """A person has said that all is well on a circuit: its lockout is over, its excursions past.

    So is the doubt in its meter.
    """

    at_s: float
    circuit: CircuitId


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitRecalled:
    """What was remembered of a circuit at the start is older than it seemed then.

    The wall clock was wrong at `restored_at_s`, when only the uptime of the machine was known to
    have passed, and has been put right since: `older_s` more have.
    """

    at_s: float
    circuit: CircuitId
    restored_at_s: float
    older_s: float


StationEvent = (
    StationConnected
    | StationDisconnected
    | StationBooted
    | StationStatusChanged
    | CapabilitiesRead
    | ConnectorStatusChanged
    | TransactionStarted
    | TransactionEnded
    | ConnectorMetered
    | FallbackInstalled
    | DeadManProven
)
"""What a station driver posts."""

LimitEvent = LimitSent | LimitAcknowledged | LimitRejected | LimitUnanswered
"""What the dispatcher posts about the limits it carries."""

SiteEvent = (
    MeterRead
    | ConstraintSet
    | ConstraintLifted
    | StopInputChanged
    | CircuitTripped
    | LockoutEnded
    | CircuitRecalled
)
"""What meters and people post, and the clock."""

Event = StationEvent | LimitEvent | SiteEvent
