"""The plan that is gone by: who made it, of what, and what of the promises it cannot give."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from gateway.domain.promises import Reservation
from gateway.planning.problem import Plan, Problem


class Origin(StrEnum):
    """Who made a plan."""

    WORKER = "worker"
    GREEDY = "greedy"


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingPlan:
    """A plan that was checked, with the problem it answers; it begins at the epoch second.

    Demands are keyed by the promise they are of, in `promises`, or by the connector of a vehicle
    that wants more, or was promised nothing. `short_wh` tells by promise what it is given less
    than it is owed, but for what it is owed in parts of slots.
    """

    origin: Origin
    from_at_s: float
    problem: Problem
    plan: Plan
    promises: Mapping[str, Reservation]
    short_wh: Mapping[str, float]

    def over_at(self, now_s: float) -> set[str]:
        """Return the keys of the demands whose time is over at an epoch second."""
        since_s = now_s - self.from_at_s
        return {demand.key for demand in self.problem.demands if demand.latest_s <= since_s}
