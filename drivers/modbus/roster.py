"""The units of one bus: which may be asked now, in which shape, for how long.

Stateful, but without a clock and without a wire; the rules are those of `unit`.
"""

from drivers.modbus.blocks import Span
from drivers.modbus.errors import (
    GATEWAY_CODES,
    DeviceExceptionError,
    ModbusError,
    NoAnswerError,
)
from drivers.modbus.question import BusTiming, Request, WriteRequest
from drivers.modbus.unit import (
    Health,
    OwedAnswer,
    Shape,
    Unit,
    after_answer,
    after_miss,
    after_refusal,
    choose_window,
    probe_timeout_s,
    rested,
    shape_of,
    timeout_s,
)


class Roster:
    """What a bus remembers of its units."""

    def __init__(self, timing: BusTiming, *, is_serial: bool) -> None:
        self._timing = timing
        self._is_serial = is_serial
        self._units: dict[int, Unit] = {}

    def health(self, number: int) -> Health:
        """Return how a unit answers."""
        return self._of(number).health

    def timeout_s(self, number: int) -> float:
        """Return how long to wait for the unit."""
        return timeout_s(self._of(number), usual_s=self._timing.timeout_s)

    def refuse_early(self, number: int, *, now_s: float) -> None:
        """Do nothing if the unit may be asked now.

        Raises:
            NoAnswerError: it is being left alone.
        """
        unit = self._of(number)
        pause_s = unit.ask_again_s - now_s
        if pause_s > 0:
            is_dead = unit.health is Health.DEAD
            why = f"mute {unit.miss_count} times" if is_dead else "late answers may still come"
            raise NoAnswerError(f"unit {number}: {why}, asked again in {pause_s:.1f} s")

    def choose_window(self, request: Request, *, now_s: float) -> Span:
        """Return the window whose answer cannot be mistaken.

        Raises:
            NoAnswerError: every answer could be; the unit is left alone until one could not.
        """
        if isinstance(request, WriteRequest):
            # An old answer passes for this one only where it says the same.
            return request.windows[0]
        unit = self._of(request.unit)
        window = choose_window(
            unit, request.windows, function_code=request.function_code, now_s=now_s
        )
        if window is None and not self._is_serial:
            # The transaction number tells old answers from new; only what a gateway mixed up
            # on its own serial side would pass for this one.
            return request.windows[0]
        if window is None:
            self._units[request.unit] = rested(unit, now_s=now_s)
            raise NoAnswerError(f"unit {request.unit}: late answers may still come")
        return window

    def is_repeat(self, request: Request, window: Span) -> bool:
        """Say whether a second copy of the unit's last answer would pass for this one's."""
        return self._is_serial and self._of(request.unit).last_shape == _shape(request, window)

    def note_answer(self, request: Request, window: Span, *, now_s: float, took_s: float) -> None:
        """Remember a good answer."""
        self._units[request.unit] = after_answer(
            self._of(request.unit), shape=_shape(request, window), took_s=took_s, now_s=now_s
        )

    def note_failure(
        self,
        request: Request,
        window: Span,
        error: ModbusError,
        *,
        now_s: float,
        frames_s: float,
    ) -> None:
        """Remember a question that brought no values; `frames_s` is what the line takes for it."""
        unit = self._of(request.unit)
        owed = OwedAnswer(shape=_shape(request, window), until_s=now_s + self._timing.answer_life_s)
        if isinstance(error, DeviceExceptionError) and error.code not in GATEWAY_CODES:
            self._units[request.unit] = after_refusal(unit, now_s=now_s, owed=owed)
        else:
            wait_s = probe_timeout_s(unit, usual_s=self._timing.timeout_s)
            self._units[request.unit] = after_miss(
                unit,
                now_s=now_s,
                probe_cost_s=wait_s + frames_s + self._timing.drain_s,
                line_ratio=request.line_ratio,
                owed=owed,
            )

    def _of(self, number: int) -> Unit:
        return self._units.get(number, Unit())


def _shape(request: Request, window: Span) -> Shape:
    return shape_of(request.function_code, window.count)
