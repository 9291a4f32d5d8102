"""The safety rules of the control law, each with what switching it off would be.

Some are second lines: what they would catch is caught before. They are shown with the first line
switched off in both runs, with the rule and without it. So it is with the rules that keep the same
room from being given twice: that a raise counts once it is sent, the second look, and the guard.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

import pytest

from drivers.sim.scenario import Scenario
from gateway.control import (
    attribution,
    bounds,
    caps,
    claims,
    decide,
    draws,
    fold,
    headroom,
    metered,
    rows,
    three_phase,
    trusted,
)
from gateway.control.board import Board
from gateway.control.orders import FallbackOrder, LimitOrder, fallbacks_of
from gateway.control.parameters import ControlParameters
from gateway.control.promised_draws import PromisedDraw
from gateway.control.state import (
    ConnectorBelief,
    PhaseState,
    SiteState,
    StationBelief,
)
from gateway.control.three_phase import JoinedBy
from gateway.control.wiring import Mask, Wiring
from gateway.domain.circuits import Connector
from gateway.domain.events import MeterRead, StopInputChanged
from tests.simulation import harness
from tests.simulation.harness import HARM, knowing_base
from tests.simulation.stories import (
    base_above_its_worst_case,
    base_above_the_rating_thrice,
    clamps_that_come_off,
    clamps_the_wrong_way_round,
    cloud_over_the_roof,
    cuts_while_answers_are_late,
    large_rise_while_the_gateway_is_gone,
    limit_from_outside,
    limit_on_imbalance,
    limit_on_power,
    limit_on_the_neutral,
    load_that_was_promised_room,
    lost_station,
    lost_station_that_keeps_its_limit,
    room_while_answers_are_late,
    seed,
    silent_station_whose_vehicle_stops,
    slow_reports,
    station_that_never_obeyed,
    station_that_nothing_cuts,
    station_that_obeys_no_more,
    stations_that_let_more_flow,
    step_behind_a_frozen_meter,
    step_behind_a_lost_meter,
    step_beyond_reserve,
    step_inside_reserve,
    step_just_over_the_rating,
    step_while_the_gateway_is_gone,
    stop_pressed_and_the_gateway_killed,
    vehicle_at_a_large_fallback,
    vehicle_that_stops_while_answers_are_late,
)
from tests.simulation.unasked import all_at_once, unasked_start

NEVER_S = 1e9

TOLD = HARM | {"headroom_never_came_back"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A rule switched off: by other numbers, or by another function in its place."""

    rule: str
    story: Callable[[], Scenario]
    """A story, or a seed, that shows the rule's absence."""
    parameters: ControlParameters = ControlParameters()  # noqa: RUF009 - frozen
    patch: Callable[[pytest.MonkeyPatch], None] | None = None
    first_line: Callable[[pytest.MonkeyPatch], None] | None = None
    """What must be off as well before a second line is seen to be needed."""
    knows: Callable[[SiteState], SiteState] = lambda state: state
    """What is known of the site when the run begins."""
    told: frozenset[str] = TOLD
    """What the plant may say that is held against a run."""
    seen_s: float | None = None
    """How long too little must be counted to be held against the run; None: as in every run."""

    def switch_off(self, monkeypatch: pytest.MonkeyPatch) -> ControlParameters:
        """Put the mutant in the rule's place; return the numbers to run with."""
        if self.patch is not None:
            self.patch(monkeypatch)
        return self.parameters


def _without_reserve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "_rise_ma", lambda *_: 0)


def _unreachable_counts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "_high_unreachable_ma", lambda *_: 0)


def _every_dead_man_is_taken_for_proven(monkeypatch: pytest.MonkeyPatch) -> None:
    original = bounds._high_unreachable_ma

    def high_unreachable_ma(
        connector: Connector,
        belief: ConnectorBelief,
        station: StationBelief,
        parameters: ControlParameters,
        now_s: float,
    ) -> int:
        proven = replace(station, is_dead_man_proven=True)
        return original(connector, belief, proven, parameters, now_s)

    monkeypatch.setattr(bounds, "_high_unreachable_ma", high_unreachable_ma)


