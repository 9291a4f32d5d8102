"""Stories that wait: what happens next in one happens once somebody who watches would say "now"."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

from drivers.sim.faults import Fault
from drivers.sim.plant import Plant
from drivers.sim.scenario import Happening, Scenario, Visit
from gateway.control.state import SiteState

Condition = Callable[[Plant, SiteState], bool]
"""What one waits for, by what truly is and by what the gateway was told and told others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """What happens once `when` holds: its seconds count from that moment, and it lasts so long."""

    when: Condition
    then: tuple[Happening, ...]
    lasts_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Story(Scenario):
    """A scenario in which acts follow one another; it ends with the last, after `duration_s` at the latest."""

    acts: tuple[Act, ...]

    @staticmethod
    def of(begins: Scenario, *acts: Act) -> "Story":
        """Return a scenario that goes on with these."""
        told = {field.name: getattr(begins, field.name) for field in fields(begins)}
        return Story(**told, acts=acts)


@dataclass(slots=True)
class Stage:
    """How far a run has come with the acts of its story."""

    to_come: tuple[Act, ...]
    _lasts_until_s: float | None = None
    """Until when the act that was begun last goes on."""

    @staticmethod
    def of(scenario: Scenario) -> "Stage":
        """Return it before the first act; a scenario that is no story has none."""
        return Stage(scenario.acts if isinstance(scenario, Story) else ())

    @property
    def has_faults(self) -> bool:
        """Return whether anything is yet to go wrong."""
        return any(isinstance(one, Fault) for act in self.to_come for one in act.then)

    def is_over(self, now_s: float) -> bool:
        """Return whether the last act has come to its end."""
        until_s = self._lasts_until_s
        return not self.to_come and until_s is not None and now_s >= until_s

    def look(self, plant: Plant, state: SiteState) -> None:
        """See, each second, whether it is time for the next act."""
        now_s, until_s = plant.now_s, self._lasts_until_s
        if not self.to_come or (until_s is not None and now_s < until_s):
            return
        act, *to_come = self.to_come
        if act.when(plant, state):
            self.to_come, self._lasts_until_s = tuple(to_come), now_s + act.lasts_s
            for happening in act.then:
                plant.world.expect(_later(happening, now_s))


def _later(happening: Happening, by_s: float) -> Happening:
    at_s = happening.at_s + by_s
    match happening:
        case Visit(leave_s=leave_s):
            return replace(happening, at_s=at_s, leave_s=leave_s + by_s)
        case Fault(until_s=until_s):
            return replace(happening, at_s=at_s, until_s=until_s + by_s)
        case _:
            return replace(happening, at_s=at_s)


def all_is_shared(plant: Plant, state: SiteState) -> bool:
    """Return whether all who are here were seen to obey, and have what there is for them."""
    here = [belief for belief in state.connectors if belief.is_plugged]
    told_s = max((belief.limits[-1].sent_at_s for belief in here), default=plant.now_s)
    is_proven = all(
        state.stations[ref.station].is_proven
        for ref, watch in plant.world.judge.connectors.items()
        if watch.record is not None
    )
    # Room waits for so long to be given, and what was given is drawn, and that read, in no more.
    quiet_s = 2 * state.parameters.raise_after_s
    return is_proven and plant.now_s - told_s >= quiet_s
