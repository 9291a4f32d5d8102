"""The least and the most that one connector may draw, given what is and is not known of it."""

from gateway.control.parameters import ControlParameters
from gateway.control.state import ConnectorBelief, Draw, StandingLimit, StationBelief
from gateway.control.wiring import Mask
from gateway.domain.circuits import Connector
from gateway.domain.electric import MIN_CHARGING_MA, NOTHING, PerPhase, in_amperes_ma

ENDLESS_S = float("inf")
CHARGING_MA = 4_500  # What a phase carries that is charged on, offered 6 A (IEC 61851-1).


def tolerance_ma(current_ma: int, parameters: ControlParameters) -> int:
    """Return how far a station's own reading of `current_ma` may be from the truth."""
    by_ratio_ma = int(current_ma * parameters.draw_tolerance_ratio)
    at_least_ma = parameters.draw_tolerance_ma
    return max(at_least_ma, by_ratio_ma)


def overdraw_ma(limit_ma: int, parameters: ControlParameters) -> int:
    """Return the draw above which a connector is over its limit, not merely imprecise."""
    by_ratio_ma = int(limit_ma * parameters.disobedience_ratio)
    at_least_ma = parameters.disobedience_ma
    return limit_ma + (max(at_least_ma, by_ratio_ma))


def draw_as_limit_ma(draw: Draw, connector: Connector, belief: ConnectorBelief) -> int | None:
    """Return the draw per phase, the terms its limit was set in; of watts, the least it may be.

    That is on the most phases those may be of: nobody is said to disobey who may have obeyed.
    """
    if draw.highest_ma is not None:
        return draw.highest_ma
    if draw.power_ma is None:
        return None
    least_ma = draw.power_ma if draw.power_least_ma is None else draw.power_least_ma
    return least_ma // _most_count(draw.power_ma, connector, belief)


