"""What an outlet could give a vehicle that comes at an instant: it starts, and later fills up."""

from dataclasses import replace

import numpy as np

from gateway.planning.room import Outlook


def coming(outlook: Outlook, at_s: float) -> tuple[float, Outlook]:
    """Return from when on energy flows to a vehicle that comes at an instant, and its outlook.

    It starts once there is anything for it. Where it is known to take less as it fills up, the
    outlook is that of this one vehicle: what it takes depends on what it has had.
    """
    outlet, edges_s = outlook.outlet, outlook.edges_s
    first = max(0, int(edges_s.searchsorted(at_s, side="right")) - 1)
    given = outlook.current_ma[first:] > 0
    wait = int(given.argmax()) if len(given) else 0
    begins_s = max(at_s, float(edges_s[first + wait])) + outlet.start_s
    return begins_s, _filling_up(outlook, begins_s) if outlet.taper else outlook


def _filling_up(outlook: Outlook, begins_s: float) -> Outlook:
    """Return the outlook of a vehicle to which energy flows from an instant on, and less and less.

    What is held for it goes down as the slowest of the scenarios does.
    """
    outlet = outlook.outlet
    edges_s = outlook.edges_s
    if edges_s[0] < begins_s < edges_s[-1]:
        edges_s = np.unique(np.append(edges_s, begins_s))
    slots = np.searchsorted(outlook.edges_s, edges_s[:-1], side="right") - 1
    hours, old_hours = np.diff(edges_s) / 3_600.0, np.diff(outlook.edges_s) / 3_600.0
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
    return replace(
        outlook,
        edges_s=edges_s,
        current_ma=held_ma,
        left_ma=outlook.left_ma[slots],
        energy_wh=summed_wh[0],
        path_energy_wh=summed_wh[1:],
        short_slots=np.flatnonzero(np.isin(slots, outlook.short_slots)),
        tightest_rows=outlook.tightest_rows[slots],
    )
