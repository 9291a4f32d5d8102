"""What Headroom believes about a site: the result of folding every fact (see `fold`)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.control.parameters import ControlParameters
from gateway.control.promised_draws import PromisedDraw
from gateway.control.wiring import Mask, Position, Wiring
from gateway.domain.charging import ChargingState, ConnectorStatus, RateUnit, StationCapabilities
from gateway.domain.electric import NOTHING, PerPhase
from gateway.domain.ids import CircuitId, ConnectorRef, StationId, TransactionId
from gateway.domain.limits import Constraint
from gateway.domain.stops import StopCause

NEVER_S = float("-inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingLimit:
    """A limit that may be in force at a station.

    A limit that is renewed is one limit: `first_sequence..last_sequence` are its sendings.
    `lease_until_s` is when it has surely lapsed, None when nothing makes it lapse.
    """

    limit_ma: int
    phase_count: int = 1
    first_sequence: int = 0
    last_sequence: int = 0
    sent_at_s: float = NEVER_S
    renewed_at_s: float = NEVER_S
    acknowledged_at_s: float | None = None
    confirmed_at_s: float | None = None
    """When the newest renewal was acknowledged."""
    holds_from_s: float | None = None
    """When that renewal was sent: its lease began then at the earliest."""
    lease_until_s: float | None = None

    @property
    def is_answered(self) -> bool:
        """Return whether its newest sending was acknowledged."""
        return self.confirmed_at_s is not None and self.confirmed_at_s >= self.renewed_at_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """A connector's own reading, on supply phases; `current_ma` is None when only watts came.

    `power_ma` is the current of its watts, were they on one phase at the site's nominal voltage.
    """

    at_s: float
    current_ma: PerPhase | None
    power_w: float | None = None
    power_ma: int | None = None
    power_least_ma: int | None = None
    """The same at the highest voltage there may be; None: at the nominal one, as nothing is known."""
    surely_ma: PerPhase | None = None
    """What is surely drawn on each phase, the reading's tolerance taken off; None: not known."""
    highest_ma: int | None = field(init=False, repr=False)
    """The current of the phase that carries most; None when no current was given."""
    tells_phases: bool = True
    """Whether it tells the current of every phase the connector is wired to."""

    def __post_init__(self) -> None:
        """Work out what every decision asks until the next reading."""
        highest_ma = None if self.current_ma is None else max(self.current_ma)
        object.__setattr__(self, "highest_ma", highest_ma)


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """How a connector's draw moved from one reading (`since_s`) to the next (`at_s`)."""

    since_s: float
    at_s: float
    moved_ma: PerPhase


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseFit:
    """What power alone has told of the phases a vehicle uses (see `fit`)."""

    count: int | None = None
    """How many it surely uses; None while that is not known."""
    fewest_count: int = 1
    """How many it uses at least, if it obeyed."""
    limit_ma: int = 0
    """The limit its last settled draw was under; 0 before there was one."""
    power_ma: int = 0
    """That draw, as of one phase."""


UNFITTED = PhaseFit()


