"""Which id tokens may charge, and whose they are: who alone may ask for promises to their vehicles."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class TokenMode(StrEnum):
    """Who decides about a token."""

    ALL = "all"  # Nobody: every token is accepted.
    LIST = "list"  # Our list: what is not on it is refused.
    STATION = "station"  # The station, by a list of its own: what it starts is accepted.


class TokenStatus(StrEnum):
    """OCPP 2.0.1 AuthorizationStatusEnumType, as far as it is used."""

    ACCEPTED = "Accepted"
    BLOCKED = "Blocked"
    EXPIRED = "Expired"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownToken:
    """A token on the list; of one `group`, each may end what another has started.

    It is good until `good_until_at`, for ever if that is None, unless it `is_blocked`.
    """

    id: str
    group: str | None = None
    good_until_at: datetime | None = None
    is_blocked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a station is told of a token."""

    status: TokenStatus
    group: str | None = None
    good_until_at: datetime | None = None


ACCEPTED = Judgement(status=TokenStatus.ACCEPTED)
UNKNOWN = Judgement(status=TokenStatus.UNKNOWN)


@dataclass(frozen=True, slots=True)
class TokenPolicy:
    """Judges tokens; upper and lower case are the same (2.0.1 part 2, 2.28; 1.6 7.28).

    `holders` are the names of API tokens by the id tokens that are theirs.
    """

    mode: TokenMode = TokenMode.ALL
    known: dict[str, KnownToken] = field(default_factory=dict)
    holders: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of_list(
        cls, tokens: tuple[KnownToken, ...], holders: dict[str, str] | None = None
    ) -> "TokenPolicy":
        """Return the policy that accepts what is on the list."""
        return cls(TokenMode.LIST, {token.id.casefold(): token for token in tokens}, holders or {})

    def holder_of(self, id_token: str) -> str | None:
        """Return whose an id token is; None where that is not said."""
        return self.holders.get(id_token.casefold())

    def judge(self, id_token: str | None, *, now_at: datetime, has_begun: bool) -> Judgement:
        """Return what to say of a token; `has_begun`: the station has let it begin already."""
        match self.mode:
            case TokenMode.ALL:
                return ACCEPTED
            case TokenMode.STATION:
                return ACCEPTED if has_begun else UNKNOWN
            case TokenMode.LIST:
                return self._look_up(id_token, now_at)

    def _look_up(self, id_token: str | None, now_at: datetime) -> Judgement:
        token = self.known.get((id_token or "").casefold())
        if token is None:
            return UNKNOWN
        status = TokenStatus.ACCEPTED
        if token.is_blocked:
            status = TokenStatus.BLOCKED
        elif token.good_until_at is not None and now_at >= token.good_until_at:
            status = TokenStatus.EXPIRED
        return Judgement(status=status, group=token.group, good_until_at=token.good_until_at)


def is_same(one: str | None, other: str | None) -> bool:
    """Return whether two id tokens are one; None is nobody's."""
    return one is not None and other is not None and one.casefold() == other.casefold()
