"""The stop input's latch: one look at the contact stops everything, a person lets it go on."""

from dataclasses import dataclass, replace
from math import inf

from gateway.domain.errors import HeadroomError
from gateway.domain.stops import StopCause

SILENT_AFTER_S = 15.0
"""A contact unheard for longer may be asking for a stop; so a meter's circuit falls back too."""


class ReleaseRefusedError(HeadroomError):
    """The stop must not be released, or there is none; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopLatch:
    """What is known of the stop contact and of the stop it asked for.

    `is_self_releasing`: the contact is reset by a person at its own panel, and that is enough.
    `is_latched`: there was a stop that is not released. `is_active` is what the contact said
    last, at `heard_s`, monotonic; None and the time of the start before its first answer.
    """

    is_self_releasing: bool
    is_latched: bool
    heard_s: float
    is_active: bool | None = None

    @classmethod
    def after_restart(
        cls, cause: StopCause | None, *, is_self_releasing: bool, now_s: float
    ) -> "StopLatch":
        """Return what is known at the start: the cause of the stop that was in force, if any was.

        A silence goes on until it is broken; without one, the contact has its time to answer.
        """
        return cls(
            is_self_releasing=is_self_releasing,
            is_latched=cause in {StopCause.ACTIVE, StopCause.UNRELEASED},
            heard_s=-inf if cause is StopCause.SILENT else now_s,
        )

    def heard(self, *, is_active: bool, now_s: float) -> "StopLatch":
        """Return what is known once the contact has said whether it asks for a stop."""
        keeps = self.is_latched and not self.is_self_releasing
        return replace(self, is_active=is_active, is_latched=is_active or keeps, heard_s=now_s)

    def released(self, now_s: float) -> "StopLatch":
        """Return what is known once a person has released the stop.

        Raises:
            ReleaseRefusedError: the contact still asks for it or cannot be read, or nothing is
                stopped.
        """
        match self.cause(now_s):
            case None:
                raise ReleaseRefusedError("nothing is stopped")
            case StopCause.ACTIVE:
                message = "the stop input still asks for a stop: reset what it comes from first"
                raise ReleaseRefusedError(message)
            case StopCause.SILENT:
                message = "the stop input does not answer: it must be heard to be back to normal"
                raise ReleaseRefusedError(message)
            case StopCause.UNRELEASED if self.is_active is None or self._is_silent(now_s):
                message = (
                    "the stop input has not been heard to be back to normal since it stopped "
                    "everything: it must answer first"
                )
                raise ReleaseRefusedError(message)
            case StopCause.UNRELEASED:
                return replace(self, is_latched=False)

    def cause(self, now_s: float) -> StopCause | None:
        """Return why everything must stand still now, None if nothing must."""
        if self.is_active:
            return StopCause.ACTIVE
        if self.is_latched:
            return StopCause.UNRELEASED
        return StopCause.SILENT if self._is_silent(now_s) else None

    def _is_silent(self, now_s: float) -> bool:
        return now_s - self.heard_s > SILENT_AFTER_S