def _most_count(power_ma: int, connector: Connector, belief: ConnectorBelief) -> int:
    """Return the most phases a power may be of: each carries what a vehicle charges with."""
    fit = belief.fit
    if fit.count is not None:
        return fit.count
    return min(len(connector.phases), max(fit.fewest_count, power_ma // CHARGING_MA))


def taken_ma(draw: Draw, belief: ConnectorBelief) -> int | None:
    """Return what a vehicle takes per phase; of watts, the most it may be if it obeys."""
    if draw.highest_ma is not None:
        return draw.highest_ma
    return None if draw.power_ma is None else draw.power_ma // belief.fit.fewest_count


def counted_limit_ma(limit_ma: int, belief: ConnectorBelief, station: StationBelief) -> int:
    """Return the current to count for a limit: what it allows, and what is drawn beyond that."""
    allowed_ma = allowed_limit_ma(limit_ma, station)
    return allowed_ma + belief.excess_ma if limit_ma else 0


def allowed_limit_ma(limit_ma: int, station: StationBelief) -> int:
    """Return the current a limit allows: of one in watts, at the lowest voltage (design §3)."""
    return in_amperes_ma(limit_ma) if station.takes_watts else limit_ma


def on_one_phase_ma(limit_ma: int, *, times: int, max_ma: int) -> int:
    """Return the current of a limit in watts that was told for `times` as many phases as are used.

    Some stations give all their watts on those, up to the installed maximum.
    """
    return in_amperes_ma(min(limit_ma * times, max(limit_ma, max_ma)))


def is_told_too_few(belief: ConnectorBelief, connector: Connector, station: StationBelief) -> bool:
    """Return whether the watts told are too few for a vehicle that charges on every phase."""
    newest, least_ma = belief.limits[-1], MIN_CHARGING_MA * len(connector.phases)
    if not station.takes_watts or belief.mask is not None:
        return False
    return 0 < newest.limit_ma * newest.phase_count < least_ma


def is_idle(belief: ConnectorBelief) -> bool:
    """Return whether no vehicle is connected: it holds its fallback and counts nothing.

    A vehicle takes seconds to begin, in which others are cut.
    """
    return belief.plugged_at_s is None and belief.status is not None


def fallback_ma(connector: Connector, belief: ConnectorBelief) -> int:
    """Return the limit that holds when no lease does: the installed maximum until written."""
    return connector.max_ma if belief.fallback_ma is None else belief.fallback_ma


def reading_is_current(
    belief: ConnectorBelief, station: StationBelief, parameters: ControlParameters, now_s: float
) -> bool:
    """Return whether the connector's last reading still says what it draws."""
    if not belief.draws or not station.is_connected:
        return False
    age_s, interval_s = now_s - belief.draws[-1].at_s, interval_of_s(station, parameters)
    if age_s <= interval_s + parameters.interval_grace_s:
        return True  # Within its interval, and told at once.
    return age_s <= reads_within_s(belief, station, parameters)


def is_unsteady(station: StationBelief, parameters: ControlParameters, now_s: float) -> bool:
    """Return whether a connection that comes and goes has not yet lasted.

    Its readings take nothing from what is counted: what they freed would be given to others and
    taken back with the next loss, over and over.
    """
    return station.is_unsteady and now_s - station.changed_at_s < parameters.steady_after_s


def interval_of_s(station: StationBelief, parameters: ControlParameters) -> float:
    """Return how often the station sends meter values, as it told or as is assumed.

    Of one never seen to obey a reading is not awaited for longer than others can bear to make room.
    """
    interval_s = station.sample_interval_s
    if interval_s is None:
        return parameters.default_interval_s
    return interval_s if station.is_proven else min(interval_s, parameters.interval_awaited_s)


def reads_within_s(
    belief: ConnectorBelief, station: StationBelief, parameters: ControlParameters
) -> float:
    """Return within what time of the last reading a connector's next one comes, if any does.

    Some send them less often than they say: the last two tell. An absence is between them at most
    once, and is not waited for.
    """
    interval_s, draws = interval_of_s(station, parameters), belief.draws
    if len(draws) > 1:
        gap_s = draws[-1].at_s - draws[-2].at_s
        interval_s = max(interval_s, min(gap_s, parameters.interval_most_s))
    return interval_s + parameters.interval_grace_s


def is_overdrawn(
    connector: Connector,
    belief: ConnectorBelief,
    station: StationBelief,
    parameters: ControlParameters,
) -> bool:
    """Return whether the last reading was above every limit that may be in force.

    A sample taken before the oldest of them had settled still shows the limit before it, and one
    taken where no lease may have held any more, or just after, shows the fallback.
    """
    in_force_ma = counted_in_force_ma(connector, belief, station, belief.limits)
    if not belief.draws:
        return False
    draw = belief.draws[-1]
    drawn_ma = draw_as_limit_ma(draw, connector, belief)
    if drawn_ma is None or drawn_ma <= in_force_ma:  # Nearly always, and told at once.
        return False
    sampled_at_s = draw.at_s - parameters.sample_age_s
    has_fallen = sampled_at_s < belief.fallen_until_s
    if has_fallen or may_have_lapsed(belief.limits, parameters, draw.at_s):
        fallen_to_ma = counted_limit_ma(fallback_ma(connector, belief), belief, station)
        in_force_ma = max(in_force_ma, fallen_to_ma)
    oldest = belief.limits[0]
    if oldest.acknowledged_at_s is not None:
        settled_at_s = oldest.acknowledged_at_s + parameters.settling_s
        if sampled_at_s < settled_at_s:
            return False
    return drawn_ma > overdraw_ma(in_force_ma, parameters)


def high_ma(
    connector: Connector,
    belief: ConnectorBelief,
    station: StationBelief,
    parameters: ControlParameters,
    now_s: float,
    *,
    is_over: bool,
) -> int:
    """Return the most the connector may draw per phase until proven otherwise (design §3).

    `is_over` is whether a reading that still holds shows it above its limits.
    """
    if not station.is_connected:
        return _high_unreachable_ma(connector, belief, station, parameters, now_s)
    if is_over:
        return max(connector.max_ma, _drawn_ma(connector, belief))
    if is_idle(belief):
        return 0
    limits = belief.limits
    if len(limits) > 1 and not station.is_proven:
        limits = _not_over(belief, station, parameters, now_s)
    high = counted_in_force_ma(connector, belief, station, limits)
    if now_s < belief.fallen_until_s or may_have_lapsed(limits, parameters, now_s):
        return max(high, counted_limit_ma(fallback_ma(connector, belief), belief, station))
    return high


def counted_in_force_ma(
    connector: Connector,
    belief: ConnectorBelief,
    station: StationBelief,
    limits: tuple[StandingLimit, ...],
) -> int:
    """Return the most that may be drawn on one phase under any of the limits."""
    allowed_ma = allowed_in_force_ma(connector, belief, station, limits)
    return allowed_ma + belief.excess_ma if allowed_ma else 0


def allowed_in_force_ma(
    connector: Connector,
    belief: ConnectorBelief,
    station: StationBelief,
    limits: tuple[StandingLimit, ...],
) -> int:
    """Return the most that any of the limits allows on one phase."""
    if len(limits) == 1 and not station.takes_watts:
        return limits[0].limit_ma  # Nearly always, and told at once.
    return _allowed_on_ma(connector, station, limits, phases_to_tell(belief))


def allowed_of_draw_ma(
    draw: Draw,
    connector: Connector,
    belief: ConnectorBelief,
    station: StationBelief,
    limits: tuple[StandingLimit, ...],
) -> int:
    """Return the most that limits allow of a draw, as `draw_as_limit_ma` reckons it.

    Of power alone that is on the phases it may be of, which share the watts told for all.
    """
    if draw.highest_ma is not None or draw.power_ma is None:
        return allowed_in_force_ma(connector, belief, station, limits)
    return _allowed_on_ma(connector, station, limits, _most_count(draw.power_ma, connector, belief))


def _allowed_on_ma(
    connector: Connector,
    station: StationBelief,
    limits: tuple[StandingLimit, ...],
    phase_count: int,
) -> int:
    """Return the most that any of the limits allows on each of so many phases."""
    in_force_ma = max([limit.limit_ma for limit in limits])
    if not station.takes_watts:
        return in_force_ma
    on_fewer_ma = _on_fewer_phases_ma(limits, phase_count)
    return in_amperes_ma(max(in_force_ma, min(connector.max_ma, on_fewer_ma)))


def phases_to_tell(belief: ConnectorBelief) -> int:
    """Return on how many phases the vehicle was last seen: one, until it was."""
    if belief.mask is None:
        return 1
    return (belief.mask if belief.mask_seen is None else belief.mask_seen).count(True)


def _on_fewer_phases_ma(limits: tuple[StandingLimit, ...], phase_count: int) -> int:
    """Return what watts allow on `phase_count` phases that may have been told for more.

    Some stations change over by themselves, and give all their watts on one phase.
    """
    return max([limit.limit_ma * limit.phase_count for limit in limits]) // phase_count


def _not_over(
    belief: ConnectorBelief, station: StationBelief, parameters: ControlParameters, now_s: float
) -> tuple[StandingLimit, ...]:
    """Return the limits that may be in force at a station not yet proven.

    A cut counts there while a sample taken after it had settled shows next to nothing: a start
    would show in the readings, too late for others to be cut, and where nothing is told in none:
    what is beyond the limit is kept in the reserve instead (`may_start_ma`).
    """
    limits, sampled_at_s = belief.limits, now_s
    if not is_mute(belief, station, parameters, now_s) and not is_asleep(belief, station):
        is_resting = belief.resting_since_s is not None and bool(belief.draws)
        if not is_resting or not reading_is_current(belief, station, parameters, now_s):
            return limits
        sampled_at_s = belief.draws[-1].at_s - parameters.sample_age_s
    for at in range(len(limits) - 1, 0, -1):
        acknowledged_at_s = limits[at].acknowledged_at_s
        if acknowledged_at_s is None or sampled_at_s < acknowledged_at_s + parameters.settling_s:
            continue
        return limits[at:]
    return limits


def is_mute(
    belief: ConnectorBelief, station: StationBelief, parameters: ControlParameters, now_s: float
) -> bool:
    """Return whether a vehicle stands at a station not yet proven that tells nothing of its draw.

    Nothing any more, where it told something at the start of a transaction. Not before a limit has
    been in force for so long that a reading would have come.
    """
    if station.is_proven or not station.is_connected or not belief.is_plugged:
        return False
    if reading_is_current(belief, station, parameters, now_s):
        return False
    if is_unsteady(station, parameters, now_s):
        return False  # What that frees would be taken back with its next loss.
    by_s = now_s - parameters.settling_s - reads_within_s(belief, station, parameters)
    return any(
        limit.acknowledged_at_s is not None and limit.acknowledged_at_s <= by_s
        for limit in belief.limits
    )


def is_asleep(belief: ConnectorBelief, station: StationBelief) -> bool:
    """Return whether a vehicle at a station not yet proven drew next to nothing of its last offer."""
    if not belief.is_asleep or station.is_proven:
        return False
    return station.is_connected and belief.is_plugged


def may_start_ma(
    connector: Connector,
    belief: ConnectorBelief,
    station: StationBelief,
    parameters: ControlParameters,
    now_s: float,
) -> int:
    """Return what a connector mute or asleep may begin to draw beyond its claim, if it does not obey.

    What it draws already is base. That it begins is a rise like any other: it is kept in the
    reserve, as no cut may ever be seen there while its vehicle draws nothing. A pause in which
    one that is asleep drew nothing has put nothing out of force.
    """
    if not is_asleep(belief, station) and not is_mute(belief, station, parameters, now_s):
        return 0
    most_ma = counted_in_force_ma(connector, belief, station, belief.limits)
    most_ma = max(most_ma, counted_limit_ma(connector.max_ma, belief, station))
    high = high_ma(connector, belief, station, parameters, now_s, is_over=False)
    return max(0, most_ma - high)


def is_pause_seen(
    belief: ConnectorBelief, station: StationBelief, parameters: ControlParameters, now_s: float
) -> bool:
    """Return whether readings show nothing drawn in a pause that has lasted long enough to tell.

    In a transaction, for as long as a vehicle takes to begin: one at a station that kept no
    pause would have begun. What is started after it is started from nothing.
    """
    newest, began_s = belief.limits[-1], belief.plugged_at_s
    if newest.limit_ma or newest.acknowledged_at_s is None or belief.transaction is None:
        return False
    if began_s is None or belief.resting_since_s is None or not belief.draws:
        return False
    if not reading_is_current(belief, station, parameters, now_s):
        return False
    shown_at_s = belief.draws[-1].at_s - parameters.sample_age_s
    paused_for_s = shown_at_s - max(began_s, newest.acknowledged_at_s)
    return paused_for_s >= parameters.start_settling_s


def _drawn_ma(connector: Connector, belief: ConnectorBelief) -> int:
    if belief.draw is None:
        return 0
    return draw_as_limit_ma(belief.draw, connector, belief) or 0


def _high_unreachable_ma(
    connector: Connector,
    belief: ConnectorBelief,
    station: StationBelief,
    parameters: ControlParameters,
    now_s: float,
) -> int:
    """Return the highest of what may be in force there; a lease that is over may have lapsed.

    A vehicle takes seconds to follow its station down to the fallback.
    """
    high, in_watts = fallback_ma(connector, belief), station.takes_watts
    for limit in belief.limits:
        until_s = limit.lease_until_s
        is_over = until_s is not None and until_s <= now_s
        if is_over and not station.is_dead_man_proven:
            high = max(high, connector.max_ma, _drawn_ma(connector, belief))
        elif until_s is None or until_s + parameters.settling_s > now_s:
            high = max(high, _on_any_vehicle_ma(limit, connector, in_watts=in_watts))
    # Its transaction may end out of sight, and what lies under it holds.
    lapses = station.is_dead_man_proven or belief.transaction is None
    for limit in belief.under:
        until_s = (limit.lease_until_s or ENDLESS_S) + parameters.settling_s
        if until_s > now_s or not lapses:
            high = max(high, _on_any_vehicle_ma(limit, connector, in_watts=in_watts))
    return counted_limit_ma(high, belief, station)


def _on_any_vehicle_ma(limit: StandingLimit, connector: Connector, *, in_watts: bool) -> int:
    """Return what a limit allows on one phase, whatever vehicle is there: one phase has all watts."""
    if not in_watts:
        return limit.limit_ma
    return max(limit.limit_ma, min(connector.max_ma, limit.limit_ma * limit.phase_count))


def may_have_lapsed(
    limits: tuple[StandingLimit, ...], parameters: ControlParameters, now_s: float
) -> bool:
    """Return whether no lease that the station confirmed may still be running."""
    if limits[0].lease_until_s is None:  # What stands without a lease is always the oldest.
        return False
    for limit in limits:
        if limit.holds_from_s is not None and now_s <= limit.holds_from_s + parameters.lease_s:
            return False
    return True


def draw_before(belief: ConnectorBelief) -> Draw | None:
    """Return the reading to count low until the circuits are read again, once another has come.

    What that adds may not be in the circuits' readings yet; what it takes away counts at once.
    """
    if len(belief.draws) == 1:
        return None
    before, draw = belief.draws[-2:]
    if before.surely_ma is None or draw.surely_ma is None:
        return None
    return draw if max(draw.surely_ma) < max(before.surely_ma) else before


def low_ma(draw: Draw, *, is_current: bool) -> PerPhase:
    """Return what a reading says is surely drawn on each supply phase; nothing when not known."""
    if draw.surely_ma is None or not is_current:
        return NOTHING
    return draw.surely_ma


def undrawn_ma(
    belief: ConnectorBelief, low: int, high: int, parameters: ControlParameters, at_s: float
) -> int:
    """Return how much a raise or a start may still add to the draw at `at_s`, else 0.

    `high` is what it is counted at now; what was sent after `at_s` had no part in it.
    """
    if high <= low:
        return 0  # Nothing, however it rises: told at once.
    if not belief.started_at_s <= at_s <= belief.started_at_s + parameters.start_settling_s:
        for since_s, by_s in belief.rising_s:
            if since_s <= at_s <= by_s:
                break
        else:
            return 0
    for limit in belief.limits:
        if limit.sent_at_s > at_s:
            break
    else:
        return high - low  # All that counts was sent by then.
    sent_ma = [limit.limit_ma for limit in belief.limits if limit.sent_at_s <= at_s]
    most_ma = max(sent_ma, default=0)
    return max(0, min(high, most_ma + belief.excess_ma if most_ma else 0) - low)


def may_rise_from(belief: ConnectorBelief, parameters: ControlParameters, from_s: float) -> bool:
    """Return whether a raise or a start may still add to the draw at `from_s` or later."""
    if belief.started_at_s + parameters.start_settling_s >= from_s:
        return True
    for _, by_s in belief.rising_s:  # noqa: SIM110 - asked of every connector each second
        if by_s >= from_s:
            return True
    return False


def mask_of(belief: ConnectorBelief, station: StationBelief, wired: Mask) -> Mask:
    """Return the phases that count: all wired until learnt, and again once a pause has settled.

    So do all while it is out of reach: any vehicle may be there.
    """
    if belief.mask is None or not station.is_connected or not belief.in_force_ma:
        return wired
    return belief.mask
