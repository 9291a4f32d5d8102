"""Calls addresses when something has become of a promise: signed, in order, again until it is heard.

What waits is bounded and outlives us, and so are the attempts; what is given up is counted, and
sounds an alarm. A call whose answer was lost, or that ended with us, is made again: under its name.
"""

import asyncio
import hashlib
import hmac
import logging
import random
from collections import Counter
from collections.abc import Iterable

from gateway.domain.memory import CallMemory
from gateway.domain.webhooks import PostFailedError, Webhook
from gateway.ports import Clock, Poster
from gateway.services.alarms import Alarms
from gateway.services.outbox import Outbox, Waiting

_log = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 300.0
MAX_ANSWERS = 10
"""So often somebody may answer that it cannot be taken now; then it is given up."""
UNREACHABLE_FOR_S = 6 * 3_600.0
"""So long after it happened somebody who is out of reach is tried."""
ALARM_AFTER = 3

ANSWERED_OK = range(200, 300)
WORTH_ANOTHER = frozenset({408, 425, 429})
"""Refusals that are about the moment, not about what is sent (RFC 9110, RFC 8470, RFC 6585)."""
SERVER_FAULTS = range(500, 600)


class Webhooks:
    """Calls each address in a line of its own, in one event loop."""

    def __init__(
        self,
        hooks: Iterable[Webhook],
        outbox: Outbox,
        poster: Poster,
        *,
        clock: Clock,
        alarms: Alarms,
        rng: random.Random,
    ) -> None:
        """Take whom to call and with what; `rng` spreads the pauses, so that many do not call at once."""
        self._hooks = tuple(hooks)
        self._outbox, self._poster = outbox, poster
        self._clock, self._alarms, self._rng = clock, alarms, rng
        self._counts: Counter[tuple[str, str]] = Counter()

    @property
    def counters(self) -> Counter[tuple[str, str]]:
        """Return by the id of an address and what came of it how often that was."""
        dropped = {(hook, "dropped"): count for hook, count in self._outbox.dropped.items()}
        return self._counts + Counter(dropped)

    async def run(self) -> None:
        """Call until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for hook in self._hooks:
                tasks.create_task(self._tell(hook), name=f"calling {hook.id}")
            await asyncio.Event().wait()

    async def _tell(self, hook: Webhook) -> None:
        while True:
            waiting = await self._outbox.next(hook.id)
            call = waiting.call
            outcome = await self._deliver(hook, waiting)
            self._outbox.close(call)
            self._count(hook, outcome)
            if outcome == "delivered":
                self._alarms.end(_alarm_of(hook))
            else:
                _log.error("webhook %s: %s of %s was %s", hook.id, call.kind, call.subject, outcome)

    async def _deliver(self, hook: Webhook, waiting: Waiting) -> str:
        """Return what came of it in the end: `delivered`, `refused` or `given up`."""
        pause_s, answers, failures = FIRST_PAUSE_S, 0, 0
        body = waiting.call.body.encode()
        while True:
            headers = self._headers(hook, waiting.call, body)
            try:
                status = await self._poster.post(hook.url, body, headers)
            except PostFailedError as error:
                problem = str(error)
                is_over = self._clock.monotonic_s() - waiting.since_s >= UNREACHABLE_FOR_S
            else:
                if status in ANSWERED_OK:
                    return "delivered"
                problem, answers = f"it answered {status}", answers + 1
                if status not in WORTH_ANOTHER and status not in SERVER_FAULTS:
                    self._sound(hook, f"{problem}: see to it that what is sent is taken there")
                    return "refused"
                is_over = answers >= MAX_ANSWERS
            failures += 1
            self._count(hook, "failed attempts")
            if failures >= ALARM_AFTER:
                self._sound(hook, f"{problem}: see to it that {hook.url} can be reached")
            if is_over:
                return "given up"
            await self._clock.sleep_s(pause_s * self._rng.uniform(0.75, 1.25))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _headers(self, hook: Webhook, call: CallMemory, body: bytes) -> dict[str, str]:
        return {
            "Content-Type": "application/json",
            "User-Agent": "headroom",
            "Headroom-Event": call.kind,
            # The same at every attempt, in another life of ours too: who hears it twice can tell.
            "Headroom-Delivery": call.id,
            "Headroom-Signature": signature(
                hook.secret, body, at_s=int(self._clock.now_at().timestamp())
            ),
        }

    def _count(self, hook: Webhook, what: str) -> None:
        self._counts[hook.id, what] += 1

    def _sound(self, hook: Webhook, problem: str) -> None:
        text = f"nobody hears what is told to the webhook {hook.id}: {problem}"
        self._alarms.sound(_alarm_of(hook), text)


def signature(secret: bytes, body: bytes, *, at_s: int) -> str:
    """Return what shows that a body is ours and when it was sent: `t=SECONDS,v1=HEX`.

    HEX is the HMAC-SHA256 (RFC 2104) of the seconds, a full stop and the body. Who checks it and
    refuses what is older than some minutes cannot be told an old call anew.
    """
    digest = hmac.new(secret, f"{at_s}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at_s},v1={digest}"


def _alarm_of(hook: Webhook) -> str:
    return f"webhook {hook.id}"