@dataclass(frozen=True, slots=True, kw_only=True)
class Beyond:
    """Since when readings are above limits that allow `allowed_ma`, and by how much."""

    since_s: float
    above_ma: int
    allowed_ma: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Above:
    """Since when readings are above what was told, and what the last such showed, of which limit.

    What was told since then is not what that reading was above.
    """

    since_s: float
    drawn_ma: int
    told_ma: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorBelief:
    """What is known and not known of one connector.

    `limits` are all limits that may be in force, oldest first; the newest is the one wanted.
    """

    limits: tuple[StandingLimit, ...]
    status: ConnectorStatus | None = None
    charging_state: ChargingState | None = None
    transaction: TransactionId | None = None
    plugged_at_s: float | None = None
    draws: tuple[Draw, ...] = ()
    """The last two readings since it was plugged in, oldest first."""
    moves: tuple[Move, ...] = ()
    """The last few moves of its draw, oldest first: they explain what circuits show."""
    mask: Mask | None = None
    mask_seen: Mask | None = None
    fit: PhaseFit = UNFITTED
    """How many phases it uses, learnt from watts where the station tells no currents."""
    fallback_ma: int | None = None
    """The persistent fallback the station accepted; None: not written yet."""
    raised_at_s: float = NEVER_S
    rising_s: tuple[tuple[float, float], ...] = ()
    """From when until when each of its last raises and starts may have added to its draw."""
    fallen_until_s: float = NEVER_S
    """Until when its fallback may still be drawn, after a lease that had lapsed was renewed."""
    under: tuple[StandingLimit, ...] = ()
    """Leases that may lie under its limits: sent before its transaction, or kept through a boot."""
    started_at_s: float = NEVER_S
    """When it last got its minimum after nothing: plugged in or resumed."""
    paused_at_s: float | None = None
    over_since_s: float | None = None
    """Since when its readings are above every limit that may be in force."""
    above: Above | None = None
    """How they are above the newest one that had time to be followed (see `obedience`)."""
    unused_since_s: float | None = None
    unused_peak_ma: int = 0
    accepts_ma: int | None = None
    """The most the vehicle was seen to take when offered more, for a while."""
    accepts_at_s: float = NEVER_S
    all_phases_at_s: float = NEVER_S
    """When readings last showed that watts told for every phase were told so in vain."""
    asks_all_phases: bool = False
    """Whether its vehicle drew nothing of watts told for one phase, and has begun with no others."""
    resting_since_s: float | None = None
    is_asleep: bool = False
    """Whether it drew next to nothing of what it was last offered: it may wake."""
    excess_ma: int = 0
    """How far above its limits it was seen to settle: it is counted with each (see `obedience`)."""
    is_excess_shown: bool = False
    """Whether the vehicle there now has shown that, or a part of it."""
    kept_to_ma: int | None = None
    """What a limit allowed that it was seen to keep to."""
    beyond: Beyond | None = None
    """How its last readings are above its limits, while they tell."""
    cut_shown_at_s: float = NEVER_S
    """When the last cut was sent that the current of its circuit has shown."""
    is_above_maximum: bool = False
    """Whether its last reading told of more than it is built for."""
    refused_count: int = 0
    """How many such readings were taken for none, as a circuit above it carried less."""
    in_force_ma: int = field(init=False, repr=False)
    """The highest limit that may be in force."""

    def __post_init__(self) -> None:
        """Work out what every decision asks, for as long as nothing is told."""
        highest_ma = max([limit.limit_ma for limit in self.limits])
        object.__setattr__(self, "in_force_ma", highest_ma)

    @property
    def draw(self) -> Draw | None:
        """Return the last reading."""
        return self.draws[-1] if self.draws else None

    @property
    def wanted_ma(self) -> int:
        """Return the newest limit: what the station has been told last."""
        return self.limits[-1].limit_ma

    @property
    def is_plugged(self) -> bool:
        """Return whether a vehicle may be connected: any status but Available and its like."""
        return self.plugged_at_s is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class StationBelief:
    """What is known of one station, whatever connector."""

    is_connected: bool = False
    status: ConnectorStatus | None = None
    """What it said of itself as a whole since its last boot; no limit and no claim goes by it."""
    changed_at_s: float = NEVER_S
    """When it was connected, or lost, last."""
    is_unsteady: bool = False
    """It was lost within minutes of having come back."""
    is_proven: bool = False
    """A cut was seen to bite since its last boot or firmware change."""
    is_dead_man_proven: bool = False
    capabilities: StationCapabilities | None = None
    firmware: str | None = None
    takes_watts: bool = field(init=False, repr=False)
    """Whether it is told its limits in watts alone."""
    sample_interval_s: float | None = field(init=False, repr=False)
    """How often it sends meter values; None: it did not tell."""

    def __post_init__(self) -> None:
        """Work out what every decision asks of each connector."""
        told = self.capabilities
        takes_watts = told is not None and RateUnit.AMPERES not in told.rate_units
        object.__setattr__(self, "takes_watts", takes_watts)
        interval_s = None if told is None else told.sample_interval_s
        object.__setattr__(self, "sample_interval_s", interval_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A step of a circuit's current beyond the meter's noise; `unexplained_ma` is base's part.

    As far as was known then: of a fall, all that no cut explains.
    """

    at_s: float
    delta_ma: int
    unexplained_ma: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RiseHistory:
    """How much base rose within windows of one length: counts in bins of one per cent of rating."""

    since_s: float | None = None
    window_until_s: float = NEVER_S
    above_lowest_ma: int = 0
    """How far base stands above the lowest it has been in the window."""
    window_rise_ma: int = 0
    """The most that has been so far."""
    days: tuple[tuple[int, ...], ...] = ()
    day_since_s: float = NEVER_S
    quantile_ma: int | None = None
    """The learnt quantile; None until enough days are known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseState:
    """One phase of a metered circuit."""

    current_ma: int = 0
    """Signed: import is positive, and all is where nothing that is declared feeds the phase."""
    voltage_v: float | None = None
    power_w: float | None = None
    read_at_s: float = NEVER_S
    changed_at_s: float = NEVER_S
    """When anything it tells last differed from what was before: a frozen meter repeats itself."""
    level_ma: int = 0
    """The level from which the next change is told from noise."""
    changes: tuple[Change, ...] = ()
    forgotten_s: float = NEVER_S
    """When the youngest change was that is not kept any more."""
    theta_ratio: float = 0.0
    """The thermal state of the overcurrent device; 1 is the rating carried for long."""
    over_since_s: float | None = None
    """Since when it has been over the rating in force."""
    over_own_since_s: float | None = None
    """Since when it has been over the device's own rating, whatever the calendar says."""
    backwards_since_s: float | None = None
    """Since when its meter tells of a flow out, though nothing that is declared feeds it."""
    rises: RiseHistory = field(default_factory=RiseHistory)
    """How much base rose within one reaction chain."""
    lease_rises: RiseHistory = field(default_factory=RiseHistory)
    """How much base rose within a whole lease."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitState:
    """What a circuit's meter has told, and what its overcurrent device has been through."""

    phases: tuple[PhaseState, PhaseState, PhaseState] = (PhaseState(), PhaseState(), PhaseState())
    excursions_at_s: tuple[float, ...] = ()
    is_in_excursion: bool = False
    lockout_until_s: float = NEVER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceState:
    """What the meter of a source has told of its output, and when."""

    output_ma: PerPhase = NOTHING
    read_at_s: float = NEVER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Priority:
    """How much a connector's need matters: criticality rank (0 is critical), laxity, floor.

    `laxity_s` is how long it could still wait and be served by its departure.
    """

    rank: int = 2
    laxity_s: float | None = None
    floor_ma: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lapse:
    """The trial of a dead-man: whose lease is left to lapse, since when, and what was tried.

    `returning` is who was seen at its fallback then, and must draw more now that it is renewed.
    """

    connector: ConnectorRef | None = None
    returning: ConnectorRef | None = None
    since_s: float = NEVER_S
    tried_at_s: tuple[tuple[StationId, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A limit that a connector is due: others (`givers`) were cut for it at `since_s`.

    One that `is_promised` comes before the minimum of others, the rest after it.
    """

    connector_at: Position
    limit_ma: int
    since_s: float
    givers: tuple[Position, ...]
    is_promised: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """Since when a meter shows less on a row than surely flows there, and by how much last seen.

    `acted_count` is how often that has taken the circuit to its fallbacks before; `over_s` since
    when it is over, and only remembered.
    """

    since_s: float
    seen_s: float
    unseen_ma: int
    acted_count: int = 0
    over_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlMemory:
    """What one decision hands to the next: timers that start with a decision, not with a fact."""

    headroom_since_s: tuple[float | None, ...] = ()
    """Per row: since when there has been headroom worth raising into."""
    climb_ma: tuple[int, ...] = ()
    """Per row: the headroom a climb began with, while it lasts; its steps are parts of that."""
    start_room_since_s: tuple[float | None, ...] = ()
    """Per row: since when there has been room for one more minimum."""
    short_since_s: tuple[float | None, ...] = ()
    """Per row: since when what is told does not fit."""
    rotated_at_s: float = NEVER_S
    asked_at_s: tuple[float, ...] = ()
    """Per connector: when a reading was last asked for."""
    waiting_since_s: tuple[float | None, ...] = ()
    """Per connector: since when it has wanted its minimum and not had it."""
    base_seen_ma: tuple[int, ...] = ()
    """Per row: the most that base has surely been, where that was above its worst case."""
    base_over: tuple[tuple[float, int] | None, ...] = ()
    """Per row: since when base seems to be above its worst case, and the least since."""
    doubts: tuple[Doubt | None, ...] = ()
    """Per row: the doubt in its meter."""
    trial_at_s: tuple[float | None, ...] = ()
    """Per connector: when the trial that proves its station began."""
    trial_unseen_count: tuple[int, ...] = ()
    """Per connector: how many of its trials were not seen before that one, without one covered."""
    trial_spared: tuple[bool, ...] = ()
    """Per connector: whether there was one covered that is not in that count."""
    trial_covered: tuple[bool, ...] = ()
    """Per connector: whether that one could not be seen, for what others were being cut by."""
    tells_all_phases: tuple[bool, ...] = ()
    """Per connector: whether its watts are told for every phase, though its vehicle's are unknown."""
    lapse: Lapse = field(default_factory=Lapse)
    dues: tuple[Due, ...] = ()
    """Who others were cut for lately, in the order they are served."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteState:
    """Everything a decision depends on besides the time."""

    wiring: Wiring
    parameters: ControlParameters
    started_at_s: float
    circuits: tuple[CircuitState, ...]
    connectors: tuple[ConnectorBelief, ...]
    sources: tuple[SourceState, ...]
    stations: dict[StationId, StationBelief]
    priorities: dict[ConnectorRef, Priority] = field(default_factory=dict)
    constraints: dict[tuple[CircuitId | ConnectorRef, str], Constraint] = field(
        default_factory=dict
    )
    promised_draws: Mapping[int, PromisedDraw] = field(default_factory=dict)
    """Per row that room is kept on."""
    is_stopped: bool = False
    stop_cause: StopCause | None = None
    memory: ControlMemory = field(default_factory=ControlMemory)

    @staticmethod
    def at_start(wiring: Wiring, parameters: ControlParameters, *, now_s: float) -> "SiteState":
        """Return what is known when nothing is: every limit may be the installed maximum."""
        return SiteState(
            wiring=wiring,
            parameters=parameters,
            started_at_s=now_s,
            circuits=tuple(CircuitState() for _ in wiring.circuits),
            connectors=tuple(
                ConnectorBelief(limits=(StandingLimit(limit_ma=connector.max_ma),))
                for connector in wiring.connectors
            ),
            sources=tuple(SourceState() for _ in wiring.site.sources),
            stations={station.id: StationBelief() for station in wiring.site.stations},
            memory=ControlMemory(
                headroom_since_s=(None,) * (3 * len(wiring.circuits)),
                climb_ma=(0,) * (3 * len(wiring.circuits)),
                start_room_since_s=(None,) * (3 * len(wiring.circuits)),
                short_since_s=(None,) * (3 * len(wiring.circuits)),
                base_seen_ma=(0,) * (3 * len(wiring.circuits)),
                base_over=(None,) * (3 * len(wiring.circuits)),
                doubts=(None,) * (3 * len(wiring.circuits)),
                asked_at_s=(NEVER_S,) * len(wiring.connectors),
                waiting_since_s=(None,) * len(wiring.connectors),
                trial_at_s=(None,) * len(wiring.connectors),
                trial_unseen_count=(0,) * len(wiring.connectors),
                trial_spared=(False,) * len(wiring.connectors),
                trial_covered=(False,) * len(wiring.connectors),
                tells_all_phases=(False,) * len(wiring.connectors),
            ),
        )
