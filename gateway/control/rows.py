"""One phase of one circuit as a decision sees it: what binds, what base is, what is kept free."""

from dataclasses import replace
from enum import StrEnum
from typing import NamedTuple

from gateway.control.doubts import doubted, unseen_ma
from gateway.control.parameters import ControlParameters
from gateway.control.state import PhaseState, SiteState
from gateway.control.thermal import carried_ratio
from gateway.domain.circuits import Circuit
from gateway.domain.ids import CircuitId

FLOWING_MA = 2_000  # What a live meter tells of a current above it changes in its last bit.


class ReserveFor(StrEnum):
    """What a row's reserve covers: the largest of these."""

    BASE = "a rise of base"
    IDLE = "the start of an idle vehicle"
    LEASE = "a rise of base while nobody is there to cut"
    UNPROVEN = "the start of a vehicle whose station may not obey"


class Row(NamedTuple):
    """One phase of one circuit, as a decision sees it.

    `bound_ma` is the tightest of set-point and outside limits, `bound_source` whose it is (None:
    the set-point). `age_s` is the reading's age, None where there is no meter. `base_ma` is
    base_high, or the declared worst case when the reading is too old or there is none.
    """

    rating_ma: int
    set_point_ma: int
    bound_ma: int
    bound_source: str | None
    current_ma: int | None
    age_s: float | None
    base_ma: int
    export_ma: int
    """The part of base that sources below feed: it is drawn from the circuit if they vanish."""
    reserve_ma: int
    reserve_for: ReserveFor | None
    """What the reserve covers; None where there is none."""
    available_ma: int
    """What connectors may take in all here; negative when base alone is over."""
    worst_case_ma: int
    """What base and declared loads draw at worst: as declared, or as seen where that was more."""
    silent_s: float | None
    """The age of the reading itself, whether it is believed or not: of a frozen one too."""
    unseen_ma: int | None
    """What surely flows and the meter does not show, beyond what all may be wrong by.

    None where this look cannot tell: the reading is not fresh, or nothing surely flows.
    """
    doubted_ma: int
    """What it did not show for so long that its reading counts as an old one; 0: it is believed."""
    draw_ma: int = 0
    """What loads that were promised room may still add to base: that is kept free as well."""
    unproven_ma: int = 0
    """The part of the reserve that nothing but vehicles at stations not yet proven need."""


def row_of(
    state: SiteState, at: int, now_s: float, *, lows_ma: int, given_ma: int, idle_ma: int
) -> Row:
    """Return a row's arithmetic.

    `lows_ma` is surely drawn by connectors, `given_ma` most likely by those just raised;
    `idle_ma` may start.
    """
    wiring, parameters, circuit_at = state.wiring, state.parameters, at // 3
    circuit, phase = wiring.circuits[circuit_at], at % 3
    measured = state.circuits[circuit_at].phases[phase]
    set_point_ma, rating_ma = wiring.set_point_ma[at], wiring.rating_ma[at]
    bound_ma, source = set_point_ma, None
    if state.constraints:
        bound_ma, source = _tightest(state, circuit.id, phase, bound_ma)
    worst_case_ma = max(wiring.worst_case_ma[at], state.memory.base_seen_ma[at])
    silent_s = None if circuit.meter is None else age_of_s(measured, lows_ma, parameters, now_s)
    fed_ma = _export_ma(state, circuit_at, phase, now_s) if wiring.sources[circuit_at] else 0
    hidden_ma, doubted_ma, doubted_s = None, 0, 0.0
    if silent_s is not None:
        is_fresh = now_s - measured.read_at_s <= parameters.stale_no_raises_s
        if is_fresh and lows_ma:
            hidden_ma = unseen_ma(measured.current_ma, lows_ma, fed_ma, rating_ma, parameters)
        doubt = state.memory.doubts[at]
        if doubt is not None and silent_s <= parameters.stale_worst_case_s:
            doubted_ma, doubted_s = doubted(doubt, hidden_ma, parameters, now_s)
    age_s = silent_s
    if silent_s is not None and doubted_ma:
        age_s = max(silent_s, parameters.stale_no_raises_s + doubted_s)
    current_ma, export_ma, reserve_ma, reserve_for = None, 0, 0, None
    # With no reading to trust the worst case stands, and needs no reserve.
    base_ma = worst_case_ma
    if silent_s is not None and silent_s <= parameters.stale_worst_case_s:
        current_ma = measured.current_ma
        export_ma = fed_ma
        base_ma = max(0, current_ma - lows_ma - given_ma + export_ma)
        if age_s is not None and age_s > parameters.stale_worst_case_s:
            # One that shows too little is believed in what it does show.
            base_ma = max(worst_case_ma, base_ma)
        else:
            reserve_ma, reserve_for = _reserve_ma(
                measured, circuit, rating_ma, bound_ma, parameters
            )
            if idle_ma > reserve_ma:
                reserve_ma, reserve_for = idle_ma, ReserveFor.IDLE
    promised = state.promised_draws.get(at)
    draw_ma = 0 if promised is None else promised.owed_ma(base_ma, now_s)
    # By place, in the order of its fields: by name it takes three times as long.
    return Row(
        rating_ma,
        set_point_ma,
        bound_ma,
        source,
        current_ma,
        age_s,
        base_ma,
        export_ma,
        reserve_ma,
        reserve_for,
        bound_ma - base_ma - reserve_ma - draw_ma,
        worst_case_ma,
        silent_s,
        hidden_ma,
        doubted_ma,
        draw_ma,
    )


