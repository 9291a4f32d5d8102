"""What is asked and answered, as JSON; the OpenAPI document is made from these models."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from gateway.api.field_words import INSTANT, wrong_at
from gateway.domain.needs import Criticality, Objective, StateOfCharge
from gateway.domain.promises import PromiseState
from gateway.planning.quote import Verdict, Way

PhasesMa = Annotated[
    tuple[int, int, int],
    # As the library has it, it would be three schemas, which few generators of clients know.
    WithJsonSchema({"type": "array", "items": {"type": "integer"}, "minItems": 3, "maxItems": 3}),
]
"""A current for each phase."""
Name = Annotated[str, Field(min_length=1, max_length=128)]
MAX_PROFILE_PARTS = 200
MOST_WH = 100_000_000
MOST_W = 100_000_000
MOST_MA = 10_000_000
FIRST_YEAR, LAST_YEAR = 1990, 2200  # Sums of instants further off than this have no date.


def _written_out(said: object) -> object:
    """Return the instant a text tells; one of digits alone would be seconds since 1970."""
    if not isinstance(said, str):
        return said
    try:
        if said[:4].isdecimal() and said[4:5] == "-":
            return _TEXT.validate_strings(said)
    except ValidationError:
        pass
    raise PydanticCustomError("datetime_parsing", INSTANT)


def _reckonable(instant: datetime) -> datetime:
    if not FIRST_YEAR <= instant.year <= LAST_YEAR:
        raise ValueError(f"give an instant of the years {FIRST_YEAR} to {LAST_YEAR}")
    return instant


_TEXT = TypeAdapter(AwareDatetime)
Instant = Annotated[
    AwareDatetime,
    BeforeValidator(_written_out),
    AfterValidator(_reckonable),
    Field(json_schema_extra={"pattern": r"^(199\d|2[01]\d\d|2200)-"}),
]
"""An instant that somebody asks about."""


def _whole(number: object) -> object:
    return int(number) if isinstance(number, float) and number.is_integer() else number


# Bounds stand with the number: beside None the library would not describe them.
_WHOLE = BeforeValidator(_whole)
"""A whole number may be sent as 30.0: to JSON Schema, which describes us, it is one."""
WattHours = Annotated[int, Field(ge=0, le=MOST_WH), _WHOLE]
SomeWattHours = Annotated[int, Field(gt=0, le=MOST_WH), _WHOLE]
Watts = Annotated[int, Field(ge=0, le=MOST_W), _WHOLE]
SomeWatts = Annotated[int, Field(gt=0, le=MOST_W), _WHOLE]
PhaseCount = Annotated[int, Field(ge=1, le=3), _WHOLE]
Milliamps = Annotated[int, Field(ge=0, le=MOST_MA), _WHOLE]


class Body(BaseModel):
    """Something sent to us: what it does not know is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Answer(BaseModel):
    """Something we answer."""

    model_config = ConfigDict(frozen=True)


class StateOfChargeBody(Body):
    """A battery: what is in it, what is to be in it, and what it holds in all."""

    now_pct: float = Field(ge=0, le=100)
    target_pct: float = Field(ge=0, le=100)
    battery_wh: SomeWattHours

    @property
    def said(self) -> StateOfCharge:
        """Return it in the words of the domain."""
        return StateOfCharge(
            now_pct=self.now_pct, target_pct=self.target_pct, battery_wh=self.battery_wh
        )


