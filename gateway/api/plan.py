"""The plan that is gone by, as the API tells it: who is meant to be given what, and when."""

from collections.abc import Iterator
from typing import Literal

from pydantic import AwareDatetime

from gateway.api.models import Answer, Step
from gateway.api.translating import instant, place_of
from gateway.domain.access import Access
from gateway.domain.electric import power_w as power_of
from gateway.domain.needs import Criticality
from gateway.domain.promises import Reservation
from gateway.planning.problem import Demand
from gateway.planning.standing_plan import StandingPlan


class PlannedView(Answer):
    """What one vehicle, or one reservation, is meant to be given; control may give more or less.

    `reservation_id` is told to whom it was promised to and to operators. `energy_wh` is what the plan
    gives of `wanted_wh` (None: all there is) by `until_at`; `short_wh` is what is missing of that, or
    of what was promised.
    """

    connector: str | None
    circuit: str | None
    reservation_id: str | None
    is_promised: bool
    criticality: Criticality
    from_at: AwareDatetime
    until_at: AwareDatetime
    wanted_wh: int | None
    energy_wh: int
    short_wh: int
    profile: list[Step]


class PlanView(Answer):
    """The plan: `made_by` is `nobody` while nobody wants anything, and there is none."""

    at: AwareDatetime
    made_by: Literal["worker", "greedy", "nobody"]
    made_at: AwareDatetime | None
    planned: list[PlannedView]


def plan_view(plan: StandingPlan | None, access: Access, at: AwareDatetime) -> PlanView:
    """Return the plan as `access` may see it."""
    if plan is None:
        return PlanView(at=at, made_by="nobody", made_at=None, planned=[])
    edges_s = [plan.from_at_s + edge_s for edge_s in plan.plan.grid.edges_s]
    planned = [_planned(plan, at, edges_s, access) for at in range(len(plan.problem.demands))]
    return PlanView(
        at=at, made_by=plan.origin.value, made_at=instant(plan.from_at_s), planned=planned
    )


def _planned(plan: StandingPlan, at: int, edges_s: list[float], access: Access) -> PlannedView:
    demand = plan.problem.demands[at]
    promise = plan.promises.get(demand.key)
    connector, circuit = place_of(demand.place)
    return PlannedView(
        connector=connector,
        circuit=circuit,
        reservation_id=demand.key if promise is not None and _may_see(access, promise) else None,
        is_promised=promise is not None,
        criticality=tuple(Criticality)[demand.rank],
        from_at=instant(plan.from_at_s + demand.earliest_s),
        until_at=instant(plan.from_at_s + demand.latest_s),
        wanted_wh=None if demand.energy_wh is None else int(demand.energy_wh),
        energy_wh=int(plan.plan.delivered_wh[at]),
        short_wh=int(_short_wh(plan, at)),
        profile=list(_steps(plan.plan.current_ma[at], edges_s, demand)),
    )


def _short_wh(plan: StandingPlan, at: int) -> float:
    """Return what is missing of what a vehicle wants, or of what it was promised."""
    demand = plan.problem.demands[at]
    if demand.key in plan.promises or demand.energy_wh is None:
        return plan.short_wh.get(demand.key, 0.0)
    short_wh = demand.energy_wh - plan.plan.delivered_wh[at]
    return short_wh if short_wh >= 1.0 else 0.0


def _may_see(access: Access, promise: Reservation) -> bool:
    return access.sees_all or promise.holder == access.name


def _steps(currents_ma: tuple[int, ...], edges_s: list[float], demand: Demand) -> Iterator[Step]:
    """Yield where the power changes; before the first step and after the last there is none."""
    before_w = 0
    for begins_s, current_ma in zip(edges_s, (*currents_ma, 0), strict=True):
        power_w = power_of(current_ma, voltage_v=demand.voltage_v, phase_count=demand.phase_count)
        if power_w != before_w:
            yield Step(start_at=instant(begins_s), power_w=power_w)
        before_w = power_w
