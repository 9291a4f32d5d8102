"""Whom Headroom calls by itself when something has become of a promise."""

from dataclasses import dataclass, field

from gateway.domain.errors import HeadroomError

WARNINGS = ("reservation-at-risk", "reservation-safe-again")
KINDS = ("reservation", *WARNINGS)
"""What can be told; of what changes every second (limits) nobody is called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """An address that is called with a signed body when something of `kinds` happens.

    `holder` narrows it to the promises made under one token, None: all of them.
    """

    id: str
    url: str
    secret: bytes = field(repr=False)
    kinds: tuple[str, ...] = KINDS
    holder: str | None = None


class PostFailedError(HeadroomError):
    """Nobody answered a call in time, or not in HTTP; the message says what happened."""
