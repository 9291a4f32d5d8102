"""A vehicle on a connector: how it follows its pilot, and what its battery still accepts."""

from math import floor, inf
from random import Random

from drivers.sim.scenario import VehicleTraits

MIN_OFFER_A = 6.0  # IEC 61851-1: an EV offered less than 6 A must not draw.
FOLLOWS_WITHIN_S = 6.0  # IEC 61851-1 lets a vehicle take about this long after its EVSE.
RAMP_STEP_S = 0.5
RAMP_S = (0.5, 2.5)
RIPPLE_EVERY_S = (4.0, 9.0)


class Vehicle:
    """A vehicle that is plugged in, as a current that is constant from event to event.

    `draw_a` is what it draws on each phase it uses; it holds from the last `advance` until
    `next_s`, when `advance` must be called again. `delivered_wh` is exact up to the last
    `advance` or `accrue`.
    """

    __slots__ = (
        "_at_s",
        "_follows_a",
        "_paused_at_s",
        "_ramp_from_a",
        "_ramp_s",
        "_ramp_start_s",
        "_react_at_s",
        "_ripple_at_s",
        "_rng",
        "_voltage_v",
        "delivered_wh",
        "draw_a",
        "is_asleep",
        "next_s",
        "offered_a",
        "traits",
    )

    def __init__(
        self, traits: VehicleTraits, *, voltage_v: float, at_s: float, rng: Random
    ) -> None:
        """Plug it in at `at_s`; `voltage_v` is the sum over the phases it uses."""
        self.traits = traits
        self.offered_a = 0.0
        self.draw_a = 0.0
        self.delivered_wh = 0.0
        self.is_asleep = False
        self.next_s = inf
        self._voltage_v = voltage_v
        self._rng = rng
        self._at_s = at_s
        self._follows_a = 0.0  # The pilot it has come to obey.
        self._react_at_s = inf
        self._paused_at_s = at_s
        self._ramp_from_a = 0.0
        self._ramp_start_s = -inf
        self._ramp_s = 0.0
        self._ripple_at_s = inf

    @property
    def remaining_wh(self) -> float:
        """Return the need not met yet, up to the last `accrue`."""
        return max(0.0, self.traits.need_wh - self.delivered_wh)

    @property
    def accepts_a(self) -> float:
        """Return the most the battery would take now, however much is offered."""
        return accepted_a(self.traits, self.remaining_wh)

    @property
    def is_hungry(self) -> bool:
        """Return whether it would take at least the minimum if it were offered it."""
        return not self.is_asleep and self.accepts_a >= MIN_OFFER_A

    def most_of_a(self, offered_a: float) -> float:
        """Return the most it may draw per phase of what it is offered, with its battery empty."""
        return self._drawn_a(offered_a, self.traits.max_a)

    def offer(self, amps: float, at_s: float) -> None:
        """Take note of a new pilot; what follows from it comes within `FOLLOWS_WITHIN_S`."""
        before_a, self.offered_a = self.offered_a, amps
        if amps == before_a:
            return
        if amps < MIN_OFFER_A <= before_a:
            self._paused_at_s = at_s
        if amps >= MIN_OFFER_A > before_a and self.draw_a == 0.0:
            self._wake(at_s)
        elif amps < MIN_OFFER_A and self.draw_a == 0.0:
            self._react_at_s = inf
            self._follows_a = 0.0
        elif self.draw_a > 0.0 or self._ramp_start_s > -inf:
            # Else it has yet to begin, and begins with whatever is offered by then.
            react_at_s = at_s + self._rng.uniform(0.0, FOLLOWS_WITHIN_S - RAMP_S[1])
            self._react_at_s = min(self._react_at_s, react_at_s)
        self._plan_next()

    def cut_off(self, at_s: float) -> None:
        """Lose the supply at once: the cable is out, or the station is without power."""
        self.accrue(at_s)
        self.draw_a = 0.0
        self.offered_a = 0.0
        self._follows_a = 0.0
        self._react_at_s = self._ripple_at_s = self.next_s = inf
        self._ramp_start_s = -inf
        self._paused_at_s = at_s

    def accrue(self, at_s: float) -> None:
        """Count the energy up to `at_s` at the present draw, changing nothing else."""
        if self.draw_a:
            self.delivered_wh += self.draw_a * self._voltage_v * (at_s - self._at_s) / 3600.0
        self._at_s = at_s

    def advance(self, at_s: float) -> float:
        """Bring it to `at_s`; return what it draws from then on."""
        self.accrue(at_s)
        if at_s >= self._react_at_s:
            self._react_at_s = inf
            self._follows_a = self.offered_a
            self._ramp_from_a = self.draw_a
            ramp_s = self._rng.uniform(*RAMP_S)
            if self._ramp_start_s > -inf and self.draw_a > self._follows_a:
                # On the way down already: a new pilot does not make it later.
                ramp_s = max(1e-3, min(ramp_s, self._ramp_start_s + self._ramp_s - at_s))
            self._ramp_start_s = at_s
            self._ramp_s = ramp_s
            self._ripple_at_s = inf  # Until the ramp is over.
        ramp_ratio = 1.0
        if self._ramp_start_s > -inf:
            ramp_ratio = min(1.0, (at_s - self._ramp_start_s) / self._ramp_s)
        if self.remaining_wh <= 0.0:
            self.draw_a = 0.0
            self._ramp_start_s = -inf
            self._ripple_at_s = inf
        elif ramp_ratio < 1.0:
            goal_a = self._goal_a()
            self.draw_a = self._ramp_from_a + (goal_a - self._ramp_from_a) * ramp_ratio
        elif at_s >= self._ripple_at_s or self._ramp_start_s > -inf:
            self._ramp_start_s = -inf
            self.draw_a = self._goal_a()
            self._ripple_at_s = (
                at_s + self._rng.uniform(*RIPPLE_EVERY_S) if self.draw_a > 0.0 else inf
            )
        self._plan_next()
        return self.draw_a

    def _wake(self, at_s: float) -> None:
        sleeps_after_s = self.traits.sleeps_after_s
        if sleeps_after_s is not None and at_s - self._paused_at_s > sleeps_after_s:
            self.is_asleep = True
        else:
            self._react_at_s = at_s + self.traits.startup_s * self._rng.uniform(0.8, 1.2)

    def _goal_a(self) -> float:
        traits = self.traits
        if self._follows_a < MIN_OFFER_A or self.is_asleep:
            return 0.0
        accepts_a = accepted_a(traits, traits.need_wh - self.delivered_wh)
        goal_a = self._drawn_a(self._follows_a, accepts_a)
        return max(0.0, goal_a - self._rng.uniform(0.0, traits.ripple_a)) if goal_a else 0.0

    def _drawn_a(self, offered_a: float, accepts_a: float) -> float:
        traits = self.traits
        drawn_a = min(max(offered_a * traits.draw_ratio, traits.least_a), accepts_a)
        return float(floor(drawn_a)) if traits.draws_whole_amps else drawn_a

    def _plan_next(self) -> None:
        next_s = min(self._react_at_s, self._ripple_at_s)
        if self._ramp_start_s > -inf:
            next_s = min(next_s, self._at_s + RAMP_STEP_S)
        if self.draw_a > 0.0:
            left_wh = self.traits.need_wh - self.delivered_wh
            # A microsecond late rather than early, or it would never be quite full.
            full_s = self._at_s + left_wh * 3600.0 / (self.draw_a * self._voltage_v) + 1e-6
            next_s = min(next_s, full_s)
        self.next_s = next_s


def accepted_a(traits: VehicleTraits, remaining_wh: float) -> float:
    """Return what a battery takes that still needs `remaining_wh`: less and less near the end."""
    if remaining_wh <= 0.0:
        return 0.0
    if remaining_wh >= traits.taper_wh:
        return traits.max_a
    return min(traits.max_a, max(traits.tail_a, traits.max_a * remaining_wh / traits.taper_wh))
