"""What the plan gives those who were promised nothing, as quotes see it, worked out once a plan."""

from collections.abc import Callable

from gateway.planning.book import Book
from gateway.planning.charging import Charging, charging_of
from gateway.planning.grid import Grid
from gateway.planning.standing_plan import StandingPlan

NOTHING = Charging()


class PlannedCharging:
    """The charging of the newest plan, in the slots of the newest book."""

    def __init__(self, plan_now: Callable[[], StandingPlan | None]) -> None:
        """Wire it; `plan_now` tells the plan that is gone by, if there is one."""
        self._plan_now = plan_now
        self._known: tuple[StandingPlan, float, Grid, Charging] | None = None

    def beside(self, book: Book) -> Charging:
        """Return what is planned beside the promises of a book."""
        plan, grid = self._plan_now(), book.room.grid
        if plan is None:
            return NOTHING
        known = self._known
        if known is not None and known[0] is plan and known[1:3] == (book.from_at_s, grid):
            return known[3]
        charging = charging_of(
            plan.problem.demands,
            plan.plan,
            grid=grid,
            begins_s=plan.from_at_s - book.from_at_s,
            promised=plan.promises,
        )
        self._known = plan, book.from_at_s, grid, charging
        return charging