def _overdraw_is_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headroom, "is_overdrawn", lambda *_: False)
    monkeypatch.setattr(draws, "is_overdrawn", lambda *_: False)


def _high_is_that_of(
    monkeypatch: pytest.MonkeyPatch, believed: Callable[[ConnectorBelief], ConnectorBelief]
) -> None:
    """Have connectors counted as if what is believed of them were something else."""
    original = bounds.high_ma

    def high_ma(
        connector: Connector, belief: ConnectorBelief, *others: object, is_over: bool
    ) -> int:
        return original(connector, believed(belief), *others, is_over=is_over)  # type: ignore[arg-type] # as they were given

    monkeypatch.setattr(headroom, "high_ma", high_ma)


def _excess_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    _high_is_that_of(monkeypatch, lambda belief: replace(belief, excess_ma=0))


def _old_readings_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headroom, "reading_is_current", lambda *_: True)


def _forgotten_changes_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    original = metered._after_value

    def after_value(state: SiteState, circuit_at: int, phase: int, event: MeterRead) -> PhaseState:
        after = original(state, circuit_at, phase, event)
        return replace(after, forgotten_s=PhaseState().forgotten_s)

    monkeypatch.setattr(metered, "_after_value", after_value)


def _meters_are_not_doubted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "doubted", lambda *_: (0, 0.0))


def _any_circuit_may_give(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Wiring, "is_fed_below", lambda *_: True)


def _falls_are_base(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attribution, "bisect_left", lambda *_: 0)


def _lows_are_forgotten_highs(monkeypatch: pytest.MonkeyPatch) -> None:
    def low_ma(*_: object, **__: object) -> tuple[int, int, int]:
        return 32_000, 32_000, 32_000

    monkeypatch.setattr(headroom, "low_ma", low_ma)


def _meters_never_age(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "age_of_s", lambda *_: 0.0)


def _frozen_meters_are_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    def age_of_s(
        measured: PhaseState, _lows_ma: int, _parameters: ControlParameters, now_s: float
    ) -> float:
        return now_s - measured.read_at_s

    monkeypatch.setattr(rows, "age_of_s", age_of_s)


def _heat_is_not_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caps, "projected_ratio", lambda *_: 0.0)


def _first_of(wired: Mask) -> Mask:
    first = wired.index(True)
    return first == 0, first == 1, first == 2


def _one_phase_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    original = headroom.survey

    def survey(state: SiteState, now_s: float) -> headroom.Survey:
        connectors = tuple(
            replace(belief, mask=belief.mask or _first_of(wired))
            for belief, wired in zip(state.connectors, state.wiring.wired, strict=True)
        )
        return original(replace(state, connectors=connectors), now_s)

    monkeypatch.setattr(claims, "survey", survey)


def _unconfirmed_is_taken_for_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "is_confirmable", lambda *_: True)


def _nobody_may_draw_more_than_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for used in (trusted, decide):
        monkeypatch.setattr(used, "may_draw_more", lambda *_: False)


def _nobody_is_crowded_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "_crowded_out", lambda *_: [])


def _fallback_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "may_have_lapsed", lambda *_: False)

    def high_ma(_connector: Connector, belief: ConnectorBelief, *_others: object) -> int:
        return belief.wanted_ma

    monkeypatch.setattr(bounds, "_high_unreachable_ma", high_ma)


def _nothing_is_cut_to_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "cut_to_fit", lambda *_: None)


def _nothing_is_cut_nor_heat_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    _nothing_is_cut_to_fit(monkeypatch)
    _heat_is_not_watched(monkeypatch)


