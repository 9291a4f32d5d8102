"""Tells control when a circuit's calendar lowers its rating, and what planning may count on until then."""

from collections.abc import Iterable
from datetime import datetime, timedelta, tzinfo
from itertools import pairwise

import numpy as np

from gateway.control.wiring import Wiring
from gateway.domain.circuits import Circuit
from gateway.domain.electric import PerPhase
from gateway.domain.events import ConstraintLifted, ConstraintSet
from gateway.domain.limits import Authority, Constraint
from gateway.domain.moments import FIRST_BELIEVABLE_YEAR
from gateway.domain.rating_calendar import edges_between, lower_of, lowest_rating, rating_at
from gateway.planning.grid import Grid
from gateway.planning.room import Ints
from gateway.ports import Clock, Post

SOURCE = "calendar"
AHEAD = timedelta(seconds=30)
"""A lower rating is told so much before it holds: vehicles must have obeyed by then."""


class CalendarRatings:
    """Posts the limit that each circuit's calendar asks for, as often as it changes."""

    def __init__(
        self,
        circuits: Iterable[Circuit],
        zone: tzinfo,
        *,
        clock: Clock,
        post: Post,
        standing: Iterable[Constraint] = (),
        steady_clock: Clock | None = None,
    ) -> None:
        """Take the site; `standing` are limits that were remembered, some of them ours.

        While `steady_clock` has another time than the wall clock the lower rating of both holds.
        """
        self._circuits = tuple(circuits)
        self._zone, self._clock, self._post = zone, clock, post
        self._clocks = (clock,) if steady_clock is None else (clock, steady_clock)
        self._told = {c.subject: c for c in standing if c.source == SOURCE}

    def look(self) -> None:
        """Post what has changed; to be called each second. Never waits, never raises."""
        now_s, instants = self._clock.monotonic_s(), [clock.now_at() for clock in self._clocks]
        for circuit in self._circuits:
            told, wanted = self._told.get(circuit.id), self._wanted(circuit, instants)
            if wanted == told:
                continue
            if wanted is not None:
                self._told[circuit.id] = wanted
                self._post(ConstraintSet(at_s=now_s, constraint=wanted))
            elif told is not None:
                del self._told[circuit.id]
                self._post(ConstraintLifted(at_s=now_s, constraint=told))

    def _wanted(self, circuit: Circuit, instants: Iterable[datetime]) -> Constraint | None:
        if not circuit.ratings:
            return None
        now_ma = rating_ma = circuit.rating_ma
        for now_at in instants:
            at_ma, soon_ma = self._ratings(circuit, now_at)
            now_ma, rating_ma = lower_of(now_ma, at_ma), lower_of(rating_ma, soon_ma)
        if rating_ma == circuit.rating_ma:
            return None
        return Constraint(
            subject=circuit.id,
            limit_ma=circuit.set_point_of(rating_ma),
            authority=Authority.SITE,
            source=SOURCE,
            rating_ma=now_ma,
        )

    def _ratings(self, circuit: Circuit, now_at: datetime) -> tuple[PerPhase, PerPhase]:
        """Return the rating at an instant, and the lowest of that and what soon follows."""
        if now_at.year < FIRST_BELIEVABLE_YEAR:  # Nobody knows what the calendar says.
            lowest_ma = lowest_rating(circuit.rating_ma, circuit.ratings)
            return lowest_ma, lowest_ma
        now_ma, _ = rating_at(circuit.rating_ma, circuit.ratings, now_at.astimezone(self._zone))
        soon_at = (now_at + AHEAD).astimezone(self._zone)
        soon_ma, _ = rating_at(circuit.rating_ma, circuit.ratings, soon_at)
        return now_ma, lower_of(now_ma, soon_ma)


def rating_edges(wiring: Wiring, zone: tzinfo, since_at_s: float, until_at_s: float) -> list[float]:
    """Return the epoch seconds between two at which some circuit's rating changes, in order."""
    ratings = [one for circuit in wiring.circuits for one in circuit.ratings]
    return list(edges_between(ratings, zone, since_at_s, until_at_s)) if ratings else []


def calendar_bounds_ma(wiring: Wiring, zone: tzinfo, grid: Grid, from_at_s: float) -> Ints | None:
    """Return per row and slot the lowest set-point the calendars lead to; None where there are none.

    The grid begins at the epoch second `from_at_s`.
    """
    if not any(circuit.ratings for circuit in wiring.circuits):
        return None
    edges_s = np.array(grid.edges_s) + from_at_s
    bounds_ma: Ints = np.repeat(
        np.array(wiring.set_point_ma, dtype=np.int64)[:, np.newaxis], grid.slot_count, axis=1
    )
    last_s = float(edges_s[-1])
    for at, circuit in enumerate(wiring.circuits):
        changes_s = edges_between(circuit.ratings, zone, from_at_s, last_s)
        for begins_s, ends_s in pairwise((from_at_s, *changes_s, last_s)):
            # A second in: at the edge itself a clock of minutes may still show the one before.
            local = datetime.fromtimestamp(min(begins_s + 1.0, ends_s), zone)
            rating_ma, _ = rating_at(circuit.rating_ma, circuit.ratings, local)
            first = int(np.searchsorted(edges_s, begins_s, side="right")) - 1
            last = int(np.searchsorted(edges_s, ends_s, side="left"))
            of_slots = bounds_ma[3 * at : 3 * at + 3, max(0, first) : last]
            set_point_ma = np.array(circuit.set_point_of(rating_ma))[:, np.newaxis]
            np.minimum(of_slots, set_point_ma, out=of_slots)
    return bounds_ma
