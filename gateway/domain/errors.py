"""Expected failures, named by what the caller can do about them."""

from gateway.domain.ids import MeterId, StationId


class HeadroomError(Exception):
    """The root of every failure Headroom expects."""


class StationError(HeadroomError):
    """A charging station did not do what was asked."""

    def __init__(self, station: StationId, detail: str) -> None:
        """Name the station and what it said or did not say."""
        super().__init__(f"{station}: {detail}")
        self.station = station
        self.detail = detail


class LimitRejectedError(StationError):
    """The station answered and refused: the limit before stands."""


class NoPlaceError(LimitRejectedError):
    """The station has no place for it and was not asked: the limit before stands, and will."""


class StationUnreachableError(StationError):
    """No answer in time, or no connection: what is in force is unknown, assume the worst."""


class NeverAskedError(StationUnreachableError):
    """Nothing was sent, and nothing will be: ask again, for the station knows nothing of it."""


class MeterFaultError(HeadroomError):
    """A meter gave no answer that can be used: keep the last reading and let it age."""

    def __init__(self, meter: MeterId, detail: str) -> None:
        """Name the meter and what went wrong on the line."""
        super().__init__(f"{meter}: {detail}")
        self.meter = meter
        self.detail = detail


class ContactFaultError(HeadroomError):
    """A contact gave no answer that can be used: whether it is open or closed is unknown."""

    def __init__(self, contact: str, detail: str) -> None:
        """Name the contact and what went wrong on the line."""
        super().__init__(f"{contact}: {detail}")
        self.contact = contact
        self.detail = detail


class OutputFaultError(HeadroomError):
    """An output did not confirm what was asked of it: whether it is open or closed is unknown."""

    def __init__(self, output: str, detail: str) -> None:
        """Name the output and what went wrong on the line."""
        super().__init__(f"{output}: {detail}")
        self.output = output
        self.detail = detail


class PastUnreadableError(HeadroomError):
    """What was cannot be read now: go on without it."""