def _raises_count_once_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    original = claims.board_of

    def board_of(moment: claims.Moment, **how: object) -> Board:
        board = original(moment, **how)  # type: ignore[arg-type] # as it was asked
        for at, belief in enumerate(moment.state.connectors):
            *before, newest = belief.limits
            before_ma = max((limit.limit_ma for limit in before), default=newest.limit_ma)
            raised_ma = newest.limit_ma - before_ma
            if newest.acknowledged_at_s is None and raised_ma > 0:
                for row in board.rows[at]:
                    board.room_ma[row] += raised_ma
                    board.proven_room_ma[row] += raised_ma
        return board

    monkeypatch.setattr(decide, "board_of", board_of)


def _cuts_count_once_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def believed(belief: ConnectorBelief) -> ConnectorBelief:
        newest = belief.limits[-1]
        is_cut = newest.last_sequence and newest.limit_ma < belief.in_force_ma
        return replace(belief, limits=(newest,)) if is_cut else belief

    _high_is_that_of(monkeypatch, believed)


def _every_station_obeys(monkeypatch: pytest.MonkeyPatch) -> None:
    at_start, after_boot = SiteState.at_start, fold._after_boot

    def proven(wiring: Wiring, parameters: ControlParameters, *, now_s: float) -> SiteState:
        state = at_start(wiring, parameters, now_s=now_s)
        stations = {name: replace(s, is_proven=True) for name, s in state.stations.items()}
        return replace(state, stations=stations)

    monkeypatch.setattr(SiteState, "at_start", staticmethod(proven))
    monkeypatch.setattr(fold, "_after_boot", lambda *a: replace(after_boot(*a), is_proven=True))


def _nobody_looks_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    def guard(
        _state: SiteState, orders: tuple[LimitOrder, ...], _now_s: float
    ) -> tuple[LimitOrder, ...]:
        return tuple(sorted(orders, key=lambda order: order.limit.limit_ma))

    monkeypatch.setattr(harness, "guard", guard)


def _no_second_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "held_back", lambda *_: set())


def _nobody_looks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    _nobody_looks_once_more(monkeypatch)
    _no_second_look(monkeypatch)


def _raises_count_late_unguarded(monkeypatch: pytest.MonkeyPatch) -> None:
    _raises_count_once_acknowledged(monkeypatch)
    _nobody_looks_once_more(monkeypatch)


def _raises_count_late_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    _raises_count_once_acknowledged(monkeypatch)
    _no_second_look(monkeypatch)


def _the_stop_input_is_not_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    original = fold.evolve_all

    def evolve_all(state: SiteState, events: Iterable[fold.ControlEvent]) -> SiteState:
        return original(state, [e for e in events if not isinstance(e, StopInputChanged)])

    monkeypatch.setattr(harness, "evolve_all", evolve_all)


def _outside_limits_do_not_bind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "_tightest", lambda _state, _circuit, _phase, ma: (ma, None))


def _does_not_bind(joined_by: JoinedBy) -> Callable[[pytest.MonkeyPatch], None]:
    original = three_phase._bound

    def bound(row: rows.Row, bound_ma: int, source: str) -> rows.Row:
        return row if source is joined_by else original(row, bound_ma, source)

    return lambda monkeypatch: monkeypatch.setattr(three_phase, "_bound", bound)


def _sources_never_vanish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "_export_ma", lambda *_: 0)


def _idle_connectors_need_no_reserve(monkeypatch: pytest.MonkeyPatch) -> None:
    def row_of(state: SiteState, at: int, now_s: float, **sums: int) -> rows.Row:
        return rows.row_of(state, at, now_s, **{**sums, "idle_ma": 0})

    monkeypatch.setattr(headroom, "row_of", row_of)


def _devices_carry_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "carried_ratio", lambda *_, **__: 10.0)


