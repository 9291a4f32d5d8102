"""Has critical questions thought over by the planner's process, and never waits for it for long."""

import logging

from gateway.planning.rearranging import Rearranged, Rearranging
from gateway.ports import Clock
from gateway.services.planner_pipe import (
    PlannerBusyError,
    PlannerFailedError,
    PlannerPipe,
    Rest,
)
from gateway.services.planner_words import ToRearrange, rearranged_in

_log = logging.getLogger(__name__)

ANSWERS_WITHIN_S = 8.0
"""What the process may take to begin, to build and place, and for programs of `SOLVER_S` at most: one
mostly, of 0.02 s at 54 connectors and 0.5 s at 1,000, and four in all."""
PLANS_WITHIN_S = 5.0
"""How long it may be planning before it has time for a question: a plan takes seconds at most."""


class SecondThoughts:
    """Asks the process that plans what promises could make room for; nobody else's plan waits long."""

    def __init__(
        self, pipe: PlannerPipe, clock: Clock, *, answers_within_s: float = ANSWERS_WITHIN_S
    ) -> None:
        """Wire it; who asks here lets one question follow another."""
        self._pipe, self._rest = pipe, Rest(clock)
        self._answers_within_s = answers_within_s

    async def on(self, question: Rearranging) -> Rearranged | None:
        """Return what can be moved; None if nothing can, or there is no answer in time."""
        if self._rest.left_s:
            return None
        try:
            found = await self._pipe.answer(
                ToRearrange(question=question),
                rearranged_in,
                within_s=self._answers_within_s,
                turn_within_s=PLANS_WITHIN_S,
            )
        except PlannerBusyError:
            return None
        except PlannerFailedError as error:
            rests_s = self._rest.begin()
            _log.warning(
                "a critical question is not thought over, nor in %.0f s: %s", rests_s, error
            )
            return None
        self._rest.forget()
        return found
