"""What base will be on every row that has been watched for weeks, as scenarios on any grid."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gateway.planning.forecast import LoadHistory, forecast
from gateway.planning.grid import Grid
from gateway.planning.room import Ints
from gateway.services.base_load import STEPS_A_DAY, BaseLoad

HORIZON_STEPS = 2 * STEPS_A_DAY + 4
"""Two days from the half hour that has begun, and a little."""

MAX_SCENARIOS = 100
PLANNED_RATIO = 0.8
"""How surely base stays under what is planned for it in a slot.

Envelopes are taken off what this leaves, so that in most scenarios they are given when they say and
not later, in the room of others; what is asked more surely than this is narrowed by scenarios.
"""

Words = NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is seen of a row's base in mA, rounded up: scenarios, (scenarios, steps), and per step.

    Base stays under what is planned for a step as surely as `PLANNED_RATIO` says; where a step is
    not known the worst case stands in the place of scenarios.
    """

    paths_ma: Words
    planned_ma: Words
    is_known: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Foresight:
    """What is seen of base per row, from the step `from_step` on.

    Every row has the same scenarios in the same order. Of rows of which too little is known
    nothing is seen.
    """

    from_step: int
    rows: Mapping[int, Seen] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A row as it is looked ahead for: its past, its worst case and what was learnt of errors."""

    row: int
    history: LoadHistory
    worst_a: float
    offset: float = 0.0
    """See `gateway.planning.forecast.moved_offset`."""


def foresee(watched: Sequence[Watched], from_step: int, steps: int = HORIZON_STEPS) -> Foresight:
    """Return what is seen of every row that was measured for long enough."""
    found: dict[int, Words] = {}
    known: dict[int, NDArray[np.bool_]] = {}
    for one in watched:
        if not one.history.is_enough:
            continue
        seen = forecast(
            one.history,
            steps,
            worst_case=one.worst_a,
            offset=one.offset,
        )
        known[one.row] = seen.is_known
        clipped = np.clip(seen.paths, 0.0, one.worst_a)
        found[one.row] = np.ceil(clipped * 1_000.0).astype(np.int32)
    most = max((len(paths) for paths in found.values()), default=0)
    every = max(1, -(-most // MAX_SCENARIOS))
    worst_ma = {one.row: int(one.worst_a * 1_000) for one in watched}
    return Foresight(
        from_step=from_step,
        rows={
            row: _seen(_as_many(paths, most, worst_ma[row])[::every], known[row])
            for row, paths in found.items()
        },
    )


def _as_many(paths: Words, count: int, worst_ma: int) -> Words:
    """Return the paths filled up with the worst case: those that are there begin alike on all rows."""
    missing = np.full((count - len(paths), paths.shape[1]), worst_ma, np.int32)
    return np.concatenate((paths, missing))


def _seen(paths_ma: Words, is_known: NDArray[np.bool_]) -> Seen:
    planned_ma = np.quantile(paths_ma, PLANNED_RATIO, axis=0, method="higher")
    return Seen(paths_ma=paths_ma, planned_ma=planned_ma.astype(np.int32), is_known=is_known)


def slots_of(grid: Grid, base: BaseLoad, from_step: int, from_at_s: float) -> NDArray[np.intp]:
    """Return from which to which of `HORIZON_STEPS` steps each slot goes, (slots, 2), the last after.

    They are counted from `from_step`. What lies before the first, or after the last, is taken as
    that step.
    """
    edges_s = [from_at_s + edge_s for edge_s in grid.edges_s]
    steps = [base.steps_within(begins_s, ends_s) for begins_s, ends_s in pairwise(edges_s)]
    spans = np.array([(within.start, within.stop) for within in steps]) - from_step
    first = np.clip(spans[:, 0], 0, HORIZON_STEPS - 1)
    return np.stack((first, np.clip(spans[:, 1], first + 1, HORIZON_STEPS)), axis=1)


def on_slots(of_steps: Words, spans: NDArray[np.intp]) -> Ints:
    """Return the highest within each slot, along the last axis."""
    first, last = spans[:, 0], spans[:, 1] - 1
    highest = of_steps[..., first]
    for more in range(1, int((last - first).max(initial=0)) + 1):
        np.maximum(highest, of_steps[..., np.minimum(first + more, last)], out=highest)
    return highest.astype(np.int64)
