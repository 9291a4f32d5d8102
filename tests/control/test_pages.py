"""What the pages say of the law is what it does: every reason, and the numbers it goes by."""

import re
from pathlib import Path

from gateway.control import metered, stop_latch, trip_latch
from gateway.control.draws import KEPT_MOVES
from gateway.control.parameters import ControlParameters
from gateway.domain.circuits import SET_POINT_RATIO, OvercurrentDevice
from gateway.domain.electric import MIN_CHARGING_MA
from gateway.domain.reasons import ReasonKind
from gateway.services.base_before import NEAR_S, WATCHED_S
from tests.control import mutants as of_belief
from tests.simulation import mutants as of_safety
from tests.simulation import test_restart as of_restarts

DOCS = Path(__file__).resolve().parents[2] / "docs"
P = ControlParameters()
# fmt: off
ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
    "nineteen",
)
# fmt: on
TENS = ("", "", "twenty", "thirty", "forty")


def page(name: str) -> str:
    """Return the words of a page, in one line."""
    return re.sub(r"\s+", " ", (DOCS / name).read_text(encoding="utf-8"))


def part(ratio: float) -> str:
    return f"{ratio * 100:g} %"


def amperes(current_ma: int) -> str:
    return f"{current_ma / 1_000:g} A"


def minutes(duration_s: float) -> str:
    return f"{duration_s / 60:g} min"


def hours(duration_s: float) -> str:
    return f"{duration_s / 3_600:g} h"


def in_words(number: float) -> str:
    """Return a whole number below fifty in words."""
    tens, one = divmod(int(number), 10)
    assert number == int(number) < 50
    if number < len(ONES):
        return ONES[int(number)]
    return TENS[tens] + (f"-{ONES[one]}" if one else "")


def test_every_reason_is_explained_and_no_other() -> None:
    text = (DOCS / "how-to" / "explain-a-limit.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| .* \| `([a-z-]+)` \| .* \|$", text, re.MULTILINE)

    assert set(told) == set(ReasonKind)


