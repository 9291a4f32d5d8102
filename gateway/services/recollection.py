"""Corrects what was remembered with a wrong clock, once the clock is right."""

import logging

from gateway.control.restore import Restored, recall
from gateway.domain.moments import Moment
from gateway.ports import MomentClock, Post

_log = logging.getLogger(__name__)

REVIEW_S = 30.0


class Recollection:
    """What a start could not know: how long the machine was off, without a clock of its own.

    Till the clock is right a lockout of before lasts as if only the uptime had passed: it is
    never void, and no longer than need be once more is known.
    """

    def __init__(
        self, restored: Restored, *, at: Moment, at_s: float, clock: MomentClock, post: Post
    ) -> None:
        """Begin with what was restored `at` that moment, the monotonic second `at_s`."""
        self._uncertain = restored.uncertain
        self._restored = at
        self._restored_at_s = at_s
        self._clock = clock
        self._post = post
        self._reviewed_at_s = at_s

    def review(self) -> None:
        """Look once in a while whether the clock is right now, and post what follows."""
        if not self._uncertain:
            return
        now_s = self._clock.monotonic_s()
        if now_s - self._reviewed_at_s < REVIEW_S:
            return
        self._reviewed_at_s = now_s
        recalled, self._uncertain = recall(
            self._uncertain,
            restored=self._restored,
            restored_at_s=self._restored_at_s,
            now=self._clock.moment(),
            now_s=now_s,
        )
        for event in recalled:
            _log.warning(
                "the clock is right: the past of circuit %s is %.0f s older than it seemed",
                event.circuit,
                event.older_s,
            )
            self._post(event)
