"""Why a limit is what it is: one primary reason with numbers for every limit below the maximum."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from gateway.domain.electric import Phase
from gateway.domain.ids import CircuitId
from gateway.domain.stops import StopCause


class ReasonKind(StrEnum):
    """The kinds of reason, in the words people look for."""

    AT_MAXIMUM = "at-maximum"
    CIRCUIT_AT_SET_POINT = "circuit-at-set-point"
    MAKES_ROOM = "makes-room"
    OTHERS_COME_FIRST = "others-come-first"
    WAITS_FOR_HEADROOM = "waits-for-headroom"
    RAISED_IN_STEPS = "raised-in-steps"
    WAITS_FOR_TURN = "waits-for-turn"
    RAISE_HELD = "raise-held"
    LIMIT_PENDING = "limit-pending"
    AWAITS_STATIONS = "awaits-stations"
    VEHICLE_TAKES_LESS = "vehicle-takes-less"
    NOT_CONNECTED = "not-connected"
    STATUS_UNKNOWN = "status-unknown"
    STATION_UNREACHABLE = "station-unreachable"
    STATION_UNPROVEN = "station-unproven"
    LEASE_TRIED = "lease-tried"
    ALL_PHASES_TRIED = "all-phases-tried"
    STATION_DISOBEYS = "station-disobeys"
    DRAWS_MORE = "draws-more"
    METER_STALE = "meter-stale"
    METER_DOUBTED = "meter-doubted"
    THERMAL_BUDGET = "thermal-budget"
    OVER_RATING = "over-rating"
    LOCKOUT = "lockout"
    STOPPED = "stopped"
    OUTSIDE_LIMIT = "outside-limit"


class RowFigures(NamedTuple):
    """The arithmetic of one phase of one circuit at the time of the decision.

    `in_force_ma` is its rating as its calendar has it now: `rating_ma` or less. `kept_ma` of what is
    not claimed is kept free for the connector that `kept_for` names, and for others too where it
    says so. Of the claims `unproven_ma` is beyond what was told, by those that `unproven_by` names
    alike; `reserve_by` names those for whom alone the reserve is as large as it is. None of them
    was seen to obey yet. `draw_ma` is kept free for loads that were promised it, beside the reserve.
    """

    circuit: CircuitId
    phase: Phase
    rating_ma: int
    in_force_ma: int
    set_point_ma: int
    bound_ma: int
    bound_source: str | None
    base_ma: int
    reserve_ma: int
    available_ma: int
    claimed_ma: int
    kept_ma: int = 0
    kept_for: str | None = None
    unproven_ma: int = 0
    unproven_by: str | None = None
    reserve_by: str | None = None
    draw_ma: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Excess:
    """What a connector draws, though it was told less and had time to follow; for how long."""

    drawn_ma: int
    told_ma: int
    elapsed_s: float


class Reason(NamedTuple):
    """Why a connector's limit is `limit_ma`.

    `row` is the arithmetic that binds, where a circuit does. The rest is what the kind needs:
    an age or a time left in seconds, a current (the fallback, what the vehicle takes, the draw
    over the limit, what is drawn beyond any limit, what a meter does not show), a share of the thermal budget, a name (whose limit, whose turn), the cause
    of a stop. `beyond_ma` of an outside limit is not told, as so much may be drawn beyond what is; of a
    station not proven it is what the reserve is for: what may begin beyond what is counted.
    `excess` is there for as long as the connector does not keep to what it was told, whatever the
    kind.
    """

    kind: ReasonKind
    limit_ma: int
    row: RowFigures | None = None
    elapsed_s: float | None = None
    remaining_s: float | None = None
    current_ma: int | None = None
    budget_ratio: float | None = None
    excursion_count: int | None = None
    """How often a circuit was over its rating, where that is why; None: once, for too long."""
    name: str | None = None
    beyond_ma: int = 0
    in_watts: bool = False
    """Whether an outside limit in amperes has to be told in watts."""
    is_for_unproven: bool = False
    """Whether heat narrows it so far only because its station was not yet seen to obey."""
    stop: StopCause | None = None
    excess: Excess | None = None
