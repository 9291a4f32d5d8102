"""What somebody may ask to be promised: up to which criticality, and for whose vehicle."""

from collections.abc import Iterable

from gateway.domain.access import Access
from gateway.domain.needs import Criticality
from gateway.domain.promises import Reservation
from gateway.domain.tokens import TokenPolicy, is_same
from gateway.planning.answers import NotAllowedError, PromisedAlreadyError


def check_claim(
    criticality: Criticality, id_token: str | None, by: Access, tokens: TokenPolicy
) -> None:
    """See that nobody claims more than its token may, or for a vehicle that is another's.

    Raises:
        NotAllowedError: the criticality is above what it may claim, or the id token is another's.
    """
    if criticality.rank < by.criticality.rank:
        message = (
            f"your token may claim {by.criticality} at most, not {criticality}: ask for less, or"
            " have a token made for more"
        )
        raise NotAllowedError(message)
    holder = None if id_token is None else tokens.holder_of(id_token)
    if holder not in (None, by.name):
        message = (
            f"the vehicle of {id_token} is another token's by the site file: ask without id_token, or"
            " have whoever runs the building put it under your token's name (authorize.holders)"
        )
        raise NotAllowedError(message)


def check_vehicle(promise: Reservation, others: Iterable[Reservation]) -> None:
    """See that a vehicle is promised one connector at a time, by one holder.

    Raises:
        NotAllowedError: its token is in another holder's open promise for part of its time.
        PromisedAlreadyError: it is in another of its own holder's.
    """
    for other in others:
        is_then = other.meets(promise.opens_at_s, promise.closes_at_s)
        if not is_then or not is_same(other.id_token, promise.id_token):
            continue
        if other.holder != promise.holder:
            message = (
                f"the vehicle of {promise.id_token} is promised something in that time under"
                " another token: choose another time, ask without id_token, or have an"
                " operator cancel the other reservation"
            )
            raise NotAllowedError(message)
        message = (
            f"the vehicle of {promise.id_token} is promised something in that time already, at"
            f" {other.place} by your reservation {other.id}: say `replaces` to have this in its"
            " place, cancel it, choose another time, or, if another vehicle shows that token,"
            " ask for that without id_token"
        )
        raise PromisedAlreadyError(message)
