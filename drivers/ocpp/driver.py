"""The `StationDriver` over all stations that are connected: limits, readings, and what people ask for."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from drivers.ocpp.rpc import CallRefusedError
from drivers.ocpp.server import OcppServer
from gateway.domain.charging import CompositePeriod
from gateway.domain.errors import LimitRejectedError, StationUnreachableError
from gateway.domain.ids import ConnectorRef, StationId, TransactionId
from gateway.domain.limits import CurrentLimit

_log = logging.getLogger(__name__)


class OcppDriver:
    """Speaks to the stations of a server: `gateway.ports.StationDriver`, and `StationErrands`."""

    def __init__(self, server: OcppServer) -> None:
        self._server = server

    def connected_stations(self) -> frozenset[StationId]:
        """See `gateway.ports.StationDriver`."""
        return self._server.connected_stations()

    async def set_limit(
        self, connector: ConnectorRef, limit: CurrentLimit, *, valid_for: timedelta
    ) -> None:
        """See `gateway.ports.StationDriver`.

        Raises:
            LimitRejectedError: the station answered and refused.
            StationUnreachableError: no answer in time; `SupersededError`, a kind of it, when a
                newer limit took this one's place before it was sent.
        """
        adapter = self._server.station(connector.station)
        with _refusals_as_rejections(connector.station):
            await adapter.set_limit(connector.number, limit, valid_for=valid_for)

    async def set_fallback(self, connector: ConnectorRef, limit: CurrentLimit) -> None:
        """See `gateway.ports.StationDriver`."""
        adapter = self._server.station(connector.station)
        with _refusals_as_rejections(connector.station):
            await adapter.set_fallback(connector.number, limit)

    async def request_reading(self, connector: ConnectorRef) -> None:
        """See `gateway.ports.StationDriver`."""
        adapter = self._server.station(connector.station)
        try:
            await adapter.request_reading(connector.number)
        except (CallRefusedError, LimitRejectedError) as error:
            raise StationUnreachableError(connector.station, error.detail) from error

    # For people: see `gateway.ports.StationErrands`.

    async def start_transaction(self, connector: ConnectorRef, id_token: str) -> None:
        """See `gateway.ports.StationErrands`."""
        adapter = self._server.station(connector.station)
        with _refusals_as_rejections(connector.station):
            await adapter.start_transaction(connector.number, id_token)

    async def stop_transaction(self, station: StationId, transaction: TransactionId) -> None:
        """See `gateway.ports.StationErrands`."""
        adapter = self._server.station(station)
        with _refusals_as_rejections(station):
            await adapter.stop_transaction(transaction)

    async def reset(self, station: StationId, *, is_hard: bool) -> None:
        """See `gateway.ports.StationErrands`."""
        adapter = self._server.station(station)
        with _refusals_as_rejections(station):
            await adapter.reset(is_hard=is_hard)

    async def composite_schedule(
        self, connector: ConnectorRef, *, duration_s: int
    ) -> tuple[CompositePeriod, ...]:
        """See `gateway.ports.StationErrands`."""
        adapter = self._server.station(connector.station)
        with _refusals_as_rejections(connector.station):
            return await adapter.composite_schedule(connector.number, duration_s=duration_s)


@contextmanager
def _refusals_as_rejections(station: StationId) -> Iterator[None]:
    try:
        yield
    except CallRefusedError as error:
        raise LimitRejectedError(error.station, error.detail) from error
    except ValueError as error:  # A message of ours that breaks its schema is never sent.
        _log.exception("%s: not sent", station)
        raise LimitRejectedError(station, str(error)) from error