def _the_worst_case_is_as_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    def base_seen(state: SiteState, *_: object) -> tuple[tuple[int, ...], tuple[None, ...]]:
        count = len(state.wiring.rating_ma)
        return (0,) * count, (None,) * count

    monkeypatch.setattr(decide, "base_seen", base_seen)


def _a_stop_is_no_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    original = fallbacks_of

    def fallbacks(moment: claims.Moment) -> tuple[FallbackOrder, ...]:
        return original(replace(moment, state=replace(moment.state, is_stopped=False)))

    monkeypatch.setattr(decide, "fallbacks_of", fallbacks)


def _nothing_is_kept_for_promised_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PromisedDraw, "owed_ma", lambda *_: 0)


DEFAULTS = ControlParameters()

MUTANTS = (
    Mutant(
        rule="a reserve covers what base may rise by",
        story=step_inside_reserve,
        patch=_without_reserve,
    ),
    Mutant(
        rule="a station out of reach counts its limit",
        story=lost_station,
        patch=_unreachable_counts_nothing,
    ),
    Mutant(
        rule="an unproven dead-man counts the installed maximum",
        story=lost_station_that_keeps_its_limit,
        patch=_every_dead_man_is_taken_for_proven,
        told=TOLD - {"old_limit"},  # That it keeps an old limit is the story.
    ),
    Mutant(
        rule="a station above its limit counts its maximum",
        story=station_that_obeys_no_more,
        patch=_overdraw_is_not_seen,
    ),
    Mutant(
        rule="what is drawn beyond limits is counted",
        story=stations_that_let_more_flow,
        patch=_excess_is_not_counted,
    ),
    Mutant(
        rule="an old reading is not counted low",
        story=silent_station_whose_vehicle_stops,
        patch=_old_readings_count,
        first_line=_forgotten_changes_do_not_matter,
    ),
    Mutant(
        rule="a reading older than the changes that are kept counts nothing",
        story=silent_station_whose_vehicle_stops,
        patch=_forgotten_changes_do_not_matter,
        first_line=_old_readings_count,
    ),
    Mutant(
        rule="a fall is taken from the lows",
        story=vehicle_that_stops_while_answers_are_late,
        patch=_falls_are_base,
        seen_s=5.0,
    ),
    Mutant(
        rule="a low is no more than was read",
        story=seed("harsh", 1, until_s=200.0),
        patch=_lows_are_forgotten_highs,
    ),
    Mutant(
        rule="a stale meter is not believed",
        story=step_behind_a_lost_meter,
        patch=_meters_never_age,
    ),
    Mutant(
        rule="a frozen meter is stale",
        story=step_behind_a_frozen_meter,
        patch=_frozen_meters_are_believed,
    ),
    Mutant(
        rule="a meter that shows too little is doubted",
        story=clamps_that_come_off,
        patch=_meters_are_not_doubted,
    ),
    Mutant(
        rule="what flows where nothing feeds is drawn",
        story=clamps_the_wrong_way_round,
        patch=_any_circuit_may_give,
        first_line=_meters_are_not_doubted,
    ),
    Mutant(
        rule="all phases count until learnt",
        story=slow_reports,
        patch=_one_phase_counts,
        seen_s=10.0,
    ),
    Mutant(
        rule="what is not confirmed is taken elsewhere",
        story=station_that_never_obeyed,
        patch=_unconfirmed_is_taken_for_done,
    ),
    Mutant(
        rule="others make room for all that a first vehicle may draw",
        story=partial(unasked_start, 9),
        patch=_nobody_may_draw_more_than_told,
    ),
    Mutant(
        rule="what those not proven are told must fit by itself",
        story=partial(all_at_once, 12),
        patch=_nobody_is_crowded_out,
    ),
    Mutant(
        rule="the thermal budget is watched",
        story=step_beyond_reserve,
        patch=_heat_is_not_watched,
        first_line=_nothing_is_cut_to_fit,
    ),
    Mutant(
        rule="a long excursion pauses the circuit",
        story=step_just_over_the_rating,
        parameters=replace(DEFAULTS, over_rating_pause_s=NEVER_S),
        first_line=_nothing_is_cut_nor_heat_watched,
    ),
    Mutant(
        rule="a raise counts once it is sent",
        story=room_while_answers_are_late,
        patch=_raises_count_once_acknowledged,
        first_line=_nobody_looks_again,
    ),
    Mutant(
        rule="the guard looks once more at what is sent",
        story=room_while_answers_are_late,
        patch=_nobody_looks_once_more,
        first_line=_raises_count_late_unseen,
    ),
    Mutant(
        rule="raises are looked at again as if sent",
        story=room_while_answers_are_late,
        patch=_no_second_look,
        first_line=_raises_count_late_unguarded,
    ),
    Mutant(
        rule="a cut counts once it bites",
        story=cuts_while_answers_are_late,
        patch=_cuts_count_once_sent,
        seen_s=10.0,
    ),
    Mutant(
        rule="a station must prove that it obeys",
        story=station_that_never_obeyed,
        patch=_every_station_obeys,
    ),
    Mutant(
        rule="a limit lapses when nobody renews it",
        story=step_while_the_gateway_is_gone,
        parameters=replace(DEFAULTS, lease_s=NEVER_S),
    ),
    Mutant(
        rule="leases are renewed",
        story=seed("lighter", 1, until_s=1_500.0),
        parameters=replace(DEFAULTS, renew_s=NEVER_S),
    ),
    Mutant(
        rule="the stop input is obeyed",
        story=stop_pressed_and_the_gateway_killed,
        patch=_the_stop_input_is_not_heard,
    ),
    Mutant(
        rule="a stop is written as a fallback of nothing",
        story=stop_pressed_and_the_gateway_killed,
        patch=_a_stop_is_no_fallback,
    ),
    Mutant(
        rule="an outside limit narrows",
        story=limit_from_outside,
        patch=_outside_limits_do_not_bind,
    ),
    Mutant(
        rule="a limit on power joins the phases",
        story=limit_on_power,
        patch=_does_not_bind(JoinedBy.POWER),
    ),
    Mutant(
        rule="the neutral joins the phases",
        story=limit_on_the_neutral,
        patch=_does_not_bind(JoinedBy.NEUTRAL),
    ),
    Mutant(
        rule="a limit on imbalance joins the phases",
        story=limit_on_imbalance,
        patch=_does_not_bind(JoinedBy.IMBALANCE),
    ),
    Mutant(
        rule="what sources give is added back to base",
        story=cloud_over_the_roof,
        patch=_sources_never_vanish,
    ),
    Mutant(
        rule="what a load was promised is kept free until it flows",
        story=load_that_was_promised_room,
        patch=_nothing_is_kept_for_promised_loads,
    ),
    Mutant(
        rule="the reserve covers the fallback of an idle connector",
        story=vehicle_at_a_large_fallback,
        patch=_idle_connectors_need_no_reserve,
        knows=knowing_base,
    ),
    Mutant(
        rule="the reserve covers a rise over a whole lease",
        story=large_rise_while_the_gateway_is_gone,
        patch=_devices_carry_anything,
        knows=partial(knowing_base, lease_rise_ratio=0.4),
    ),
    Mutant(
        rule="base seen above its worst case counts instead",
        story=base_above_its_worst_case,
        patch=_the_worst_case_is_as_declared,
    ),
    Mutant(
        rule="three long excursions lock the circuit out",
        story=base_above_the_rating_thrice,
        parameters=replace(DEFAULTS, excursion_count=99),
    ),
    Mutant(
        rule="a minute over the rating opens the trip output",
        story=station_that_nothing_cuts,
        parameters=replace(DEFAULTS, over_rating_trip_s=NEVER_S),
        told=frozenset({"not_switched_off"}),
    ),
)
