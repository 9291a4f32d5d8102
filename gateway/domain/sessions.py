"""Vehicles that are at a connector now, and what somebody has said of them."""

from dataclasses import dataclass, field

from gateway.domain.ids import ConnectorRef, TransactionId
from gateway.domain.needs import Criticality


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What somebody said of a vehicle that is there; None is not said.

    `departs_at_s` is an epoch second; `energy_wh` is all it wants, what it has been given included,
    and `full_wh` what that will be once its battery is full. What an operator said of its criticality
    (`is_by_operator`) is not for who came with it to say otherwise.
    """

    departs_at_s: float | None = None
    energy_wh: float | None = None
    full_wh: float | None = None
    criticality: Criticality = Criticality.NORMAL
    is_by_operator: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A vehicle at a connector since the epoch second `began_at_s`, and what it was given."""

    connector: ConnectorRef
    transaction: TransactionId
    began_at_s: float
    id_token: str | None
    delivered_wh: float
    said: Statement = field(default_factory=Statement)
    said_at_s: float | None = None
    """When that was said, in this life of the daemon."""
    left_at_s: float | None = None
    """When (epoch s) it left, None while it is there."""
