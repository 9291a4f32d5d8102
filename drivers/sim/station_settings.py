"""What of a simulated station's metering can be set, by whatever names its OCPP version has."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from drivers.sim.station_link import StationLink

FACTORY_MEASURANDS = "Energy.Active.Import.Register"
MEASURANDS = frozenset({"Current.Import", "Power.Active.Import", "Energy.Active.Import.Register"})


@dataclass(frozen=True, slots=True, kw_only=True)
class MeteringNames:
    """What a version calls the four settings: which measurands, and how often."""

    sampled_data: str
    sampled_interval: str
    aligned_data: str
    aligned_interval: str

    @property
    def all(self) -> AbstractSet[str]:
        """Return the four."""
        data = {self.sampled_data, self.aligned_data}
        return data | {self.sampled_interval, self.aligned_interval}

    def data_of(self, context: str) -> str:
        """Return the name of the measurands told in a reading of this context."""
        return self.aligned_data if context == "Sample.Clock" else self.sampled_data

    def defaults(self, sample_interval_s: float) -> dict[str, str]:
        """Return the values a station comes with."""
        return {
            self.sampled_interval: str(int(sample_interval_s)),
            self.sampled_data: FACTORY_MEASURANDS,
            self.aligned_interval: "0",
            self.aligned_data: FACTORY_MEASURANDS,
        }

    def change(self, link: StationLink, name: str, value: str) -> str:
        """Change one of a station's settings; return Accepted or Rejected."""
        if name in (self.sampled_data, self.aligned_data):
            if not {word.strip() for word in value.split(",")} <= MEASURANDS:
                return "Rejected"
        elif name in (self.sampled_interval, self.aligned_interval) and value.isdecimal():
            if name == self.aligned_interval:
                link.set_aligned(int(value))
            elif int(value) > 0:
                link.set_interval(int(value))
        else:
            return "Rejected"
        link.settings[name] = value
        return "Accepted"
