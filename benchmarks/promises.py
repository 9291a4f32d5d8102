"""Whether promises are kept as often as they say, on real buildings in a year not tuned on.

Each building of the recordings (hourly loads; the second year is judged, the first is history)
feeds one large connector. At many hours a quote asks for everything in a window ahead, at 80, 90
and 95 %; the recorded load then says what could have been given. Only windows that bind in at least
one scenario are scored. The data are hourly: nothing is said about peaks within the hour.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks._data import Floats, folder, hourly_loads_kwh
from gateway.planning.calibrate import Outcome, reliability
from gateway.planning.forecast import Forecast, LoadHistory, forecast
from gateway.planning.grid import even_grid
from gateway.planning.quote import Ask, quote
from gateway.planning.room import Outlet, Room

LEVELS: Final = (0.8, 0.9, 0.95)
WINDOWS_H: Final = ((1, 4), (6, 4), (12, 8))  # From so many hours ahead, so many hours long.
HISTORY_H: Final = 14 * 7 * 24
EVERY_H: Final = 29
VOLTAGE_V: Final = 230.0
SUPPLY_RATIO: Final = 1.05  # Of the 99 % quantile of the year before.
OUTLET_RATIO: Final = 0.35


@dataclass(frozen=True, slots=True, kw_only=True)
class _Building:
    """Its load per phase in mA, hour by hour for two years, and what its supply allows."""

    load_ma: Floats
    supply_ma: int
    outlet: Outlet


def measure() -> dict[str, object]:
    """Return promised and kept per window and level, and what per-slot quantiles would offer."""
    where = folder()
    if where is None:
        return {"left_out": "no recordings: name their folder in HEADROOM_DATA"}
    buildings = [_building(file) for file in sorted(where.glob("building-load/*_2017.csv.gz"))]
    figures: dict[str, object] = {"buildings": len(buildings)}
    for ahead_h, long_h in WINDOWS_H:
        figures[f"{long_h} h from +{ahead_h} h"] = _scored(buildings, ahead_h, long_h)
    return figures


def _building(first_year: Path) -> _Building:
    second_year = first_year.with_name(first_year.name.replace("_2017", "_2018"))
    loads_kwh = np.concatenate([hourly_loads_kwh(first_year), hourly_loads_kwh(second_year)])
    load_ma = np.nan_to_num(loads_kwh) * 1e6 / (3 * VOLTAGE_V)
    usual_ma = float(np.quantile(load_ma[: len(load_ma) // 2], 0.99))
    outlet = Outlet(
        key=first_year.stem,
        rows=(0,),
        phase_count=3,
        voltage_v=VOLTAGE_V,
        max_ma=int(usual_ma * OUTLET_RATIO) // 100 * 100,
        min_ma=100,
    )
    return _Building(load_ma=load_ma, supply_ma=int(usual_ma * SUPPLY_RATIO), outlet=outlet)


def _scored(buildings: list[_Building], ahead_h: int, long_h: int) -> dict[str, object]:
    outcomes: dict[float, list[Outcome]] = {level: [] for level in LEVELS}
    offered_wh, by_slots_wh, took_s = 0.0, 0.0, 0.0
    horizon_h = ahead_h + long_h
    for building in buildings:
        for origin in range(len(building.load_ma) // 2, len(building.load_ma) - horizon_h, EVERY_H):
            began_s = time.process_time()
            history = LoadHistory(
                loads=building.load_ma[origin - HISTORY_H : origin], steps_a_day=24
            )
            seen = forecast(history, horizon_h, worst_case=float(building.supply_ma))
            took_s += time.process_time() - began_s
            if not _binds(building, seen, ahead_h):
                continue
            given_wh = _given_wh(building, origin + ahead_h, long_h)
            room = _room_of(building, seen)
            for level in LEVELS:
                ask = Ask(
                    from_s=ahead_h * 3_600.0,
                    until_s=horizon_h * 3_600.0,
                    energy_wh=None,
                    confidence_ratio=level,
                )
                offers = quote(room, building.outlet, ask).offers
                promised_wh = offers[0].energy_wh if offers else 0.0
                said = offers[0].confidence_ratio if offers else 1.0
                outcomes[level].append(
                    Outcome(confidence_ratio=said, promised_wh=promised_wh, delivered_wh=given_wh)
                )
                offered_wh += promised_wh
                by_slots_wh += _by_slots_wh(building, seen, ahead_h, level)
    rows: dict[str, object] = {f"asked {level:g}": _row(outcomes[level]) for level in LEVELS}
    rows["energy_against_quantiles_per_slot"] = round(offered_wh / by_slots_wh, 3)
    rows["forecast_ms"] = round(took_s * 1_000 / max(1, sum(map(len, outcomes.values())) / 3), 3)
    return rows


def _row(made: list[Outcome]) -> dict[str, float]:
    (scored,) = reliability(made, (0.9,))
    return {
        "promises": scored.count,
        "promised": round(scored.promised_ratio, 3),
        "kept": round(scored.kept_ratio, 3),
        "kept_low_95": round(scored.low_ratio, 3),
        "kept_high_95": round(scored.high_ratio, 3),
    }


def _binds(building: _Building, seen: Forecast, ahead_h: int) -> bool:
    """Return whether in some scenario less is left than the outlet could give."""
    left_ma = building.supply_ma - seen.paths[:, ahead_h:]
    return bool((left_ma < building.outlet.max_ma).any())


def _room_of(building: _Building, seen: Forecast) -> Room:
    """Return the room of a supply; its scenarios say how base may be otherwise than expected."""
    # What is planned is the least base of all scenarios: the confidence alone narrows an offer.
    planned_ma = np.floor(seen.paths.min(axis=0)).astype(np.int64)
    return Room(
        version=1,
        grid=even_grid(len(planned_ma), 3_600.0),
        left_ma=building.supply_ma - planned_ma[np.newaxis],
        base_paths_ma={0: np.ceil(seen.paths).astype(np.int64) - planned_ma},
    )


def _given_wh(building: _Building, first: int, hours: int) -> float:
    left_ma = building.supply_ma - building.load_ma[first : first + hours]
    given_ma = np.clip(left_ma, 0, building.outlet.max_ma)
    return building.outlet.power_w(float(given_ma.sum()))


def _by_slots_wh(building: _Building, seen: Forecast, ahead_h: int, level: float) -> float:
    """Return what would be offered if each hour's load were taken at that quantile."""
    load_ma = np.quantile(seen.paths[:, ahead_h:], level, axis=0)
    given_ma = np.clip(building.supply_ma - load_ma, 0, building.outlet.max_ma)
    return building.outlet.power_w(float(given_ma.sum()))
