"""The safety rules of the control law, each with what switching it off would be.

Some are second lines: what they would catch is caught before. They are shown with the first line
switched off in both runs, with the rule and without it. So it is with the rules that keep the same
room from being given twice: that a raise counts once it is sent, the second look, and the guard.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import pytest

from drivers.sim.scenario import Scenario
from gateway.control.parameters import ControlParameters
from gateway.control.state import SiteState
from gateway.control.three_phase import JoinedBy
from tests.simulation import switches
from tests.simulation.harness import HARM, knowing_base
from tests.simulation.stories import (
    base_above_its_worst_case,
    base_above_the_rating_thrice,
    base_that_returns_when_all_is_lost,
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
    more_than_the_worst_case_behind_a_lost_meter,
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
    step_that_only_a_pause_bears,
    step_while_the_gateway_is_gone,
    steps_to_a_little_over_the_rating,
    stop_pressed_and_the_gateway_killed,
    vehicle_at_a_large_fallback,
    vehicle_that_stops_while_answers_are_late,
    worst_case_when_all_is_lost,
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


DEFAULTS = ControlParameters()

MUTANTS = (
    Mutant(
        rule="a reserve covers what base may rise by",
        story=step_inside_reserve,
        patch=switches.without_reserve,
    ),
    Mutant(
        rule="a station out of reach counts its limit",
        story=lost_station,
        patch=switches.unreachable_counts_nothing,
    ),
    Mutant(
        rule="an unproven dead-man counts the installed maximum",
        story=lost_station_that_keeps_its_limit,
        patch=switches.every_dead_man_is_taken_for_proven,
        told=TOLD - {"old_limit"},  # That it keeps an old limit is the story.
    ),
    Mutant(
        rule="a station above its limit counts its maximum",
        story=station_that_obeys_no_more,
        patch=switches.overdraw_is_not_seen,
    ),
    Mutant(
        rule="what is drawn beyond limits is counted",
        story=stations_that_let_more_flow,
        patch=switches.excess_is_not_counted,
    ),
    Mutant(
        rule="an old reading is not counted low",
        story=silent_station_whose_vehicle_stops,
        patch=switches.old_readings_count,
        first_line=switches.forgotten_changes_do_not_matter,
    ),
    Mutant(
        rule="a reading older than the changes that are kept counts nothing",
        story=silent_station_whose_vehicle_stops,
        patch=switches.forgotten_changes_do_not_matter,
        first_line=switches.old_readings_count,
    ),
    Mutant(
        rule="a fall is taken from the lows",
        story=vehicle_that_stops_while_answers_are_late,
        patch=switches.falls_are_base,
        seen_s=5.0,
    ),
    Mutant(
        rule="a low is no more than was read",
        story=seed("harsh", 1, until_s=200.0),
        patch=switches.lows_are_forgotten_highs,
    ),
    Mutant(
        rule="a stale meter is not believed",
        story=step_behind_a_lost_meter,
        patch=switches.meters_never_age,
    ),
    Mutant(
        rule="a frozen meter is stale",
        story=step_behind_a_frozen_meter,
        patch=switches.frozen_meters_are_believed,
    ),
    Mutant(
        rule="nothing is raised by a stale meter",
        story=base_that_returns_when_all_is_lost,
        parameters=replace(DEFAULTS, stale_no_raises_s=DEFAULTS.stale_worst_case_s),
    ),
    Mutant(
        rule="the worst case stands for what a stale meter showed",
        story=worst_case_when_all_is_lost,
        parameters=replace(DEFAULTS, stale_worst_case_s=DEFAULTS.stale_fallback_s),
    ),
    Mutant(
        rule="a stale meter has the circuit at its fallbacks",
        story=more_than_the_worst_case_behind_a_lost_meter,
        parameters=replace(DEFAULTS, stale_fallback_s=NEVER_S),
    ),
    Mutant(
        rule="a meter that shows too little is doubted",
        story=clamps_that_come_off,
        patch=switches.meters_are_not_doubted,
    ),
    Mutant(
        rule="what flows where nothing feeds is drawn",
        story=clamps_the_wrong_way_round,
        patch=switches.any_circuit_may_give,
        first_line=switches.meters_are_not_doubted,
    ),
    Mutant(
        rule="all phases count until learnt",
        story=slow_reports,
        patch=switches.one_phase_counts,
        seen_s=10.0,
    ),
    Mutant(
        rule="what is not confirmed is taken elsewhere",
        story=station_that_never_obeyed,
        patch=switches.unconfirmed_is_taken_for_done,
    ),
    Mutant(
        rule="others make room for all that a first vehicle may draw",
        story=partial(unasked_start, 9),
        patch=switches.nobody_may_draw_more_than_told,
    ),
    Mutant(
        rule="what those not proven are told must fit by itself",
        story=partial(all_at_once, 12),
        patch=switches.nobody_is_crowded_out,
    ),
    Mutant(
        rule="the thermal budget is watched",
        story=step_beyond_reserve,
        patch=switches.heat_is_not_watched,
        first_line=switches.nothing_is_cut_to_fit,
    ),
    Mutant(
        rule="a third of the thermal budget leaves nobody more than the minimum",
        story=steps_to_a_little_over_the_rating,
        parameters=replace(DEFAULTS, thermal_minimum_ratio=DEFAULTS.thermal_pause_ratio),
        first_line=switches.nothing_is_cut_to_fit,
    ),
    Mutant(
        rule="two thirds of the thermal budget pause the circuit",
        story=step_that_only_a_pause_bears,
        parameters=replace(DEFAULTS, thermal_pause_ratio=99.0),
        first_line=switches.nothing_is_cut_to_fit,
    ),
    Mutant(
        rule="a long excursion pauses the circuit",
        story=step_just_over_the_rating,
        parameters=replace(DEFAULTS, over_rating_pause_s=NEVER_S),
        first_line=switches.nothing_is_cut_nor_heat_watched,
    ),
    Mutant(
        rule="a raise counts once it is sent",
        story=room_while_answers_are_late,
        patch=switches.raises_count_once_acknowledged,
        first_line=switches.nobody_looks_again,
    ),
    Mutant(
        rule="the guard looks once more at what is sent",
        story=room_while_answers_are_late,
        patch=switches.nobody_looks_once_more,
        first_line=switches.raises_count_late_unseen,
    ),
    Mutant(
        rule="raises are looked at again as if sent",
        story=room_while_answers_are_late,
        patch=switches.no_second_look,
        first_line=switches.raises_count_late_unguarded,
    ),
    Mutant(
        rule="a cut counts once it bites",
        story=cuts_while_answers_are_late,
        patch=switches.cuts_count_once_sent,
        seen_s=10.0,
    ),
    Mutant(
        rule="a station must prove that it obeys",
        story=station_that_never_obeyed,
        patch=switches.every_station_obeys,
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
        patch=switches.the_stop_input_is_not_heard,
    ),
    Mutant(
        rule="a stop is written as a fallback of nothing",
        story=stop_pressed_and_the_gateway_killed,
        patch=switches.a_stop_is_no_fallback,
    ),
    Mutant(
        rule="an outside limit narrows",
        story=limit_from_outside,
        patch=switches.outside_limits_do_not_bind,
    ),
    Mutant(
        rule="a limit on power joins the phases",
        story=limit_on_power,
        patch=switches.does_not_bind(JoinedBy.POWER),
    ),
    Mutant(
        rule="the neutral joins the phases",
        story=limit_on_the_neutral,
        patch=switches.does_not_bind(JoinedBy.NEUTRAL),
    ),
    Mutant(
        rule="a limit on imbalance joins the phases",
        story=limit_on_imbalance,
        patch=switches.does_not_bind(JoinedBy.IMBALANCE),
    ),
    Mutant(
        rule="what sources give is added back to base",
        story=cloud_over_the_roof,
        patch=switches.sources_never_vanish,
    ),
    Mutant(
        rule="what a load was promised is kept free until it flows",
        story=load_that_was_promised_room,
        patch=switches.nothing_is_kept_for_promised_loads,
    ),
    Mutant(
        rule="the reserve covers the fallback of an idle connector",
        story=vehicle_at_a_large_fallback,
        patch=switches.idle_connectors_need_no_reserve,
        knows=knowing_base,
    ),
    Mutant(
        rule="the reserve covers a rise over a whole lease",
        story=large_rise_while_the_gateway_is_gone,
        patch=switches.devices_carry_anything,
        knows=partial(knowing_base, lease_rise_ratio=0.4),
    ),
    Mutant(
        rule="base seen above its worst case counts instead",
        story=base_above_its_worst_case,
        patch=switches.the_worst_case_is_as_declared,
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
