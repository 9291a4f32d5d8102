"""The plan that is always there: promises first, then by class, inside a class by least laxity.

Least laxity first serves, slot after slot, whom waiting would hurt soonest (laxity: the time
left less the time still needed at full power).
"""

from dataclasses import dataclass, field

from gateway.domain.needs import Objective
from gateway.planning.problem import Demand, Plan, Problem, plan_of


@dataclass(slots=True)
class _Going:
    """A demand while it is planned for."""

    demand: Demand
    at: int
    slots: range
    held_ma: dict[int, int] = field(default_factory=dict)
    """Slot -> what was promised it there, kept from everybody else until it is not needed."""
    delivered_wh: float = 0.0
    held_wh: float = 0.0


def greedy(problem: Problem) -> Plan:
    """Return a plan in which every current fits every row; nobody is promised more than fits."""
    grid, hours = problem.grid, problem.grid.hours
    left_ma = [list(of_slots) for of_slots in problem.available_ma]
    current_ma = [[0] * grid.slot_count for _ in problem.demands]
    going = [
        _Going(demand, at, grid.slots_within(demand.earliest_s, demand.latest_s))
        for at, demand in enumerate(problem.demands)
    ]
    for one in sorted(going, key=lambda g: (g.demand.rank, g.demand.earliest_s, g.at)):
        _hold(one, problem, left_ma)
    starts: list[list[_Going]] = [[] for _ in range(grid.slot_count)]
    for one in going:
        if len(one.slots):
            starts[one.slots.start].append(one)
    active: list[_Going] = []
    for slot in range(grid.slot_count):
        active = [one for one in active if slot < one.slots.stop and not _is_done(one)]
        active += starts[slot]
        now_s, length_h = grid.edges_s[slot], hours[slot]
        for one in _one_at_a_place(sorted(active, key=lambda g: _turn(g, now_s))):
            given_ma = _offer_ma(one, slot, length_h, left_ma)
            held_ma = one.held_ma.pop(slot, 0)
            for row in one.demand.rows:
                left_ma[row][slot] += held_ma - given_ma
            one.held_wh -= held_ma * length_h * one.demand.wh_per_ma_h
            current_ma[one.at][slot] = given_ma
            one.delivered_wh += given_ma * length_h * one.demand.wh_per_ma_h
            if _is_done(one):
                _release(one, left_ma)
    return plan_of(problem, current_ma)


def _hold(one: _Going, problem: Problem, left_ma: list[list[int]]) -> None:
    """Keep what was promised a demand from everybody else, as far as it is there."""
    demand, hours = one.demand, problem.grid.hours
    for rectangle in demand.committed:
        for slot in problem.grid.slots_within(rectangle.from_s, rectangle.until_s):
            if slot not in one.slots:
                continue
            fits_ma = min([left_ma[row][slot] for row in demand.rows])
            held_ma = max(0, min(rectangle.current_ma, fits_ma)) // demand.step_ma * demand.step_ma
            if held_ma < demand.min_ma or slot in one.held_ma:
                continue
            one.held_ma[slot] = held_ma
            one.held_wh += held_ma * hours[slot] * demand.wh_per_ma_h
            for row in demand.rows:
                left_ma[row][slot] -= held_ma


def _release(one: _Going, left_ma: list[list[int]]) -> None:
    """Give back what is held for a demand that has all it wants."""
    for slot, held_ma in one.held_ma.items():
        for row in one.demand.rows:
            left_ma[row][slot] += held_ma
    one.held_ma.clear()
    one.held_wh = 0.0


def _is_done(one: _Going) -> bool:
    energy_wh = one.demand.energy_wh
    return energy_wh is not None and one.delivered_wh >= energy_wh - 1.0


def _turn(one: _Going, now_s: float) -> tuple[int, int, float, float, int]:
    """Return what a demand is served by: promises, class, laxity, who came first."""
    demand = one.demand
    is_promised = bool(demand.promised_wh) and one.delivered_wh < demand.promised_wh
    return (
        0 if is_promised else 1,
        demand.rank,
        _laxity_s(one, now_s),
        demand.earliest_s,
        one.at,
    )


def _laxity_s(one: _Going, now_s: float) -> float:
    """Return how long a demand could wait; 0 for one that wants all it can get as soon as it can."""
    demand = one.demand
    if demand.objective is Objective.FASTEST or demand.energy_wh is None:
        return 0.0
    power_w = demand.takes_ma(one.delivered_wh) * demand.wh_per_ma_h
    needs_s = (demand.energy_wh - one.delivered_wh) / power_w * 3_600.0
    return demand.latest_s - now_s - needs_s


def _one_at_a_place(in_turn: list[_Going]) -> list[_Going]:
    """Return the demands without those that stand behind another one at their connector."""
    first: dict[str, _Going] = {}
    for one in in_turn:
        known = first.get(one.demand.place)
        if known is None or (one.demand.earliest_s, one.at) < (known.demand.earliest_s, known.at):
            first[one.demand.place] = one
    return [one for one in in_turn if first[one.demand.place] is one]


def _offer_ma(one: _Going, slot: int, length_h: float, left_ma: list[list[int]]) -> int:
    """Return what a demand gets in a slot: what it takes, still needs, and fits, in whole steps."""
    demand, held_ma = one.demand, one.held_ma.get(slot, 0)
    offer_ma = demand.takes_ma(one.delivered_wh)
    if demand.energy_wh is not None:
        needs_wh = demand.energy_wh - one.delivered_wh
        needs_ma = needs_wh / (length_h * demand.wh_per_ma_h)
        offer_ma = min(
            offer_ma, max(demand.min_ma, -int(-needs_ma // demand.step_ma) * demand.step_ma)
        )
    for row in demand.rows:
        offer_ma = min(offer_ma, left_ma[row][slot] + held_ma)
    offer_ma = offer_ma // demand.step_ma * demand.step_ma
    return offer_ma if offer_ma >= demand.min_ma else 0
