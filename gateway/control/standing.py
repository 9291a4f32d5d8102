"""The limits that may be in force at a station: sent, acknowledged, refused, settled."""

from dataclasses import replace

from gateway.control.bounds import is_pause_seen, may_have_lapsed
from gateway.control.parameters import ControlParameters
from gateway.control.state import (
    NEVER_S,
    UNFITTED,
    ConnectorBelief,
    StandingLimit,
    StationBelief,
)
from gateway.domain.circuits import Connector
from gateway.domain.electric import MIN_CHARGING_MA
from gateway.domain.events import LimitSent

MOST_LIMITS = 12  # Limits that may be in force at once before the oldest are merged.
KEPT_RISES = 8


def settled(
    belief: ConnectorBelief, station: StationBelief, parameters: ControlParameters, now_s: float
) -> ConnectorBelief:
    """Return the belief without the limits that an obeyed cut has put out of force.

    Of a station whose obedience is proven a cut counts when acknowledged and its settling time
    is over.
    """
    limits = belief.limits
    if len(limits) == 1 or not station.is_proven:
        return belief
    for at in range(len(limits) - 1, 0, -1):
        acknowledged_at_s = limits[at].acknowledged_at_s
        if acknowledged_at_s is None:
            continue
        if now_s >= acknowledged_at_s + parameters.settling_s:
            return without_older(belief, station, parameters, at, now_s)
    return belief


def without_older(
    belief: ConnectorBelief,
    station: StationBelief,
    parameters: ControlParameters,
    at: int,
    now_s: float,
) -> ConnectorBelief:
    """Return the belief without the limits older than the `at`-th, which is seen to be in force.

    A lease among them may lie under it, unless both were surely sent in one transaction: what
    began or ended at the station is told late by one that was out of reach.
    """
    limits, under = belief.limits, belief.under
    connected_for_s = now_s - station.changed_at_s
    if belief.transaction is None or connected_for_s <= parameters.lease_s:
        under = _leases(now_s, *under, *limits[:at])
    return replace(belief, limits=limits[at:], under=under)


def _leases(now_s: float, *limits: StandingLimit) -> tuple[StandingLimit, ...]:
    """Return those that are leases and not over, each once.

    None of them puts another out of force: they may be for different transactions.
    """
    return tuple(
        dict.fromkeys(
            replace(limit, acknowledged_at_s=None)
            for limit in limits
            if limit.lease_until_s is not None and limit.lease_until_s > now_s
        )
    )


def after_start(belief: ConnectorBelief, at_s: float) -> ConnectorBelief:
    """Return the belief at the start of a transaction: what was leased lies under its limits."""
    return replace(belief, under=_leases(at_s, *belief.under, *belief.limits))


def after_disobedience(
    connector: Connector, belief: ConnectorBelief, at_s: float
) -> ConnectorBelief:
    """Return the belief of one that obeyed once: what it may draw now is anything."""
    return replace(
        belief,
        limits=(StandingLimit(limit_ma=connector.max_ma), belief.limits[-1]),
        under=_leases(at_s, *belief.under, *belief.limits[:-1]),
    )


def after_reboot(connector: Connector, belief: ConnectorBelief, at_s: float) -> ConnectorBelief:
    """Return the belief in which anything the station once knew may be in force.

    It may have kept a lease through its boot, to lie under what is sent from now on.
    """
    return replace(
        belief,
        limits=(StandingLimit(limit_ma=connector.max_ma),),
        under=_leases(at_s, *belief.under, *belief.limits),
        draws=(),
        moves=(),
        mask=None,
        mask_seen=None,
        fit=UNFITTED,
        over_since_s=None,
        above=None,
        beyond=None,
        resting_since_s=None,
        # What it kept may be gone with the boot: it is written again.
        fallback_ma=None,
    )


def limits_at_rest(
    connector: Connector, belief: ConnectorBelief, station: StationBelief
) -> tuple[StandingLimit, ...]:
    """Return what is in force without a transaction: the fallback, where the station obeys."""
    if station.is_proven and belief.fallback_ma is not None:
        return (StandingLimit(limit_ma=belief.fallback_ma),)
    return (StandingLimit(limit_ma=connector.max_ma),)


def with_another_vehicle(
    connector: Connector, belief: ConnectorBelief, station: StationBelief, at_s: float
) -> ConnectorBelief:
    """Return the belief with what may be in force when vehicles change.

    That is what is at rest, and leases not yet over: one sent while no transaction ran outlives
    the vehicle it was meant for.
    """
    leases = _leases(at_s, *belief.under, *belief.limits)
    limits = (*leases, *limits_at_rest(connector, belief, station))
    return replace(belief, limits=limits, under=())


def after_transaction(
    connector: Connector, belief: ConnectorBelief, station: StationBelief, at_s: float
) -> ConnectorBelief:
    """Return the belief with what may be in force once a transaction is over, the vehicle there.

    OCPP 1.6 §3.13.1, 2.0.1 K01.FR.06: a TxProfile ends with its transaction, and what is below
    it takes over, until the newest limit is sent and acknowledged anew.
    """
    newest = replace(
        belief.limits[-1],
        renewed_at_s=NEVER_S,
        acknowledged_at_s=None,
        confirmed_at_s=None,
        holds_from_s=None,
    )
    lower = (*_leases(at_s, *belief.under), *belief.limits[:-1])
    limits = (*lower, *limits_at_rest(connector, belief, station), newest)
    return replace(belief, limits=limits, under=())


