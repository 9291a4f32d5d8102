"""Calls addresses when something has become of a promise: signed, in order, again until it is heard.

What waits is bounded, and so are the attempts; what is given up is counted, and sounds an alarm.
Nothing is kept over a restart: promises that are still at risk then are told anew.
"""

import asyncio
import hashlib
import hmac
import logging
import random
from collections import Counter, deque
from collections.abc import Iterable
from uuid import uuid4

import msgspec

from gateway.domain.notices import Notice
from gateway.domain.webhooks import PostFailedError, Webhook
from gateway.ports import Clock, Notices, Poster
from gateway.services.alarms import Alarms

_log = logging.getLogger(__name__)

MAX_WAITING = 500
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 300.0
MAX_ANSWERS = 10
"""So often somebody may answer that it cannot be taken now; then it is given up."""
UNREACHABLE_FOR_S = 6 * 3_600.0
"""So long somebody may be out of reach before what waits is given up."""
ALARM_AFTER = 3
LISTENS_S = 60.0

ANSWERED_OK = range(200, 300)
WORTH_ANOTHER = frozenset({408, 425, 429})
"""Refusals that are about the moment, not about what is sent (RFC 9110, RFC 8470, RFC 6585)."""
SERVER_FAULTS = range(500, 600)


class Webhooks:
    """What waits for each address, in one event loop."""

    def __init__(
        self,
        hooks: Iterable[Webhook],
        notices: Notices,
        poster: Poster,
        *,
        clock: Clock,
        alarms: Alarms,
        rng: random.Random,
    ) -> None:
        """Take whom to call and with what; `rng` spreads the pauses, so that many do not call at once."""
        self._hooks = tuple(hooks)
        self._notices, self._poster = notices, poster
        self._clock, self._alarms, self._rng = clock, alarms, rng
        self._run = uuid4().hex[:8]
        self.counters: Counter[tuple[str, str]] = Counter()
        """By the id of the address and what came of it."""

    async def run(self) -> None:
        """Call until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for hook in self._hooks:
                line = _Line()
                tasks.create_task(self._listen(hook, line), name=f"listening for {hook.id}")
                tasks.create_task(self._tell(hook, line), name=f"calling {hook.id}")
            await asyncio.Event().wait()

    async def _listen(self, hook: Webhook, line: "_Line") -> None:
        """Put what concerns an address into its line; the oldest gives way."""
        seen = 0
        while True:
            newer = await self._notices.wait_newer(seen, within_s=LISTENS_S)
            for notice in newer:
                if _concerns(hook, notice) and line.put(notice):
                    self._count(hook, "dropped")
            seen = newer[-1].number if newer else seen

    async def _tell(self, hook: Webhook, line: "_Line") -> None:
        while True:
            notice = await line.next()
            outcome = await self._deliver(hook, notice)
            self._count(hook, outcome)
            if outcome == "delivered":
                self._alarms.end(_alarm_of(hook))
            else:
                _log.error(
                    "webhook %s: %s of %s was %s", hook.id, notice.kind, notice.subject, outcome
                )

    async def _deliver(self, hook: Webhook, notice: Notice) -> str:
        """Return what came of it in the end: `delivered`, `refused` or `given up`."""
        begun_s, pause_s, answers = self._clock.monotonic_s(), FIRST_PAUSE_S, 0
        failures = 0
        body = self._body(notice)
        while True:
            try:
                status = await self._poster.post(hook.url, body, self._headers(hook, notice, body))
            except PostFailedError as error:
                problem = str(error)
                is_over = self._clock.monotonic_s() - begun_s >= UNREACHABLE_FOR_S
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

    def _body(self, notice: Notice) -> bytes:
        return msgspec.json.encode(
            {
                "id": self._name(notice),
                "at": notice.at,
                "kind": notice.kind,
                "subject": notice.subject,
                "holder": notice.holder,
                "data": notice.data,
            }
        )

    def _headers(self, hook: Webhook, notice: Notice, body: bytes) -> dict[str, str]:
        return {
            "Content-Type": "application/json",
            "User-Agent": "headroom",
            "Headroom-Event": notice.kind,
            # The same at every attempt: who hears it twice can tell.
            "Headroom-Delivery": self._name(notice),
            "Headroom-Signature": signature(
                hook.secret, body, at_s=int(self._clock.now_at().timestamp())
            ),
        }

    def _name(self, notice: Notice) -> str:
        return f"{self._run}-{notice.number}"

    def _count(self, hook: Webhook, what: str) -> None:
        self.counters[hook.id, what] += 1

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


class _Line:
    """What waits to be told to one address, the oldest first."""

    def __init__(self) -> None:
        self._waiting: deque[Notice] = deque()
        self._has_some = asyncio.Event()

    def put(self, notice: Notice) -> bool:
        """Add one; return whether the oldest had to give way."""
        is_full = len(self._waiting) >= MAX_WAITING
        if is_full:
            self._waiting.popleft()
        self._waiting.append(notice)
        self._has_some.set()
        return is_full

    async def next(self) -> Notice:
        """Return the oldest, once there is one."""
        await self._has_some.wait()
        notice = self._waiting.popleft()
        if not self._waiting:
            self._has_some.clear()
        return notice


def _concerns(hook: Webhook, notice: Notice) -> bool:
    return notice.kind in hook.kinds and hook.holder in (None, notice.holder)


def _alarm_of(hook: Webhook) -> str:
    return f"webhook {hook.id}"
