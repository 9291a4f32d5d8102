"""The base load of a building: everything on a circuit that is not a connector."""

from math import pi, sin, sqrt
from random import Random

from drivers.sim.scenario import BaseTraits

HOUR_S = 3_600.0
# A second's noise resembles the second before: one pole, a time constant of about 10 s.
NOISE_MEMORY = 0.9
# The office day in per cent of the way from low to high, at these hours.
OFFICE_DAY = (
    (0.0, 0.0),
    (6.0, 5.0),
    (9.5, 90.0),
    (12.0, 100.0),
    (13.0, 85.0),
    (14.0, 100.0),
    (16.5, 85.0),
    (19.0, 15.0),
    (22.0, 0.0),
    (24.0, 0.0),
)


class BaseLoad:
    """The base of one circuit, per phase: `amps` holds until the next `tick` or `step`."""

    __slots__ = (
        "_ceilings_a",
        "_floors_a",
        "_noise_a",
        "_periods_s",
        "_phases",
        "_rng",
        "_steps_a",
        "amps",
        "traits",
    )

    def __init__(self, traits: BaseTraits, *, start_of_day_s: float, rng: Random) -> None:
        """Begin at second 0, which is `start_of_day_s` after local midnight."""
        self.traits = traits
        self._rng = rng
        self._phases = [rng.uniform(0.0, 2.0 * pi) for _ in range(3)]
        self._periods_s = [rng.uniform(1.0 * HOUR_S, 2.5 * HOUR_S) for _ in range(3)]
        self._steps_a = [0.0, 0.0, 0.0]
        self._noise_a = [0.0, 0.0, 0.0]
        self.amps = [0.0, 0.0, 0.0]
        self.tick(0.0, start_of_day_s)

    def tick(self, at_s: float, day_s: float) -> None:
        """Let the load move on: slow profile, steps so far, and new noise; `day_s` is local."""
        traits = self.traits
        office = office_ratio(day_s % 86_400.0) if traits.follows_office_day else 0.0
        gauss = self._rng.gauss
        spread_a = traits.noise_a * sqrt(1.0 - NOISE_MEMORY**2)
        for phase in (0, 1, 2):
            share = office
            if not traits.follows_office_day:
                angle = 2.0 * pi * at_s / self._periods_s[phase] + self._phases[phase]
                share = 0.5 + 0.5 * sin(angle)
            noise_a = self._noise_a[phase] * NOISE_MEMORY + gauss(0.0, spread_a)
            self._noise_a[phase] = noise_a
            amps = traits.low_a + (traits.high_a - traits.low_a) * share
            amps += self._steps_a[phase] + noise_a
            self.amps[phase] = min(traits.ceiling_a, max(traits.floor_a, amps))

    def step(self, delta_a: tuple[float, float, float]) -> None:
        """Switch something on or off at once, on each phase; the bounds still hold."""
        traits = self.traits
        for phase in (0, 1, 2):
            self._steps_a[phase] += delta_a[phase]
            amps = self.amps[phase] + delta_a[phase]
            self.amps[phase] = min(traits.ceiling_a, max(traits.floor_a, amps))


def office_ratio(day_s: float) -> float:
    """Return how far an office's load is from its night to its noon, by the time of day."""
    hour = day_s / HOUR_S
    before_h, before_pct = OFFICE_DAY[0]
    for at_h, pct in OFFICE_DAY[1:]:
        if hour <= at_h:
            return (before_pct + (pct - before_pct) * (hour - before_h) / (at_h - before_h)) / 100.0
        before_h, before_pct = at_h, pct
    return 0.0
