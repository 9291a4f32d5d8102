"""Who may ask what: a token's role, the highest criticality it may claim, and its quota."""

from dataclasses import dataclass
from enum import StrEnum

from gateway.domain.needs import Criticality


class Role(StrEnum):
    """What somebody is to the building; each may do what those before it may, and more."""

    VIEWER = "viewer"
    VEHICLE_OPERATOR = "vehicle_operator"
    OPERATOR = "operator"
    ENGINEER = "engineer"

    def includes(self, other: "Role") -> bool:
        """Return whether this role may do what `other` may."""
        return _RANKS[self] >= _RANKS[other]


_RANKS = {role: rank for rank, role in enumerate(Role)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a token lets its holder do; `name` is what people call the holder.

    `criticality` is the highest it may claim; `quota_per_min_count` how many requests a minute
    are answered.
    """

    name: str
    role: Role
    criticality: Criticality = Criticality.NORMAL
    quota_per_min_count: int = 600

    @property
    def sees_all(self) -> bool:
        """Return whether it may see and change what others have reserved."""
        return self.role.includes(Role.OPERATOR)
