"""Whether promises are kept as often as they say, on real buildings in a year not tuned on.

Each building of the recordings (hourly loads; the second year is judged, the first is history, in
which the forecast learns how far off it is) feeds one large connector. At many hours a quote asks for everything in a window ahead, at 80, 90
and 95 %; the recorded load then says what could have been given. Only windows that bind in at least
one scenario are scored. The data are hourly: nothing is said about peaks within the hour.
"""

import time
from typing import Final

import numpy as np

from benchmarks._data import folder
from benchmarks._recorded_building import AVAILABLE_MA, SUPPLY_RATIO, Building, building_of
from gateway.planning.calibrate import Outcome, reliability
from gateway.planning.grid import even_grid
from gateway.planning.quote import Ask, quote
from gateway.planning.room import Outlet, Room
from gateway.services.foresight import Seen

LEVELS: Final = (0.8, 0.9, 0.95)
WINDOWS_H: Final = ((1, 4), (6, 4), (12, 8))  # From so many hours ahead, so many hours long.
EVERY_H: Final = 29
VOLTAGE_V: Final = 230.0
OUTLET_RATIO: Final = 0.35
OUTLET: Final = Outlet(
    key="outlet",
    rows=(0,),
    phase_count=3,
    voltage_v=VOLTAGE_V,
    max_ma=int(AVAILABLE_MA / SUPPLY_RATIO * OUTLET_RATIO) // 100 * 100,
    min_ma=100,
)


def measure() -> dict[str, object]:
    """Return promised and kept per window and level, and what per-slot quantiles would offer."""
    where = folder()
    if where is None:
        return {"left_out": "no recordings: name their folder in HEADROOM_DATA"}
    buildings = [building_of(file) for file in sorted(where.glob("building-load/*_2017.csv.gz"))]
    figures: dict[str, object] = {"buildings": len(buildings)}
    for ahead_h, long_h in WINDOWS_H:
        figures[f"{long_h} h from +{ahead_h} h"] = _scored(buildings, ahead_h, long_h)
    return figures


def _scored(buildings: list[Building], ahead_h: int, long_h: int) -> dict[str, object]:
    outcomes: dict[float, list[Outcome]] = {level: [] for level in LEVELS}
    offered_wh, by_slots_wh, took_s = 0.0, 0.0, 0.0
    horizon_h = ahead_h + long_h
    for building in buildings:
        for origin in range(building.first_hour, len(building.load_ma) - horizon_h, EVERY_H):
            began_s = time.process_time()
            seen = building.seen(origin, horizon_h)
            took_s += time.process_time() - began_s
            if not _binds(seen, ahead_h):
                continue
            given_wh = _given_wh(building, origin + ahead_h, long_h)
            room = _room_of(seen)
            for level in LEVELS:
                ask = Ask(
                    from_s=ahead_h * 3_600.0,
                    until_s=horizon_h * 3_600.0,
                    energy_wh=None,
                    confidence_ratio=level,
                )
                offers = quote(room, OUTLET, ask).offers
                promised_wh = offers[0].energy_wh if offers else 0.0
                said = offers[0].confidence_ratio if offers else 1.0
                outcomes[level].append(
                    Outcome(confidence_ratio=said, promised_wh=promised_wh, delivered_wh=given_wh)
                )
                offered_wh += promised_wh
                by_slots_wh += _by_slots_wh(seen, ahead_h, level)
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


def _binds(seen: Seen, ahead_h: int) -> bool:
    """Return whether in some scenario less is left than the outlet could give."""
    left_ma = AVAILABLE_MA - seen.paths_ma[:, ahead_h:]
    return bool((left_ma < OUTLET.max_ma).any())


def _room_of(seen: Seen) -> Room:
    """Return the room of a supply; its scenarios say how base may be otherwise than expected."""
    # What is planned is the least base of all scenarios: the confidence alone narrows an offer.
    planned_ma = seen.paths_ma.min(axis=0).astype(np.int64)
    return Room(
        version=1,
        grid=even_grid(len(planned_ma), 3_600.0),
        left_ma=AVAILABLE_MA - planned_ma[np.newaxis],
        base_paths_ma={0: seen.paths_ma - planned_ma},
    )


def _given_wh(building: Building, first: int, hours: int) -> float:
    left_ma = AVAILABLE_MA - building.load_ma[first : first + hours]
    given_ma = np.clip(left_ma, 0, OUTLET.max_ma)
    return OUTLET.power_w(float(given_ma.sum()))


def _by_slots_wh(seen: Seen, ahead_h: int, level: float) -> float:
    """Return what would be offered if each hour's load were taken at that quantile."""
    load_ma = np.quantile(seen.paths_ma[:, ahead_h:], level, axis=0)
    given_ma = np.clip(AVAILABLE_MA - load_ma, 0, OUTLET.max_ma)
    return OUTLET.power_w(float(given_ma.sum()))
