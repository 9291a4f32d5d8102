"""The safety rules of the control law, each with what switching it off would be.

Not among them, as other rules hide their absence so far: that a raise counts once sent and a
cut once it bites (the thirty seconds of fresh headroom cover them), that a station proves it obeys (its own readings
show it), and that leases are renewed (they lapse to a proven fallback).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from drivers.sim.scenario import Scenario
from gateway.control import attribution, bounds, caps, claims, decide, draws, headroom, rows
from gateway.control.parameters import ControlParameters
from gateway.control.state import ConnectorBelief, PhaseState, SiteState, StationBelief
from gateway.control.wiring import Mask
from gateway.domain.circuits import Connector
from tests.simulation.stories import (
    seed,
    silent_station_whose_vehicle_stops,
    slow_reports,
    station_that_obeys_no_more,
    step_behind_a_frozen_meter,
    step_behind_a_lost_meter,
    step_beyond_reserve,
    step_just_over_the_rating,
    vehicles_that_stop_at_once,
)

NEVER_S = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A rule switched off: by other numbers, or by another function in its place."""

    rule: str
    scenarios: tuple[Callable[[], Scenario], ...]
    """Seeds, or stories made of one, of which one at least shows the rule's absence."""
    parameters: ControlParameters = ControlParameters()  # noqa: RUF009 - frozen
    patch: Callable[[pytest.MonkeyPatch], None] | None = None
    first_line: Callable[[pytest.MonkeyPatch], None] | None = None
    """What must be off as well before a second line is seen to be needed."""
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


def _overdraw_is_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headroom, "is_overdrawn", lambda *_: False)
    monkeypatch.setattr(draws, "is_overdrawn", lambda *_: False)


def _old_readings_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headroom, "reading_is_current", lambda *_: True)


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
    monkeypatch.setattr(
        headroom,
        "high_ma",
        lambda _c, belief, station, *_, **__: (
            0 if bounds.is_idle(belief) or not station.is_connected else belief.wanted_ma
        ),
    )


def _fallback_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "_may_have_lapsed", lambda *_: False)

    def high_ma(
        connector: Connector, belief: ConnectorBelief, station: StationBelief, now_s: float
    ) -> int:
        del connector, station, now_s
        return belief.wanted_ma

    monkeypatch.setattr(bounds, "_high_unreachable_ma", high_ma)


def _nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "to_ask", lambda *_: set())


def _nothing_is_cut_to_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "cut_to_fit", lambda *_: None)


def _nothing_is_cut_nor_heat_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    _nothing_is_cut_to_fit(monkeypatch)
    _heat_is_not_watched(monkeypatch)


DEFAULTS = ControlParameters()

MUTANTS = (
    Mutant(
        rule="a reserve covers what base may rise by",
        scenarios=tuple(seed("faults", number, until_s=1_800.0) for number in (6, 4, 1, 13)),
        patch=_without_reserve,
    ),
    Mutant(
        rule="a station out of reach counts its limit",
        scenarios=(seed("faults", 2, until_s=1_850.0),),
        patch=_unreachable_counts_nothing,
    ),
    Mutant(
        rule="a station above its limit counts its maximum",
        scenarios=(station_that_obeys_no_more, seed("faults", 11, until_s=1_600.0)),
        patch=_overdraw_is_not_seen,
    ),
    Mutant(
        rule="an old reading is not counted low",
        scenarios=(silent_station_whose_vehicle_stops,),
        patch=_old_readings_count,
    ),
    Mutant(
        rule="a fall is taken from the lows",
        scenarios=(vehicles_that_stop_at_once,),
        patch=_falls_are_base,
        first_line=_nobody_is_asked,
        seen_s=5.0,
    ),
    Mutant(
        rule="a low is no more than was read",
        scenarios=(seed("harsh", 1, until_s=200.0),),
        patch=_lows_are_forgotten_highs,
    ),
    Mutant(
        rule="a stale meter is not believed",
        scenarios=(step_behind_a_lost_meter,),
        patch=_meters_never_age,
    ),
    Mutant(
        rule="a frozen meter is stale",
        scenarios=(step_behind_a_frozen_meter,),
        patch=_frozen_meters_are_believed,
    ),
    Mutant(
        rule="all phases count until learnt",
        scenarios=(slow_reports,),
        patch=_one_phase_counts,
        first_line=_nobody_is_asked,
    ),
    Mutant(
        rule="what is not confirmed is taken elsewhere",
        scenarios=(seed("faults", 1, until_s=3_900.0),),
        patch=_unconfirmed_is_taken_for_done,
    ),
    Mutant(
        rule="the thermal budget is watched",
        scenarios=(step_beyond_reserve,),
        patch=_heat_is_not_watched,
        first_line=_nothing_is_cut_to_fit,
    ),
    Mutant(
        rule="a long excursion pauses the circuit",
        scenarios=(step_just_over_the_rating,),
        parameters=replace(DEFAULTS, over_rating_pause_s=NEVER_S),
        first_line=_nothing_is_cut_nor_heat_watched,
    ),
)
