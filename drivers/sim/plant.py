"""The plant in memory: a gateway's meters and stations, stepped in simulated time."""

from drivers.sim.observations import Observation
from drivers.sim.report import Report
from drivers.sim.scenario import Scenario
from gateway.domain.ids import ConnectorRef
from gateway.domain.limits import CurrentLimit


class Plant:
    """A building as its gateway meets it: what `MeterDriver` and `StationDriver` would show.

    A plain object without threads or a clock of its own: `advance` moves it, and everything in
    it follows from the scenario, so the same scenario and the same calls give the same answers
    to the last bit. All times are the simulation's monotonic seconds, from 0.

    The meters are polled by the plant (each at its `interval_s`, as the metering service would
    do), limits are carried to the stations one call at a time for each station, the newest limit
    of a connector taking the place of one that still waits, with the answer deadline counted
    from the call.
    """

    def __init__(self, scenario: Scenario) -> None:
        """Build the plant of `scenario`; nothing has happened yet."""
        raise NotImplementedError

    @property
    def now_s(self) -> float:
        """Return the second up to which the plant has been advanced."""
        raise NotImplementedError

    def advance(self, to_s: float) -> list[Observation]:
        """Let time pass to `to_s`; return what reached the gateway meanwhile, in order.

        What would have arrived while the gateway is dead (between `GatewayKilled` and
        `GatewayStarted`) is lost.
        """
        raise NotImplementedError

    def send_limit(
        self, connector: ConnectorRef, limit: CurrentLimit, *, valid_for_s: float, at_s: float
    ) -> int:
        """Send a limit that lapses to the fallback after `valid_for_s`; return the call's number.

        It goes as a TxProfile with a duration, so a connector without a transaction rejects it.
        `at_s` is when it leaves the gateway, not before `now_s`. The end of the call comes out of
        `advance` as `Answered`.
        """
        raise NotImplementedError

    def set_fallback(self, connector: ConnectorRef, limit: CurrentLimit, *, at_s: float) -> int:
        """Write the persistent limit that holds whenever no lease does; return the call's number.

        When it is accepted, `FallbackInstalled` comes out of `advance` just before the answer.
        """
        raise NotImplementedError

    def request_reading(self, connector: ConnectorRef, *, at_s: float) -> int:
        """Ask for meter values at once (TriggerMessage); return the call's number."""
        raise NotImplementedError

    def report(self) -> Report:
        """Return what the plant itself saw up to `now_s`, judged by its own currents."""
        raise NotImplementedError