def is_renewed(newest: StandingLimit, *, limit_ma: int, phase_count: int) -> bool:
    """Return whether a limit sent after the newest is that limit again, and only its lease new."""
    is_sent, is_same = newest.last_sequence > 0, newest.limit_ma == limit_ma
    return is_sent and is_same and newest.phase_count == phase_count


def after_sending(
    belief: ConnectorBelief,
    event: LimitSent,
    station: StationBelief,
    parameters: ControlParameters,
) -> ConnectorBelief:
    """Return the belief with the limit among those that may be in force; a raise counts now.

    A pause that was seen to hold has put what was told before it out of force.
    """
    if event.limit_ma and is_pause_seen(belief, station, parameters, event.at_s):
        only_newest = len(belief.limits) - 1
        belief = without_older(belief, station, parameters, only_newest, event.at_s)
    if belief.under:
        belief = replace(belief, under=_leases(event.at_s, *belief.under))
    newest = belief.limits[-1]
    if is_renewed(newest, limit_ma=event.limit_ma, phase_count=event.phase_count):
        renewed = replace(
            newest,
            last_sequence=event.sequence,
            renewed_at_s=event.at_s,
            lease_until_s=event.lease_until_s,
        )
        return replace(belief, limits=(*belief.limits[:-1], renewed))
    sent = StandingLimit(
        limit_ma=event.limit_ma,
        phase_count=event.phase_count,
        first_sequence=event.sequence,
        last_sequence=event.sequence,
        sent_at_s=event.at_s,
        renewed_at_s=event.at_s,
        lease_until_s=event.lease_until_s,
    )
    was_ma = newest.limit_ma
    # Its watts are told for more phases than it is known to use, so that it may begin.
    is_for_more_phases = belief.mask is None and event.phase_count > newest.phase_count
    is_new_offer = newest.last_sequence == 0 or was_ma == 0
    had_too_few = was_ma * newest.phase_count < MIN_CHARGING_MA * event.phase_count
    # Else it was told enough to draw before.
    is_awaited = event.limit_ma > 0 and (is_new_offer or (is_for_more_phases and had_too_few))
    is_raised = event.limit_ma > was_ma or (event.limit_ma == was_ma and is_for_more_phases)
    is_begun = is_raised and was_ma == 0
    rising_s = belief.rising_s
    if is_raised:
        # The start that this one may follow goes on explaining what rose then.
        begun_s = event.at_s if was_ma else belief.started_at_s
        is_followed = was_ma and not is_for_more_phases
        takes_s = parameters.raise_settling_s if is_followed else parameters.start_settling_s
        rising_s = (*rising_s[1 - KEPT_RISES :], (begun_s, begun_s + takes_s))
    # By what it was told for, watts fitted so many phases.
    is_fit_void = is_begun or event.phase_count != newest.phase_count
    return replace(
        belief,
        limits=_merged((*belief.limits, sent)),
        resting_since_s=None if is_awaited else belief.resting_since_s,
        raised_at_s=event.at_s if is_raised else belief.raised_at_s,
        rising_s=rising_s,
        started_at_s=event.at_s if is_begun else belief.started_at_s,
        # Learnt again after every pause (design §3): it may come back on other phases.
        mask=None if is_begun else belief.mask,
        mask_seen=None if is_begun else belief.mask_seen,
        fit=UNFITTED if is_fit_void else belief.fit,
        paused_at_s=None if event.limit_ma else (belief.paused_at_s or event.at_s),
        unused_since_s=None,
    )


def _merged(limits: tuple[StandingLimit, ...]) -> tuple[StandingLimit, ...]:
    """Return the limits with the oldest merged into the highest of them, when they are many."""
    if len(limits) <= MOST_LIMITS:
        return limits
    oldest, rest = limits[: -MOST_LIMITS + 1], limits[-MOST_LIMITS + 1 :]
    ends_s = [limit.lease_until_s for limit in oldest]
    until_s = None if None in ends_s else max(end_s for end_s in ends_s if end_s is not None)
    highest = max(oldest, key=lambda limit: limit.limit_ma)
    phase_count = max(limit.phase_count for limit in oldest)
    return (replace(highest, phase_count=phase_count, lease_until_s=until_s), *rest)


def after_acknowledgement(
    belief: ConnectorBelief, sequence: int, parameters: ControlParameters, at_s: float
) -> ConnectorBelief:
    """Return the belief with that sending confirmed: its lease holds at least from now."""
    held = tuple(limit for limit in belief.limits if limit.holds_from_s is not None)
    if held and may_have_lapsed(held, parameters, at_s):
        # It may have been paused meanwhile, and come back on other phases.
        belief = replace(
            belief,
            fallen_until_s=at_s + parameters.settling_s,
            mask=None,
            mask_seen=None,
            fit=UNFITTED,
        )
    limits = tuple(
        replace(
            limit,
            acknowledged_at_s=at_s if limit.acknowledged_at_s is None else limit.acknowledged_at_s,
            confirmed_at_s=at_s,
            # Of an older sending than the last it is not known when it was sent.
            holds_from_s=limit.renewed_at_s
            if sequence == limit.last_sequence
            else limit.holds_from_s,
        )
        if limit.first_sequence <= sequence <= limit.last_sequence
        else limit
        for limit in belief.limits
    )
    return replace(belief, limits=limits)


def after_rejection(belief: ConnectorBelief, sequence: int) -> ConnectorBelief:
    """Return the belief without the refused limit, unless an earlier sending of it stands."""
    limits = tuple(
        limit
        for at, limit in enumerate(belief.limits)
        if at == 0 or not limit.first_sequence == sequence == limit.last_sequence
    )
    return replace(belief, limits=limits)
