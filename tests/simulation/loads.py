"""Loads that were promised room in a full car park, each as a seed has it come, rest, or stay away."""

from dataclasses import dataclass, replace
from random import Random

from drivers.sim.report import Report
from drivers.sim.scenario import DrawAt, Scenario, StepAt
from gateway.domain.ids import CircuitId
from gateway.services.promised_room import SHORT_FOR_S
from tests.simulation.car_parks import full_car_park
from tests.simulation.harness import Run

LASTS_S = 2_100.0
FIRST_S = 820.0  # By then vehicles have all there is.
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


@dataclass(frozen=True, slots=True)
class LoadDay:
    """A day as it was, with what each draw truly lacked for a minute on end.

    `is_overfull` is whether base and the loads were beyond the rating by themselves at times: of
    what comes of that nothing is of the vehicles.
    """

    run: Run
    report: Report
    lacked_a: dict[str, float]
    is_overfull: bool


def lived(scenario: Scenario, uses: tuple[Use, ...], *, seen_s: float | None = None) -> LoadDay:
    """Run a day, and look each second what a load would lack that had not come yet.

    `seen_s` is how long too little must be counted to be held against it; None: as on every day.
    """
    run, rating_a, set_point_a = Run.of(scenario), 100.0, 0.95 * 100.0
    run.seen_s = seen_s
    over_a, highest_a = list[float](), 0.0
    while run.plant.now_s < scenario.duration_s:
        run.step(run.plant.now_s + run.parameters.period_s)
        now_s = run.plant.now_s
        promised_a = sum(d.current_a for d in scenario.draws if d.at_s <= now_s < d.until_s)
        currents_a = run.plant.true_currents_a()
        highest_a = max(highest_a, *(base_a for base_a, _ in currents_a))
        over_a.append(
            max(
                base_a - _flows_a(uses, now_s) + promised_a + vehicles_a - set_point_a
                for base_a, vehicles_a in currents_a
            )
        )
    minute_s = int(SHORT_FOR_S)
    lacked_a = {}
    for at, draw in enumerate(scenario.draws):
        in_time_a = over_a[int(draw.at_s) : int(draw.until_s)]
        minutes = (in_time_a[s : s + minute_s] for s in range(len(in_time_a) - minute_s + 1))
        lacked_a[f"draw-{at}"] = max((min(minute) for minute in minutes), default=-set_point_a)
    return LoadDay(run, run.plant.report(), lacked_a, highest_a > rating_a)


def _flows_a(uses: tuple[Use, ...], now_s: float) -> float:
    return sum(use.current_a for use in uses if use.from_s <= now_s < use.until_s)


def promised_loads(seed: int) -> tuple[Scenario, tuple[Use, ...]]:
    """Return a day of some draws, and what loads draw of them in truth.

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