class QuoteRequest(Body):
    """What a vehicle needs (or a plain draw on a circuit)."""

    arrive_at: Instant | None = None
    """None: now."""
    depart_at: Instant | None = None
    """None: whenever it has what it needs, or 12 h after it arrives."""
    energy_wh: SomeWattHours | None = None
    """None: what `soc` says is missing, or everything there is. With both, this is what it needs."""
    soc: StateOfChargeBody | None = None
    min_energy_wh: WattHours = 0
    """The least it can live with."""
    arrive_slack_s: float = Field(default=0.0, ge=0, le=86_400)
    """How much later than said it may come."""
    depart_slack_s: float = Field(default=0.0, ge=0, le=86_400)
    """How much earlier than said it may leave."""
    objective: Objective = Objective.BY_DEPARTURE
    """What is best: `fastest` is the connector, and of offers the one, that is done soonest, and is
    moved for nobody; `most_energy` the offer with most by the departure, wherever that is;
    `by_departure` what is nearest to what was asked."""
    criticality: Criticality = Criticality.NORMAL
    max_power_w: SomeWatts | None = None
    phases: PhaseCount | None = None
    """How many phases it charges on; None: all its connector, or the circuit, has."""
    confidence: float | None = Field(default=None, gt=0, lt=1)
    """How surely it must be kept; None: 0.9."""
    fixed: bool = False
    """Whether what it is promised must not be moved in time for something critical."""
    connector: Name | None = None
    """Such as `CP-01/1`; None: whichever is best."""
    circuit: Name | None = None
    """A circuit to draw from plainly, in the place of a connector."""
    id_token: Name | None = None
    """What the vehicle will show to the station: it is known by it."""
    reference: Name | None = None
    """A name of the caller's own."""
    replaces: Name | None = None
    """A reservation in whose place it is: it is given up for the offer that is held."""

    @model_validator(mode="after")
    def _is_consistent(self) -> "QuoteRequest":
        if self.connector is not None and self.circuit is not None:
            raise ValueError("give a connector or a circuit, not both")
        if self.circuit is not None and self.energy_wh is None:
            raise ValueError("a plain draw on a circuit needs its energy_wh")
        if self.circuit is not None and (self.soc is not None or self.id_token is not None):
            raise ValueError("a plain draw on a circuit is no vehicle's: give no soc, no id_token")
        if self.energy_wh is not None and self.min_energy_wh > self.energy_wh:
            raise wrong_at("min_energy_wh", "is above energy_wh: it can be at most the same")
        missing_wh = None if self.soc is None else self.soc.said.energy_wh
        if self.energy_wh is None and missing_wh is not None and self.min_energy_wh > missing_wh:
            told = f"is above the {missing_wh} Wh that are missing: it can be at most the same"
            raise wrong_at("min_energy_wh", told)
        return self


class PowerStep(Body):
    """A power from an instant on, in all phases together, until the next step."""

    start_at: Instant
    power_w: Watts


class EnvelopeBody(Body):
    """An envelope of the caller's own, on a connector."""

    connector: Name
    profile: list[PowerStep] = Field(min_length=1, max_length=MAX_PROFILE_PARTS)
    end_at: Instant
    """When the vehicle leaves, and the last step ends."""
    phases: PhaseCount | None = None
    criticality: Criticality = Criticality.NORMAL
    confidence: float | None = Field(default=None, gt=0, lt=1)
    """How surely what a vehicle takes of it must be given; None: 0.9."""
    id_token: Name | None = None
    reference: Name | None = None


_ONE_OF_THEM: JsonDict = {
    "oneOf": [
        {
            "required": ["offer_id"],
            "properties": {"offer_id": {"type": "string"}, "envelope": {"type": "null"}},
        },
        {
            "required": ["envelope"],
            "properties": {"offer_id": {"type": "null"}, "envelope": {"type": "object"}},
        },
    ]
}


class ReservationRequest(Body):
    """What is to be held: an offer by its id, or an envelope of one's own."""

    model_config = ConfigDict(json_schema_extra=_ONE_OF_THEM)

    offer_id: Name | None = None
    envelope: EnvelopeBody | None = None
    replaces: Name | None = None
    """A reservation that is cancelled by it, and stands if it is refused."""

    @model_validator(mode="after")
    def _is_one(self) -> "ReservationRequest":
        if (self.offer_id is None) == (self.envelope is None):
            raise ValueError("give an offer_id or an envelope, and not both")
        return self


class Step(Answer):
    """A power from an instant on, until the next step; the last one is 0 W."""

    start_at: AwareDatetime
    power_w: int


class BindingView(Answer):
    """A phase of a circuit that leaves less than the connector could give, and when."""

    circuit: str
    phase: str
    from_at: AwareDatetime
    until_at: AwareDatetime
    limit_ma: int


class OfferView(Answer):
    """An offer. `guaranteed_wh` no plan may take back; `energy_wh` is offered at `confidence`."""

    offer_id: str
    way: Way
    connector: str | None
    circuit: str | None
    energy_wh: int
    guaranteed_wh: int
    start_at: AwareDatetime
    finish_at: AwareDatetime
    confidence: float
    profile: list[Step]
    binding: list[BindingView]
    why: str


class QuoteView(Answer):
    """The answer to a need; its offers can be held until `expires_at`, while they fit.

    For the one that is held the reservation it `replaces` is given up, None if there is none.
    """

    quote_id: str
    ledger_version: int
    expires_at: AwareDatetime
    answer: Verdict
    reason: str
    replaces: str | None
    offers: list[OfferView]


