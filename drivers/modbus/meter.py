"""A power meter on a Modbus line, as the gateway sees one: currents, powers, and what is not known.

It plans its reads for the line it hangs on, maps its own phases to the supply's, applies the
transformer ratio and the direction, and passes on only values that can be believed.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from drivers.modbus.blocks import Span
from drivers.modbus.bus import Bus
from drivers.modbus.codec import Value, as_sample
from drivers.modbus.errors import (
    BadAnswerError,
    BusDownError,
    DeviceExceptionError,
    ModbusError,
)
from drivers.modbus.plan import BlockRead, plan_guard, plan_reads
from drivers.modbus.profile import Profile
from drivers.modbus.question import Priority, ReadRequest
from drivers.modbus.sunspec import find_model, is_in_place, with_header
from drivers.modbus.unit import OWN_LINE_RATIO, SHARED_LINE_RATIO
from gateway.domain.circuits import Meter
from gateway.domain.errors import MeterFaultError
from gateway.domain.metering import MeterReading, Quality, Sample
from gateway.ports import Clock

_log = logging.getLogger(__name__)

ENERGY_INTERVAL_S = 60.0
ADDRESS_CODES = frozenset({2, 3})
"""Exceptions that say: not these registers, or not so many of them."""

ABSENCE_CODES = ADDRESS_CODES | {1}
"""Exceptions that say: never; the others (busy, failed, not reached) say: not now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where the map was found, on which connection of the bus; proven once read from there."""

    origin: int
    connection: int
    is_proven: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Polled:
    """What the guard registers said, and the oldest midpoint of the requests."""

    values: Mapping[str, Value]
    at_s: float


class ModbusMeter:
    """`gateway.ports.MeterDriver` for one meter of a bus.

    `max_current_a` is the most that can be true on a phase (in primary amperes), None if only
    the profile's bound is known; `is_alone` says that no other unit of the line waits for it.
    """

    def __init__(
        self,
        meter: Meter,
        profile: Profile,
        bus: Bus,
        *,
        clock: Clock,
        max_current_a: float | None = None,
        is_alone: bool = False,
    ) -> None:
        self.meter: Final = meter
        self._profile = profile
        self._bus = bus
        self._clock = clock
        self._max_current_a = max_current_a
        self._line_ratio = OWN_LINE_RATIO if is_alone else SHARED_LINE_RATIO
        self._cost = bus.endpoint.cost
        guarded = with_header(profile)
        self._guard = plan_guard(guarded, self._cost)
        self._narrow_guard = plan_reads(
            guarded, guarded.tiers["guard"], self._cost, is_bridging=False
        )
        energy = "energy_active_export" if meter.invert else "energy_active_import"
        self._energy_name = energy if energy in profile.registers else None
        self._next_energy_s = clock.monotonic_s()
        self._place: _Place | None = None
        self._distrusted: Mapping[str, str] = {}

    async def read(self) -> MeterReading:
        """Return a fresh reading, on the supply's phases.

        Raises:
            MeterFaultError: no answer in time, or no current in it that can be trusted.
        """
        try:
            polled = await self._poll_guard()
        except ModbusError as error:
            raise MeterFaultError(self.meter.id, str(error)) from error
        values = self._believable(polled.values)
        self._log_distrust(values)
        reading = MeterReading(
            meter=self.meter.id,
            at_s=polled.at_s,
            current_a=self._on_supply(values, "current", unsigned=True),
            power_w=self._on_supply(values, "power_active"),
            voltage_v=self._on_supply(values, "voltage", ratio=1.0, unsigned=True),
            import_energy_wh=await self._poll_energy(),
        )
        if all(current_a is None for current_a in reading.current_a):
            why = ", ".join(f"{name} {quality}" for name, quality in self._distrusted.items())
            raise MeterFaultError(self.meter.id, f"no current can be trusted: {why}")
        return reading

    async def read_all(self) -> dict[str, Sample]:
        """Return every value of the profile as the meter gives it, before ratio and direction.

        Raises:
            MeterFaultError: not one register could be read.
        """
        names = list(self._profile.registers)
        values: dict[str, Value] = {}
        failure: ModbusError | None = None
        for block in plan_reads(self._profile, names, self._cost):
            try:
                values.update(await self._read_block(block))
            except BusDownError as error:
                failure = failure or error
                break
            except ModbusError as error:
                failure = failure or error
        if failure is not None and not values:
            raise MeterFaultError(self.meter.id, str(failure)) from failure
        return {
            name: as_sample(values.get(name), register.unit)
            for name, register in self._profile.registers.items()
        }

    async def _read_block(self, block: BlockRead) -> Mapping[str, Value]:
        """Read a block; if the meter refuses it, its values one by one."""
        origin = (await self._find_place()).origin
        try:
            return await self._decoded(block, origin)
        except DeviceExceptionError as error:
            registers = block.decoder.registers
            if error.code not in ADDRESS_CODES or len(registers) == 1:
                raise
            refusal = error
        values: dict[str, Value] = {}
        for register in registers:
            (single,) = plan_reads(self._profile, [register.name], self._cost, is_bridging=False)
            try:
                values.update(await self._decoded(single, origin))
            except DeviceExceptionError:
                continue
        if not values:
            raise refusal
        return values

    async def _decoded(self, block: BlockRead, origin: int) -> Mapping[str, Value]:
        answer = await self._bus.read(self._request(block.windows, origin, Priority.SLOW))
        return block.decode(answer.payload, window=answer.window.moved(-origin))

    def _request(
        self, windows: tuple[Span, ...], origin: int, priority: Priority = Priority.GUARD
    ) -> ReadRequest:
        return ReadRequest(
            unit=self.meter.unit,
            function_code=self._profile.function_code,
            windows=tuple(window.moved(origin) for window in windows) if origin else windows,
            priority=priority,
            line_ratio=self._line_ratio,
        )

    async def _poll_guard(self) -> _Polled:
        """Read the guard registers; where the map has moved, look for it once.

        Raises:
            ModbusError: a read failed, or the map is not to be found.
        """
        for _ in range(2):
            place = await self._find_place()
            polled = await self._poll_at(place)
            if polled is not None:
                self._place = replace(place, is_proven=True)
                return polled
            self._place = None
        raise BadAnswerError("the register map moved while it was read")

    async def _find_place(self) -> _Place:
        wanted = self._profile.sunspec
        if wanted is None:
            return _Place(origin=0, connection=0)
        if self._place is None or self._place.connection != self._bus.connection:
            origin = await find_model(self._read_span, wanted)
            self._place = _Place(origin=origin, connection=self._bus.connection)
        return self._place

    async def _read_span(self, windows: tuple[Span, ...]) -> bytes:
        answer = await self._bus.read(self._request(windows, 0))
        start = 2 * (windows[0].address - answer.window.address)
        return answer.payload[start : start + 2 * windows[0].count]

    async def _poll_at(self, place: _Place) -> _Polled | None:
        """Return the guard values read at `place`, or None if the map is no longer there."""
        requests = [self._request(block.windows, place.origin) for block in self._guard]
        outcomes = await self._bus.read_together(requests)
        values: dict[str, Value] = {}
        midpoints_s, refusals = [], []
        for block, outcome in zip(self._guard, outcomes, strict=True):
            if isinstance(outcome, DeviceExceptionError):
                refusals.append(outcome)
                continue
            window = outcome.window.moved(-place.origin)
            values.update(block.decode(outcome.payload, window=window))
            midpoints_s.append(outcome.at_s)
        is_refused = any(refusal.code in ADDRESS_CODES for refusal in refusals)
        wanted = self._profile.sunspec
        if wanted is not None:
            if self._bus.connection != place.connection or (is_refused and place.is_proven):
                return None  # Another device may answer now, or this one may have restarted.
            if midpoints_s and not is_in_place(values, wanted):
                return None
        if is_refused and self._narrow():
            return await self._poll_at(place)
        if not midpoints_s:
            raise refusals[0]
        return _Polled(values=values, at_s=min(midpoints_s))

    def _narrow(self) -> bool:
        """Go over to reading nothing that is not needed; say whether that is news."""
        if self._guard == self._narrow_guard:
            return False
        _log.warning(
            "meter %s refuses a long read: from now on it is read piece by piece", self.meter.id
        )
        self._guard = self._narrow_guard
        return True

    async def _poll_energy(self) -> float | None:
        """Return the imported energy in Wh once a minute, None in between or if it is not given."""
        now_s = self._clock.monotonic_s()
        if self._energy_name is None or now_s < self._next_energy_s:
            return None
        self._next_energy_s = now_s + ENERGY_INTERVAL_S
        (block,) = plan_reads(self._profile, [self._energy_name], self._cost, is_bridging=False)
        try:
            place = await self._find_place()
            answer = await self._bus.read(self._request(block.windows, place.origin))
        except ModbusError as error:
            if isinstance(error, DeviceExceptionError) and error.code in ABSENCE_CODES:
                self._energy_name = None  # It has none.
            return None  # The reading is good without; the next poll will say if the meter is lost.
        window = answer.window.moved(-place.origin)
        value = block.decode(answer.payload, window=window)[self._energy_name]
        return None if isinstance(value, Quality) else value * self.meter.ct_ratio

    def _believable(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """Return the values without what cannot be, or is not measured, as implausible."""
        believable = dict(values)
        for index in range(1, self._profile.phase_count + 1):
            name = f"current_l{index}"
            # A meter that starts, or is read by another model's map, tells nonsense of all of a
            # phase, and zeros are the most harmful of it. Without its voltage fuse it knows no
            # direction.
            is_measured = values.get(f"voltage_l{index}") is not Quality.IMPLAUSIBLE
            if name in values and not (is_measured and self._is_possible(values[name])):
                believable[name] = Quality.IMPLAUSIBLE
        return believable

    def _is_possible(self, current: Value) -> bool:
        if self._max_current_a is None or isinstance(current, Quality):
            return True
        return abs(current) * self.meter.ct_ratio <= self._max_current_a

    def _on_supply(
        self,
        values: Mapping[str, Value],
        quantity: str,
        *,
        ratio: float | None = None,
        unsigned: bool = False,
    ) -> tuple[float | None, float | None, float | None]:
        """Return a quantity of the meter's phases on the supply's; None where it is not good."""
        factor = self.meter.ct_ratio if ratio is None else ratio
        if self.meter.invert and not unsigned:
            factor = -factor
        on_supply: list[float | None] = [None, None, None]
        for index, phase in enumerate(self.meter.phases, start=1):
            value = values.get(f"{quantity}_l{index}")
            if value is not None and not isinstance(value, Quality):
                on_supply[phase] = (abs(value) if unsigned else value) * factor
        l1, l2, l3 = on_supply
        return l1, l2, l3

    def _log_distrust(self, values: Mapping[str, Value]) -> None:
        """Say once when a value can no longer be trusted, and once when it can again."""
        expected = [
            name
            for index in range(1, len(self.meter.phases) + 1)
            for name in (f"current_l{index}", f"power_active_l{index}")
            if name in self._profile.registers
        ]
        found = {name: as_sample(values.get(name), "").quality for name in expected}
        distrusted = {name: str(q) for name, q in found.items() if q is not Quality.GOOD}
        if distrusted == self._distrusted:
            return
        self._distrusted = distrusted
        if distrusted:
            listed = ", ".join(f"{name} ({quality})" for name, quality in distrusted.items())
            _log.warning("meter %s: not trusted: %s", self.meter.id, listed)
        else:
            _log.info("meter %s: all values are trusted again", self.meter.id)
