"""What addresses are still to be told: kept in the ledger until it is heard or given up."""

import asyncio
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import uuid4

import msgspec

from gateway.domain.memory import CallMemory
from gateway.domain.notices import NoticeValue
from gateway.domain.webhooks import WARNINGS, Webhook
from gateway.ports import Clock, Ledger
from gateway.services.alarms import Alarms

MAX_WAITING = 500
"""So much waits for an address; then the oldest gives way, and no warning to what is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A call that waits, since a monotonic second; that may be before this life of the daemon."""

    call: CallMemory
    since_s: float


class Outbox:
    """A line for each address, in one event loop; what waits outlives us if there is a ledger."""

    def __init__(
        self,
        hooks: Iterable[Webhook],
        *,
        clock: Clock,
        alarms: Alarms,
        ledger: Ledger | None = None,
        remembered: Mapping[str, CallMemory] | None = None,
    ) -> None:
        """Take up what an earlier life has left; what is for an address that is gone is let go of."""
        self._hooks = tuple(hooks)
        self._clock, self._alarms, self._ledger = clock, alarms, ledger
        self._lines: dict[str, deque[Waiting]] = {hook.id: deque() for hook in self._hooks}
        self._has_some = {hook.id: asyncio.Event() for hook in self._hooks}
        self._open_count = dict.fromkeys(self._lines, 0)
        self.dropped: Counter[str] = Counter()
        """How much gave way, by the id of the address."""
        known = sorted((remembered or {}).values(), key=lambda call: call.sequence)
        self._sequence = known[-1].sequence if known else 0
        for call in known:
            if call.hook in self._lines:
                self._put(call)
            else:
                self.close(call)

    @property
    def waiting(self) -> dict[str, int]:
        """Return how many calls each address is still to hear, the one that is being made too."""
        return dict(self._open_count)

    def calls(
        self, kind: str, subject: str, *, holder: str | None, data: Mapping[str, NoticeValue]
    ) -> tuple[CallMemory, ...]:
        """Return whom a change is to be told, for the ledger to have with it; nobody is told yet."""
        concerned = [h for h in self._hooks if kind in h.kinds and h.holder in (None, holder)]
        if not concerned:
            return ()
        name, at = uuid4().hex[:16], self._clock.now_at()
        said = {"id": name, "at": at, "kind": kind, "subject": subject, "holder": holder}
        body = msgspec.json.encode({**said, "data": data}).decode()
        made = []
        for hook in concerned:
            self._sequence += 1
            made.append(
                CallMemory(
                    id=name,
                    hook=hook.id,
                    kind=kind,
                    subject=subject,
                    body=body,
                    told_at=at,
                    sequence=self._sequence,
                )
            )
        return tuple(made)

    def keep(self, calls: Sequence[CallMemory]) -> None:
        """Have the ledger know of calls at once. Never waits."""
        if calls and self._ledger is not None:
            self._ledger.keep_durably(*calls)

    def post(self, calls: Iterable[CallMemory]) -> None:
        """Put calls into their lines."""
        for call in calls:
            self._put(call)

    def _put(self, call: CallMemory) -> None:
        line = self._lines[call.hook]
        # A clock that was set back since makes nothing younger than it is now.
        age_s = max(0.0, (self._clock.now_at() - call.told_at).total_seconds())
        self._open_count[call.hook] += 1
        line.append(Waiting(call=call, since_s=self._clock.monotonic_s() - age_s))
        self._has_some[call.hook].set()
        if len(line) > MAX_WAITING:
            self._drop_one(call.hook)

    def _drop_one(self, hook_id: str) -> None:
        line = self._lines[hook_id]
        gone = next((each for each in line if each.call.kind not in WARNINGS), line[0])
        line.remove(gone)
        self.close(gone.call)
        self.dropped[hook_id] += 1
        text = (
            f"more than {MAX_WAITING} calls wait for the webhook {hook_id}, so the oldest are dropped,"
            " warnings last: see to it that it can be reached, and that it answers fast"
        )
        self._alarms.sound(_alarm_of(hook_id), text)

    async def next(self, hook_id: str) -> Waiting:
        """Return the oldest call to an address, once there is one; it is known until it is closed."""
        line = self._lines[hook_id]
        while not line:
            self._alarms.end(_alarm_of(hook_id))
            self._has_some[hook_id].clear()
            await self._has_some[hook_id].wait()
        return line.popleft()

    def close(self, call: CallMemory) -> None:
        """Forget a call that was heard, refused or given up; within a minute, should we die."""
        if call.hook in self._open_count:
            self._open_count[call.hook] -= 1
        if self._ledger is not None:
            self._ledger.keep(replace(call, is_over=True))


def _alarm_of(hook_id: str) -> str:
    return f"line of webhook {hook_id}"
