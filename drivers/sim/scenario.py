"""A scenario: everything that will happen to a plant, from a kind and a seed."""

from dataclasses import dataclass
from enum import StrEnum

from drivers.sim.faults import Fault
from gateway.domain.charging import OcppVersion
from gateway.domain.circuits import Site
from gateway.domain.ids import CircuitId, ConnectorRef, StationId


class ScenarioKind(StrEnum):
    """What sort of day it is."""

    ORDINARY = "ordinary"  # An office day: arrivals in the morning, base steps <= 5 % of rating.
    LIGHTER = "lighter"  # Busy connectors, base steps of 5-12 A.
    HARSH = "harsh"  # Hungry cars all day, base steps of 10-25 A on 100 A several times an hour.
    FAULTS = "faults"  # A tree of circuits on which things go wrong, overlapping.
    DEMO = "demo"  # Hungry cars at every connector from the first half minute on, a quiet base.


@dataclass(frozen=True, slots=True, kw_only=True)
class VehicleTraits:
    """A vehicle as it is: what it needs and how it follows its pilot.

    It takes at most `max_a` on `phase_count` phases; below `taper_wh` of remaining need its
    acceptance falls with what remains, down to `tail_a`. It begins `startup_s` after current is
    offered. It draws `draw_ratio` of what it is offered, less a ripple of up to `ripple_a`,
    in whole amperes if `draws_whole_amps`, and `least_a` where it is offered less than that. If
    paused for longer than `sleeps_after_s` it stays asleep until it is plugged in again (None:
    never).
    """

    need_wh: float
    max_a: float
    phase_count: int
    taper_wh: float
    tail_a: float = 2.0
    startup_s: float = 6.0
    draw_ratio: float = 0.985
    ripple_a: float = 0.2
    draws_whole_amps: bool = False
    least_a: float = 0.0
    sleeps_after_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A vehicle stands at a connector from `at_s` until `leave_s`."""

    connector: ConnectorRef
    at_s: float
    leave_s: float
    vehicle: VehicleTraits


@dataclass(frozen=True, slots=True, kw_only=True)
class StationTraits:
    """A station as it is, apart from what the site's declaration says of it.

    Meter values come every `sample_interval_s`, first at `sample_phase_s`, and are `meter_ratio`
    times the truth; `clock_skew_s` is what its clock is ahead. TxDefaultProfiles always survive a
    reboot of `boot_s` seconds, TxProfiles if `keeps_tx_profiles`; the transaction goes on after
    it if `resumes_transaction`. What is told for a time holds beyond it unless it `lapses`. It
    lets flow `offset_a` more than its limit. A commissioned station starts with its fallback
    written and its dead-man proven.
    """

    station: StationId
    ocpp_version: OcppVersion
    sample_interval_s: float = 20.0
    sample_phase_s: float = 0.0
    meter_ratio: float = 1.0
    clock_skew_s: float = 0.0
    boot_s: float = 30.0
    keeps_tx_profiles: bool = False
    resumes_transaction: bool = True
    offers_whole_amps: bool = False
    offset_a: float = 0.0
    is_watts_only: bool = False
    sends_meter_values: bool = True
    lapses: bool = True
    is_commissioned: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseTraits:
    """The base load of one circuit: all it feeds directly that is not a connector.

    Per phase: a slow day's profile between `low_a` and `high_a` (the office shape if
    `follows_office_day`, else a slow wander), and noise of standard deviation `noise_a`. It never
    leaves [`floor_a`, `ceiling_a`] on any phase.
    """

    circuit: CircuitId
    low_a: float
    high_a: float
    noise_a: float
    floor_a: float
    ceiling_a: float
    follows_office_day: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StepAt:
    """At `at_s` the base of a circuit changes by `delta_a` on each phase, for good."""

    at_s: float
    circuit: CircuitId
    delta_a: tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitAt:
    """From `at_s` on somebody outside allows a circuit no more than `limit_a` on each phase."""

    at_s: float
    circuit: CircuitId
    limit_a: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawAt:
    """From `at_s` until `until_s` loads of a circuit were promised `current_a` on each phase.

    What they draw of it is base like any other: its steps say so.
    """

    at_s: float
    until_s: float
    circuit: CircuitId
    current_a: float


Happening = Visit | StepAt | LimitAt | Fault
"""What happens to a plant at a second of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Everything that will happen to a plant; the gateway adds only its limits.

    The same `kind`, `seed` and `duration_s` give the same scenario. `start_of_day_s` is the
    local time of day at second 0; `voltage_v` the true voltage of each phase; `reserve_a` what
    the gateway keeps per circuit for a rise of base within 16 s: rises above it are *beyond
    reserve*.
    """

    kind: ScenarioKind
    seed: int
    duration_s: float
    site: Site
    stations: tuple[StationTraits, ...]
    visits: tuple[Visit, ...]
    base: tuple[BaseTraits, ...]
    steps: tuple[StepAt, ...]
    faults: tuple[Fault, ...]
    reserve_a: tuple[tuple[CircuitId, float], ...]
    voltage_v: tuple[float, float, float] = (230.0, 230.0, 230.0)
    start_of_day_s: float = 7 * 3600.0
    limits: tuple[LimitAt, ...] = ()
    draws: tuple[DrawAt, ...] = ()

    @property
    def happenings(self) -> tuple[Happening, ...]:
        """Return all that happens at seconds of its own, kind by kind."""
        return (*self.visits, *self.steps, *self.limits, *self.faults)

    def describe(self) -> str:
        """Return all of it in readable lines, in the order in which it happens."""
        reserves = ", ".join(f"{circuit} {amps:g} A" for circuit, amps in self.reserve_a)
        voltages = ", ".join(f"{volts:.1f} V" for volts in self.voltage_v)
        hours = f"{self.duration_s / 3600:g} h of {self.site.name}"
        lines = [
            f"{self.kind}/{self.seed}: {hours}, {voltages}, reserve {reserves}",
            *(f"  station {traits}" for traits in self.stations),
            *(f"  base {traits}" for traits in self.base),
        ]
        events = [
            *(
                (visit.at_s, f"{visit.connector} until {visit.leave_s:.0f} s: {visit.vehicle}")
                for visit in self.visits
            ),
            *((step.at_s, f"{step.circuit} {step.delta_a} A") for step in self.steps),
            *((at.at_s, f"{at.circuit} at most {at.limit_a:g} A") for at in self.limits),
            *(
                (d.at_s, f"{d.circuit} is promised {d.current_a:g} A until {d.until_s:.0f} s")
                for d in self.draws
            ),
            *(
                (f.at_s, f"{f.kind} {f.subject} {f.value:g} until {f.until_s:.0f} s")
                for f in self.faults
            ),
        ]
        lines += [f"  {at_s:8.1f} s  {what}" for at_s, what in sorted(events)]
        return "\n".join(lines)
