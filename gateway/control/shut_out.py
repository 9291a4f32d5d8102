"""Where bounds that join the phases leave no room for even one vehicle, by what is declared."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum, auto

from gateway.control.parameters import ControlParameters
from gateway.control.proof import uncontrolled_ma
from gateway.control.three_phase import JoinedBy
from gateway.domain.circuits import Circuit, Connector, Site
from gateway.domain.electric import MIN_CHARGING_MA, PerPhase, Phase


class Until(Enum):
    """What would leave room: base that is learnt to be quiet, or is lower than declared."""

    LEARNT = auto()
    LOWER = auto()
    EITHER = auto()
    BOTH = auto()
    NEVER = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class ShutOut:
    """A bound of a circuit under which nobody can charge, and its arithmetic.

    The figures are those of one phase, or of all three together for power. `base_ma` is what of
    the declared worst case counts against the bound, `reserve_ma` is kept free until base is learnt.
    """

    circuit: Circuit
    joined_by: JoinedBy
    until: Until
    phases: tuple[Phase, ...]
    limit_ma: int
    base_ma: int
    reserve_ma: int
    least_ma: int

    @property
    def left_ma(self) -> int:
        """Return what is left for vehicles; negative where base alone is over the bound."""
        return self.limit_ma - self.base_ma - self.reserve_ma


def shut_out(site: Site, parameters: ControlParameters) -> Iterator[ShutOut]:
    """Return every such bound of a site under which no vehicle could start."""
    worst_case_ma = uncontrolled_ma(site)
    for circuit in site.circuits:
        below = [c for c in site.connectors if circuit.id in site.path_to_root(c.circuit)]
        if below:
            look = _Look(site, circuit, below, worst_case_ma[circuit.id], parameters)
            yield from look.at_differences()
            yield from look.at_power()


@dataclass(frozen=True, slots=True)
class _Look:
    site: Site
    circuit: Circuit
    below: list[Connector]
    worst_case_ma: PerPhase
    parameters: ControlParameters

    def at_differences(self) -> Iterator[ShutOut]:
        """Look at the neutral and the imbalance: the figures are those of the tightest phase."""
        bounds = (
            (JoinedBy.NEUTRAL, self.circuit.neutral_ma),
            (JoinedBy.IMBALANCE, self.circuit.imbalance_ma),
        )
        phases = sorted({phase for connector in self.below for phase in connector.phases})
        for joined_by, limit_ma in bounds:
            if limit_ma is None:
                continue
            found = [
                self._shut_out(
                    joined_by,
                    (phase,),
                    limit_ma=limit_ma,
                    base_ma=self._differs_by_ma(phase),
                    least_ma=MIN_CHARGING_MA,
                )
                for phase in phases
            ]
            shut = [one for one in found if one is not None]
            if shut:
                tightest = min(shut, key=lambda one: one.left_ma)
                yield replace(tightest, phases=tuple(p for one in shut for p in one.phases))

    def at_power(self) -> Iterator[ShutOut]:
        """Look at the power over all phases: one on unknown phases starts on all it is wired to."""
        if self.circuit.power_limit_va is None:
            return
        found = self._shut_out(
            JoinedBy.POWER,
            tuple(Phase),
            limit_ma=int(self.circuit.power_limit_va * 1_000 / self.site.voltage_v),
            base_ma=sum(self.worst_case_ma),
            least_ma=MIN_CHARGING_MA * min(len(connector.phases) for connector in self.below),
        )
        if found is not None:
            yield found

    def _shut_out(
        self,
        joined_by: JoinedBy,
        phases: tuple[Phase, ...],
        *,
        limit_ma: int,
        base_ma: int,
        least_ma: int,
    ) -> ShutOut | None:
        reserve_ma = self._reserve_ma(phases, self.parameters.reserve_at_first_ratio)
        learnt_ma = self._reserve_ma(phases, self.parameters.reserve_floor_ratio)
        lowest_ma = base_ma if self.circuit.meter is None else 0
        room_ma = limit_ma - least_ma
        if base_ma + reserve_ma <= room_ma:
            return None
        until = {
            (True, True): Until.EITHER,
            (True, False): Until.LEARNT,
            (False, True): Until.LOWER,
            (False, False): Until.BOTH,
        }[base_ma + learnt_ma <= room_ma, lowest_ma + reserve_ma <= room_ma]
        if lowest_ma + learnt_ma > room_ma:
            until = Until.NEVER
        return ShutOut(
            circuit=self.circuit,
            joined_by=joined_by,
            until=until,
            phases=phases,
            limit_ma=limit_ma,
            base_ma=base_ma,
            reserve_ma=reserve_ma,
            least_ma=least_ma,
        )

    def _differs_by_ma(self, phase: Phase) -> int:
        """Return by how much base on a phase may be above that on the least loaded other phase."""
        if self.circuit.meter is None:
            return self.worst_case_ma[phase]  # Nothing is known to flow on the others.
        others = [ma for other, ma in enumerate(self.worst_case_ma) if other != phase]
        return max(0, self.worst_case_ma[phase] - min(others))

    def _reserve_ma(self, phases: tuple[Phase, ...], ratio: float) -> int:
        """Return what is kept free on phases, for base and for the start of an idle vehicle."""
        if self.circuit.meter is None:
            return 0
        reserve_ma = 0
        for phase in phases:
            fallbacks_ma = sorted(c.fallback_ma for c in self.below if phase in c.phases)
            of_another_ma = max(fallbacks_ma[:-1], default=0)
            reserve_ma += max(int(self.circuit.rating_ma[phase] * ratio), of_another_ma)
        return reserve_ma
