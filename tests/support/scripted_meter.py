"""A meter behind a `MeterDriver` that answers as a test scripts it, in virtual time."""

from collections.abc import Callable

from gateway.domain.circuits import Meter
from gateway.domain.errors import MeterFaultError
from gateway.domain.ids import BusId, MeterId
from gateway.domain.metering import MeterReading
from tests.support.virtual_time import VirtualClock

MAIN = Meter(id=MeterId("main"), bus=BusId("plant"), unit=1, profile="any")


class ScriptedMeter:
    """A driver that takes as long as `takes_s` says, and fails while `is_mute` says so."""

    def __init__(
        self,
        meter: MeterId = MAIN.id,
        takes_s: Callable[[int], float] = lambda _: 0.05,
        is_mute: Callable[[float], bool] = lambda _: False,
    ) -> None:
        self.begun_s: list[float] = []
        self._clock = VirtualClock()
        self._meter, self._takes_s, self._is_mute = meter, takes_s, is_mute

    async def read(self) -> MeterReading:
        begun_s = self._clock.monotonic_s()
        self.begun_s.append(begun_s)
        takes_s = self._takes_s(len(self.begun_s))
        await self._clock.sleep_s(takes_s)
        if self._is_mute(begun_s):
            raise MeterFaultError(self._meter, "no answer")
        return MeterReading(
            meter=self._meter,
            at_s=begun_s + takes_s / 2,
            current_a=(1.0, 2.0, 3.0),
            power_w=(230.0, 460.0, 690.0),
            voltage_v=(230.0, 230.0, 230.0),
        )
