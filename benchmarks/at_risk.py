"""How long before a promise breaks its holder is told, and whether what is said on the way is true.

Each building of the recordings (hourly loads; the second year is judged) feeds one large connector. At many hours everything in
a window of eight hours, six hours ahead, is promised at 90 %. Hour by hour the promise is then looked
at with what is forecast by then and what was delivered, until its end; only promises that bind are
made. A promise that breaks is lost from the hour on in which nothing its connector could give until its end
would keep it; a warning of then or later is none. The data are hourly: a warning is as old as the hour it
was told at.

What is said of each promise at fixed times before its departure is put beside how many of those were
kept, by what was said: at each time each promise counts once. HEADROOM_BENCH=learning does so in the
first year, in which the reckoning may be tuned.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np

from benchmarks._data import Floats, folder, hourly_loads_kwh
from benchmarks._said_and_kept import said_and_kept, summed
from gateway.domain.circuits import (
    FASTEST_CURVE,
    ChargingStation,
    Circuit,
    Connector,
    OvercurrentDevice,
    Site,
)
from gateway.domain.electric import Phase
from gateway.domain.ids import CircuitId, ConnectorRef, StationId
from gateway.domain.needs import Criticality
from gateway.domain.promises import PromiseState, Reservation, Stretch
from gateway.planning.asking import Places
from gateway.planning.at_risk import standings
from gateway.planning.book import Book, opened
from gateway.planning.calibrate import KEPT_RATIO
from gateway.planning.chance import Standing
from gateway.planning.forecast import LoadHistory, forecast
from gateway.planning.grid import HOUR_S, even_grid
from gateway.planning.quote import Ask, quote

LEVEL: Final = 0.9
AHEAD_H, LONG_H = 6, 8
HISTORY_H: Final = 14 * 7 * 24
EVERY_H: Final = 29
LEADS_H: Final = (12, 6, 4, 2, 1)
VOLTAGE_V: Final = 230.0
SUPPLY_RATIO, OUTLET_RATIO = 1.05, 0.35
PLACE: Final = "CP-01/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Building:
    """Its load per phase in mA, hour by hour for two years, and its connector."""

    load_ma: Floats
    supply_ma: int
    places: Places


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    """Whether a promise was kept, and at which hours (None: never) what happened of it.

    At `told` its holder was told first that it is at risk, from `lost` on nothing could keep it.
    `said` is how sure it was said to be so many hours before its end, None where that was not known.
    """

    is_kept: bool
    ends: int
    told: int | None
    lost: int | None
    said: Mapping[int, float | None]

    @property
    def told_before_end_h(self) -> int | None:
        """Return how long before its end it was told, while it was not lost yet; None if not then."""
        if self.told is None or (self.lost is not None and self.told >= self.lost):
            return None
        return self.ends - self.told


def measure() -> dict[str, object]:
    """Return how many promises broke, how many of those were told, and how long before."""
    where = folder()
    if where is None:
        return {"left_out": "no recordings: name their folder in HEADROOM_DATA"}
    files = sorted(where.glob("building-load/*_2017.csv.gz"))
    outcomes = [outcome for file in files for outcome in _outcomes(_building(file))]
    broken = [outcome for outcome in outcomes if not outcome.is_kept]
    told = [outcome for outcome in outcomes if outcome.told is not None]
    before_h = [o.told_before_end_h for o in broken if o.told_before_end_h is not None]
    never = sum(outcome.told is None for outcome in broken)
    tables = {
        f"{lead_h} h before departure": said_and_kept((o.said[lead_h], o.is_kept) for o in outcomes)
        for lead_h in LEADS_H
    }
    return {
        "buildings": len(files),
        "promises": len(outcomes),
        "broken": len(broken),
        "broken_and_told_before_they_were_lost": round(len(before_h) / max(1, len(broken)), 3),
        "told_before_departure_h_median": median(before_h) if before_h else None,
        "told_before_departure_h_least": min(before_h, default=None),
        "told_once_they_were_lost": len(broken) - len(before_h) - never,
        "broken_and_never_told": never,
        "kept_all_the_same_of_those_told": round(
            sum(outcome.is_kept for outcome in told) / max(1, len(told)), 3
        ),
        "said_and_kept": tables,
        "said_and_kept_in_all": summed(tables.values()),
    }


def _building(first_year: Path) -> _Building:
    second_year = first_year.with_name(first_year.name.replace("_2017", "_2018"))
    loads_kwh = np.concatenate([hourly_loads_kwh(first_year), hourly_loads_kwh(second_year)])
    load_ma = np.nan_to_num(loads_kwh) * 1e6 / (3 * VOLTAGE_V)
    usual_ma = float(np.quantile(load_ma[: len(load_ma) // 2], 0.99))
    supply_ma = int(usual_ma * SUPPLY_RATIO)
    device = OvercurrentDevice.MCCB
    circuit = Circuit(
        id=CircuitId("supply"),
        parent=None,
        rating_ma=(supply_ma,) * 3,
        device=device,
        set_point_ratio=1.0,
        curve=FASTEST_CURVE[device],
        meter=None,
        worst_case_base_ma=(supply_ma,) * 3,
    )
    connector = Connector(
        ref=ConnectorRef(StationId("CP-01"), 1),
        circuit=circuit.id,
        phases=(Phase.L1, Phase.L2, Phase.L3),
        max_ma=int(usual_ma * OUTLET_RATIO) // 100 * 100,
        fallback_ma=0,
    )
    site = Site(
        name=first_year.stem,
        timezone="UTC",
        voltage_v=VOLTAGE_V,
        circuits=(circuit,),
        meters=(),
        loads=(),
        stations=(ChargingStation(id=connector.ref.station, connectors=(connector,)),),
    )
    return _Building(load_ma=load_ma, supply_ma=supply_ma, places=Places.of(site))


def _outcomes(building: _Building) -> list[_Outcome]:
    first, after = len(building.load_ma) // 2, len(building.load_ma)
    if os.environ.get("HEADROOM_BENCH") == "learning":
        first, after = HISTORY_H, first
    origins = range(first, after - AHEAD_H - LONG_H, EVERY_H)
    found = [_outcome(building, origin) for origin in origins]
    return [outcome for outcome in found if outcome is not None]


def _book(building: _Building, hour: int, hours: int, promise: Reservation | None) -> Book:
    """Return the book at an hour, with what is forecast by then."""
    history = LoadHistory(loads=building.load_ma[hour - HISTORY_H : hour], steps_a_day=24)
    seen = forecast(history, hours, worst_case=float(building.supply_ma))
    # What is planned is the least base of all scenarios: the confidence alone narrows an offer.
    planned_ma = np.floor(seen.paths.min(axis=0)).astype(np.int64)
    paths_ma = np.ceil(seen.paths).astype(np.int64) - planned_ma
    return opened(
        even_grid(hours, HOUR_S),
        np.repeat((building.supply_ma - planned_ma)[np.newaxis], 3, axis=0),
        from_at_s=hour * HOUR_S,
        promises={} if promise is None else {promise.id: promise},
        base_paths_ma=dict.fromkeys(range(3), paths_ma),
    )


def _promise(building: _Building, origin: int) -> Reservation | None:
    """Return what is promised at an hour; None where nothing is, or anybody would keep it."""
    book = _book(building, origin, AHEAD_H + LONG_H, None)
    outlet = building.places.outlet(PLACE, phase_count=None, max_power_w=None)
    least_ma = book.room.left_ma[0, AHEAD_H:] - book.room.base_paths_ma[0][:, AHEAD_H:].max(axis=0)
    ask = Ask(
        from_s=AHEAD_H * HOUR_S,
        until_s=(AHEAD_H + LONG_H) * HOUR_S,
        energy_wh=None,
        confidence_ratio=LEVEL,
    )
    offers = quote(book.room, outlet, ask).offers
    if not offers or (least_ma >= outlet.max_ma).all():
        return None
    envelope = tuple(
        Stretch(
            from_at_s=book.from_at_s + AHEAD_H * HOUR_S + at * HOUR_S,
            until_at_s=book.from_at_s + AHEAD_H * HOUR_S + (at + 1) * HOUR_S,
            current_ma=outlet.max_ma,
        )
        for at in range(LONG_H)
    )
    return Reservation(
        id="p",
        place=PLACE,
        rows=outlet.rows,
        envelope=envelope,
        energy_wh=int(offers[0].energy_wh),
        guaranteed_wh=int(offers[0].energy_wh),
        confidence_ratio=offers[0].confidence_ratio,
        criticality=Criticality.NORMAL,
        state=PromiseState.CONFIRMED,
        hold_until_at_s=0.0,
        max_ma=outlet.max_ma,
    )


def _outcome(building: _Building, origin: int) -> _Outcome | None:
    """Live through a promise hour by hour."""
    promise = _promise(building, origin)
    if promise is None:
        return None
    told, lost, said = None, None, dict[int, float | None]()
    end = origin + AHEAD_H + LONG_H
    most_wh = building.places.at(PLACE, 3).power_w(promise.max_ma or 0)
    for hour in range(origin + 1, end):
        if hour > origin + AHEAD_H:
            given_wh = _given_wh(building, promise, hour - 1)
            promise = replace(
                promise,
                state=PromiseState.ARRIVED,
                arrived_at_s=promise.from_at_s,
                delivered_wh=promise.delivered_wh + given_wh,
            )
        standing = _standing(building, hour, end - hour, promise)
        said[end - hour] = standing.known_ratio
        if standing.is_at_risk and told is None:
            told = hour
        there_h = min(LONG_H, end - hour)
        can_wh = promise.delivered_wh + most_wh * there_h
        if lost is None and can_wh < KEPT_RATIO * promise.energy_wh:
            lost = hour
    delivered_wh = promise.delivered_wh + _given_wh(building, promise, end - 1)
    is_kept = delivered_wh >= KEPT_RATIO * promise.energy_wh
    if not is_kept and lost is None:
        lost = end
    return _Outcome(is_kept=is_kept, ends=end, told=told, lost=lost, said=said)


def _given_wh(building: _Building, promise: Reservation, hour: int) -> float:
    """Return what a vehicle is given in an hour, by the load there really was."""
    outlet = building.places.at(PLACE, 3)
    left_ma = building.supply_ma - building.load_ma[hour]
    could_wh = outlet.power_w(float(np.clip(left_ma, 0, outlet.max_ma)))
    return min(could_wh, promise.energy_wh - promise.delivered_wh)


def _standing(building: _Building, hour: int, hours: int, promise: Reservation) -> Standing:
    book = _book(building, hour, hours, promise)
    (found,) = standings(book, building.places, now_s=hour * HOUR_S)
    return found