class ReservationView(Answer):
    """A promise as it stands. `hold_expires_at` is None once it no longer lapses.

    Its connector is its vehicle's from `start_at` to `end_at`, the slacks of the need included.

    `holder` is the token it was made to. `confidence_now` is how sure it was when it was last looked
    at, while it is open, as if a vehicle that is late came then; None before the first look, and where
    nothing that was measured tells it. While it is `at_risk`, `why` says why.
    One whose station is out of reach at its end stays open, and holds no room, until that has told what it gave, an
    hour at most.
    """

    reservation_id: str
    holder: str
    state: PromiseState
    connector: str | None
    circuit: str | None
    start_at: AwareDatetime
    end_at: AwareDatetime
    hold_expires_at: AwareDatetime | None
    energy_wh: int
    guaranteed_wh: int
    delivered_wh: int
    confidence: float
    confidence_now: float | None
    at_risk: bool
    why: str
    criticality: Criticality
    profile: list[Step]
    id_token: str | None
    reference: str | None
    waits_for: str
    """Whose leaving it needs, empty if nobody's."""
    cause: str


class ReservationsView(Answer):
    """Reservations, those that begin first before others."""

    reservations: list[ReservationView]


class CircuitView(Answer):
    """A circuit as built, and its rating by its calendar now; three numbers, one for each phase.

    `calendar` says when a lower rating than that as built holds, None while none does.
    """

    id: str
    parent: str | None
    device: str
    rating_ma: PhasesMa
    set_point_ma: PhasesMa
    rating_now_ma: PhasesMa
    set_point_now_ma: PhasesMa
    calendar: str | None
    meter: str | None


class ConnectorAsBuilt(Answer):
    """A connector as built."""

    connector: str
    circuit: str
    phases: list[str]
    max_ma: int
    fallback_ma: int


class SiteView(Answer):
    """The site as built, and its clock."""

    name: str
    timezone: str
    voltage_v: float
    now: AwareDatetime
    circuits: list[CircuitView]
    connectors: list[ConnectorAsBuilt]


class PhasePower(Answer):
    """What a meter says of a phase; None where it says nothing fresh."""

    phase: str
    current_ma: int | None
    voltage_v: float | None
    age_s: float | None


class CircuitPower(Answer):
    """What flows in a circuit; import is positive."""

    circuit: str
    phases: list[PhasePower]


class ConnectorPower(Answer):
    """What a connector's station says it gives; None where it says nothing."""

    connector: str
    current_ma: PhasesMa | None
    power_w: float | None
    age_s: float | None


class PowerView(Answer):
    """Readings, and nothing else."""

    at: AwareDatetime
    circuits: list[CircuitPower]
    connectors: list[ConnectorPower]


class ConnectorView(Answer):
    """A connector as it is: `limit_ma` is what it may take a phase, `why` says why."""

    connector: str
    circuit: str
    condition: str
    is_connected: bool
    limit_ma: int
    max_ma: int
    power_w: float | None
    reason: str
    why: str


class ConnectorsView(Answer):
    """Every connector as it is."""

    at: AwareDatetime
    connectors: list[ConnectorView]


class LeftView(Answer):
    """What a phase has left for promises, from one instant to another."""

    from_at: AwareDatetime
    until_at: AwareDatetime
    left_ma: int


class PhaseHeadroom(Answer):
    """A phase of a circuit: what control could give now, and what can still be promised."""

    phase: str
    free_now_ma: int | None
    left: list[LeftView]


class CircuitHeadroom(Answer):
    """A circuit, phase by phase."""

    circuit: str
    phases: list[PhaseHeadroom]


class ConnectorHeadroom(Answer):
    """What one vehicle more could be promised on a connector."""

    connector: str
    profile: list[Step]


class HeadroomView(Answer):
    """What is free, when, per circuit and connector, beside who charges already as it is planned."""

    ledger_version: int
    from_at: AwareDatetime
    until_at: AwareDatetime
    circuits: list[CircuitHeadroom]
    connectors: list[ConnectorHeadroom]


class NoticeView(Answer):
    """The data of one server-sent event; its `event` is the kind, its `id` the number."""

    at: AwareDatetime
    kind: Literal["reservation", "reservation-at-risk", "reservation-safe-again", "limit", "missed"]
    subject: str
    holder: str | None
    """Whose reservation it is about; None of what anybody may know."""
    data: dict[str, JsonValue]
