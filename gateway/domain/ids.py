"""Names of the things a site is made of."""

from typing import NamedTuple, NewType

BusId = NewType("BusId", str)
CircuitId = NewType("CircuitId", str)
LoadId = NewType("LoadId", str)
MeterId = NewType("MeterId", str)
SourceId = NewType("SourceId", str)
StationId = NewType("StationId", str)
TransactionId = NewType("TransactionId", str)


class ConnectorRef(NamedTuple):
    """A connector, by its station and the number the station gives it.

    In OCPP 1.6 the number is the `connectorId`; in 2.0.1 it is the EVSE id, of which one
    connector can be in use at a time.
    """

    station: StationId
    number: int

    def __str__(self) -> str:
        """Return the name people use: `CP-03/1`."""
        return f"{self.station}/{self.number}"
