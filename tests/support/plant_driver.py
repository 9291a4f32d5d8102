"""The plant in memory as the services meet it: a `StationDriver`, and facts that arrive in time."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from drivers.sim.observations import (
    Answered,
    GatewayKilled,
    GatewayStarted,
    MeterSilent,
    Outcome,
    WallClockJumped,
)
from drivers.sim.plant import Plant
from gateway.domain.errors import LimitRejectedError, StationUnreachableError
from gateway.domain.ids import ConnectorRef, StationId
from gateway.domain.limits import CurrentLimit
from gateway.ports import Post

STEP_S = 0.05


class PlantDriver:
    """`gateway.ports.StationDriver` over a plant that is advanced with the (virtual) loop time."""

    def __init__(self, plant: Plant, post: Post, *, on_jump: Callable[[timedelta], None]) -> None:
        self._plant = plant
        self._post = post
        self._on_jump = on_jump
        self._calls: dict[int, asyncio.Future[Answered]] = {}

    async def run(self) -> None:
        """Let the plant live, in steps of `STEP_S`."""
        while True:
            self._advance()
            await asyncio.sleep(STEP_S)

    def _advance(self) -> None:
        for observation in self._plant.advance(asyncio.get_running_loop().time()):
            match observation:
                case Answered(call_number=number):
                    call = self._calls.pop(number, None)
                    if call is not None and not call.done():
                        call.set_result(observation)
                case WallClockJumped(by_s=by_s):
                    self._on_jump(timedelta(seconds=by_s))
                case GatewayKilled() | GatewayStarted():
                    raise NotImplementedError("a test of one process cannot live through this")
                case MeterSilent():
                    pass
                case _:
                    self._post(observation)

    async def set_limit(
        self, connector: ConnectorRef, limit: CurrentLimit, *, valid_for: timedelta
    ) -> None:
        self._advance()
        await self._end_of(
            connector,
            self._plant.send_limit(
                connector, limit, valid_for_s=valid_for.total_seconds(), at_s=self._plant.now_s
            ),
        )

    async def set_fallback(self, connector: ConnectorRef, limit: CurrentLimit) -> None:
        self._advance()
        await self._end_of(
            connector, self._plant.set_fallback(connector, limit, at_s=self._plant.now_s)
        )

    async def request_reading(self, connector: ConnectorRef) -> None:
        self._advance()
        try:
            await self._end_of(
                connector, self._plant.request_reading(connector, at_s=self._plant.now_s)
            )
        except LimitRejectedError as error:
            raise StationUnreachableError(connector.station, error.detail) from error

    def connected_stations(self) -> frozenset[StationId]:
        return self._plant.connected_stations()

    async def _end_of(self, connector: ConnectorRef, number: int) -> None:
        call = self._calls[number] = asyncio.get_running_loop().create_future()
        answer = await call
        if answer.outcome is Outcome.REJECTED:
            raise LimitRejectedError(connector.station, answer.detail)
        if answer.outcome is not Outcome.ACCEPTED:
            raise StationUnreachableError(connector.station, answer.detail)
