"""The shape of site.yaml: every key with its type, bounds and meaning; the JSON Schema is made from it.

Currents are in amperes, as people write them. What has to fit together is in `checks`.
"""

from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
)

from gateway.control.parameters import ControlParameters
from gateway.settings.values import (
    MIN_CHARGING_A,
    ClockTime,
    CredentialName,
    Day,
    Host,
    Name,
    PerPhaseA,
    Phases,
    StationName,
    WebAddress,
)

_DEFAULT = ControlParameters()


class Entry(BaseModel):
    """A part of the file. Unknown keys, other types and numbers that are none are refused."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


class SiteEntry(Entry):
    """The building."""

    name: str = Field(min_length=1, max_length=80)
    """What people call the building."""
    timezone: str
    """The zone its people live by, such as Europe/London: for schedules and reports."""
    voltage_v: float = Field(ge=90, le=300)
    """Nominal voltage between a phase and neutral: 230 in a 400 V three-phase supply."""


class SerialEntry(Entry):
    """A serial line, spoken to in Modbus RTU."""

    port: str = Field(min_length=1)
    """The device; /dev/serial/by-id/... stays the same when adapters are plugged in anew."""
    baud: Literal[1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200]
    """As set on every meter of the line."""
    format: Literal["8N1", "8E1", "8O1", "8N2", "8E2", "8O2"]
    """Data bits, parity (N, E, O) and stop bits, as set on every meter of the line."""


class TcpEntry(Entry):
    """A meter or gateway on the network, spoken to in Modbus TCP."""

    host: Host
    """Its address or name."""
    port: int = Field(default=502, ge=1, le=65_535)


class BusEntry(Entry):
    """A line that meters hang on: either `serial` or `tcp`."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["serial"]}, {"required": ["tcp"]}]}
    )

    id: Name
    serial: SerialEntry | None = None
    tcp: TcpEntry | None = None
    timeout_s: float = Field(default=0.5, ge=0.05, le=2.0)
    """How long a meter may take to answer, beyond the time the characters themselves take."""
    min_gap_s: float = Field(default=0.0, ge=0.0, le=0.2)
    """The least pause before each question, for devices that need more than the 3.5 characters of silence the standard asks for."""


class MeterEntry(Entry):
    """A power meter."""

    id: Name
    bus: Name
    """The bus it hangs on."""
    unit: int = Field(ge=0, le=255)
    """Its Modbus address: 1 to 247 on a serial line."""
    profile: str
    """Its model: the name of a register map."""
    ct_ratio: float = Field(default=1.0, gt=0, le=10_000)
    """Currents and powers are multiplied by it; 1 where the meter is set to its transformers."""
    invert: bool = False
    """True where import and export are swapped."""
    phases: Phases = ("L1", "L2", "L3")
    """The supply phases the meter's own L1, L2, L3 are clamped on, in that order."""
    interval_s: float = Field(default=1.0, ge=0.2, le=5.0)
    """How often it is read."""


class CurveEntry(Entry):
    """How the overcurrent device warms: I² with one time constant, from its maker's curve."""

    trip_ratio: float = Field(ge=1.05, le=2.0)
    """The multiple of the rating that is just not carried for ever."""
    time_constant_s: float = Field(ge=1.0, le=7_200.0)


class TripOutputEntry(Entry):
    """An output that opens the circuit's own breaker or contactor when nothing else has helped.

    It opens once the circuit has been over its rating for `control.over_rating_trip_s`, and stays
    open until a person says `headroom release CIRCUIT`.
    """

    bus: Name
    """The bus its module hangs on."""
    unit: int = Field(ge=0, le=255)
    """The module's Modbus address: 1 to 247 on a serial line."""
    kind: Literal["coil", "holding_register"] = "coil"
    """What the output is on the module."""
    address: int = Field(ge=0, le=65_535)
    """The number of the coil or register, as sent on the wire: counted from 0."""
    bit: int | None = Field(default=None, ge=0, le=15)
    """Of a register: which bit, 0 being the lowest."""
    trips_when: Literal["open", "closed"] = "open"
    """`open` trips when 0 is written (a contactor, an undervoltage release), so a cut wire trips too; `closed` when 1 is written (a shunt trip)."""


class RatingEntry(Entry):
    """A lower rating that a circuit has at times, by the clocks of its people."""

    days: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = Field(
        default=("mon", "tue", "wed", "thu", "fri", "sat", "sun"), min_length=1
    )
    """The days on which it begins. Left out: every day."""
    starts: ClockTime
    """From when it holds, such as "16:00"."""
    ends: ClockTime
    """Until when; before `starts` is on the next day, the same is a whole day."""
    rating_a: PerPhaseA
    """The rating then; three numbers where the phases differ."""


