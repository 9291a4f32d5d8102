"""Rules of the law, each with what switching it off would be, and which promise it then breaks."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from gateway.control import (
    board,
    bounds,
    decide,
    draws,
    fold,
    headroom,
    presence,
    share,
    standing,
)
from gateway.control.parameters import ControlParameters
from gateway.control.state import ConnectorBelief, Draw, SiteState, StationBelief
from gateway.control.wiring import Mask
from gateway.domain import electric
from gateway.domain.circuits import Connector
from gateway.domain.events import LimitSent
from gateway.domain.ids import StationId
from tests.control.drawn import KINDS, Kind

IN_FORCE = "no limit in force is forgotten"
DRAWN = "nobody draws more than is counted"
PHASES = "no phase in use is forgotten"
CUT = "what does not fit is cut"
SERVED = "whoever can be served is served"
PROVEN = "who obeys is proven"
FITS = "what we send fits"
TELLABLE = "a limit can be told"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A rule switched off; one of `breaks` is the promise that a run then finds broken."""

    rule: str
    breaks: frozenset[str]
    switch_off: Callable[[pytest.MonkeyPatch], None]
    kinds: tuple[Kind, ...] = tuple(KINDS)
    """What happens in the runs that are to show it."""
    number: int = 3
    """Which runs of these."""


def _nothing_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "cut_to_fit", lambda *_: None)


def _no_second_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "held_back", lambda *_: set())


def _a_start_is_not_asked_to_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board.Board, "fits", lambda *_: True)
    _no_second_look(monkeypatch)


def _a_raise_is_not_asked_to_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    original = share.raise_in_steps

    def raise_in_steps(
        on: board.Board,
        candidates: list[int],
        steps: share.Steps,
        parameters: ControlParameters,
    ) -> None:
        on.proven_room_ma = [max(room_ma, 20_000) for room_ma in on.proven_room_ma]
        original(on, candidates, replace(steps, left_ma=[20_000] * len(steps.left_ma)), parameters)

    monkeypatch.setattr(decide, "raise_in_steps", raise_in_steps)
    _no_second_look(monkeypatch)


def _cuts_count_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def settled(belief: ConnectorBelief, *_: object) -> ConnectorBelief:
        return replace(belief, limits=belief.limits[-1:])

    monkeypatch.setattr(fold, "settled", settled)
    monkeypatch.setattr(decide, "settled", settled)


def _refusals_count_as_done(monkeypatch: pytest.MonkeyPatch) -> None:
    def after_rejection(belief: ConnectorBelief, sequence: int) -> ConnectorBelief:
        sent_at_s = belief.limits[-1].renewed_at_s
        return standing.after_acknowledgement(belief, sequence, ControlParameters(), sent_at_s)

    monkeypatch.setattr(fold, "after_rejection", after_rejection)


def _a_boot_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold, "_after_boot", lambda before, _firmware: before)
    monkeypatch.setattr(fold, "_after_reboot_of", lambda state, *_: state)


def _leases_never_lapse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "may_have_lapsed", lambda *_: False)
    monkeypatch.setattr(standing, "may_have_lapsed", lambda *_: False)


def _lost_stations_count_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "_high_unreachable_ma", lambda *_: 0)


def _watts_count_at_nominal_voltage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(electric, "LOWEST_VOLTAGE_PCT", 100)


def _a_new_vehicle_ends_old_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    def at_rest(
        connector: Connector, belief: ConnectorBelief, station: StationBelief, *_: float
    ) -> ConnectorBelief:
        limits = standing.limits_at_rest(connector, belief, station)
        return replace(belief, limits=limits, under=())

    monkeypatch.setattr(fold, "with_another_vehicle", at_rest)
    monkeypatch.setattr(presence, "with_another_vehicle", at_rest)


def _limits_outlive_their_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "after_transaction", lambda _c, belief, *_: belief)


def _masks_outlive_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    def after_sending(
        belief: ConnectorBelief,
        event: LimitSent,
        station: StationBelief,
        parameters: ControlParameters,
    ) -> ConnectorBelief:
        after = standing.after_sending(belief, event, station, parameters)
        return replace(after, mask=belief.mask)

    monkeypatch.setattr(fold, "after_sending", after_sending)
    monkeypatch.setattr(headroom, "mask_of", lambda belief, _station, wired: belief.mask or wired)


def _masks_outlive_absences(monkeypatch: pytest.MonkeyPatch) -> None:
    def unchanged(state: SiteState, _station: StationId) -> SiteState:
        return state

    monkeypatch.setattr(fold, "_phases_unlearnt", unchanged)
    monkeypatch.setattr(headroom, "is_unsteady", lambda *_: False)  # It hides the other.
    monkeypatch.setattr(headroom, "mask_of", lambda belief, _station, wired: belief.mask or wired)


