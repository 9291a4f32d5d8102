"""A site file of any shape, as far as it can be understood.

All mistakes are told at once. So what has to fit together is checked in a file with mistakes of
shape too: a value that is wrong by itself is None here, an entry that is none is an empty one.
"""

from typing import Annotated, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from gateway.settings.models import ControlEntry
from gateway.settings.nodes import Plain
from gateway.settings.values import Host, PerPhaseA, Phases

T = TypeVar("T")


def _none_if_wrong(value: object, handler: ValidatorFunctionWrapHandler) -> object:
    try:
        return handler(value)
    except ValidationError:
        return None


def _keys_or_nothing(value: object) -> object:
    return value if isinstance(value, dict) else {}


def _list_or_nothing(value: object) -> object:
    return value if isinstance(value, tuple) else ()


def _text_of_number(value: object) -> object:
    # A name of digits wants quotes, which is said; it is a name all the same.
    return str(value) if type(value) is int else value


Lenient = Annotated[T | None, WrapValidator(_none_if_wrong)]
Label = Annotated[Lenient[str], BeforeValidator(_text_of_number)]
Keys = Annotated[T, BeforeValidator(_keys_or_nothing)]
Items = Annotated[tuple[Keys[T], ...], BeforeValidator(_list_or_nothing)]


class Draft(BaseModel):
    """A part of a site file in which only what is right is left."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)


class SiteDraft(Draft):
    """See `SiteEntry`."""

    timezone: Lenient[str] = None


class SerialDraft(Draft):
    """See `SerialEntry`."""

    port: Lenient[str] = None


class TcpDraft(Draft):
    """See `TcpEntry`."""

    host: Lenient[Host] = None
    port: Lenient[int] = 502


class BusDraft(Draft):
    """See `BusEntry`."""

    id: Label = None
    serial: Keys[SerialDraft] | None = None
    tcp: Keys[TcpDraft] | None = None


class MeterDraft(Draft):
    """See `MeterEntry`."""

    id: Label = None
    bus: Label = None
    unit: Lenient[int] = None
    profile: Lenient[str] = None
    interval_s: Lenient[float] = None


class TripOutputDraft(Draft):
    """See `TripOutputEntry`."""

    bus: Label = None
    unit: Lenient[int] = None
    kind: Lenient[str] = "coil"
    address: Lenient[int] = None
    bit: Lenient[int] = None


class RatingDraft(Draft):
    """See `RatingEntry`."""

    rating_a: Lenient[PerPhaseA] = None


class CircuitDraft(Draft):
    """See `CircuitEntry`."""

    id: Label = None
    parent: Label = None
    rating_a: Lenient[PerPhaseA] = None
    meter: Label = None
    worst_case_base_a: Lenient[PerPhaseA] = None
    trip_output: Keys[TripOutputDraft] | None = None
    ratings: Items[RatingDraft] = ()


class LoadDraft(Draft):
    """See `LoadEntry`."""

    id: Label = None
    circuit: Label = None
    worst_case_a: Lenient[PerPhaseA] = None


class SourceDraft(Draft):
    """See `SourceEntry`."""

    id: Label = None
    circuit: Label = None
    nameplate_a: Lenient[PerPhaseA] = None
    meter: Label = None


class ConnectorDraft(Draft):
    """See `ConnectorEntry`."""

    id: Lenient[int] = None
    phases: Lenient[Phases] = None
    max_a: Lenient[float] = None
    fallback_a: Lenient[float] = None


class StationDraft(Draft):
    """See `StationEntry`."""

    id: Label = None
    circuit: Label = None
    connectors: Items[ConnectorDraft] = ()


class StopInputDraft(Draft):
    """See `StopInputEntry`."""

    bus: Label = None
    unit: Lenient[int] = None
    kind: Lenient[str] = "discrete_input"
    bit: Lenient[int] = None


class WebhookDraft(Draft):
    """See `WebhookEntry`."""

    id: Label = None


class TokenDraft(Draft):
    """See `TokenEntry`."""

    id: Label = None


class HolderDraft(Draft):
    """See `HolderEntry`."""

    id: Label = None
    id_tokens: Annotated[tuple[Label, ...], BeforeValidator(_list_or_nothing)] = ()


class AuthorizeDraft(Draft):
    """See `AuthorizeEntry`."""

    accept: Lenient[str] = "all"
    tokens: Items[TokenDraft] = ()
    holders: Items[HolderDraft] = ()


class ListenDraft(Draft):
    """See `ListenEntry`; the port is None where it is left out."""

    host: Lenient[Host] = "127.0.0.1"
    port: Lenient[int] = None


class ListenersDraft(Draft):
    """See `ListenersEntry`."""

    ocpp: Keys[ListenDraft] = ListenDraft()
    api: Keys[ListenDraft] = ListenDraft()
    metrics: Keys[ListenDraft] = ListenDraft()


class SiteFileDraft(Draft):
    """See `SiteFile`. `control` has every safety number that is one, the defaults included."""

    site: Keys[SiteDraft] = SiteDraft()
    buses: Items[BusDraft] = ()
    meters: Items[MeterDraft] = ()
    circuits: Items[CircuitDraft] = ()
    loads: Items[LoadDraft] = ()
    sources: Items[SourceDraft] = ()
    stations: Items[StationDraft] = ()
    stop_input: Keys[StopInputDraft] | None = None
    webhooks: Items[WebhookDraft] = ()
    authorize: Keys[AuthorizeDraft] = AuthorizeDraft()
    listen: Keys[ListenersDraft] = ListenersDraft()
    control: dict[str, float] = {}


def draft_of(plain: Plain) -> SiteFileDraft:
    """Return what can be understood of a file; nothing is refused."""
    top = plain if isinstance(plain, dict) else {}
    given = top.get("control")
    control = {name: field.default for name, field in ControlEntry.model_fields.items()}
    for name, value in given.items() if isinstance(given, dict) else ():
        if name in control and isinstance(value, int | float):
            control[name] = value
        else:
            control.pop(name, None)
    numbers = {name: float(value) for name, value in control.items()}
    return SiteFileDraft.model_validate({**top, "control": numbers})