class CircuitEntry(Entry):
    """A node of the electrical tree."""

    id: Name
    parent: Name | None = None
    """The circuit that feeds it; none for an incoming supply."""
    rating_a: PerPhaseA
    """The rating of its overcurrent device; three numbers where the phases differ, 0 for a phase it does not have."""
    device: Literal["mcb", "mccb", "fuse"]
    """The overcurrent device: it decides the set-point (95 % of the rating for mcb, else 90 %) and how long an overload may last."""
    ratings: tuple[RatingEntry, ...] = ()
    """Lower ratings it has at times; where several hold the lowest counts."""
    meter: Name | None = None
    """The meter that measures everything that flows through its feed."""
    worst_case_base_a: PerPhaseA
    """The most its feed can show with every connector and every declared load off, the base of the circuits below it included. Write 0 only where there is nothing else."""
    set_point_ratio: float | None = Field(default=None, ge=0.1, le=1.0)
    """What part of the rating Headroom aims at, if not what suits the device."""
    curve: CurveEntry | None = None
    """The real curve of the device; else the fastest its standard allows is assumed."""
    power_limit_kva: float | None = Field(default=None, gt=0, le=100_000)
    """The most apparent power over all phases, such as a contract allows."""
    neutral_a: float | None = Field(default=None, gt=0, le=10_000)
    """The rating of the neutral, where it is less than the phases'."""
    imbalance_a: float | None = Field(default=None, gt=0, le=10_000)
    """The largest difference allowed between two phases."""
    trip_output: TripOutputEntry | None = None
    """What opens the circuit when nothing else has helped; none: an alarm is all there is."""


class LoadEntry(Entry):
    """A large known load: it counts in the proof, in addition to the base, and is watched."""

    id: Name
    circuit: Name
    """The circuit it hangs on."""
    worst_case_a: PerPhaseA
    """The most it draws."""
    interlock: Name | None = None
    """Loads of one group never run at the same time: only the largest counts."""


class SourceEntry(Entry):
    """What feeds a circuit from below and may vanish: its output is counted as if it had."""

    id: Name
    circuit: Name
    """The circuit it feeds."""
    kind: Literal["pv", "battery"]
    """PV only gives, however its meter is wired; a battery gives when its meter shows export."""
    nameplate_a: PerPhaseA
    """The most it gives; that counts where no meter tells its output, or the meter is silent."""
    meter: Name | None = None
    """The meter that measures its output."""


class ConnectorEntry(Entry):
    """A connector as wired."""

    id: int = Field(ge=1, le=1_000)
    """The number the station gives it: connectorId in OCPP 1.6, EVSE id in 2.0.1."""
    phases: Phases
    """The supply phases of the connector's own L1, L2, L3, in that order."""
    max_a: float = Field(ge=MIN_CHARGING_A, le=1_000)
    """The most the connector may ever draw on a phase: cable, socket and station."""
    fallback_a: float = Field(ge=0, le=1_000)
    """What it draws when nobody tells it anything: 0, or 6 and more."""


class CredentialEntry(Entry):
    """A password kept outside this file."""

    credential: CredentialName
    """The name of a file that holds the password, in $CREDENTIALS_DIRECTORY or beside this file in credentials/."""


def _auth_kind(value: object) -> str:
    return "<credential>" if isinstance(value, dict | CredentialEntry) else "<none>"


class StationEntry(Entry):
    """A charging station, known by its OCPP identity."""

    id: StationName
    """Its OCPP identity: the last part of the address it connects to, and its user name."""
    circuit: Name
    """The circuit that feeds it."""
    connectors: tuple[ConnectorEntry, ...] = Field(min_length=1)
    """Its sockets and cables."""
    limits_in: Literal["amperes", "watts"] = "amperes"
    """What it takes its limits in. In watts its fallbacks count 11 % more: as many amperes as they are at the lowest voltage."""
    auth: (
        Annotated[
            Annotated[Literal["none"], Tag("<none>")]
            | Annotated[CredentialEntry, Tag("<credential>")],
            Discriminator(_auth_kind),
        ]
        | None
    ) = None
    """How it logs in. Left out: with the password in the credential of its own id. `none`: without one."""


