"""The planning problem and its answer: who wants how much when, what rows have, who gets what."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from operator import mul

from gateway.domain.electric import MIN_CHARGING_MA, STEP_MA
from gateway.domain.needs import Objective
from gateway.planning.grid import HOUR_S, Grid


@dataclass(frozen=True, slots=True, kw_only=True)
class Rectangle:
    """A current per phase from one instant to another, s from now."""

    from_s: float
    until_s: float
    current_ma: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What one vehicle (or plain draw) wants of the plan.

    `rows` are the phases of circuits it loads, each with the same current; `energy_wh` None is
    everything there is. `rank` is its class, 0 first. What was promised it are the `committed`
    rectangles, and in all `promised_wh` by `latest_s`. `taper` says from how many Wh delivered
    on it takes at most how many mA, in order. From nothing it takes `settling_s` until it begins
    to draw, and then ramps by `ramp_ma_per_s`; `is_drawing` says that it does now. Of demands with
    one `place` (a connector) only one draws at a time, in the order of `earliest_s`.
    """

    key: str
    place: str
    rows: tuple[int, ...]
    phase_count: int
    voltage_v: float
    earliest_s: float
    latest_s: float
    energy_wh: float | None
    max_ma: int
    rank: int = 2
    objective: Objective = Objective.BY_DEPARTURE
    promised_wh: float = 0.0
    committed: tuple[Rectangle, ...] = ()
    taper: tuple[tuple[float, int], ...] = ()
    min_ma: int = MIN_CHARGING_MA
    step_ma: int = STEP_MA
    settling_s: float = 0.0
    ramp_ma_per_s: float = inf
    is_drawing: bool = False

    @property
    def starts_slowly(self) -> bool:
        """Return whether a start from nothing costs it anything."""
        return self.settling_s > 0 or self.ramp_ma_per_s < inf

    @property
    def starts_for_h(self) -> float:
        """Return how long after a start it may still draw less than it is given."""
        return (self.settling_s + self.max_ma / self.ramp_ma_per_s) / HOUR_S

    def drawing_h(self, current_ma: float, length_h: float, *, since_h: float = 0.0) -> float:
        """Return for how long a current counts, as if it had been there at once, after a start.

        That was `since_h` before the current: a start may take longer than the slot it is in.
        """
        if since_h:
            before_h = self.drawing_h(current_ma, since_h)
            return self.drawing_h(current_ma, since_h + length_h) - before_h
        drawing_s = max(0.0, length_h * HOUR_S - self.settling_s)
        ramp_s = current_ma / self.ramp_ma_per_s
        if ramp_s > drawing_s:
            return drawing_s * drawing_s / (2.0 * ramp_s * HOUR_S)
        return (drawing_s - ramp_s / 2.0) / HOUR_S

    def takes_ma(self, delivered_wh: float) -> int:
        """Return the most it takes once so much is delivered."""
        takes_ma = self.max_ma
        for from_wh, most_ma in self.taper:
            if delivered_wh >= from_wh:
                takes_ma = min(takes_ma, most_ma)
        return takes_ma

    def gains_wh(self, delivered_wh: float, current_ma: int, length_h: float) -> float:
        """Return what it takes of a current for so long, of which so much was delivered before."""
        wh_per_ma_h = self.wh_per_ma_h
        if not self.taper:
            return current_ma * length_h * wh_per_ma_h
        at_wh, left_h = delivered_wh, length_h
        for upto_wh in (*(from_wh for from_wh, _ in self.taper if from_wh > delivered_wh), inf):
            rate_w = min(current_ma, self.takes_ma(at_wh)) * wh_per_ma_h
            if not rate_w or upto_wh - at_wh >= rate_w * left_h:
                return at_wh + rate_w * left_h - delivered_wh
            left_h -= (upto_wh - at_wh) / rate_w
            at_wh = upto_wh
        return at_wh - delivered_wh

    def needs_s(self, delivered_wh: float, wants_wh: float) -> float:
        """Return how long it needs, drawing all it takes, from so much delivered to so much."""
        needs_h = full_power_h(delivered_wh, wants_wh, max_ma=self.max_ma, taper=self.taper)
        return needs_h / self.wh_per_ma_h * HOUR_S

    @property
    def wh_per_ma_h(self) -> float:
        """Return the energy of 1 mA on each of its phases for an hour."""
        return self.voltage_v * self.phase_count / 1_000


