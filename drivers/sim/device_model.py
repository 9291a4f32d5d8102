"""The device model of a simulated OCPP 2.0.1 station, as far as smart charging needs it."""

from collections.abc import Mapping
from typing import Any

from drivers.sim.point16 import FACTORY_MEASURANDS, MEASURANDS
from drivers.sim.station_link import StationLink

SAMPLED_INTERVAL = "SampledDataCtrlr.TxUpdatedInterval"
SAMPLED_DATA = "SampledDataCtrlr.TxUpdatedMeasurands"
ALIGNED_INTERVAL = "AlignedDataCtrlr.Interval"
ALIGNED_DATA = "AlignedDataCtrlr.Measurands"
PROFILE_COUNT = "SmartChargingCtrlr.Entries.ChargingProfiles"
_CHANGEABLE = frozenset({SAMPLED_INTERVAL, SAMPLED_DATA, ALIGNED_INTERVAL, ALIGNED_DATA})


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
            SAMPLED_INTERVAL: str(int(station.traits.sample_interval_s)),
            SAMPLED_DATA: FACTORY_MEASURANDS,
            ALIGNED_INTERVAL: "0",
            ALIGNED_DATA: FACTORY_MEASURANDS,
            "AlignedDataCtrlr.SendDuringIdle": "false",
            **self._link.settings,
        }

    def measurands(self, context: str) -> str:
        """Return what is told in a reading of this context."""
        return self.values()[ALIGNED_DATA if context == "Sample.Clock" else SAMPLED_DATA]

    def change(self, name: str, value: str) -> str:
        """Change a variable; return its SetVariableStatus."""
        if name not in self.values():
            return "UnknownVariable"
        if name in (SAMPLED_DATA, ALIGNED_DATA):
            if not {part.strip() for part in value.split(",")} <= MEASURANDS:
                return "Rejected"
        elif name in (SAMPLED_INTERVAL, ALIGNED_INTERVAL) and value.isdecimal():
            if name == ALIGNED_INTERVAL:
                self._link.set_aligned(int(value))
            elif int(value) > 0:
                self._link.set_interval(int(value))
        else:
            return "Rejected"
        self._link.settings[name] = value
        return "Accepted"

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
                    "mutability": "ReadWrite" if name in _CHANGEABLE else "ReadOnly",
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