class StopInputEntry(Entry):
    """A contact (fire alarm, emergency stop) that takes every connector to 0 A until a person releases it.

    A contact that cannot be read for 15 s counts as one that asks for a stop.
    """

    bus: Name
    """The bus its module hangs on."""
    unit: int = Field(ge=0, le=255)
    """The module's Modbus address: 1 to 247 on a serial line."""
    kind: Literal["discrete_input", "coil", "input_register", "holding_register"] = "discrete_input"
    """What the contact is on the module."""
    address: int = Field(ge=0, le=65_535)
    """The number of the input, coil or register, as sent on the wire: counted from 0."""
    bit: int | None = Field(default=None, ge=0, le=15)
    """Of a register: which bit, 0 being the lowest."""
    stops_when: Literal["open", "closed"] = "open"
    """`open` stops when it reads 0, so a cut wire stops too; `closed` when it reads 1."""
    release: Literal["person", "contact"] = "person"
    """`person`: someone says `headroom release`; `contact`: resetting it at its own panel is enough."""


class WebhookEntry(Entry):
    """An address Headroom calls by itself when something has become of a promise."""

    id: Name
    url: WebAddress
    """Where it is called: https, or http within the building."""
    credential: CredentialName | None = None
    """The name of the file that holds the secret calls are signed with, as for stations. Left out: its own id."""
    tell: tuple[Literal["reservation", "reservation-at-risk", "reservation-safe-again"], ...] = (
        Field(default=("reservation-at-risk", "reservation-safe-again"), min_length=1)
    )
    """What it is told: that a promise is at risk, or safe again, or every change of a reservation."""
    holder: str | None = Field(default=None, min_length=1, max_length=80)
    """Only promises made under the token of this name. Left out: all."""


class TokenEntry(Entry):
    """An id token that may charge, such as the number of a card."""

    id: str = Field(min_length=1, max_length=36)
    """What the station reads of it; upper and lower case are the same."""
    group: str | None = Field(default=None, min_length=1, max_length=20)
    """Those of one group may end what another of it began."""
    valid_until: Day | None = None
    """The last day it is good, such as 2027-01-31. Left out: for ever."""
    blocked: bool = False
    """True: it is told to be blocked."""


class HolderEntry(Entry):
    """Whose id tokens are: nobody else may ask for promises to their vehicles."""

    id: str = Field(min_length=1, max_length=80)
    """The name of an API token, as `headroom token --name` gave it."""
    id_tokens: tuple[Annotated[str, Field(min_length=1, max_length=36)], ...] = Field(min_length=1)
    """What stations read of its vehicles; upper and lower case are the same."""


class AuthorizeEntry(Entry):
    """Who may charge, and whose id tokens are."""

    accept: Literal["all", "list", "station"] = "all"
    """`all`: every token; `list`: those in `tokens`; `station`: what a station decides by a list of its own."""
    tokens: tuple[TokenEntry, ...] = ()
    """With `accept: list`: the tokens that may."""
    holders: tuple[HolderEntry, ...] = ()
    """Whose id tokens are. Of one that is named by none the first to ask is promised something."""


class ListenEntry(Entry):
    """Where a service listens."""

    host: Host = "127.0.0.1"
    """127.0.0.1 for this machine alone, 0.0.0.0 for every network it is on."""
    port: int = Field(ge=0, le=65_535)
    """0 takes any free port."""


class OcppListenEntry(ListenEntry):
    """Where charging stations connect."""

    port: int = Field(default=9000, ge=0, le=65_535)
    """0 takes any free port."""


class ApiListenEntry(ListenEntry):
    """Where people and programs connect."""

    port: int = Field(default=8080, ge=0, le=65_535)
    """0 takes any free port."""


class MetricsListenEntry(ListenEntry):
    """Where Prometheus reads."""

    port: int = Field(default=9464, ge=0, le=65_535)
    """0 takes any free port."""


class ListenersEntry(Entry):
    """Where Headroom listens; this machine alone unless said otherwise."""

    ocpp: OcppListenEntry = OcppListenEntry()
    api: ApiListenEntry = ApiListenEntry()
    metrics: MetricsListenEntry = MetricsListenEntry()


