"""The safety numbers of the control law; the defaults are those of design §3."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlParameters:
    """Every number the one-second decision depends on, besides the site itself.

    Times are seconds, currents mA per phase, ratios are parts of one.
    """

    period_s: float = 1.0

    # A meter that is silent, or repeats itself to the last bit while current flows.
    stale_no_raises_s: float = 5.0
    stale_worst_case_s: float = 10.0
    stale_fallback_s: float = 15.0
    frozen_after_s: float = 10.0
    meter_noise_ratio: float = 0.012  # Of the rating: changes inside it are noise.
    doubted_after_s: float = 20.0  # One that shows less than surely flows, for so long,
    doubted_ratio: float = 0.10  # by more than noise and such a part: meters differ.
    doubted_for_s: float = 300.0  # Once that has cut what flowed nothing can absolve it: for so
    doubted_most_s: float = 4 * 3_600.0  # long, twice as long each time after, and this at most.

    # How a vehicle and its station follow a limit (IEC 61851-1: 5 s, and up to 6 s more).
    settling_s: float = 11.0
    raise_settling_s: float = 14.0  # The same, and the time an acknowledgement takes.
    start_settling_s: float = 45.0  # From nothing: some vehicles begin after 40 s.
    acknowledgement_s: float = 10.0
    resend_s: float = 5.0
    reaction_s: float = 16.0  # Reading 1 s, decision 1 s, acknowledgement 3 s, vehicle 11 s.

    # What covers a rise of base within one reaction chain.
    reserve_floor_ratio: float = 0.10
    reserve_unlearnt_ratio: float = 0.15
    reserve_quantile: float = 0.999
    lease_rise_unlearnt_ratio: float = 0.20  # Of the rating, within a whole lease.
    base_sure_after_s: float = 60.0  # So long above its worst case, base is believed to be.
    reserve_learnt_after_s: float = 7 * 86_400.0

    # How far a station's own meter values are believed.
    draw_tolerance_ma: int = 300
    draw_tolerance_ratio: float = 0.02
    disobedience_ma: int = 1_000
    disobedience_ratio: float = 0.05
    disobedience_s: float = 15.0
    excess_most_ma: int = 4_000  # One that settles so little above its limits is counted so,
    excess_after_s: float = 8.0  # once its readings have shown it for so long.
    default_interval_s: float = 30.0
    interval_grace_s: float = 5.0
    interval_awaited_s: float = 60.0  # Who is not proven is mute after so long, whatever it says.
    interval_most_s: float = 240.0  # Readings further apart than this tell of an absence.
    sample_age_s: float = 2.0  # A sample may be this much older than its arrival.
    steady_after_s: float = 300.0  # One lost sooner than this after it came is believed less.
    reading_request_gap_s: float = 15.0

    # Cutting and raising.
    raise_after_s: float = 30.0
    raise_share_ratio: float = 0.25
    raise_from_ma: int = 4_500  # Headroom below this is left: it comes and goes with noise,
    raise_from_ratio: float = 0.045  # which is less where the rating is small.
    raise_floor_from_ma: int = 2_000  # A floor that was promised is raised from less.
    dead_band_ma: int = 1_000
    pause_after_s: float = 4.0  # A claim not yet read twice is no ground for a pause.
    trial_ma: int = 2_000
    trial_again_s: float = 240.0  # A cut that was not seen is made again, and twice as long after
    trial_again_most_s: float = 960.0  # each time, this at most.
    rotation_s: float = 900.0
    due_gap_ma: int = 4_000  # Others are cut for who lacks so much of its share;
    due_slack_ma: int = 3_000  # they may keep so much less than it gets, to be few;
    due_after_s: float = 300.0  # among equals, who has been told the same for so long.
    due_for_s: float = 120.0  # What they gave is kept for it so long,
    due_again_s: float = 300.0  # and it is not made room for again sooner.
    due_look_s: float = 10.0  # Every connector's share is looked at so often.
    phases_known_s: float = 120.0  # Who has not shown its phases by then may not do so at all.
    laxity_band_s: float = 900.0  # Needs whose laxity differs by less are equals.
    accepts_after_s: float = 60.0
    accepts_for_s: float = 900.0
    accepts_margin_ma: int = 1_500  # Some vehicles round down to whole amperes,
    accepts_margin_ratio: float = 0.08  # and stay a little below what they are offered.
    used_ratio: float = 0.95  # Who draws less of its limit than this,
    used_margin_ma: int = 1_000  # and by a whole ampere, would not take more.
    dormant_after_s: float = 180.0
    dormant_draw_ma: int = 1_000
    all_phases_again_s: float = 3_600.0  # After watts for every phase were of no use.

    # The thermal budget of the overcurrent device, and what follows an overload.
    thermal_minimum_ratio: float = 0.33
    thermal_pause_ratio: float = 0.66
    over_rating_pause_s: float = 30.0
    over_rating_trip_s: float = 60.0
    excursion_s: float = 15.0
    excursion_count: int = 3
    excursion_window_s: float = 86_400.0
    lockout_s: float = 4 * 3_600.0

    # Leases.
    lease_s: float = 60.0
    renew_s: float = 20.0
    lease_margin_s: float = 5.0  # Skew and delivery: a lease counts this much longer.
    lapse_after_s: float = 600.0  # A lease is let lapse, to see it, so long after a start,
    lapse_shows_ma: int = 2_000  # where the draw is so far above the fallback,
    lapse_retry_s: float = 4 * 3_600.0  # and again so long after it was not seen.

    @property
    def reserve_at_first_ratio(self) -> float:
        """Return what is kept free of a rating until base is known: no less than ever after."""
        return max(self.reserve_unlearnt_ratio, self.reserve_floor_ratio)

    @property
    def gone_s(self) -> float:
        """Return how long limits may stand when Headroom is gone: until the last lease is over."""
        return self.lease_s + self.acknowledgement_s + self.lease_margin_s
