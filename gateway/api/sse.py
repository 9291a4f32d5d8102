"""The stream of server-sent events: what changes of reservations and limits, as it changes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import orjson
from starlette.responses import Response, StreamingResponse

from gateway.api.endpoints import EVENT_STREAM, Call, Endpoint
from gateway.api.models import NoticeView
from gateway.api.problems import ProblemError
from gateway.domain.access import Access, Role
from gateway.domain.notices import Notice
from gateway.ports import Clock, Notices

MAX_FOLLOWERS = 16
MOST_DIGITS = 18
BREATHES_EVERY_S = 15.0
"""A stream with nothing to tell says so: otherwise nobody would notice that it is dead."""


class _Place:
    """The place of a stream; once it `is_lost` the stream ends."""

    def __init__(self) -> None:
        self.is_lost = False


class Followers:
    """Those who follow: so many streams in all, and of each token no more than leaves others a place."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._places_of: dict[str, list[_Place]] = {}

    async def events(self, call: Call) -> Response:
        """Answer with a stream of what changes from now on, or after the Last-Event-ID."""
        notices, holder = call.sources.notices, call.access.name
        if self._is_full() and self._who_gives_way(holder) is None:
            raise ProblemError(
                "too-many-followers",
                f"{MAX_FOLLOWERS} streams are open already, {len(self._places(holder))} of them with"
                " this token: close one, or ask again later",
                headers={"Retry-After": "30"},
            )
        return StreamingResponse(
            self._told(notices, call),
            media_type=EVENT_STREAM,
            headers={"Cache-Control": "no-store"},
        )

    async def _told(self, notices: Notices, call: Call) -> AsyncIterator[bytes]:
        holder = call.access.name
        if self._is_full():
            others = self._who_gives_way(holder)
            if others is None:  # The last place went to another a moment ago.
                return
            self._places(others).pop(0).is_lost = True
        place = _Place()
        self._places(holder).append(place)
        last = call.request.headers.get("last-event-id", "")
        try:
            async for part in told(notices, last, call.access_now, call.sources.clock):
                if place.is_lost:
                    yield b": others wait for this place, and this token has most: ask again\n\n"
                    return
                yield part
        finally:
            if not place.is_lost:
                self._places(holder).remove(place)

    def _is_full(self) -> bool:
        return sum(map(len, self._places_of.values())) >= MAX_FOLLOWERS

    def _places(self, holder: str) -> list[_Place]:
        return self._places_of.setdefault(holder, [])

    def _who_gives_way(self, holder: str) -> str | None:
        """Return who has most streams, if that is more still when one of theirs is this holder's."""
        most = max(self._places_of, key=lambda name: len(self._places(name)))
        gives_way = len(self._places(most)) > len(self._places(holder)) + 1
        return most if gives_way else None

    def endpoint(self) -> Endpoint:
        """Return the path of the stream."""
        return Endpoint(
            method="GET",
            path="/events",
            role=Role.VIEWER,
            summary="Changes of reservations and limits, as server-sent events",
            answering=self.events,
            answer=NoticeView,
            media_type=EVENT_STREAM,
            problems=("too-many-followers",),
            headers={
                "Last-Event-ID": "The id of the last event that was seen: those after it are told"
                " first. What is no longer remembered, or was before a restart, is a `missed`."
            },
        )


async def told(
    notices: Notices, last_id: str, access_now: Callable[[], Access | None], clock: Clock
) -> AsyncIterator[bytes]:
    """Yield the events the caller may see after `last_id`, until its token opens nothing any more."""
    yield b": what changes is told as it changes\n\n"
    seen = seen_number(last_id, notices)
    if seen is None:
        seen = 0
        yield _missed(f"{notices.life}-0", None, clock)
    while True:
        newer = await notices.wait_newer(seen, within_s=BREATHES_EVERY_S)
        access = access_now()
        if access is None:
            yield b": this token opens nothing any more\n\n"
            return
        if not newer:
            yield b": nothing has changed\n\n"
            continue
        if newer[0].number > seen + 1:
            whose = notices.forgotten(seen)
            count = None if whose is None else sum(_is_told(holder, access) for holder in whose)
            if count != 0:
                yield _missed(f"{notices.life}-{newer[0].number - 1}", count, clock)
        seen = newer[-1].number
        for notice in newer:
            if may_see(notice, access):
                yield as_event(notice, notices.life)
            # Whoever asks for all that is remembered holds up nobody, and may leave in the middle.
            await asyncio.sleep(0)


def seen_number(last_id: str, notices: Notices) -> int | None:
    """Return up to which event a follower has seen all; None if that was in another life.

    Without an id it wants what changes from now on, with `0` all that is remembered.
    """
    if not last_id:
        return notices.newest_number
    if last_id == "0":
        return 0
    life, _, number = last_id.rpartition("-")
    if life != notices.life or not number.isdecimal() or len(number) > MOST_DIGITS:
        return None
    return min(int(number), notices.newest_number)


def _missed(name: str, count: int | None, clock: Clock) -> bytes:
    """Return the event that says how many are no longer remembered; None where nobody knows."""
    at, data = clock.now_at().isoformat(), {"count": count}
    said = {"at": at, "kind": "missed", "subject": "events", "holder": None, "data": data}
    return _event(name, "missed", said)


def may_see(notice: Notice, access: Access) -> bool:
    """Return whether a notice is anybody's, one's own, or one is an operator."""
    return _is_told(notice.holder, access)


def _is_told(holder: str | None, access: Access) -> bool:
    return access.sees_all or holder in (None, access.name)


def as_event(notice: Notice, life: str) -> bytes:
    """Return a notice as a server-sent event."""
    said = {
        "at": notice.at.isoformat(),
        "kind": notice.kind,
        "subject": notice.subject,
        "holder": notice.holder,
        "data": notice.data,
    }
    return _event(f"{life}-{notice.number}", notice.kind, said)


def _event(name: str, kind: str, said: Mapping[str, object]) -> bytes:
    return f"id: {name}\nevent: {kind}\ndata: ".encode() + orjson.dumps(said) + b"\n\n"
