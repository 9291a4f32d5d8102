"""What each safety rule is replaced by, where it is switched off: nothing, or what is less careful."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

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


def without_reserve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "_rise_ma", lambda *_: 0)


def unreachable_counts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "_high_unreachable_ma", lambda *_: 0)


def every_dead_man_is_taken_for_proven(monkeypatch: pytest.MonkeyPatch) -> None:
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


def overdraw_is_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
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


def excess_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    _high_is_that_of(monkeypatch, lambda belief: replace(belief, excess_ma=0))


def old_readings_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headroom, "reading_is_current", lambda *_: True)


def forgotten_changes_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    original = metered._after_value

    def after_value(state: SiteState, circuit_at: int, phase: int, event: MeterRead) -> PhaseState:
        after = original(state, circuit_at, phase, event)
        return replace(after, forgotten_s=PhaseState().forgotten_s)

    monkeypatch.setattr(metered, "_after_value", after_value)


def meters_are_not_doubted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "doubted", lambda *_: (0, 0.0))


def any_circuit_may_give(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Wiring, "is_fed_below", lambda *_: True)


def falls_are_base(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attribution, "bisect_left", lambda *_: 0)


def lows_are_forgotten_highs(monkeypatch: pytest.MonkeyPatch) -> None:
    def low_ma(*_: object, **__: object) -> tuple[int, int, int]:
        return 32_000, 32_000, 32_000

    monkeypatch.setattr(headroom, "low_ma", low_ma)


def meters_never_age(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "age_of_s", lambda *_: 0.0)


def frozen_meters_are_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    def age_of_s(
        measured: PhaseState, _lows_ma: int, _parameters: ControlParameters, now_s: float
    ) -> float:
        return now_s - measured.read_at_s

    monkeypatch.setattr(rows, "age_of_s", age_of_s)


def heat_is_not_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caps, "projected_ratio", lambda *_: 0.0)


def _first_of(wired: Mask) -> Mask:
    first = wired.index(True)
    return first == 0, first == 1, first == 2


def one_phase_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    original = headroom.survey

    def survey(state: SiteState, now_s: float) -> headroom.Survey:
        connectors = tuple(
            replace(belief, mask=belief.mask or _first_of(wired))
            for belief, wired in zip(state.connectors, state.wiring.wired, strict=True)
        )
        return original(replace(state, connectors=connectors), now_s)

    monkeypatch.setattr(claims, "survey", survey)


def unconfirmed_is_taken_for_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "is_confirmable", lambda *_: True)


def nobody_may_draw_more_than_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for used in (trusted, decide):
        monkeypatch.setattr(used, "may_draw_more", lambda *_: False)


def nobody_is_crowded_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "_crowded_out", lambda *_: [])


def fallback_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "may_have_lapsed", lambda *_: False)

    def high_ma(_connector: Connector, belief: ConnectorBelief, *_others: object) -> int:
        return belief.wanted_ma

    monkeypatch.setattr(bounds, "_high_unreachable_ma", high_ma)


def nothing_is_cut_to_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "cut_to_fit", lambda *_: None)


def nothing_is_cut_nor_heat_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing_is_cut_to_fit(monkeypatch)
    heat_is_not_watched(monkeypatch)


def raises_count_once_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
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


def cuts_count_once_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def believed(belief: ConnectorBelief) -> ConnectorBelief:
        newest = belief.limits[-1]
        is_cut = newest.last_sequence and newest.limit_ma < belief.in_force_ma
        return replace(belief, limits=(newest,)) if is_cut else belief

    _high_is_that_of(monkeypatch, believed)


def every_station_obeys(monkeypatch: pytest.MonkeyPatch) -> None:
    at_start, after_boot = SiteState.at_start, fold._after_boot

    def proven(wiring: Wiring, parameters: ControlParameters, *, now_s: float) -> SiteState:
        state = at_start(wiring, parameters, now_s=now_s)
        stations = {name: replace(s, is_proven=True) for name, s in state.stations.items()}
        return replace(state, stations=stations)

    monkeypatch.setattr(SiteState, "at_start", staticmethod(proven))
    monkeypatch.setattr(fold, "_after_boot", lambda *a: replace(after_boot(*a), is_proven=True))


def nobody_looks_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    def guard(
        _state: SiteState, orders: tuple[LimitOrder, ...], _now_s: float
    ) -> tuple[LimitOrder, ...]:
        return tuple(sorted(orders, key=lambda order: order.limit.limit_ma))

    monkeypatch.setattr(harness, "guard", guard)


def no_second_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "held_back", lambda *_: set())


def nobody_looks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    nobody_looks_once_more(monkeypatch)
    no_second_look(monkeypatch)


def raises_count_late_unguarded(monkeypatch: pytest.MonkeyPatch) -> None:
    raises_count_once_acknowledged(monkeypatch)
    nobody_looks_once_more(monkeypatch)


def raises_count_late_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    raises_count_once_acknowledged(monkeypatch)
    no_second_look(monkeypatch)


def the_stop_input_is_not_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    original = fold.evolve_all

    def evolve_all(state: SiteState, events: Iterable[fold.ControlEvent]) -> SiteState:
        return original(state, [e for e in events if not isinstance(e, StopInputChanged)])

    monkeypatch.setattr(harness, "evolve_all", evolve_all)


def outside_limits_do_not_bind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "_tightest", lambda _state, _circuit, _phase, ma: (ma, None))


def does_not_bind(joined_by: JoinedBy) -> Callable[[pytest.MonkeyPatch], None]:
    original = three_phase._bound

    def bound(row: rows.Row, bound_ma: int, source: str) -> rows.Row:
        return row if source is joined_by else original(row, bound_ma, source)

    return lambda monkeypatch: monkeypatch.setattr(three_phase, "_bound", bound)


def sources_never_vanish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "_export_ma", lambda *_: 0)


def idle_connectors_need_no_reserve(monkeypatch: pytest.MonkeyPatch) -> None:
    def row_of(state: SiteState, at: int, now_s: float, **sums: int) -> rows.Row:
        return rows.row_of(state, at, now_s, **{**sums, "idle_ma": 0})

    monkeypatch.setattr(headroom, "row_of", row_of)


def devices_carry_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "carried_ratio", lambda *_, **__: 10.0)


def the_worst_case_is_as_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    def base_seen(state: SiteState, *_: object) -> tuple[tuple[int, ...], tuple[None, ...]]:
        count = len(state.wiring.rating_ma)
        return (0,) * count, (None,) * count

    monkeypatch.setattr(decide, "base_seen", base_seen)


def a_stop_is_no_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    original = fallbacks_of

    def fallbacks(moment: claims.Moment) -> tuple[FallbackOrder, ...]:
        return original(replace(moment, state=replace(moment.state, is_stopped=False)))

    monkeypatch.setattr(decide, "fallbacks_of", fallbacks)


def nothing_is_kept_for_promised_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PromisedDraw, "owed_ma", lambda *_: 0)
