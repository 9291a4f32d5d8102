"""One connection of one station: reads and answers its frames, carries calls to it one by one."""

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from typing import Final

from websockets.frames import CloseCode

from drivers.ocpp.adapter import CALL_DEADLINE_S, Answer, Conversation, Later, Priority
from drivers.ocpp.calls import CallQueue, Ending, Outcome, OutgoingCall
from drivers.ocpp.connection import StationConnection
from drivers.ocpp.intake import Intake
from drivers.ocpp.leniency import mend
from drivers.ocpp.minute_budget import MinuteBudget
from drivers.ocpp.rpc import (
    DIALECTS,
    Call,
    CallErrorReply,
    CallNotSentError,
    CallRefusedError,
    CallResult,
    CallUnansweredError,
    ConnectionLostError,
    Frame,
    Malformed,
    RefusedError,
    SupersededError,
    decode,
    encode_call,
    encode_error,
    encode_result,
)
from drivers.ocpp.schemas import find_fault
from gateway.domain.charging import OcppVersion
from gateway.domain.errors import StationError
from gateway.domain.ids import StationId

MAX_BAD_FRAMES_A_MINUTE: Final = 30
CACHED_ANSWERS: Final = 16
REMEMBERED_CALLS: Final = 16
LOGGED_BYTES: Final = 200
WALKED_A_FRAME: Final = 100
"""So many values looked at in mending are as much work as a few frames without fault."""

LEAST_FLIGHT_RATIO: Final = 0.2
"""Of the time a call has: what must be left for the station to answer."""

Spawn = Callable[[Coroutine[None, None, None], str], asyncio.Task[None]]
"""Starts a task under the server's own, by its name."""

_log = logging.getLogger(__name__)


