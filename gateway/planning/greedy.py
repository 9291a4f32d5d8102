"""The plan that is always there: promises first, then by class, inside a class by least laxity.

Least laxity first serves, slot after slot, whom waiting would hurt soonest (laxity: the time
left less the time still needed at full power).
"""

from dataclasses import dataclass, field
from math import inf

from gateway.domain.needs import Objective
from gateway.planning.problem import Demand, Plan, Problem, plan_of, ranks_of


@dataclass(slots=True)
class _Going:
    """A demand while it is planned for; what each slot needs of it is taken out of it once."""

    demand: Demand
    at: int
    slots: range
    rank: int
    held_ma: dict[int, int] = field(default_factory=dict)
    """Slot -> what was promised it there, kept from everybody else until it is not needed."""
    delivered_wh: float = 0.0
    wants_wh: float = field(init=False)
    promised_wh: float = field(init=False)
    waits_until_s: float | None = field(init=False)
    """By when it wants all; None if it wants all it can get as soon as it can."""
    s_per_wh: float = field(init=False)
    wh_per_ma_h: float = field(init=False)
    starts_for_h: float = field(init=False)
    since_h: float = inf
    """For how long it draws since it started."""

    def __post_init__(self) -> None:
        demand = self.demand
        is_soon = demand.objective is Objective.FASTEST or demand.energy_wh is None
        self.wants_wh = float("inf") if demand.energy_wh is None else demand.energy_wh
        self.promised_wh = demand.promised_wh
        self.waits_until_s = None if is_soon else demand.latest_s
        self.wh_per_ma_h = demand.wh_per_ma_h
        self.starts_for_h = demand.starts_for_h
        self.s_per_wh = 3_600.0 / (demand.max_ma * self.wh_per_ma_h)

    def laxity_s(self, now_s: float) -> float:
        """Return how long it could wait; 0 for one that wants all it can get as soon as it can."""
        if self.waits_until_s is None:
            return 0.0
        if self.demand.taper:
            needs_s = self.demand.needs_s(self.delivered_wh, self.wants_wh)
            return self.waits_until_s - now_s - needs_s
        return self.waits_until_s - now_s - (self.wants_wh - self.delivered_wh) * self.s_per_wh

    def is_done(self) -> bool:
        """Return whether it has all it wants."""
        return self.delivered_wh >= self.wants_wh - 1.0


def greedy(problem: Problem) -> Plan:
    """Return a plan in which every current fits every row; nobody is promised more than fits."""
    grid, hours = problem.grid, problem.grid.hours
    left_ma = [list(of_slots) for of_slots in problem.available_ma]
    current_ma = [[0] * grid.slot_count for _ in problem.demands]
    ranks = ranks_of(problem.demands)
    going = [
        _Going(demand, at, grid.slots_within(demand.earliest_s, demand.latest_s), ranks[at])
        for at, demand in enumerate(problem.demands)
    ]
    for one in sorted(going, key=lambda g: (g.rank, g.demand.earliest_s, g.at)):
        _hold(one, problem, left_ma)
    starts: list[list[_Going]] = [[] for _ in range(grid.slot_count)]
    for one in going:
        if len(one.slots) and not one.is_done():
            starts[one.slots.start].append(one)
    active: list[_Going] = []
    for slot in range(grid.slot_count):
        active = [one for one in active if slot < one.slots.stop and not one.is_done()]
        active += starts[slot]
        for one in _in_turn(active, grid.edges_s[slot]):
            length_h, demand, since_h = hours[slot], one.demand, inf
            if demand.starts_slowly:
                was_ma = current_ma[one.at][slot - 1] if slot else int(demand.is_drawing)
                since_h = one.since_h if was_ma else 0.0
            drawing_h, is_starting = length_h, since_h < one.starts_for_h
            if is_starting:
                drawing_h = demand.drawing_h(demand.max_ma, length_h, since_h=since_h)
            given_ma = _offer_ma(one, slot, drawing_h, left_ma)
            change_ma = one.held_ma.pop(slot, 0) - given_ma
            if change_ma:
                for row in demand.rows:
                    left_ma[row][slot] += change_ma
            if given_ma:
                current_ma[one.at][slot] = given_ma
                if is_starting:
                    drawing_h = demand.drawing_h(given_ma, length_h, since_h=since_h)
                one.since_h = since_h + length_h
                one.delivered_wh += demand.gains_wh(one.delivered_wh, given_ma, drawing_h)
                if one.held_ma and one.is_done():
                    _release(one, left_ma)
    return plan_of(problem, current_ma)


def _hold(one: _Going, problem: Problem, left_ma: list[list[int]]) -> None:
    """Keep what was promised a demand from everybody else, as far as it is there."""
    demand = one.demand
    for rectangle in demand.committed:
        for slot in problem.grid.slots_within(rectangle.from_s, rectangle.until_s):
            if slot not in one.slots:
                continue
            fits_ma = min([left_ma[row][slot] for row in demand.rows])
            held_ma = max(0, min(rectangle.current_ma, fits_ma)) // demand.step_ma * demand.step_ma
            if held_ma < demand.min_ma or slot in one.held_ma:
                continue
            one.held_ma[slot] = held_ma
            for row in demand.rows:
                left_ma[row][slot] -= held_ma


def _release(one: _Going, left_ma: list[list[int]]) -> None:
    """Give back what is held for a demand that has all it wants."""
    for slot, held_ma in one.held_ma.items():
        for row in one.demand.rows:
            left_ma[row][slot] += held_ma
    one.held_ma.clear()


def _in_turn(active: list[_Going], now_s: float) -> list[_Going]:
    """Return who draws, the first served first: promises, class, laxity, who came first.

    Of those at one connector only the first draws.
    """
    first: dict[str, _Going] = {}
    for one in active:
        known = first.setdefault(one.demand.place, one)
        if (one.demand.earliest_s, one.at) < (known.demand.earliest_s, known.at):
            first[one.demand.place] = one
    turns = [
        (
            one.delivered_wh >= one.promised_wh,
            one.rank,
            one.laxity_s(now_s),
            one.demand.earliest_s,
            one.at,
            one,
        )
        for one in first.values()
    ]
    turns.sort()
    return [turn[-1] for turn in turns]


def _offer_ma(one: _Going, slot: int, length_h: float, left_ma: list[list[int]]) -> int:
    """Return what a demand gets in a slot: what it takes, still needs, and fits, in whole steps."""
    demand = one.demand
    step_ma, min_ma = demand.step_ma, demand.min_ma
    held_ma = one.held_ma.get(slot, 0) if one.held_ma else 0
    fits_ma = min([left_ma[row][slot] for row in demand.rows]) + held_ma
    if fits_ma < min_ma or length_h <= 0:
        return 0
    offer_ma = demand.takes_ma(one.delivered_wh) if demand.taper else demand.max_ma
    needs_ma = (one.wants_wh - one.delivered_wh) / (length_h * one.wh_per_ma_h)
    if needs_ma < offer_ma:
        offer_ma = min(offer_ma, max(min_ma, -int(-needs_ma // step_ma) * step_ma))
    offer_ma = min(offer_ma, fits_ma) // step_ma * step_ma
    return offer_ma if offer_ma >= min_ma else 0
