"""The independent last look at a plan before it counts: it shares no code with what made it."""

from dataclasses import dataclass
from enum import StrEnum
from math import inf

from gateway.planning.problem import Demand, Plan, Problem


class Fault(StrEnum):
    """What can be wrong with a plan."""

    ROW_OVER = "a row carries more than it has"
    OUTSIDE_WINDOW = "a demand gets something outside its window"
    CURRENT = "a demand gets a current it cannot take"
    PLACE = "a demand draws at a connector that another has"
    PROMISE = "a promise is not kept"
    ENERGY = "the energy said is not that of the currents"
    FOREIGN = "it is no plan of this problem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """Something wrong with a plan: which demand or row, in which slot, by how much."""

    fault: Fault
    subject: str
    slot: int | None
    detail: str


def check(problem: Problem, plan: Plan) -> tuple[Violation, ...]:
    """Return everything wrong with a plan; a plan that counts has nothing.

    A promise may only be broken by the plan if what rows have does not carry it: what is
    promised must be delivered by the end of its window.
    """
    if not _is_of(problem, plan):
        foreign = Violation(fault=Fault.FOREIGN, subject="all", slot=None, detail="other slots")
        return (foreign,)
    found: list[Violation] = []
    for row, has_ma in enumerate(problem.available_ma):
        found += _row_faults(problem, plan, row, has_ma)
    for demand, currents_ma, delivered_wh in zip(
        problem.demands, plan.current_ma, plan.delivered_wh, strict=True
    ):
        found += _demand_faults(problem, demand, currents_ma, delivered_wh)
    return tuple(found + _place_faults(problem, plan))


def _is_of(problem: Problem, plan: Plan) -> bool:
    """Return whether a plan has the slots and as many demands as the problem."""
    count = len(problem.demands)
    return (
        plan.grid == problem.grid
        and len(plan.current_ma) == len(plan.delivered_wh) == count
        and all(len(of_slots) == problem.grid.slot_count for of_slots in plan.current_ma)
    )


def _row_faults(problem: Problem, plan: Plan, row: int, has_ma: tuple[int, ...]) -> list[Violation]:
    on_row = [plan.current_ma[at] for at, d in enumerate(problem.demands) if row in d.rows]
    found: list[Violation] = []
    if not on_row:
        return found
    for slot, (of_slot_ma, limit_ma) in enumerate(
        zip(zip(*on_row, strict=True), has_ma, strict=True)
    ):
        carries_ma = sum(of_slot_ma)
        if carries_ma > max(0, limit_ma):
            detail = f"{carries_ma} mA of {limit_ma} mA"
            found.append(
                Violation(fault=Fault.ROW_OVER, subject=f"row {row}", slot=slot, detail=detail)
            )
    return found


def _demand_faults(
    problem: Problem, demand: Demand, currents_ma: tuple[int, ...], delivered_wh: float
) -> list[Violation]:
    edges_s = problem.grid.edges_s
    found: list[Violation] = []
    summed_wh, started_s = 0.0, -inf
    for slot, current_ma in enumerate(currents_ma):
        begins_s, ends_s = edges_s[slot], edges_s[slot + 1]
        if not current_ma:
            continue
        if begins_s < demand.earliest_s or ends_s > demand.latest_s:
            found.append(_of(demand, Fault.OUTSIDE_WINDOW, slot, f"{current_ma} mA"))
        is_whole = current_ma % demand.step_ma == 0
        if not demand.min_ma <= current_ma <= demand.max_ma or not is_whole:
            found.append(_of(demand, Fault.CURRENT, slot, f"{current_ma} mA"))
        is_on_before = currents_ma[slot - 1] > 0 if slot else demand.is_drawing
        lasts_s = ends_s - begins_s
        if not is_on_before:
            started_s = begins_s
        # Of a start that takes longer than its slot the rest is lost in the next.
        lost_s = _lost_s(demand, current_ma, ends_s - started_s)
        lost_s -= _lost_s(demand, current_ma, begins_s - started_s)
        summed_wh = _after_wh(demand, summed_wh, current_ma, lasts_s - lost_s)
    if demand.energy_wh is not None:
        summed_wh = min(summed_wh, demand.energy_wh)
    if abs(summed_wh - delivered_wh) > 1.0:
        detail = f"{delivered_wh:.0f} Wh said, {summed_wh:.0f} Wh given"
        found.append(_of(demand, Fault.ENERGY, None, detail))
    if summed_wh < demand.promised_wh - 1.0:
        detail = f"{summed_wh:.0f} Wh of {demand.promised_wh:.0f} Wh"
        found.append(_of(demand, Fault.PROMISE, None, detail))
    return found


def _lost_s(demand: Demand, current_ma: int, lasts_s: float) -> float:
    """Return how much of the time since it a start takes off a current."""
    if lasts_s == inf:
        return 0.0
    until_full_s = demand.settling_s + current_ma / demand.ramp_ma_per_s
    if until_full_s <= lasts_s:
        return (demand.settling_s + until_full_s) / 2
    ramps_s = max(0.0, lasts_s - demand.settling_s)
    reaches_ratio = 0.0 if not ramps_s else ramps_s * demand.ramp_ma_per_s / current_ma
    return lasts_s - ramps_s * reaches_ratio / 2


def _after_wh(demand: Demand, before_wh: float, current_ma: int, lasts_s: float) -> float:
    """Return what a demand has had after a slot: it takes less and less where it tapers."""
    steps = sorted((from_wh, most_ma) for from_wh, most_ma in demand.taper)
    has_wh, left_s = before_wh, lasts_s
    while left_s > 0:
        caps_ma = [most_ma for from_wh, most_ma in steps if has_wh >= from_wh]
        flows_ma = min([current_ma, *caps_ma])
        if flows_ma <= 0:
            break
        wh_per_s = flows_ma / 1_000 * demand.voltage_v * demand.phase_count / 3_600
        next_wh = min((from_wh for from_wh, _ in steps if from_wh > has_wh), default=None)
        if next_wh is None or has_wh + wh_per_s * left_s < next_wh:
            return has_wh + wh_per_s * left_s
        left_s -= (next_wh - has_wh) / wh_per_s
        has_wh = next_wh
    return has_wh


def _place_faults(problem: Problem, plan: Plan) -> list[Violation]:
    """Return who draws at a connector beside or before somebody who came to it first."""
    queues: dict[str, list[tuple[float, int]]] = {}
    for at, demand in enumerate(problem.demands):
        queues.setdefault(demand.place, []).append((demand.earliest_s, at))
    found: list[Violation] = []
    for queue in queues.values():
        free_from, before = 0, ""
        for _, at in sorted(queue):
            demand = problem.demands[at]
            drawn = [slot for slot, current_ma in enumerate(plan.current_ma[at]) if current_ma]
            if not drawn:
                continue
            if drawn[0] < free_from:
                found.append(_of(demand, Fault.PLACE, drawn[0], f"before {before} is done"))
            free_from, before = max(free_from, drawn[-1] + 1), demand.key
    return found


def _of(demand: Demand, fault: Fault, slot: int | None, detail: str) -> Violation:
    return Violation(fault=fault, subject=demand.key, slot=slot, detail=detail)
