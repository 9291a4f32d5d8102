"""How a connector is, in the two or three words that people and metrics are given."""

from enum import StrEnum

from gateway.control.state import ConnectorBelief, StationBelief
from gateway.domain.charging import ChargingState, ConnectorStatus

FLOWING_MA = 500


class Condition(StrEnum):
    """How a connector is, with its vehicle if there is one."""

    OUT_OF_REACH = "out of reach"
    NOT_HEARD_OF = "not heard of"
    FAULTED = "faulted"
    UNAVAILABLE = "unavailable"
    NO_VEHICLE = "no vehicle"
    CHARGING = "charging"
    PAUSED = "paused"
    VEHICLE_RESTS = "vehicle rests"
    PLUGGED_IN = "plugged in"


def condition_of(belief: ConnectorBelief, station: StationBelief, *, limit_ma: int) -> Condition:
    """Return how a connector with this limit is: no better than its station as a whole."""
    if not station.is_connected:
        return Condition.OUT_OF_REACH
    if ConnectorStatus.FAULTED in (belief.status, station.status):
        return Condition.FAULTED
    if ConnectorStatus.UNAVAILABLE in (belief.status, station.status):
        return Condition.UNAVAILABLE
    if belief.status is None:
        return Condition.NOT_HEARD_OF
    if not belief.is_plugged:
        return Condition.NO_VEHICLE
    draw_ma = None if belief.draw is None else belief.draw.highest_ma
    power_w = None if belief.draw is None else belief.draw.power_w
    is_flowing = (draw_ma or 0) > FLOWING_MA or (draw_ma is None and (power_w or 0.0) > 0)
    if is_flowing:
        return Condition.CHARGING
    if limit_ma == 0:
        return Condition.PAUSED
    if belief.charging_state is ChargingState.SUSPENDED_EV:
        return Condition.VEHICLE_RESTS
    return Condition.PLUGGED_IN