def _one_phase_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def mask_of(belief: ConnectorBelief, _station: StationBelief, wired: Mask) -> Mask:
        first = wired.index(True)
        return belief.mask or (first == 0, first == 1, first == 2)

    monkeypatch.setattr(headroom, "mask_of", mask_of)


def _nobody_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "start_waiting", lambda *_: None)


def _nobody_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def after_reading(
        belief: ConnectorBelief,
        connector: Connector,
        station: StationBelief,
        draw: Draw,
        parameters: ControlParameters,
    ) -> tuple[ConnectorBelief, bool]:
        return draws.after_reading(belief, connector, station, draw, parameters)[0], False

    monkeypatch.setattr(fold, "after_reading", after_reading)


def _steps_are_of_one_ma(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(share, "STEP_MA", 1)


MUTANTS = (
    Mutant(
        rule="what does not fit is cut",
        breaks=frozenset({CUT}),
        switch_off=_nothing_is_cut,
    ),
    Mutant(
        rule="a start fits every row",
        breaks=frozenset({FITS}),
        switch_off=_a_start_is_not_asked_to_fit,
    ),
    Mutant(
        rule="a raise fits every row",
        breaks=frozenset({FITS}),
        switch_off=_a_raise_is_not_asked_to_fit,
    ),
    Mutant(
        rule="a raise is looked at again as sent",
        breaks=frozenset({FITS}),
        switch_off=_no_second_look,
        kinds=(Kind.BASE, Kind.LIMIT_CIRCUIT, Kind.LIFT, Kind.BOOT),
        number=7,
    ),
    Mutant(
        rule="a cut counts once it has settled",
        breaks=frozenset({IN_FORCE, DRAWN}),
        switch_off=_cuts_count_at_once,
    ),
    Mutant(
        rule="a refused limit is not in force",
        breaks=frozenset({IN_FORCE, DRAWN}),
        switch_off=_refusals_count_as_done,
        kinds=(Kind.REFUSE, Kind.BASE),
        number=4,
    ),
    Mutant(
        rule="a boot opens everything again",
        breaks=frozenset({IN_FORCE, DRAWN, PHASES}),
        switch_off=_a_boot_changes_nothing,
        kinds=(Kind.BOOT, Kind.PLUG_IN, Kind.SWAP),
    ),
    Mutant(
        rule="a lease may have lapsed",
        breaks=frozenset({IN_FORCE, DRAWN}),
        switch_off=_leases_never_lapse,
        kinds=(Kind.MUTE, Kind.REFUSE, Kind.BASE),
        number=4,
    ),
    Mutant(
        rule="a station out of reach counts its limit",
        breaks=frozenset({IN_FORCE, DRAWN}),
        switch_off=_lost_stations_count_nothing,
    ),
    Mutant(
        rule="watts count at the lowest voltage",
        breaks=frozenset({IN_FORCE, DRAWN}),
        switch_off=_watts_count_at_nominal_voltage,
        kinds=(Kind.BASE, Kind.SWAP),
        number=4,
    ),
    Mutant(
        rule="a lease outlives the vehicle it was for",
        breaks=frozenset({IN_FORCE, DRAWN}),
        switch_off=_a_new_vehicle_ends_old_leases,
        kinds=(Kind.SWAP, Kind.LEAVE, Kind.PLUG_IN),
    ),
    Mutant(
        rule="a limit ends with its transaction",
        breaks=frozenset({IN_FORCE, DRAWN}),
        switch_off=_limits_outlive_their_transaction,
        kinds=(Kind.NEW_TRANSACTION, Kind.BASE, Kind.STOP, Kind.RELEASE),
        number=11,
    ),
    Mutant(
        rule="phases are learnt again after a pause",
        breaks=frozenset({PHASES}),
        switch_off=_masks_outlive_pauses,
        kinds=(Kind.STOP, Kind.RELEASE, Kind.BASE),
        number=4,
    ),
    Mutant(
        rule="phases are learnt again after an absence",
        breaks=frozenset({PHASES}),
        switch_off=_masks_outlive_absences,
        kinds=(Kind.LOSE, Kind.RETURN),
        number=4,
    ),
    Mutant(
        rule="all phases count until learnt",
        breaks=frozenset({PHASES}),
        switch_off=_one_phase_counts,
    ),
    Mutant(
        rule="whoever waits is started",
        breaks=frozenset({SERVED, "nobody waits where there is room"}),
        switch_off=_nobody_is_started,
        kinds=(Kind.STOP, Kind.RELEASE),
    ),
    Mutant(
        rule="a cut seen to bite proves",
        breaks=frozenset({PROVEN}),
        switch_off=_nobody_is_tried,
        number=7,
    ),
    Mutant(
        rule="limits are whole steps",
        breaks=frozenset({TELLABLE}),
        switch_off=_steps_are_of_one_ma,
    ),
)
