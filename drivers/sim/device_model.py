"""The device model of a simulated OCPP 2.0.1 station, as far as smart charging needs it."""

from collections.abc import Mapping
from typing import Any

from drivers.sim.station_link import StationLink
from drivers.sim.station_settings import MeteringNames

NAMES = MeteringNames(
    sampled_data="SampledDataCtrlr.TxUpdatedMeasurands",
    sampled_interval="SampledDataCtrlr.TxUpdatedInterval",
    aligned_data="AlignedDataCtrlr.Measurands",
    aligned_interval="AlignedDataCtrlr.Interval",
)
PROFILE_COUNT = "SmartChargingCtrlr.Entries.ChargingProfiles"


def name_of(row: Mapping[str, Any]) -> str:
    """Return the name of a variable of the station: component, variable, instance if any.

    One of an EVSE has a name no variable of the station has.
    """
    parts = [row["component"]["name"], row["variable"]["name"], row["variable"].get("instance")]
    name = ".".join(part for part in parts if part)
    return f"{name} of an EVSE" if "evse" in row["component"] else name


class DeviceModel:
    """The variables of one station by their names, and what of them can be changed."""

    def __init__(self, link: StationLink) -> None:
        """Show what the station behind `link` is."""
        self._link = link

    def values(self) -> dict[str, str]:
        """Return the value of every variable."""
        station = self._link.station
        store = station.store
        return {
            "ChargingStation.VendorName": "Sim",
            "ChargingStation.Model": "S1",
            "SmartChargingCtrlr.Available": "true",
            "SmartChargingCtrlr.Enabled": "true",
            "SmartChargingCtrlr.RateUnit": ",".join(sorted(u.value for u in store.rate_units)),
            "SmartChargingCtrlr.ProfileStackLevel": str(store.highest_stack_level),
            "SmartChargingCtrlr.PeriodsPerSchedule": str(store.period_count),
            PROFILE_COUNT: str(len(store.installed())),
            **NAMES.defaults(station.traits.sample_interval_s),
            "AlignedDataCtrlr.SendDuringIdle": "false",
            **self._link.settings,
        }

    def measurands(self, context: str) -> str:
        """Return what is told in a reading of this context."""
        return self.values()[NAMES.data_of(context)]

    def change(self, name: str, value: str) -> str:
        """Change a variable; return its SetVariableStatus."""
        if name not in self.values():
            return "UnknownVariable"
        return NAMES.change(self._link, name, value)

    def rows(self, names: list[str]) -> list[dict[str, Any]]:
        """Return the reportData of the variables of these names, as far as they are known."""
        known = self.values()
        return [self._row(name, known[name]) for name in names if name in known]

    def _row(self, name: str, value: str) -> dict[str, Any]:
        component, variable, *instance = name.split(".")
        row: dict[str, Any] = {
            "component": {"name": component},
            "variable": {"name": variable, **({"instance": instance[0]} if instance else {})},
            "variableAttribute": [
                {
                    "value": value,
                    "mutability": "ReadWrite" if name in NAMES.all else "ReadOnly",
                }
            ],
        }
        if name == PROFILE_COUNT:
            row["variableCharacteristics"] = {
                "dataType": "integer",
                "supportsMonitoring": False,
                "maxLimit": float(self._link.station.store.profile_count),
            }
        return row