class Session:
    """A connection, from the end of its handshake to its loss. It is the adapter's `Link`."""

    __slots__ = (
        "_answered",
        "_bad_frames",
        "_connection",
        "_conversation",
        "_counters",
        "_dialect",
        "_flight",
        "_generation",
        "_gone",
        "_intake",
        "_interview",
        "_is_interview_due",
        "_is_lost",
        "_later",
        "_loop",
        "_may_log",
        "_queue",
        "_sequence",
        "_spawn",
        "_version",
        "station",
    )

    def __init__(
        self,
        *,
        station: StationId,
        version: OcppVersion,
        connection: StationConnection,
        conversation: Conversation,
        intake: Intake,
        generation: int,
        counters: Counter[str],
        may_log: Callable[[], bool],
        spawn: Spawn,
    ) -> None:
        """Take over an open connection; nothing is read before `run`."""
        self.station = station
        self._version = version
        self._connection = connection
        self._conversation = conversation
        self._intake = intake
        self._generation = generation
        self._counters = counters
        self._may_log = may_log
        self._spawn = spawn
        self._dialect = DIALECTS[version]
        self._loop = asyncio.get_running_loop()
        self._queue = CallQueue()
        self._flight: OutgoingCall | None = None
        self._sequence = 0
        self._is_lost = False
        self._interview: asyncio.Task[None] | None = None
        self._is_interview_due = False
        # Ids of calls that went unanswered: their answers are late, not unsolicited.
        self._gone: dict[str, None] = {}
        # By the call's id: what it said, and the answer, None while that waits.
        self._answered: dict[str, tuple[int, bytes | None]] = {}
        # By what they wait for: the calls to be answered then, and the answers.
        self._later: dict[asyncio.Future[None], dict[str, bytes]] = {}
        self._bad_frames = MinuteBudget(MAX_BAD_FRAMES_A_MINUTE)

    async def run(self) -> None:
        """Answer until the connection ends; every call out ends with it."""
        try:
            self.interview_again()
            self._connection.deliver_to(self._take)
            await self._connection.wait_closed()
        finally:
            self.lose()

    def lose(self) -> None:
        """Fail at once whatever waits for the station; idempotent."""
        if self._is_lost:
            return
        self._is_lost = True
        self._queue.end_all(Ending.CONNECTION_LOST)
        if self._flight is not None:
            flight, self._flight = self._flight, None
            flight.end(Ending.CONNECTION_LOST)
        if self._interview is not None:
            self._interview.cancel()
        for after in self._later:
            after.remove_done_callback(self._send_later)
        self._later.clear()

    def close(self, code: int, reason: str) -> None:
        """Lose the connection; the closing handshake goes on behind."""
        self.lose()
        self._spawn(self._finish(code, reason), f"ocpp close {self.station}")

    def look(self) -> int:
        """Return at how many looks in a row nothing had come from the station."""
        return self._connection.look()

    def ping(self) -> None:
        """Have the station say something."""
        self._connection.send_ping()

    def abandon(self) -> None:
        """Lose the connection at once: nobody is at its other end."""
        self.lose()
        self._connection.abandon()

    async def _finish(self, code: int, reason: str) -> None:
        try:
            await self._connection.close(code, reason)
        except Exception:  # noqa: BLE001 - a fault of one connection ends no other
            _log.exception("%s: the connection did not close", self.station)

    # Inward.

    def _take(self, raw: bytes) -> bytes | None:
        """Return the frame to answer with, if any. Whatever comes in, nothing is raised."""
        if self._is_lost:
            return None
        frame = decode(raw, self._dialect)
        if type(frame) is Call:
            if frame.action in self._intake.answered_once:
                return self._answer_once(frame, raw)
            return self._answer(frame, raw)
        return self._settle(frame, raw)

    def _answer_once(self, call: Call, raw: bytes) -> bytes | None:
        fingerprint = hash(raw)
        cached = self._answered.get(call.id)
        if cached is not None and cached[0] == fingerprint:
            self._counters["duplicate"] += 1
            return cached[1]  # None while the answer to the first is still to come.
        self._answered[call.id] = fingerprint, None
        if len(self._answered) > CACHED_ANSWERS:
            del self._answered[next(iter(self._answered))]
        answer = self._answer(call, raw)
        self._note_answer(call.id, answer)
        return answer

    def _note_answer(self, call_id: str, answer: bytes | None) -> None:
        """Keep the answer for the same call again."""
        cached = self._answered.get(call_id)
        if cached is not None:
            self._answered[call_id] = cached[0], answer

    def _answer(self, call: Call, raw: bytes) -> bytes | None:
        """Return the frame to answer with, None if it comes later."""
        try:
            payload = self._read(call)
            answer = self._conversation.answer(call.action, payload)
            if isinstance(answer, Later):
                return self._answer_later(call, answer)
            return self._encode(call, answer)
        except RefusedError as refusal:
            self._counters[f"refused.{refusal.code}"] += 1
            self._log_bad(f"refused {call.action[:50]!r}: {refusal}", raw)
            return encode_error(call.id, refusal.code, refusal.description)
        except Exception:  # noqa: BLE001 - a fault of ours ends neither connection nor process
            self._counters["internal-error"] += 1
            if self._may_log():
                _log.exception("%s: cannot answer %r", self.station, call.action[:50])
            return encode_error(call.id, "InternalError", "the fault is ours and was logged")

    def _read(self, call: Call) -> object:
        """Return the payload; what it took to mend it counts like so many frames.

        Raises:
            RefusedError: it is past mending.
        """
        before_count = self._intake.walked_count
        try:
            return self._intake.read(call.action, call.payload)
        finally:
            walked_count = self._intake.walked_count - before_count
            self._connection.count(walked_count // WALKED_A_FRAME)

    def _answer_later(self, call: Call, later: Later) -> bytes | None:
        """Return the frame if it may be sent already; else send it when it may."""
        frame = self._encode(call, later.answer)
        if later.after.done():
            return None if later.after.cancelled() else frame

        waiting = self._later.get(later.after)
        if waiting is None:
            waiting = self._later[later.after] = {}
            self._counters["answered-later"] += 1
            later.after.add_done_callback(self._send_later)
        waiting[call.id] = frame
        if len(waiting) > CACHED_ANSWERS:
            del waiting[next(iter(waiting))]  # Its station has long given up on it.
        return None

    def _send_later(self, after: asyncio.Future[None]) -> None:
        """Send the answers that waited for a future, unless the connection was lost meanwhile."""
        waiting = self._later.pop(after, {})
        if not after.cancelled():
            for call_id, frame in waiting.items():
                self._note_answer(call_id, frame)
                self._connection.transmit(frame)

    def _encode(self, call: Call, answer: Answer) -> bytes:
        if not isinstance(answer, bytes):
            self._check_answer(call.action, answer)
        return encode_result(call.id, answer)

    def _check_answer(self, action: str, answer: Mapping[str, object]) -> None:
        fault = find_fault(self._version, action, answer, is_answer=True)
        if fault is not None:
            message = f"our answer to {action} breaks its schema: {fault}"
            raise AssertionError(message)

    def _settle(self, frame: Frame, raw: bytes) -> bytes | None:
        flight = self._flight
        if isinstance(frame, Malformed):
            self._counters["malformed"] += 1
            self._blame(frame.reason, raw)
            if flight is not None and frame.reply_to == flight.id:
                self._land(flight, frame)
            return None if self._is_lost else frame.answer
        assert isinstance(frame, CallResult | CallErrorReply)
        if flight is not None and flight.is_sent and frame.id == flight.id:
            self._land(flight, frame)
        elif frame.id in self._gone:
            del self._gone[frame.id]
            self._counters["late-reply"] += 1
        else:
            self._counters["unsolicited"] += 1
            self._blame("an answer to nothing", raw)
        return None

    def _blame(self, reason: str, raw: bytes) -> None:
        """Count a bad frame; a station that sends too many of them loses its connection."""
        if self._bad_frames.spend(self._loop.time()):
            self._log_bad(reason, raw)
        elif not self._is_lost:
            if self._may_log():
                _log.warning("%s: too many bad frames, connection closed", self.station)
            self._counters["abusive"] += 1
            self.close(CloseCode.POLICY_VIOLATION, "too many bad frames")

    def _log_bad(self, reason: str, raw: bytes) -> None:
        if self._may_log():
            # The bytes as they came: a decoded value may be too deep to be printed.
            _log.warning("%s: %s: %r", self.station, reason, raw[:LOGGED_BYTES])

    def interview_again(self) -> None:
        """See `drivers.ocpp.adapter.Link.interview_again`."""
        if self._is_lost:
            return
        if self._interview is None:
            self._interview = self._spawn(self._run_interview(), f"ocpp interview {self.station}")
        else:
            self._is_interview_due = True

    async def _run_interview(self) -> None:
        try:
            await self._conversation.interview()
        except StationError as error:
            _log.info("interview ended: %s", error)
        except Exception:  # noqa: BLE001 - a fault of ours ends neither connection nor process
            self._counters["internal-error"] += 1
            _log.exception("%s: the interview failed", self.station)
        finally:
            self._interview = None
        if self._is_interview_due:
            self._is_interview_due = False
            self.interview_again()

    # Outward.

    async def call(
        self,
        action: str,
        payload: Mapping[str, object],
        *,
        priority: Priority,
        key: str | None = None,
        deadline_s: float = CALL_DEADLINE_S,
    ) -> Mapping[str, object]:
        """See `drivers.ocpp.adapter.Link.call`."""
        fault = find_fault(self._version, action, payload, is_answer=False)
        if fault is not None:
            message = f"our {action} breaks its schema: {fault}"
            raise ValueError(message)
        if self._is_lost:
            raise ConnectionLostError(self.station, "not connected")
        latest_s = math.inf  # A limit protects even where nobody waits for its answer any more.
        if priority >= Priority.TRANSACTION:
            latest_s = self._loop.time() + deadline_s * (1 - LEAST_FLIGHT_RATIO)
        call = self._make_call(action, payload, priority=priority, key=key, latest_s=latest_s)
        call.timer = self._loop.call_later(deadline_s, self._expire, call)
        self._queue.put(call)
        self._advance()
        try:
            outcome = await asyncio.shield(call.outcome)
        except asyncio.CancelledError:
            if self._queue.withdraw(call):
                call.end(Ending.EXPIRED)
            raise
        return self._read_outcome(call, outcome)

    def _make_call(
        self,
        action: str,
        payload: Mapping[str, object],
        *,
        priority: Priority,
        key: str | None,
        latest_s: float,
    ) -> OutgoingCall:
        self._sequence += 1
        call_id = f"{self._generation:x}-{self._sequence:x}"
        return OutgoingCall(
            id=call_id,
            action=action,
            frame=encode_call(call_id, action, payload),
            priority=priority,
            sequence=self._sequence,
            latest_s=latest_s,
            outcome=self._loop.create_future(),
            key=key,
        )

    def _advance(self) -> None:
        """Send the next call if none is in flight; what comes too late for that is given up."""
        if self._flight is not None or self._is_lost:
            return
        call = self._queue.take()
        while call is not None and self._loop.time() > call.latest_s:
            # Its asker is told at once that it was not done, and so it must not be.
            self._give_up(call)
            call = self._queue.take()
        if call is not None:
            self._flight = call
            call.is_sent = self._connection.transmit(call.frame)
            if not call.is_sent:
                self.lose()

    def _land(self, call: OutgoingCall, outcome: Outcome) -> None:
        self._flight = None
        call.end(outcome)
        self._advance()

    def _expire(self, call: OutgoingCall) -> None:
        if call is self._flight:
            self._counters["call-timeout"] += 1
            self._gone[call.id] = None
            if len(self._gone) > REMEMBERED_CALLS:
                del self._gone[next(iter(self._gone))]
            self._land(call, Ending.EXPIRED)
        elif self._queue.withdraw(call):
            self._give_up(call)

    def _give_up(self, call: OutgoingCall) -> None:
        self._counters["call-not-sent"] += 1
        call.end(Ending.EXPIRED)

    def _read_outcome(self, call: OutgoingCall, outcome: Outcome) -> Mapping[str, object]:
        match outcome:
            case CallResult(payload=payload):
                return self._mend_result(call.action, payload)
            case CallErrorReply(code=code, description=description):
                raise CallRefusedError(self.station, code, description)
            case Malformed(reason=reason):
                raise CallUnansweredError(self.station, f"{call.action}: {reason}")
            case Ending.SUPERSEDED:
                raise SupersededError(self.station, f"a newer {call.action} took its place")
            case Ending.CROWDED_OUT:
                raise CallNotSentError(self.station, f"{call.action}: too many calls wait")
            case Ending.CONNECTION_LOST:
                raise ConnectionLostError(self.station, f"{call.action}: connection lost")
            case Ending.EXPIRED if call.is_sent:
                raise CallUnansweredError(self.station, f"no answer to {call.action}")
            case Ending.EXPIRED:
                raise CallNotSentError(self.station, f"{call.action} never had its turn")

    def _mend_result(self, action: str, payload: Mapping[str, object]) -> Mapping[str, object]:
        fault = find_fault(self._version, action, payload, is_answer=True)
        if fault is None:
            return payload
        mended, rules, _ = mend(self._version, action, payload, is_answer=True)
        for rule in rules:
            self._counters[f"lenient.{action}Response.{rule}"] += 1
        remains = find_fault(self._version, action, mended, is_answer=True)
        if remains is not None or not isinstance(mended, dict):
            raise CallUnansweredError(self.station, f"answer to {action} unreadable: {remains}")
        return mended
