"""When and where a question is put to the book: who is at which connector, what is away, what is planned."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import tzinfo

from gateway.domain.promises import Reservation
from gateway.planning.absence import Away
from gateway.planning.asking import NOBODY_SEEN, Places, Vehicles
from gateway.planning.charging import Charging
from gateway.planning.rearranging import Rearranged


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """When and where a question is put: `occupied` connectors have a vehicle now.

    `charging` is what is planned for those who were promised nothing, in the slots of the book.
    Who asks is in nobody's list: `own` are the connectors at which its vehicle is already.
    """

    places: Places
    now_s: float
    zone: tzinfo
    holder: str = ""
    """The token that asks: promises made to it are its own."""
    elsewhere: tuple[Reservation, ...] = ()
    """What its vehicle is promised already, by its token: it is nowhere else meanwhile."""
    of_others: frozenset[str] = frozenset()
    """The ids of those of it that are for others who are there: they keep it from no `own` connector."""
    gives_up: str = ""
    """What is given up for what is held, in a clause."""
    own: frozenset[str] = frozenset()
    occupied: frozenset[str] = frozenset()
    occupied_until_s: float = 0.0
    """Until when (epoch s) they are taken to be occupied, if `leaves_at_s` does not say."""
    leaves_at_s: Mapping[str, float] = field(default_factory=dict)
    away: Mapping[str, Away] = field(default_factory=dict)
    """The connectors that can serve nobody now."""
    back_at_s: float = 0.0
    """When (epoch s) they are taken to be back."""
    charging: Charging = field(default_factory=Charging)
    rearranged: Rearranged | None = None
    """What was found to move for it, where that was thought over (`to_think_over`)."""
    vehicles: Vehicles = NOBODY_SEEN

    def elsewhere_of(self, name: str) -> tuple[Reservation, ...]:
        """Return what keeps its vehicle from a connector."""
        if name not in self.own:
            return self.elsewhere
        return tuple(promise for promise in self.elsewhere if promise.id not in self.of_others)
