"""The stream of server-sent events: what changes of reservations and limits, as it changes."""

from collections.abc import AsyncIterator

import orjson
from starlette.responses import Response, StreamingResponse

from gateway.api.endpoints import Call, Endpoint
from gateway.api.models import NoticeView
from gateway.api.problems import ProblemError
from gateway.domain.access import Access, Role
from gateway.domain.notices import Notice
from gateway.ports import Notices

MAX_FOLLOWERS = 16
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
        last = call.request.headers.get("last-event-id", "")
        after_number = int(last) if last.isdecimal() else notices.newest_number
        if self._is_full() and self._who_gives_way(holder) is None:
            raise ProblemError(
                "too-many-followers",
                f"{MAX_FOLLOWERS} streams are open already, {len(self._places(holder))} of them with"
                " this token: close one, or ask again later",
                headers={"Retry-After": "30"},
            )
        return StreamingResponse(
            self._told(notices, after_number, call.access),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store"},
        )

    async def _told(
        self, notices: Notices, after_number: int, access: Access
    ) -> AsyncIterator[bytes]:
        if self._is_full():
            others = self._who_gives_way(access.name)
            if others is None:  # The last place went to another a moment ago.
                return
            self._places(others).pop(0).is_lost = True
        place = _Place()
        self._places(access.name).append(place)
        try:
            async for part in told(notices, after_number, access):
                if place.is_lost:
                    yield b": others wait for this place, and this token has most: ask again\n\n"
                    return
                yield part
        finally:
            if not place.is_lost:
                self._places(access.name).remove(place)

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
            media_type="text/event-stream",
            problems=("too-many-followers",),
        )


async def told(notices: Notices, after_number: int, access: Access) -> AsyncIterator[bytes]:
    """Yield the events `access` may see, for ever."""
    yield b": what changes is told as it changes\n\n"
    seen = min(after_number, notices.newest_number)
    while True:
        newer = await notices.wait_newer(seen, within_s=BREATHES_EVERY_S)
        if not newer:
            yield b": nothing has changed\n\n"
            continue
        if newer[0].number > seen + 1:
            yield _missed(newer[0], newer[0].number - seen - 1)
        seen = newer[-1].number
        for notice in newer:
            if may_see(notice, access):
                yield as_event(notice)


def _missed(first: Notice, count: int) -> bytes:
    """Return the event that says how many are no longer remembered."""
    return as_event(
        Notice(
            number=first.number - 1,
            at=first.at,
            kind="missed",
            subject="events",
            data={"count": count},
        )
    )


def may_see(notice: Notice, access: Access) -> bool:
    """Return whether a notice is anybody's, one's own, or one is an operator."""
    return access.sees_all or notice.holder in (None, access.name)


def as_event(notice: Notice) -> bytes:
    """Return a notice as a server-sent event."""
    said = {
        "at": notice.at.isoformat(),
        "kind": notice.kind,
        "subject": notice.subject,
        "holder": notice.holder,
        "data": notice.data,
    }
    head = f"id: {notice.number}\nevent: {notice.kind}\ndata: ".encode()
    return head + orjson.dumps(said) + b"\n\n"
