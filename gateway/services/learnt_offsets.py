"""How far each row's scenarios are to be shifted, learnt of what came after each forecast."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from gateway.planning.forecast import moved_offset
from gateway.services.base_load import STEPS_A_DAY
from gateway.services.foresight import PLANNED_RATIO, Foresight, Words

LEADS_H = (2, 6, 24)
"""So long ahead forecasts are compared with what came."""


class LearntOffsets:
    """The offset of each row (`gateway.planning.forecast.moved_offset`): `of_rows`."""

    def __init__(self, of_rows: Mapping[int, float], *, steps_a_day: int = STEPS_A_DAY) -> None:
        """Begin with what was learnt before; forecasts are of so many steps a day."""
        self.of_rows = dict(of_rows)
        self._steps_a_day = steps_a_day
        self._leads = [lead_h * steps_a_day // 24 for lead_h in LEADS_H]
        # What is planned and no scenarios: of 60 rows those of a day would be hundreds of MB.
        self._said: dict[int, dict[int, tuple[Words, NDArray[np.bool_]]]] = {}

    def say(self, seen: Foresight) -> None:
        """Keep what is said of base, to compare it with what comes; what was said first stays."""
        self._said.setdefault(
            seen.from_step,
            {row: (of_row.planned_ma, of_row.is_known) for row, of_row in seen.rows.items()},
        )
        for step in [step for step in self._said if step < seen.from_step - self._leads[-1]]:
            del self._said[step]

    def learn(self, step: int, came_ma: Mapping[int, float]) -> None:
        """Compare a step that is over with what was said of it; only what was known of it learns."""
        for lead in self._leads:
            said = self._said.get(step - lead, {})
            for row in said.keys() & came_ma.keys():
                planned_ma, is_known = said[row]
                if not is_known[lead]:
                    continue
                self.of_rows[row] = moved_offset(
                    self.of_rows[row],
                    is_over=came_ma[row] > planned_ma[lead],
                    level_ratio=PLANNED_RATIO,
                    steps_a_day=self._steps_a_day,
                )
