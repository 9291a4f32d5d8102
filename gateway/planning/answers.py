"""What those who ask are answered: quotes with offers that can be held, and refusals."""

from dataclasses import dataclass

from gateway.domain.errors import HeadroomError
from gateway.domain.needs import Criticality, Need
from gateway.domain.promises import Stretch
from gateway.planning.giving_way import NOBODY, GivingWay
from gateway.planning.quote import Offer, Verdict
from gateway.planning.room import Outlet


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferAnswer:
    """An offer that can be held by its id; instants are seconds since the epoch.

    `floor` is what a hold of it takes, and carries `guaranteed_wh`; mostly it is all of `profile`.
    The slacks are as in a `Reservation`. When it is held, promises named in `gives_way.envelopes` have those envelopes from then on.
    """

    id: str
    offer: Offer
    guaranteed_wh: float
    start_at_s: float
    finish_at_s: float
    until_at_s: float
    profile: tuple[Stretch, ...]
    floor: tuple[Stretch, ...]
    why: str
    gives_way: GivingWay = NOBODY
    arrive_slack_s: float = 0.0
    depart_slack_s: float = 0.0

    @property
    def outlet(self) -> Outlet:
        """Return where it is."""
        return self.offer.outlet


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteAnswer:
    """The answer to a need: a word, a sentence, and offers, the best first."""

    id: str
    need: Need
    version: int
    from_at_s: float
    expires_at_s: float
    verdict: Verdict
    reason: str
    offers: tuple[OfferAnswer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnEnvelope:
    """What somebody wants to hold as it is, without an offer; powers are real, in all phases."""

    connector: str
    profile: tuple[tuple[float, float, int], ...]
    """From and until (epoch s), and W; one after another."""
    phase_count: int | None = None
    criticality: Criticality = Criticality.NORMAL
    confidence_ratio: float | None = None
    """How surely it must be kept; None: as surely as a quote that does not say."""
    id_token: str | None = None
    reference: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedKey:
    """An idempotency key, and the digest of the whole request it came with."""

    key: str
    digest: str


class RefusedError(HeadroomError):
    """An act that is refused; the message says why and what to do."""


class UnknownOfferError(RefusedError):
    """No such offer is known (any more) to who asks."""


class UnknownReservationError(RefusedError):
    """No such reservation is known to who asks."""


class UnknownEventError(RefusedError):
    """The calendar has no such event."""


class UnknownSessionError(RefusedError):
    """No such session runs (any more)."""


class HoldExpiredError(RefusedError):
    """The hold has lapsed before it was confirmed."""


class WrongStateError(RefusedError):
    """The reservation is in a state in which that cannot be done."""


class PromisedAlreadyError(RefusedError):
    """The vehicle is promised something else for part of the time."""


class KeyReusedError(RefusedError):
    """The idempotency key was used for another request."""


class NotAllowedError(RefusedError):
    """Who asks may not do that."""


class TooManyError(RefusedError):
    """Who asks has so many open reservations that no more are taken."""


class TooManyEventsError(RefusedError):
    """The calendar holds as many events to come as it may."""


class NotDurableError(RefusedError):
    """The ledger cannot be written: whether the act stands will be known when it can."""


class TimeUnknownError(RefusedError):
    """Which time it is may be known in `retry_after_s`: nothing is promised by one that is a guess."""

    def __init__(self, detail: str, retry_after_s: float) -> None:
        """Say why, and when to ask again."""
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class NoLongerFitsError(RefusedError):
    """It does not fit the book as it is now; `fresh` is what would."""

    def __init__(self, detail: str, fresh: QuoteAnswer) -> None:
        """Say what binds, and what can be had instead."""
        super().__init__(detail)
        self.fresh = fresh
