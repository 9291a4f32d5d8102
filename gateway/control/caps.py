"""What safety narrows a connector to, whatever headroom there is: each cap with its reason."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from gateway.control.bounds import draw_as_limit_ma, may_start_ma
from gateway.control.headroom import Survey
from gateway.control.metered import rating_in_force_ma
from gateway.control.parameters import ControlParameters
from gateway.control.state import CircuitState, ConnectorBelief, SiteState
from gateway.control.thermal import projected_ratio
from gateway.domain.electric import MIN_CHARGING_MA, STEP_MA, Phase, in_watts_ma
from gateway.domain.limits import Constraint
from gateway.domain.reasons import Reason, ReasonKind, RowFigures

PHASES = tuple(Phase)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowCap:
    """What every connector on a row is narrowed to: None is its fallback.

    One that `never_raises` leaves a connector no more than it was told last.
    """

    limit_ma: int | None
    reason: Reason
    never_raises: bool = False


def figures(state: SiteState, survey: Survey, row: int) -> RowFigures:
    """Return a row's arithmetic for a reason."""
    measured, circuit = survey.rows[row], state.wiring.circuits[row // 3].id
    # By place, in the order of its fields: by name it takes three times as long.
    return RowFigures(
        circuit,
        PHASES[row % 3],
        measured.rating_ma,
        rating_in_force_ma(state, circuit, measured.rating_ma, row % 3),
        measured.set_point_ma,
        measured.bound_ma,
        measured.bound_source,
        measured.base_ma,
        measured.reserve_ma,
        measured.available_ma,
        survey.claimed_ma[row],
        draw_ma=measured.draw_ma,
    )


def excursion_count(circuit: CircuitState, parameters: ControlParameters) -> int | None:
    """Return how often a circuit was over its rating, where that has locked it out.

    None: once was enough, it was over for too long.
    """
    from_s = circuit.lockout_until_s - parameters.lockout_s - parameters.excursion_window_s
    count = len([at_s for at_s in circuit.excursions_at_s if at_s > from_s])
    return count if count >= parameters.excursion_count else None


def row_caps(state: SiteState, survey: Survey, now_s: float) -> dict[int, tuple[RowCap, ...]]:
    """Return the rows that narrow every connector on them, each with its caps."""
    of_row = {
        row: tuple(_caps_of_row(state, survey, row, now_s)) for row in range(len(survey.rows))
    }
    return {row: caps for row, caps in of_row.items() if caps}


def _caps_of_row(state: SiteState, survey: Survey, row: int, now_s: float) -> Iterator[RowCap]:
    parameters, circuit_at = state.parameters, row // 3
    circuit, device = state.circuits[circuit_at], state.wiring.circuits[circuit_at]
    measured, seen = circuit.phases[row % 3], survey.rows[row]
    if circuit.lockout_until_s > now_s:
        yield RowCap(
            limit_ma=None,
            reason=Reason(
                kind=ReasonKind.LOCKOUT,
                limit_ma=0,
                row=figures(state, survey, row),
                remaining_s=circuit.lockout_until_s - now_s,
                excursion_count=excursion_count(circuit, parameters),
            ),
        )
    if seen.age_s is None:
        return
    if seen.age_s > parameters.stale_fallback_s:
        yield RowCap(
            limit_ma=None,
            never_raises=not seen.doubted_ma,
            reason=Reason(
                kind=ReasonKind.METER_DOUBTED if seen.doubted_ma else ReasonKind.METER_STALE,
                limit_ma=0,
                row=figures(state, survey, row),
                current_ma=seen.doubted_ma or None,
                elapsed_s=seen.age_s if seen.age_s < now_s - state.started_at_s else None,
            ),
        )
    if measured.over_since_s is not None:
        over_s = now_s - measured.over_since_s
        if over_s > parameters.over_rating_pause_s:
            yield RowCap(
                limit_ma=0,
                reason=Reason(
                    kind=ReasonKind.OVER_RATING,
                    limit_ma=0,
                    row=figures(state, survey, row),
                    elapsed_s=over_s,
                ),
            )
    # An overload by export is no ground for cutting charging (design §3).
    spent_ratio = 0.0
    if measured.current_ma > 0:
        spent_ratio = projected_ratio(measured, seen.rating_ma, device.curve, parameters)
    if spent_ratio >= parameters.thermal_minimum_ratio:
        is_pause = spent_ratio >= parameters.thermal_pause_ratio
        yield RowCap(
            limit_ma=0 if is_pause else MIN_CHARGING_MA,
            reason=Reason(
                kind=ReasonKind.THERMAL_BUDGET,
                limit_ma=0,
                row=figures(state, survey, row),
                budget_ratio=spent_ratio,
            ),
        )


def heated_rows(narrowed: dict[int, tuple[RowCap, ...]]) -> frozenset[int]:
    """Return the rows where a third of the device's thermal budget is about to be spent."""
    return frozenset(
        row
        for row, caps in narrowed.items()
        if any(cap.reason.kind is ReasonKind.THERMAL_BUDGET for cap in caps)
    )


def connector_cap(
    state: SiteState,
    survey: Survey,
    at: int,
    rows: dict[int, tuple[RowCap, ...]],
    *,
    tried_ma: int,
    now_s: float,
) -> Reason | None:
    """Return the strictest cap on a connector as a reason whose limit is the cap, if any.

    A trial may go up to `tried_ma` above what want of proof allows, and above no other cap.
    """
    strictest: Reason | None = None
    for cap in _caps_of_connector(state, survey, at, rows, tried_ma=tried_ma, now_s=now_s):
        if strictest is None or cap.limit_ma < strictest.limit_ma:
            strictest = cap
    return strictest


def _caps_of_connector(
    state: SiteState,
    survey: Survey,
    at: int,
    rows: dict[int, tuple[RowCap, ...]],
    *,
    tried_ma: int,
    now_s: float,
) -> Iterator[Reason]:
    connector, belief = state.wiring.connectors[at], state.connectors[at]
    station = state.stations[connector.ref.station]
    if state.is_stopped:
        yield Reason(kind=ReasonKind.STOPPED, limit_ma=0, stop=state.stop_cause)
    if rows:
        counted = state.wiring.rows[at][survey.masks[at]]
        for row in state.wiring.rows[at][state.wiring.wired[at]]:
            for cap in rows.get(row, ()):
                # What pauses a row pauses whoever is wired to it: which phases a vehicle uses is
                # known from what its station tells alone.
                if row in counted or cap.limit_ma == 0:
                    limit_ma, reason = _narrowed_ma(state, at, cap), cap.reason
                    is_hot = reason.kind is ReasonKind.THERMAL_BUDGET
                    if is_hot and limit_ma and not station.is_proven:
                        # It has no more than the minimum: less it may obey.
                        limit_ma, reason = 0, reason._replace(is_for_unproven=True)
                    yield reason._replace(limit_ma=limit_ma)
    for constraint in state.constraints.values():
        if constraint.subject == connector.ref:
            yield _outside_limit(state, at, constraint)
    if belief.excess_ma:
        yield Reason(
            kind=ReasonKind.DRAWS_MORE,
            limit_ma=_less_excess_ma(connector.max_ma, belief),
            current_ma=belief.excess_ma,
        )
    if survey.overdrawn[at] and belief.draw is not None:
        yield Reason(
            kind=ReasonKind.STATION_DISOBEYS,
            limit_ma=MIN_CHARGING_MA,
            current_ma=draw_as_limit_ma(belief.draw, connector, belief),
            elapsed_s=now_s - (belief.over_since_s or now_s),
        )
    elif not station.is_proven:
        starts_ma = may_start_ma(connector, belief, station, state.parameters, now_s)
        yield _unproven(max(MIN_CHARGING_MA, tried_ma), survey.high_ma[at], starts_ma)


@lru_cache(maxsize=64)
def _unproven(limit_ma: int, counted_ma: int, starts_ma: int) -> Reason:
    """Return why one not yet proven is narrowed: many at once are, to the same."""
    return Reason(
        kind=ReasonKind.STATION_UNPROVEN,
        limit_ma=limit_ma,
        current_ma=counted_ma,
        beyond_ma=starts_ma,
    )


def _outside_limit(state: SiteState, at: int, constraint: Constraint) -> Reason:
    """Return an outside limit as it is told: its own current too, where that is another."""
    belief = state.connectors[at]
    takes_watts = state.stations[state.wiring.connectors[at].ref.station].takes_watts
    limit_ma, allowed_ma = chargeable_ma(state, at, constraint), _wired_ma(state, at, constraint)
    beyond_ma = belief.excess_ma if limit_ma else 0
    is_told_as_it_is = not takes_watts and not beyond_ma and bool(limit_ma or not allowed_ma)
    return Reason(
        kind=ReasonKind.OUTSIDE_LIMIT,
        limit_ma=_less_excess_ma(limit_ma, belief),
        name=constraint.source,
        current_ma=None if is_told_as_it_is else allowed_ma,
        beyond_ma=beyond_ma,
        in_watts=takes_watts,
    )


def _less_excess_ma(limit_ma: int, belief: ConnectorBelief) -> int:
    """Return what is told for no more than a limit to flow, down to the minimum at least."""
    less_ma = (limit_ma - belief.excess_ma) // STEP_MA * STEP_MA if belief.excess_ma else limit_ma
    return max(less_ma, min(limit_ma, MIN_CHARGING_MA))


def _narrowed_ma(state: SiteState, at: int, cap: RowCap) -> int:
    """Return a row's cap for one connector."""
    limit_ma = state.wiring.connectors[at].fallback_ma if cap.limit_ma is None else cap.limit_ma
    return min(limit_ma, state.connectors[at].wanted_ma) if cap.never_raises else limit_ma


def chargeable_ma(state: SiteState, at: int, constraint: Constraint) -> int:
    """Return what a connector may be told under a limit: nothing where no vehicle charges with it.

    What is told in watts must not be more amperes than the limit at the lowest voltage either.
    """
    limit_ma = _wired_ma(state, at, constraint)
    if state.stations[state.wiring.connectors[at].ref.station].takes_watts:
        limit_ma = in_watts_ma(limit_ma)
    return limit_ma // STEP_MA * STEP_MA if limit_ma >= MIN_CHARGING_MA else 0


def _wired_ma(state: SiteState, at: int, constraint: Constraint) -> int:
    return min([constraint.limit_ma[phase] for phase in state.wiring.connectors[at].phases])
