"""What loads were promised in a scenario, kept room for as the daemon does, and what was said of it."""

from collections.abc import Mapping

from drivers.sim.scenario import DrawAt, Scenario
from gateway.control.decide import Decision
from gateway.control.fold import DrawsPromised
from gateway.control.promised_draws import PromisedDraw
from gateway.control.state import SiteState
from gateway.domain.circuits import Site
from gateway.domain.needs import Criticality
from gateway.domain.promises import CIRCUIT_PLACE, PromiseState, Reservation, Stretch
from gateway.services.control_loop import Cycle
from gateway.services.promised_room import PromisedRoom


class PromisedLoads:
    """The draws of a scenario, its seconds taken for those of the epoch."""

    def __init__(self, scenario: Scenario) -> None:
        """Begin with no room kept, and nothing said against any."""
        draws = (_promise(draw, scenario.site, at) for at, draw in enumerate(scenario.draws))
        self.broken: dict[str, str] = {}
        self.unknown: dict[str, str] = {}
        self._open = {promise.id: promise for promise in draws}
        self._told: list[Mapping[int, PromisedDraw]] = []
        self._room = PromisedRoom(self._told.append)

    def facts(self, now_s: float) -> list[DrawsPromised]:
        """Return what control is to know by now and was not told yet."""
        facts = [DrawsPromised(at_s=now_s, draws=draws) for draws in self._told]
        self._told.clear()
        return facts

    def note(self, decision: Decision, state: SiteState) -> None:
        """Take note of a cycle; one that is broken is a promise no more."""
        cycle = Cycle(decision=decision, state=state)
        lacks = self._room.note(cycle, self._open.values(), decision.at_s)
        self.broken |= lacks.broken
        self.unknown |= lacks.unknown
        for name in lacks.broken:
            del self._open[name]

    def restart(self) -> None:
        """Begin anew with the promises that are open."""
        self._room = PromisedRoom(self._told.append)


def _promise(draw: DrawAt, site: Site, at: int) -> Reservation:
    circuit_at = {circuit.id: number for number, circuit in enumerate(site.circuits)}
    current_ma = int(draw.current_a * 1_000)
    return Reservation(
        id=f"draw-{at}",
        place=f"{CIRCUIT_PLACE}{draw.circuit}",
        rows=tuple(
            3 * circuit_at[circuit] + phase
            for circuit in site.path_to_root(draw.circuit)
            for phase in range(3)
        ),
        envelope=(Stretch(from_at_s=draw.at_s, until_at_s=draw.until_s, current_ma=current_ma),),
        energy_wh=0,
        guaranteed_wh=0,
        confidence_ratio=1.0,
        criticality=Criticality.NORMAL,
        state=PromiseState.CONFIRMED,
        hold_until_at_s=0.0,
    )
