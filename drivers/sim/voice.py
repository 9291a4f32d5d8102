"""What a simulated station says over its connection, and what it keeps while it has none."""

from collections.abc import Iterable

from drivers.sim.evse import Evse
from drivers.sim.profiles import ProfileStore
from drivers.sim.scenario import StationTraits
from drivers.sim.surroundings import Surroundings
from gateway.domain.charging import ChargingState, ConnectorStatus, StationCapabilities
from gateway.domain.events import (
    CapabilitiesRead,
    ConnectorMetered,
    ConnectorStatusChanged,
    StationBooted,
    StationConnected,
    StationDisconnected,
    StationEvent,
    TransactionEnded,
    TransactionStarted,
)
from gateway.domain.ids import StationId, TransactionId

CHARGING_ABOVE_A = 0.5


class Voice:
    """One station's. Where transactions begin and end is kept until it can be said.

    `connection_number` counts how often it has connected.
    """

    def __init__(
        self,
        station: StationId,
        traits: StationTraits,
        store: ProfileStore,
        *,
        surroundings: Surroundings,
    ) -> None:
        """Be without a connection, and have nothing to say."""
        self.is_linked = False
        self.connection_number = 0
        self.has_booted = False  # And has not said so yet.
        self._station = station
        self._traits = traits
        self._store = store
        self._world = surroundings
        self._unsaid: list[StationEvent] = []

    def drop(self, at_s: float) -> None:
        """Lose the connection."""
        if self.is_linked:
            self.is_linked = False
            self._utter(StationDisconnected(at_s=at_s, station=self._station))

    def link(self, at_s: float, evses: Iterable[Evse]) -> None:
        """Connect, and say what a station says then: what was kept unsaid, then states."""
        self.is_linked = True
        self.connection_number += 1
        self._utter(StationConnected(at_s=at_s, station=self._station))
        if self.has_booted:
            self.has_booted = False
            self._utter(StationBooted(at_s=at_s, station=self._station, vendor="Sim", model="S1"))
        self.say_capabilities(at_s)
        unsaid, self._unsaid = self._unsaid, []
        for event in unsaid:
            self._utter(event)
        started = {event.transaction for event in unsaid if isinstance(event, TransactionStarted)}
        for evse in evses:
            self.say_status(evse, at_s)
            if evse.transaction is not None and evse.transaction not in started:
                self.say_transaction(evse, at_s)

    def say_capabilities(self, at_s: float) -> None:
        """Have its capabilities read, as the gateway does on each connection."""
        capabilities = StationCapabilities(
            ocpp_version=self._traits.ocpp_version,
            rate_units=self._store.rate_units,
            stack_level=self._store.highest_stack_level,
            profile_count=self._store.profile_count,
            period_count=self._store.period_count,
            sample_interval_s=self._traits.sample_interval_s,
            vendor="Sim",
            model="S1",
            firmware="1.0",
        )
        self._say(CapabilitiesRead(at_s=at_s, station=self._station, capabilities=capabilities))

    def say_status(self, evse: Evse, at_s: float) -> None:
        """Say whether a vehicle is there, and what it does."""
        status = ConnectorStatus.AVAILABLE if evse.vehicle is None else ConnectorStatus.OCCUPIED
        self._say(
            ConnectorStatusChanged(
                at_s=at_s,
                connector=evse.connector.ref,
                status=status,
                charging_state=evse.charging_state,
            )
        )

    def say_transaction(self, evse: Evse, at_s: float) -> None:
        """Say that the transaction of an EVSE runs."""
        assert evse.transaction is not None
        self._say(
            TransactionStarted(
                at_s=at_s, connector=evse.connector.ref, transaction=evse.transaction
            ),
            keeps=True,
        )

    def say_end(self, evse: Evse, transaction: TransactionId, at_s: float) -> None:
        """Say that a transaction is over."""
        self._say(
            TransactionEnded(at_s=at_s, connector=evse.connector.ref, transaction=transaction),
            keeps=True,
        )

    def say_charging_state(self, evse: Evse, at_s: float) -> None:
        """Say what the vehicle does, if that is news."""
        if evse.draw_a > CHARGING_ABOVE_A:
            state = ChargingState.CHARGING
        elif evse.pilot_a == 0.0:
            state = ChargingState.SUSPENDED_EVSE
        elif evse.charging_state in (None, ChargingState.EV_CONNECTED):
            state = ChargingState.EV_CONNECTED  # It has not drawn anything yet.
        else:
            state = ChargingState.SUSPENDED_EV
        if state is not evse.charging_state:
            evse.charging_state = state
            self._say(
                ConnectorStatusChanged(
                    at_s=at_s, connector=evse.connector.ref, charging_state=state
                )
            )

    def say_reading(self, metered: ConnectorMetered) -> None:
        """Say what was metered."""
        self._say(metered)

    def _say(self, event: StationEvent, *, keeps: bool = False) -> None:
        """Say it, or `keeps` it to be said when there is a connection again."""
        if self.is_linked:
            self._utter(event)
        elif keeps:
            self._unsaid.append(event)

    def _utter(self, event: StationEvent) -> None:
        self._world.utter(self._station, event)
