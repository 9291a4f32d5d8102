"""The circuits of a file as a tree: who feeds whom, and with which phases."""

from collections.abc import Iterable, Mapping
from typing import Protocol, TypeVar

from gateway.settings.amperes import ALL_PHASES, Amperes, Present, phases_left


class Branch(Protocol):
    """A circuit as far as the tree is concerned; what is None is not known."""

    @property
    def id(self) -> str | None: ...
    @property
    def parent(self) -> str | None: ...
    @property
    def rating_a(self) -> Amperes | None: ...


B = TypeVar("B", bound=Branch)


def by_name(circuits: Iterable[B]) -> dict[str, B]:
    """Return the circuits by their names; of two of one name the first."""
    named: dict[str, B] = {}
    for circuit in circuits:
        if circuit.id is not None:
            named.setdefault(circuit.id, circuit)
    return named


def path_up(name: str | None, circuits: Mapping[str, B]) -> tuple[B, ...]:
    """Return a circuit and all above it, nearest first, as far as they are known, each once."""
    path: list[B] = []
    seen: set[str] = set()
    while name is not None and name in circuits and name not in seen:
        seen.add(name)
        path.append(circuits[name])
        name = circuits[name].parent
    return tuple(path)


def find_circles(circuits: Mapping[str, Branch]) -> tuple[tuple[str, ...], ...]:
    """Return every circle of circuits that feed each other, each once, as the names along it."""
    circles: list[tuple[str, ...]] = []
    settled: set[str] = set()
    for start in circuits:
        path: dict[str, None] = {}  # In order, and quick to look into.
        name: str | None = start
        while name is not None and name in circuits and name not in settled and name not in path:
            path[name] = None
            name = circuits[name].parent
        if name is not None and name in path:
            along = list(path)
            circles.append(tuple(along[along.index(name) :]))
        settled.update(path)
    return tuple(circles)


def phases_by_name(circuits: Mapping[str, Branch]) -> dict[str, Present]:
    """Return which phases each circuit has; where a rating or parent is not known, all it may."""
    present: dict[str, Present] = {}
    for start in circuits:
        path: dict[str, Branch] = {}
        name: str | None = start
        while name is not None and name in circuits and name not in present and name not in path:
            path[name] = circuits[name]
            name = circuits[name].parent
        above = ALL_PHASES if name is None else present.get(name, ALL_PHASES)
        for below, circuit in reversed(path.items()):
            if circuit.rating_a is not None:
                above = phases_left(circuit.rating_a, above)
            present[below] = above
    return present
