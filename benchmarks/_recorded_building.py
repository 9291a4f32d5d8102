"""A recorded building on one supply, and what the daemon would have forecast of it at any hour."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks._data import Floats, hourly_loads_kwh
from benchmarks._promised_building import RATING_MA
from gateway.control.parameters import ControlParameters
from gateway.domain.circuits import SET_POINT_RATIO, OvercurrentDevice
from gateway.planning.forecast import LoadHistory
from gateway.services.foresight import Foresight, Seen, Watched, foresee
from gateway.services.learnt_offsets import LEADS_H, LearntOffsets

HISTORY_H: Final = 14 * 7 * 24
SUPPLY_RATIO: Final = 1.05  # Of the 99 % quantile of the year before.
SUPPLY_ROW: Final = 0
PARAMETERS: Final = ControlParameters()
RESERVE_MA: Final = int(RATING_MA * PARAMETERS.reserve_floor_ratio)
AVAILABLE_MA: Final = int(RATING_MA * SET_POINT_RATIO[OvercurrentDevice.MCCB]) - RESERVE_MA


@dataclass(frozen=True, slots=True, kw_only=True)
class Building:
    """Its load per phase in mA, hour by hour for two years, scaled to the supply.

    `offsets_ratio` tells what was learnt by an hour of how far off forecasts are.
    """

    name: str
    load_ma: Floats
    offsets_ratio: Mapping[int, float] = field(default_factory=dict)

    @property
    def first_hour(self) -> int:
        """Return where the year that is judged begins."""
        return len(self.load_ma) // 2

    def seen(self, hour: int, hours: int) -> Seen:
        """Return what was forecast at an hour, as the daemon forecasts it."""
        return self._foresight(hour, hours, self.offsets_ratio.get(hour, 0.0)).rows[SUPPLY_ROW]

    def learnt(self) -> "Building":
        """Return it with what is learnt of its forecasts from hour to hour, as the daemon learns."""
        offsets = LearntOffsets({SUPPLY_ROW: 0.0}, steps_a_day=24)
        of_hours = dict[int, float]()
        for hour in range(HISTORY_H, len(self.load_ma)):
            offsets.learn(hour - 1, {SUPPLY_ROW: float(self.load_ma[hour - 1])})
            of_hours[hour] = offsets.of_rows[SUPPLY_ROW]
            offsets.say(self._foresight(hour, max(LEADS_H) + 1, of_hours[hour]))
        return replace(self, offsets_ratio=of_hours)

    def _foresight(self, hour: int, hours: int, offset: float) -> Foresight:
        past_a = self.load_ma[hour - HISTORY_H : hour] / 1_000
        watched = Watched(
            row=SUPPLY_ROW,
            history=LoadHistory(loads=past_a, steps_a_day=24),
            worst_a=AVAILABLE_MA / 1_000,
            offset=offset,
        )
        return foresee([watched], hour, hours)


def building_of(first_year: Path) -> Building:
    """Return a building of the recordings, scaled so that its supply just carries it, and learnt."""
    second_year = first_year.with_name(first_year.name.replace("_2017", "_2018"))
    loads = np.concatenate([hourly_loads_kwh(first_year), hourly_loads_kwh(second_year)])
    loads = np.nan_to_num(loads)
    usual = float(np.quantile(loads[: len(loads) // 2], 0.99))
    load_ma = loads * (AVAILABLE_MA / (SUPPLY_RATIO * usual))
    return Building(name=first_year.stem, load_ma=load_ma).learnt()
