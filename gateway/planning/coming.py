"""What an outlet could give a vehicle that comes: it starts, anew after each gap, and fills up."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gateway.planning.grid import HOUR_S, Grid
from gateway.planning.problem import Rectangle
from gateway.planning.room import Floats, Ints, Outlet, Outlook, cumulated

ROUNDING_S = 1e-6


def coming(outlet: Outlet, outlook: Outlook, at_s: float) -> tuple[float, Outlook]:
    """Return from when on energy flows to a vehicle that comes at an instant, and its outlook.

    It starts once there is anything for it, and again after each gap. Where it is known to take less
    as it fills up, the outlook is that of this one vehicle: what it takes depends on what it has had.
    """
    edges_s, current_ma, wait = outlook.grid.edges_s, outlook.current_ma, 0
    first = max(0, bisect_right(edges_s, at_s) - 1)
    if first < len(current_ma) and not current_ma.item(first):
        wait = int((current_ma[first:] > 0).argmax())
    starts_s = 0.0 if outlet.is_drawing and not wait else outlet.start_s
    begins_s = max(at_s, edges_s[first + wait]) + starts_s
    outlook = starting(outlet, outlook)
    return begins_s, _filling_up(outlet, outlook, begins_s) if outlet.taper else outlook


def starting(outlet: Outlet, outlook: Outlook) -> Outlook:
    """Return the outlook less what each start costs that follows a gap, as planned and in scenarios.

    It is worked out once for all outlets that are alike in it.
    """
    start_s = outlet.start_s
    if start_s not in outlook.of_starts:
        outlook.of_starts[start_s] = _after_gaps(outlook, start_s)
    return outlook.of_starts[start_s] or outlook


def along(outlet: Outlet, outlook: Outlook, envelope: Sequence[Rectangle]) -> Outlook:
    """Return the outlook of a vehicle that draws along an envelope, s from the plan's beginning.

    As planned it is given all of that which its outlet can give, in a scenario what is left of it.
    """
    ends_s = [edge_s for part in envelope for edge_s in (part.from_s, part.until_s)]
    edges_s, slots = _cut_at(outlook, ends_s)
    held_ma = np.zeros(len(slots), dtype=np.int64)
    for part in envelope:
        is_in = (edges_s[:-1] >= part.from_s) & (edges_s[:-1] < part.until_s)
        held_ma[is_in] = min(part.current_ma, outlet.max_ma)
    hours, held_w = np.diff(edges_s) / HOUR_S, outlet.power_w(1.0) * held_ma
    paths_w = np.diff(outlook.path_energy_wh) / (np.diff(outlook.edges_s) / HOUR_S)
    return _over(
        outlook,
        edges_s,
        slots,
        current_ma=held_ma,
        energy_wh=cumulated(held_w * hours),
        path_energy_wh=cumulated(np.minimum(paths_w[:, slots], held_w) * hours),
    )


def _after_gaps(outlook: Outlook, start_s: float) -> Outlook | None:
    """Return the outlook less what starts cost, None if no gap makes any."""
    if not start_s:
        return None
    old_s = outlook.edges_s
    energies_wh = np.concatenate((outlook.energy_wh[np.newaxis], outlook.path_energy_wh))
    gives = energies_wh[:, 1:] > energies_wh[:, :-1]
    if gives.all():
        return None
    starts = np.zeros(gives.shape, dtype=np.bool_)
    starts[:, 1:] = gives[:, 1:] & ~gives[:, :-1]
    # Mostly there is none: what flows is worked out only where one is.
    if not starts.any():
        return None
    gives_w = np.diff(energies_wh) / (np.diff(old_s) / HOUR_S)
    edges_s, slots = _cut_at(outlook, (old_s[:-1][starts.any(axis=0)] + start_s).tolist())
    started_s = np.maximum.accumulate(np.where(starts, old_s[:-1], -np.inf), axis=1)
    draws = edges_s[:-1] >= started_s[:, slots] + start_s - ROUNDING_S
    summed_wh = cumulated(np.where(draws, gives_w[:, slots], 0.0) * np.diff(edges_s) / HOUR_S)
    return _over(
        outlook,
        edges_s,
        slots,
        current_ma=outlook.current_ma[slots],
        energy_wh=summed_wh[0],
        path_energy_wh=summed_wh[1:],
    )


def _cut_at(outlook: Outlook, instants_s: Sequence[float]) -> tuple[Floats, Ints]:
    """Return the edges of an outlook with instants within it, and the slot each new slot is of."""
    old_s = outlook.edges_s
    within_s = [at_s for at_s in instants_s if old_s[0] < at_s < old_s[-1]]
    edges_s = np.union1d(old_s, np.array(within_s)) if within_s else old_s
    return edges_s, np.searchsorted(old_s, edges_s[:-1], side="right") - 1


def _over(
    outlook: Outlook,
    edges_s: Floats,
    slots: Ints,
    *,
    current_ma: Ints,
    energy_wh: Floats,
    path_energy_wh: Floats,
) -> Outlook:
    """Return an outlook in other slots, each of which is of an old one, with what is given in them."""
    # In the order of their slots, the short ones are those of the short ones before.
    short_slots = np.isin(slots, outlook.short_slots).nonzero()[0]
    were = outlook.short_slots.searchsorted(slots[short_slots])
    return replace(
        outlook,
        grid=Grid(edges_s=tuple(edges_s.tolist())),
        edges_s=edges_s,
        current_ma=current_ma,
        left_ma=outlook.left_ma[slots],
        energy_wh=energy_wh,
        path_energy_wh=path_energy_wh,
        short_slots=short_slots,
        tightest_rows=outlook.tightest_rows[were],
    )


def _filling_up(outlet: Outlet, outlook: Outlook, begins_s: float) -> Outlook:
    """Return the outlook of a vehicle to which energy flows from an instant on, and less and less.

    What is held for it goes down as the slowest of the scenarios does.
    """
    edges_s, slots = _cut_at(outlook, [begins_s])
    hours, old_hours = np.diff(edges_s) / HOUR_S, np.diff(outlook.edges_s) / HOUR_S
    energies_wh = np.concatenate((outlook.energy_wh[np.newaxis], outlook.path_energy_wh))
    offers_w = (np.diff(energies_wh) / old_hours)[:, slots]
    until_wh = np.array([*(from_wh for from_wh, _ in outlet.taper), np.inf])
    takes_ma = np.array([outlet.max_ma, *(most_ma for _, most_ma in outlet.taper)])
    takes_ma = np.minimum.accumulate(np.minimum(takes_ma, outlet.max_ma))
    takes_w = outlet.power_w(1.0) * takes_ma
    has_wh, at = np.zeros(len(offers_w)), np.zeros(len(offers_w), dtype=np.int64)
    summed_wh, held_ma = np.zeros((len(offers_w), len(edges_s))), outlook.current_ma[slots].copy()
    for slot in range(int(np.searchsorted(edges_s, begins_s)), len(hours)):
        left_h = np.full(len(offers_w), hours[slot])
        held_ma[slot] = min(held_ma[slot], takes_ma[at.min()])
        while True:
            flows_w = np.minimum(offers_w[:, slot], takes_w[at])
            to_next_wh = until_wh[at] - has_wh
            crosses = flows_w * left_h > to_next_wh
            lasts_h = np.divide(to_next_wh, flows_w, out=left_h.copy(), where=crosses)
            has_wh, left_h, at = has_wh + flows_w * lasts_h, left_h - lasts_h, at + crosses
            if not crosses.any():
                break
        summed_wh[:, slot + 1] = has_wh
    return _over(
        outlook,
        edges_s,
        slots,
        current_ma=held_ma,
        energy_wh=summed_wh[0],
        path_energy_wh=summed_wh[1:],
    )
