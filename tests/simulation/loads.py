"""Loads that were promised room in a full car park, each as a seed has it come, rest, or stay away."""

from dataclasses import dataclass, replace
from random import Random

from drivers.sim.scenario import DrawAt, Scenario, StepAt
from gateway.domain.ids import CircuitId
from tests.simulation.stories import BUSY_S, full_car_park

LASTS_S = 2_100.0
FIRST_S = BUSY_S + 320.0
OVEN_A = 12.0
"""An oven that nobody was promised anything for, inside the reserve."""


@dataclass(frozen=True, slots=True)
class Use:
    """A load that draws a current from one second to another."""

    from_s: float
    until_s: float
    current_a: float

    def steps(self, circuit: CircuitId) -> tuple[StepAt, StepAt]:
        """Return it as steps of base."""
        amps = self.current_a
        return (
            StepAt(at_s=self.from_s, circuit=circuit, delta_a=(amps, amps, amps)),
            StepAt(at_s=self.until_s, circuit=circuit, delta_a=(-amps, -amps, -amps)),
        )


def promised_loads(seed: int, *, until_s: float = LASTS_S) -> tuple[Scenario, tuple[Use, ...]]:
    """Return the first part of a day of some draws, and what loads draw of them in truth.

    They overlap and follow one another. Some come late or rest at times as an oven does, and some
    never come. Of some the car park has not the room, beside its base and an oven that comes and goes.
    """
    rng = Random(f"promised/{seed}")
    park = full_car_park(LASTS_S)
    circuit = park.site.circuits[0].id
    draws, uses, at_s = [], list[Use](), FIRST_S + rng.uniform(0.0, 60.0)
    for _ in range(4):
        lasts_s, amps = rng.uniform(120.0, 400.0), rng.uniform(8.0, 38.0)
        draws.append(DrawAt(at_s=at_s, until_s=at_s + lasts_s, circuit=circuit, current_a=amps))
        uses += _uses(draws[-1], rng)
        at_s += rng.choice((0.0, rng.uniform(0.5, 1.0), 1.0, rng.uniform(1.0, 1.5))) * lasts_s
    oven, at_s = list[Use](), 1.0
    while at_s < LASTS_S:
        on_s = rng.uniform(20.0, 200.0)
        oven.append(Use(at_s, at_s + on_s, OVEN_A))
        at_s += on_s + rng.uniform(10.0, 200.0)
    steps = (step for use in (*uses, *oven) for step in use.steps(circuit))
    scenario = replace(
        park,
        duration_s=until_s,
        draws=tuple(draws),
        steps=tuple(sorted(steps, key=lambda step: step.at_s)),
        base=tuple(replace(load, ceiling_a=200.0, floor_a=0.0) for load in park.base),
        # Nothing a load does that was promised room excuses anything.
        reserve_a=((circuit, 200.0),),
    )
    return scenario, tuple(uses)


def _uses(draw: DrawAt, rng: Random) -> list[Use]:
    """Return how a load draws what it was promised, or nothing."""
    how = rng.choice(("at once", "late", "rests", "never"))
    if how == "never":
        return []
    from_s = draw.at_s + (
        rng.uniform(0.0, 0.7) * (draw.until_s - draw.at_s) if how == "late" else 0
    )
    if how != "rests":
        return [Use(from_s, draw.until_s, draw.current_a)]
    uses = list[Use]()
    while from_s < draw.until_s:
        on_s = rng.uniform(20.0, 120.0)
        uses.append(Use(from_s, min(draw.until_s, from_s + on_s), draw.current_a))
        from_s += on_s + rng.uniform(5.0, 90.0)
    return uses