def full_power_h(
    delivered_wh: float, wants_wh: float, *, max_ma: int, taper: tuple[tuple[float, int], ...]
) -> float:
    """Return how long it takes from so much delivered to so much, in hours were 1 mA 1 W.

    `taper` is as in `Demand`.
    """
    at_wh, needs_h, takes_ma = delivered_wh, 0.0, max_ma
    for from_wh, most_ma in (*taper, (inf, 0)):
        if from_wh > at_wh:
            upto_wh = min(from_wh, wants_wh)
            needs_h += (upto_wh - at_wh) / takes_ma
            at_wh = upto_wh
        if from_wh >= wants_wh:
            break
        takes_ma = min(takes_ma, most_ma)
    return needs_h


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is to be planned: `available_ma` per row and slot, after base and reserve."""

    grid: Grid
    available_ma: tuple[tuple[int, ...], ...]
    demands: tuple[Demand, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Who gets what: `current_ma` per demand and slot, `delivered_wh` per demand.

    A demand is delivered no more than it wants: its last slot may offer it more.
    """

    grid: Grid
    current_ma: tuple[tuple[int, ...], ...]
    delivered_wh: tuple[float, ...]

    @property
    def energy_wh(self) -> float:
        """Return the energy of everybody."""
        return sum(self.delivered_wh)


def plan_of(problem: Problem, current_ma: list[list[int]]) -> Plan:
    """Return the plan that gives these currents, with the energy each demand gets of it."""
    hours = problem.grid.hours
    return Plan(
        grid=problem.grid,
        current_ma=tuple(tuple(of_slots) for of_slots in current_ma),
        delivered_wh=tuple(
            delivered_wh(demand, of_slots, hours)
            for demand, of_slots in zip(problem.demands, current_ma, strict=True)
        ),
    )


def delivered_wh(demand: Demand, current_ma: Sequence[int], hours: Sequence[float]) -> float:
    """Return what a demand takes of the currents of slots, at most what it wants."""
    if not demand.taper and not demand.starts_slowly:
        given_wh: float = demand.wh_per_ma_h * sum(map(mul, current_ma, hours))
    else:
        given_wh, since_h = 0.0, inf if demand.is_drawing else 0.0
        starts_for_h = demand.starts_for_h
        for ma, length_h in zip(current_ma, hours, strict=True):
            if not ma:
                since_h = 0.0
                continue
            drawing_h = length_h
            if since_h < starts_for_h:
                drawing_h = demand.drawing_h(ma, length_h, since_h=since_h)
            given_wh += demand.gains_wh(given_wh, ma, drawing_h)
            since_h += length_h
    return given_wh if demand.energy_wh is None else min(given_wh, demand.energy_wh)


def ranks_of(demands: Sequence[Demand]) -> list[int]:
    """Return the class each demand is served by: the highest of its own and of who waits for it.

    Who stands at a connector that something critical waits for is in its way until it is done;
    who is gone before that comes is not.
    """
    ranks = [demand.rank for demand in demands]
    at_place: dict[str, list[int]] = {}
    for at, demand in enumerate(demands):
        at_place.setdefault(demand.place, []).append(at)
    for queue in at_place.values():
        queue.sort(key=lambda at: (demands[at].earliest_s, at))
        for waits, stands in pairwise(reversed(queue)):
            if demands[waits].earliest_s <= demands[stands].latest_s:
                ranks[stands] = min(ranks[stands], ranks[waits])
    return ranks


def serves_everyone(problem: Problem, plan: Plan) -> bool:
    """Return whether everybody gets what was asked: then no plan gives more energy."""
    return all(
        demand.energy_wh is not None and delivered_wh >= demand.energy_wh - 1.0
        for demand, delivered_wh in zip(problem.demands, plan.delivered_wh, strict=True)
    )
