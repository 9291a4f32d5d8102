"""A person says that all is well on a circuit: its trip output closes, and its lockout is over."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from gateway.control.stop_latch import ReleaseRefusedError
from gateway.domain.events import LockoutEnded
from gateway.domain.ids import CircuitId
from gateway.domain.memory import Act
from gateway.ports import Clock, Ledger, Post
from gateway.services.control_loop import Cycle
from gateway.services.trip_outputs import TripOutputs

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """What a release has done: whether it closes a trip output, and what was left of a lockout.

    `is_believed` is whether the circuit's meter was doubted, and is believed again.
    """

    closes: bool
    lockout_left_s: float | None
    is_believed: bool = False


class Releases:
    """What keeps circuits from charging until a person says that all is well.

    `latest` is the last cycle of control, None before the first.
    """

    def __init__(
        self,
        outputs: TripOutputs,
        *,
        latest: Callable[[], Cycle | None],
        clock: Clock,
        ledger: Ledger | None,
        post: Post,
    ) -> None:
        self._outputs = outputs
        self._latest = latest
        self._clock = clock
        self._ledger = ledger
        self._post = post

    def release(self, circuit: CircuitId, by: str) -> Released:
        """Close a circuit's trip output, end its lockout, believe its meter; `by` says all is well.

        Raises:
            ReleaseRefusedError: it must not be, or nothing keeps the circuit from charging.
        """
        cycle, now_s = self._latest(), self._clock.monotonic_s()
        at = None if cycle is None else cycle.state.wiring.circuit_at.get(circuit)
        if cycle is None or at is None:
            raise ReleaseRefusedError(f"there is no circuit {circuit!r}, or none is known yet")
        left_s = cycle.state.circuits[at].lockout_until_s - now_s
        closes = self._outputs.is_held_open(circuit)
        is_doubted = any(row.doubted_ma for row in cycle.decision.survey.rows[3 * at : 3 * at + 3])
        if not closes and left_s <= 0 and not is_doubted:
            message = "neither is its trip output open nor is it locked out, nor its meter doubted"
            raise ReleaseRefusedError(f"circuit {circuit}: {message}")
        if closes:
            self._outputs.release(circuit, by)
        elif _is_over(cycle, at):
            message = "it is still over its rating: find what draws there first"
            raise ReleaseRefusedError(f"circuit {circuit}: {message}")
        if is_doubted:
            _log.warning("the meter of circuit %s is believed again, by %s", circuit, by)
        if left_s > 0:
            _log.warning("the lockout of circuit %s is ended by %s", circuit, by)
        if left_s > 0 or is_doubted:
            self._post(LockoutEnded(at_s=now_s, circuit=circuit))
            if self._ledger is not None:
                self._ledger.keep(Act(kind="lockout-release", subject=circuit, by=by))
        left = left_s if left_s > 0 else None
        return Released(closes=closes, lockout_left_s=left, is_believed=is_doubted)


def _is_over(cycle: Cycle, at: int) -> bool:
    """Return whether a reading that still counts shows a circuit above its rating."""
    rows = cycle.decision.survey.rows[3 * at : 3 * at + 3]
    fresh_s = cycle.state.parameters.stale_worst_case_s
    return any(
        phase.over_since_s is not None and row.silent_s is not None and row.silent_s <= fresh_s
        for phase, row in zip(cycle.state.circuits[at].phases, rows, strict=True)
    )
