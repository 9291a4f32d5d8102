"""The overcurrent device of a circuit: what the current through it has done to it."""

from dataclasses import dataclass
from math import exp, inf, log

from gateway.domain.circuits import Circuit, TripCurve

# Over the rating again within this time, it is still the same excursion.
SAME_EXCURSION_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Excursion:
    """The circuit was over its rating on some phase from `at_s`, for `length_s` in all."""

    at_s: float
    length_s: float


class Breaker:
    """The thermal state of an overcurrent device, per phase, exact for piecewise constant current.

    The state θ of each phase obeys θ' = ((I/In)² − θ) / τ, begins where the first current would
    hold it for ever, and trips the device at θ_trip = `trip_ratio`². `spent_ratio` is how much of
    the budget between θ = 1 and θ_trip is spent, never less than 0. A trip is recorded, not acted
    on: what comes after it shows how much worse it would have been.
    """

    __slots__ = (
        "_at_s",
        "_began_s",
        "_is_tripped",
        "_last_over_s",
        "_rating_a",
        "_recent_peak",
        "_set_point_a",
        "_tau_s",
        "_thetas",
        "_trip_theta",
        "excursions",
        "over_rating_s",
        "over_set_point_s",
        "overload_pu2s",
        "peak_ratio",
        "spent_peak_ratio",
        "trips_s",
    )

    def __init__(
        self,
        *,
        curve: TripCurve,
        rating_a: tuple[float, float, float],
        set_point_a: tuple[float, float, float],
    ) -> None:
        """Protect a circuit from second 0 on."""
        self._tau_s = curve.time_constant_s
        self._trip_theta = curve.trip_ratio**2
        self._rating_a = rating_a
        self._set_point_a = set_point_a
        self._thetas: list[float] | None = None
        self._at_s = 0.0
        self._began_s: float | None = None
        self._last_over_s = 0.0
        self._recent_peak = 0.0
        self._is_tripped = False
        self.peak_ratio = 0.0
        self.over_set_point_s = 0.0
        self.over_rating_s = 0.0
        self.overload_pu2s = [0.0, 0.0, 0.0]
        self.spent_peak_ratio = 0.0
        self.trips_s: list[float] = []
        self.excursions: list[Excursion] = []

    @classmethod
    def of(cls, circuit: Circuit) -> "Breaker":
        """Return the device of a declared circuit, cold of history."""
        one, two, three = (rating / 1_000 for rating in circuit.rating_ma)
        first, second, third = (
            rating / 1_000 * circuit.set_point_ratio for rating in circuit.rating_ma
        )
        return cls(
            curve=circuit.curve,
            rating_a=(one, two, three),
            set_point_a=(first, second, third),
        )

    @property
    def spent_ratio(self) -> float:
        """Return the share of the budget spent at the last `carry`, on the worst phase."""
        theta = max(self._thetas or [0.0])
        return max(0.0, (theta - 1.0) / (self._trip_theta - 1.0))

    @property
    def is_over_since_s(self) -> float | None:
        """Return when the excursion under way began; None if there is none."""
        return self._began_s

    def take_recent_peak(self) -> float:
        """Return the largest share of the budget spent since the last call."""
        peak, self._recent_peak = self._recent_peak, self.spent_ratio
        return peak

    def carry(self, current_a: list[float], to_s: float) -> None:
        """Carry `current_a`, one figure per phase, from where it was left until `to_s`."""
        lasts_s = to_s - self._at_s
        if lasts_s <= 0.0:
            return
        if self._thetas is None:
            self._thetas = [
                (i / r) ** 2 if r else 0.0 for i, r in zip(current_a, self._rating_a, strict=True)
            ]
        decay = exp(-lasts_s / self._tau_s)
        worst_ratio = 0.0
        worst_theta = 0.0
        trip_s = inf
        is_over_set_point = False
        for phase in (0, 1, 2):
            amps = current_a[phase]
            rating_a = self._rating_a[phase]
            if not rating_a:
                continue
            if amps > self._set_point_a[phase]:
                is_over_set_point = True
            ratio = amps / rating_a
            goal = ratio * ratio
            before = self._thetas[phase]
            after = goal + (before - goal) * decay
            self._thetas[phase] = after
            # This is the innermost loop of the plant: a call of max() would double its cost.
            if ratio > worst_ratio:  # noqa: PLR1730 - the same
                worst_ratio = ratio
            if after > worst_theta:  # noqa: PLR1730 - the same
                worst_theta = after
            if ratio > 1.0:
                self.overload_pu2s[phase] += (goal - 1.0) * lasts_s
                if before < self._trip_theta <= after:
                    wait_s = self._tau_s * log((goal - before) / (goal - self._trip_theta))
                    trip_s = min(trip_s, self._at_s + wait_s)
        if worst_theta <= 1.0:
            self._is_tripped = False
        else:
            spent = (worst_theta - 1.0) / (self._trip_theta - 1.0)
            self._recent_peak = max(self._recent_peak, spent)
            self.spent_peak_ratio = max(self.spent_peak_ratio, spent)
            # The phases of one device trip together.
            if trip_s < inf and not self._is_tripped:
                self.trips_s.append(trip_s)
            self._is_tripped = spent >= 1.0
        if worst_ratio > self.peak_ratio:  # noqa: PLR1730 - the same
            self.peak_ratio = worst_ratio
        if is_over_set_point:
            self.over_set_point_s += lasts_s
        if worst_ratio > 1.0:
            self.over_rating_s += lasts_s
            if self._began_s is None:
                self._began_s = self._at_s
            self._last_over_s = to_s
        elif self._began_s is not None and to_s - self._last_over_s > SAME_EXCURSION_S:
            self.close_excursion()
        self._at_s = to_s

    def close_excursion(self) -> None:
        """Count the excursion under way, if any, as over."""
        if self._began_s is not None:
            length_s = self._last_over_s - self._began_s
            self.excursions.append(Excursion(at_s=self._began_s, length_s=length_s))
            self._began_s = None
