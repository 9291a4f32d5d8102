"""The first-order thermal model of an overcurrent device, and what it says of an overload."""

from math import exp, inf, log, sqrt

from gateway.control.parameters import ControlParameters
from gateway.control.state import PhaseState
from gateway.domain.circuits import TripCurve


def theta_after(theta: float, *, ratio: float, curve: TripCurve, elapsed_s: float) -> float:
    """Return the thermal state after `ratio` times the rating has flowed for `elapsed_s`.

    First order: θ' = (ratio² - θ) / τ.
    """
    settles_at = ratio * ratio
    return settles_at + (theta - settles_at) * exp(-elapsed_s / curve.time_constant_s)


def budget_spent_ratio(theta: float, curve: TripCurve) -> float:
    """Return how much of the thermal budget above the rating is spent; 1 trips the device."""
    return max(0.0, (theta - 1.0) / (curve.trip_ratio**2 - 1.0))


def projected_ratio(
    measured: PhaseState, rating_ma: int, curve: TripCurve, parameters: ControlParameters
) -> float:
    """Return the budget spent when the present current flows on to the end of the chain."""
    if not rating_ma or (measured.current_ma <= rating_ma and measured.theta_ratio <= 1.0):
        return 0.0  # Nearly always, and told at once: it stays below what it may carry for long.
    theta = theta_after(
        measured.theta_ratio,
        ratio=max(0, measured.current_ma) / rating_ma,
        curve=curve,
        elapsed_s=parameters.reaction_s,
    )
    return budget_spent_ratio(theta, curve)


def carried_ratio(curve: TripCurve, *, from_ratio: float, for_s: float) -> float:
    """Return the multiple of the rating that just does not trip the device within `for_s`.

    It has carried `from_ratio` of its rating for long when that begins: θ' = (ratio² - θ) / τ
    reaches trip_ratio² at the end.
    """
    left = exp(-for_s / curve.time_constant_s)
    return sqrt((curve.trip_ratio**2 - from_ratio**2 * left) / (1.0 - left))


def tripped_after_s(curve: TripCurve, *, from_ratio: float, ratio: float) -> float:
    """Return after how long `ratio` times the rating trips a device that carried `from_ratio` for long."""
    settles_at, trips_at = ratio * ratio, curve.trip_ratio**2
    if settles_at <= trips_at:
        return inf
    theta = min(from_ratio**2, trips_at)
    return curve.time_constant_s * log((settles_at - theta) / (settles_at - trips_at))
