"""The meter in a simulated station: what its meter values say, lies included."""

from collections.abc import Sequence
from dataclasses import replace

from drivers.sim.evse import Evse
from drivers.sim.faults import Fault, FaultKind
from drivers.sim.profiles import ProfileStore
from drivers.sim.scenario import StationTraits
from gateway.domain.charging import RateUnit
from gateway.domain.events import ConnectorMetered


class StationMeter:
    """Measures each connector of one station while a transaction runs there."""

    def __init__(
        self,
        traits: StationTraits,
        store: ProfileStore,
        *,
        voltage_v: tuple[float, float, float],
        faults: Sequence[Fault],
    ) -> None:
        """Have measured nothing yet; `faults` are the station's, as they are at each reading."""
        self._traits = traits
        self._store = store
        self._voltage_v = voltage_v
        self._faults = faults
        self._last: dict[int, ConnectorMetered] = {}

    def forget(self, evse: Evse) -> None:
        """Begin anew at a connector: its transaction is over."""
        self._last.pop(evse.connector.ref.number, None)

    def read(self, evse: Evse, at_s: float) -> ConnectorMetered | None:
        """Return the meter values of a connector as the station would tell them.

        None when the station tells none: it has no transaction there, or never does.
        """
        kinds = {fault.kind for fault in self._faults}
        if evse.transaction is None or not self._traits.sends_meter_values:
            return None
        if FaultKind.STATION_SILENT in kinds:
            return None
        last = self._last.get(evse.connector.ref.number)
        if FaultKind.STATION_METER_FROZEN in kinds and last is not None:
            return replace(last, at_s=at_s)
        vehicle = evse.vehicle
        if vehicle is not None:
            vehicle.accrue(at_s)
        draw_a = round(evse.draw_a * self._ratio(), 2)
        used_count = len(evse.used_phases)
        wired_count = len(evse.connector.phases)
        one, two, three = (
            (draw_a if i < used_count else 0.0) if i < wired_count else None for i in range(3)
        )
        hides_current = self._store.rate_units == {RateUnit.WATTS}
        delivered_wh = 0.0 if vehicle is None else vehicle.delivered_wh
        metered = ConnectorMetered(
            at_s=at_s,
            connector=evse.connector.ref,
            current_a=(None, None, None) if hides_current else (one, two, three),
            power_w=draw_a * sum(self._voltage_v[p] for p in evse.used_phases),
            energy_wh=round((evse.energy_wh + delivered_wh) * self._traits.meter_ratio, 1),
        )
        self._last[evse.connector.ref.number] = metered
        return metered

    def _ratio(self) -> float:
        """Return what it says of a draw, as a part of it; the last of two lies counts."""
        lies = [f.value for f in self._faults if f.kind is FaultKind.STATION_LYING]
        return lies[-1] if lies else self._traits.meter_ratio
