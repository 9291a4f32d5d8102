"""What a site file says, as the rest of Headroom takes it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway.control.parameters import ControlParameters
from gateway.control.proof import PhaseProof, SiteProof
from gateway.domain.circuits import Site
from gateway.domain.ids import BusId, CircuitId, StationId
from gateway.domain.tokens import TokenPolicy
from gateway.settings.mistakes import Mistake, SettingsRefusedError


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialBus:
    """A serial line, spoken to in Modbus RTU; `format` is such as `8E1`."""

    id: BusId
    port: str
    baud: int
    format: str
    timeout_s: float
    min_gap_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpBus:
    """A meter or gateway on the network, spoken to in Modbus TCP."""

    id: BusId
    host: str
    port: int
    timeout_s: float
    min_gap_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenAddress:
    """Where a service listens; port 0 takes any free one."""

    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Listeners:
    """Where Headroom listens."""

    ocpp: ListenAddress
    api: ListenAddress
    metrics: ListenAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class StopInput:
    """A contact that stops everything when it is open, or when it is closed.

    `kind` is what it is on its Modbus module (`coil`, `discrete_input`, `holding_register`,
    `input_register`), `bit` its place in a register. `is_self_releasing`: its own reset is enough.
    """

    bus: BusId
    unit: int
    kind: str
    address: int
    bit: int
    stops_when_closed: bool
    is_self_releasing: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TripOutput:
    """An output that opens a circuit when it is open (0 is written), or when it is closed (1).

    It is a coil of a Modbus module, or where `bit` is given that bit of a holding register.
    """

    circuit: CircuitId
    bus: BusId
    unit: int
    address: int
    bit: int | None
    trips_when_closed: bool

    def __str__(self) -> str:
        """Return where it is, in words: `coil 5 of unit 9 on bus plant`."""
        place = f"coil {self.address}"
        if self.bit is not None:
            place = f"bit {self.bit} of register {self.address}"
        return f"{place} of unit {self.unit} on bus {self.bus}"


@dataclass(frozen=True, slots=True, kw_only=True)
class HookSettings:
    """An address to call, and the name of the credential calls to it are signed with."""

    id: str
    url: str
    credential: str
    kinds: tuple[str, ...]
    holder: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A site file that has no mistakes, with its proof worked out (`proof.holds` says if it holds).

    `credentials` names, for every station, the credential that holds its password; None only
    where the file says that it logs in without one. `text` is the file these settings were read
    from, as it was then.
    """

    path: Path
    site: Site
    control: ControlParameters
    buses: tuple[SerialBus | TcpBus, ...]
    listen: Listeners
    credentials: Mapping[StationId, str | None]
    stop_input: StopInput | None
    trip_outputs: tuple[TripOutput, ...]
    warnings: tuple[Mistake, ...]
    proof: SiteProof
    webhooks: tuple[HookSettings, ...] = ()
    plan_min_gap_s: float = 10.0
    tokens: TokenPolicy = field(default_factory=TokenPolicy)
    text: str = ""


class ProofRefusedError(SettingsRefusedError):
    """A site file has no mistakes, but in silence some circuit would be over its set-point."""

    def __init__(self, settings: Settings) -> None:
        """Take the settings whose proof fails; the message is the sums that fail."""
        self.settings = settings
        lines = [describe_failure(row) for row in settings.proof.failures]
        lines.append(f"`headroom check {settings.path}` shows every term, and what would mend it")
        super().__init__("\n".join(f"{settings.path}: {line}" for line in lines))


def describe_failure(row: PhaseProof) -> str:
    """Return a sum that is over its set-point, in one line."""
    return (
        f"circuit {row.circuit}, {row.phase.name}: fallbacks {row.fallback_ma / 1_000:.1f} A"
        f" + base {row.base_ma / 1_000:.1f} A + loads {row.load_ma / 1_000:.1f} A"
        f" = {row.worst_case_ma / 1_000:.1f} A, {-row.margin_ma / 1_000:.1f} A"
        f" over the set-point of {row.set_point_ma / 1_000:.1f} A"
        f"{' its calendar leads to' if row.by_calendar else ''}"
    )