OF_DEVICE = [part(SET_POINT_RATIO[device]) for device in OvercurrentDevice]
DISOBEYS = f"by {amperes(P.disobedience_ma)} or {part(P.disobedience_ratio)}"
OF_BELIEF = [
    # The arithmetic.
    f"{OF_DEVICE[0]} of the rating for an `mcb`, {OF_DEVICE[1]} for an `mccb` or a fuse",
    f"until the cut is acknowledged and {P.settling_s:g} s are over",
    f"more than every limit that may be in force, {DISOBEYS}, whichever is more",
    f"lost within {in_words(P.steady_after_s / 60)} minutes of having come back is *unsteady*",
    f"less {amperes(P.draw_tolerance_ma)} or {part(P.draw_tolerance_ratio)}, whichever is more",
    f"older than its interval and {P.interval_grace_s:g} s",
    f"that is the interval, up to {minutes(P.interval_most_s)}",
    f"less than {part(P.meter_noise_ratio)} of the rating is noise",
    f"keeps it from {NEAR_S:g} s before its time to its end",
    f"without it in the {minutes(WATCHED_S)} before, at most",
    f"for {metered.KEPT_CHANGE_S:g} s, {metered.KEPT_CHANGES} of them at most",
    f"{in_words(KEPT_MOVES)} moves of a connector's readings",
    f"each at most every {P.reading_request_gap_s:g} s",
    # The reserve.
    f"to obey: {P.reaction_s:g} s",
    (
        f"{part(P.reserve_unlearnt_ratio)} of the rating until base has been known for "
        f"{in_words(P.reserve_learnt_after_s / metered.DAY_S)} days"
    ),
    f"then the {part(P.reserve_quantile)} quantile of its rises within {P.reaction_s:g} s",
    f"over the last {metered.KEPT_DAYS} days, and never under {part(P.reserve_floor_ratio)}",
    f"({P.gone_s:g} s; {part(P.lease_rise_unlearnt_ratio)} of the rating until known)",
]
OF_SHARING = [
    # Sharing.
    f"down to the minimum of {amperes(MIN_CHARGING_MA)}",
    f"A claim that is over by less than {amperes(P.dead_band_ma)} is left",
    f"the longest served first: after {P.pause_after_s:g} s",
    f"Every {P.rotation_s / 60:g} minutes the turn passes on",
    f"after {P.raise_after_s:g} s of room when resuming",
    f"After {P.raise_after_s:g} s of fresh headroom",
    (
        f"{amperes(P.raise_floor_from_ma)} of headroom, where others need "
        f"{amperes(P.raise_from_ma)} or so"
    ),
    f"Who lacks {amperes(P.due_gap_ma)} or more of what is its own",
    f"left unused for {P.accepts_after_s:g} s is cut",
    f"next to nothing for {P.dormant_after_s:g} s",
    f"in bands of {P.laxity_band_s / 60:g} minutes",
    f"a reading of the last {P.stale_no_raises_s:g} s with room for it",
    # Trials.
    f"after it has disobeyed for {P.disobedience_s:g} s",
    f"{amperes(MIN_CHARGING_MA + P.trial_ma)}, until it is seen to draw more than",
    f"again after {minutes(P.trial_again_s)} where that was not seen",
]
OF_FAULTS = [
    # What each fault leads to.
    (
        f"after {P.stale_no_raises_s:g} s nothing on its circuit is raised; after "
        f"{P.stale_worst_case_s:g} s the declared worst case stands as base; after "
        f"{P.stale_fallback_s:g} s every connector"
    ),
    f"to the last bit for more than {P.frozen_after_s:g} s",
    f"and the noise band, for {P.doubted_after_s:g} s together",
    (
        f"it lasts {minutes(P.doubted_for_s)}, twice as long each time it comes again within a "
        f"day and up to {hours(P.doubted_most_s)}"
    ),
    f"it is repeated every {P.resend_s:g} s; after {P.acknowledgement_s:g} s it is no longer",
    f"up to {amperes(P.excess_most_ma)} (a station that gives more",
    (
        f"After {P.over_rating_pause_s:g} s every connector on the phase is paused. After "
        f"{P.over_rating_trip_s:g} s the circuit is locked out for {hours(P.lockout_s)}"
    ),
    (
        f"over for more than {P.excursion_s:g} s, {in_words(P.excursion_count)} times in "
        f"{hours(P.excursion_window_s)}"
    ),
    f"Projected {P.reaction_s:g} s ahead: at {part(P.thermal_minimum_ratio)} of its budget",
    f"at {part(P.thermal_pause_ratio)} they pause",
    f"has not been heard for {stop_latch.SILENT_AFTER_S:g} s. No restart",
    (
        f"been heard for {trip_latch.SILENT_AFTER_S:g} s. A release that was not seen to be done "
        f"within {trip_latch.CLOSES_WITHIN_S:g} s is void"
    ),
    # Leases.
    f"| a limit lasts | {P.lease_s:g} s |",
    f"| it is renewed | every {P.renew_s:g} s; every {P.resend_s:g} s while unconfirmed |",
    (
        f"| it is counted | {P.gone_s - P.lease_s:g} s longer: it may arrive as late as the "
        f"{P.acknowledgement_s:g} s an answer may take"
    ),
    f"| a call may take | {P.acknowledgement_s:g} s |",
]


def test_the_page_on_safety_has_the_numbers_of_the_law() -> None:
    text = page("safety.md")

    assert [said for said in (*OF_BELIEF, *OF_SHARING, *OF_FAULTS) if said not in text] == []


def test_the_page_on_safety_counts_the_rules_that_are_switched_off() -> None:
    text = page("safety.md")
    second_lines = [mutant for mutant in of_safety.MUTANTS if mutant.first_line is not None]

    assert f"{in_words(len(of_safety.MUTANTS)).capitalize()} safety rules are switched" in text
    assert f"{in_words(len(second_lines)).capitalize()} of them are second lines" in text
    assert f"{in_words(len(of_restarts.MUTANTS)).capitalize()} rules of restarts are" in text
    assert f"and {in_words(len(of_belief.MUTANTS))} of what is believed" in text