class ControlEntry(Entry):
    """The safety numbers. The defaults suit a building; each has bounds within which it is safe."""

    period_s: float = Field(default=_DEFAULT.period_s, ge=0.5, le=2.0)
    """A decision is taken this often."""
    stale_no_raises_s: float = Field(default=_DEFAULT.stale_no_raises_s, ge=2, le=10)
    """A meter silent for longer allows no raise."""
    stale_worst_case_s: float = Field(default=_DEFAULT.stale_worst_case_s, ge=3, le=20)
    """A meter silent for longer counts as the worst-case base."""
    stale_fallback_s: float = Field(default=_DEFAULT.stale_fallback_s, ge=5, le=30)
    """A meter silent for longer takes its circuit to the fallbacks."""
    acknowledgement_s: float = Field(default=_DEFAULT.acknowledgement_s, ge=3, le=30)
    """A limit not acknowledged for longer is made good by cutting others."""
    reaction_s: float = Field(default=_DEFAULT.reaction_s, ge=10, le=60)
    """From a rise of base to vehicles that have obeyed: reading, decision, answer, vehicle."""
    reserve_floor_ratio: float = Field(default=_DEFAULT.reserve_floor_ratio, ge=0.05, le=0.5)
    """The least part of a rating kept free for a rise of base."""
    reserve_unlearnt_ratio: float = Field(default=_DEFAULT.reserve_unlearnt_ratio, ge=0.05, le=0.5)
    """The part kept free until the base is known for seven days, where it is more."""
    disobedience_a: float = Field(default=_DEFAULT.disobedience_ma / 1_000, ge=0.3, le=3)
    """A draw above its limit by more than this, or by `disobedience_ratio`, is disobedience."""
    disobedience_ratio: float = Field(default=_DEFAULT.disobedience_ratio, ge=0.01, le=0.2)
    """See `disobedience_a`; the larger of the two counts."""
    disobedience_s: float = Field(default=_DEFAULT.disobedience_s, ge=5, le=60)
    """How long a draw may be above its limit before it is disobedience."""
    raise_after_s: float = Field(default=_DEFAULT.raise_after_s, ge=10, le=600)
    """Headroom must have lasted this long before limits are raised."""
    raise_share_ratio: float = Field(default=_DEFAULT.raise_share_ratio, ge=0.05, le=1)
    """The part of a circuit's headroom that is given in one step."""
    dead_band_a: float = Field(default=_DEFAULT.dead_band_ma / 1_000, ge=0.1, le=5)
    """Limits are not changed upward by less."""
    thermal_minimum_ratio: float = Field(default=_DEFAULT.thermal_minimum_ratio, ge=0.05, le=0.5)
    """The part of a device's thermal budget at which its connectors go to their minimum."""
    thermal_pause_ratio: float = Field(default=_DEFAULT.thermal_pause_ratio, ge=0.1, le=0.8)
    """The part of a device's thermal budget at which its connectors pause."""
    over_rating_pause_s: float = Field(default=_DEFAULT.over_rating_pause_s, ge=5, le=60)
    """A circuit above its rating for longer pauses."""
    over_rating_trip_s: float = Field(default=_DEFAULT.over_rating_trip_s, ge=10, le=120)
    """A circuit above its rating for longer is locked out, and the trip output opens if there is one."""
    excursion_s: float = Field(default=_DEFAULT.excursion_s, ge=5, le=60)
    """A circuit above its rating for longer has made an excursion."""
    excursion_count: int = Field(default=_DEFAULT.excursion_count, ge=1, le=10)
    """So many excursions within `excursion_window_s` lock the circuit out."""
    excursion_window_s: float = Field(default=_DEFAULT.excursion_window_s, ge=3_600, le=604_800)
    """See `excursion_count`."""
    lockout_s: float = Field(default=_DEFAULT.lockout_s, ge=600, le=86_400)
    """How long a circuit that is locked out stays at its fallbacks."""
    lease_s: float = Field(default=_DEFAULT.lease_s, ge=30, le=900)
    """A limit lapses to the fallback unless renewed within this time."""
    renew_s: float = Field(default=_DEFAULT.renew_s, ge=5, le=300)
    """How often a lease is renewed; at most half of `lease_s`."""


class PlanningEntry(Entry):
    """How plans are made."""

    min_gap_s: float = Field(default=10, ge=0, le=600)
    """The least time from one plan to the next, whatever happens."""


class SiteFile(Entry):
    """A site as Headroom is told of it."""

    model_config = ConfigDict(title="Headroom site")

    site: SiteEntry
    buses: tuple[BusEntry, ...] = ()
    """The lines the meters hang on."""
    meters: tuple[MeterEntry, ...] = ()
    """Power meters."""
    circuits: tuple[CircuitEntry, ...] = Field(min_length=1)
    """The electrical tree, in any order."""
    loads: tuple[LoadEntry, ...] = ()
    """Large known loads, for the proof and the watch."""
    sources: tuple[SourceEntry, ...] = ()
    """PV and batteries."""
    stations: tuple[StationEntry, ...] = ()
    """Charging stations."""
    stop_input: StopInputEntry | None = None
    webhooks: tuple[WebhookEntry, ...] = ()
    """Whom to call when promises are at risk."""
    authorize: AuthorizeEntry = AuthorizeEntry()
    listen: ListenersEntry = ListenersEntry()
    control: ControlEntry = ControlEntry()
    planning: PlanningEntry = PlanningEntry()