def with_mute(state: SiteState, at: int, row: Row, starts_ma: int) -> Row:
    """Return a row with room kept for what may start there all at once, should nobody mute obey.

    With a reading to trust others are cut once it shows: what the device bears until then need
    not be kept.
    """
    if row.reserve_for is not None:
        circuit = state.wiring.circuits[at // 3]
        starts_ma -= _borne_ma(circuit, row.rating_ma, row.set_point_ma, state.parameters)
    more_ma = starts_ma - row.reserve_ma
    if more_ma <= 0:
        return row
    return row._replace(
        reserve_ma=row.reserve_ma + more_ma,
        reserve_for=ReserveFor.UNPROVEN,
        available_ma=row.available_ma - more_ma,
        unproven_ma=more_ma,
    )


def _export_ma(state: SiteState, circuit: int, phase: int, now_s: float) -> int:
    """Return what sources below a circuit feed: as measured, else their nameplates."""
    export_ma = 0
    for at in state.wiring.sources[circuit]:
        source, told = state.wiring.site.sources[at], state.sources[at]
        is_stale = now_s - told.read_at_s > state.parameters.stale_worst_case_s
        export_ma += (source.nameplate_ma if is_stale else told.output_ma)[phase]
    return export_ma


def _reserve_ma(
    measured: PhaseState,
    circuit: Circuit,
    rating_ma: int,
    bound_ma: int,
    parameters: ControlParameters,
) -> tuple[int, ReserveFor]:
    """Return what base may credibly rise by before connectors can follow, and in what time.

    Within one reaction chain it is kept free. What may rise over a whole lease, in which there
    may be nobody to cut, is more: only so much of it is kept free that the device does not trip
    before the leases lapse (design §3, reserve).
    """
    rise_ma = _rise_ma(measured, rating_ma, parameters)
    in_lease_ma = measured.lease_rises.quantile_ma
    if in_lease_ma is None:
        in_lease_ma = int(rating_ma * parameters.lease_rise_unlearnt_ratio)
    if bound_ma + in_lease_ma - rise_ma <= rating_ma:  # Nearly always, and told at once.
        return rise_ma, ReserveFor.BASE
    carried_ma = int(
        rating_ma
        * carried_ratio(circuit.curve, from_ratio=circuit.set_point_ratio, for_s=parameters.gone_s)
    )
    if bound_ma + in_lease_ma - carried_ma > rise_ma:
        return bound_ma + in_lease_ma - carried_ma, ReserveFor.LEASE
    return rise_ma, ReserveFor.BASE


def _borne_ma(
    circuit: Circuit, rating_ma: int, set_point_ma: int, parameters: ControlParameters
) -> int:
    """Return what a device bears above its set-point until others are cut, in a third of its budget.

    A third (design §1) is where the law cuts for heat.
    """
    budget_ratio = circuit.curve.trip_ratio**2 - 1.0
    trip_ratio = (1.0 + parameters.thermal_minimum_ratio * budget_ratio) ** 0.5
    curve = replace(circuit.curve, trip_ratio=trip_ratio)
    from_ratio = min(1.0, circuit.set_point_ratio)
    borne = carried_ratio(curve, from_ratio=from_ratio, for_s=parameters.reaction_s)
    return max(0, int(rating_ma * borne) - set_point_ma)


def _rise_ma(measured: PhaseState, rating_ma: int, parameters: ControlParameters) -> int:
    """Return what base may credibly rise by within one reaction chain (design §3, reserve)."""
    if measured.rises.quantile_ma is None:
        return int(rating_ma * parameters.reserve_at_first_ratio)
    return max(measured.rises.quantile_ma, int(rating_ma * parameters.reserve_floor_ratio))


def age_of_s(
    measured: PhaseState, lows_ma: int, parameters: ControlParameters, now_s: float
) -> float:
    """Return how old a circuit's reading is; one that repeats itself ages too.

    Current, voltage and power are never all the same to the last bit for long, so a meter that
    repeats them is frozen; one that shows next to nothing may rightly repeat itself, unless
    connectors below surely draw (`lows_ma`).
    """
    age_s = now_s - measured.read_at_s
    unchanged_s = now_s - measured.changed_at_s
    flows_ma = max(abs(measured.current_ma), lows_ma)
    if flows_ma >= FLOWING_MA and unchanged_s > parameters.frozen_after_s:
        return max(age_s, unchanged_s - parameters.frozen_after_s + parameters.stale_no_raises_s)
    return age_s


def _tightest(
    state: SiteState, circuit: CircuitId, phase: int, set_point_ma: int
) -> tuple[int, str | None]:
    bound_ma, source = set_point_ma, None
    for constraint in state.constraints.values():
        if constraint.subject == circuit and constraint.limit_ma[phase] < bound_ma:
            bound_ma, source = constraint.limit_ma[phase], constraint.source
    return bound_ma, source
