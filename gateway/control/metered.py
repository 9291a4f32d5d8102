"""What a circuit's meter tells: level and changes, heat in the device, excursions, learnt rises."""

from dataclasses import replace

from gateway.control.bites import with_bite_seen
from gateway.control.bounds import high_ma, is_overdrawn, reading_is_current, undrawn_ma
from gateway.control.doubts import backwards_since_s
from gateway.control.parameters import ControlParameters
from gateway.control.state import (
    Change,
    CircuitState,
    PhaseState,
    RiseHistory,
    SiteState,
    SourceState,
)
from gateway.control.thermal import theta_after
from gateway.domain.circuits import SourceKind
from gateway.domain.electric import PerPhase
from gateway.domain.events import MeterRead
from gateway.domain.ids import CircuitId

KEPT_CHANGES = 32
KEPT_CHANGE_S = 90.0
RISE_BINS = 100  # Each one per cent of the rating.
KEPT_DAYS = 30
DAY_S = 86_400.0


def with_reading(state: SiteState, event: MeterRead) -> SiteState:
    """Return the state after a meter's reading; a phase without a value keeps its last one."""
    at = state.wiring.metered_circuit_at.get(event.reading.meter)
    if at is None:
        return _with_output(state, event)
    l1, l2, l3 = (_after_value(state, at, phase, event) for phase in range(3))
    after = replace(state.circuits[at], phases=(l1, l2, l3))
    after = _after_excursion(after, state.parameters, event.reading.at_s)
    state = replace(state, circuits=(*state.circuits[:at], after, *state.circuits[at + 1 :]))
    has_fallen = any(
        phase.changes and phase.changes[-1].at_s == event.reading.at_s for phase in after.phases
    )
    return with_bite_seen(state, at, event.reading.at_s) if has_fallen else state


def _with_output(state: SiteState, event: MeterRead) -> SiteState:
    """Return the state after a reading of a source's meter; one with a gap tells nothing."""
    at = state.wiring.metered_source_at.get(event.reading.meter)
    if at is None:
        return state
    source, output_ma = state.wiring.site.sources[at], [0, 0, 0]
    for phase in range(3):
        signed_ma = _signed_ma(event, phase)
        if signed_ma is None:
            if source.nameplate_ma[phase]:
                return state
            continue
        # A battery that charges gives nothing; PV only ever gives, however its meter is wired.
        output_ma[phase] = abs(signed_ma) if source.kind is SourceKind.PV else max(0, -signed_ma)
    told: PerPhase = (output_ma[0], output_ma[1], output_ma[2])
    after = SourceState(output_ma=told, read_at_s=event.reading.at_s)
    return replace(state, sources=(*state.sources[:at], after, *state.sources[at + 1 :]))


def _signed_ma(event: MeterRead, phase: int) -> int | None:
    """Return the RMS current with the direction of its power; None when it cannot be trusted."""
    current_a, power_w = event.reading.current_a[phase], event.reading.power_w[phase]
    if current_a is None:
        return None
    magnitude_ma = -int(-current_a * 1_000 // 1)
    return -magnitude_ma if power_w is not None and power_w < 0 else magnitude_ma


def _after_value(state: SiteState, circuit_at: int, phase: int, event: MeterRead) -> PhaseState:
    before = state.circuits[circuit_at].phases[phase]
    at_s, told_ma = event.reading.at_s, _signed_ma(event, phase)
    if told_ma is None or at_s <= before.read_at_s:
        return before
    circuit, parameters = state.wiring.circuits[circuit_at], state.parameters
    rating_ma, current_ma = circuit.rating_ma[phase], told_ma
    backwards_s = None
    if not state.wiring.is_fed_below(circuit_at, phase):
        # A clamp the wrong way round must not hide what is drawn.
        current_ma = abs(told_ma)
        noise_ma = rating_ma * parameters.meter_noise_ratio
        backwards_s = backwards_since_s(before.backwards_since_s, told_ma, noise_ma, at_s)
    if not rating_ma:  # A phase the circuit does not have: what is measured there is nothing.
        return replace(before, read_at_s=at_s, changed_at_s=at_s)
    is_first = before.read_at_s < 0 and before.changed_at_s < 0 and not before.level_ma
    # Over a silence in which the circuit has fallen back, or was opened, nothing is known to last.
    is_lasting = at_s - before.read_at_s <= parameters.stale_fallback_s
    since_s = (before.over_since_s, before.over_own_since_s) if is_lasting else (None, None)
    in_force_ma = rating_in_force_ma(state, circuit.id, rating_ma, phase)
    voltage_v, power_w = event.reading.voltage_v[phase], event.reading.power_w[phase]
    told = current_ma, voltage_v, power_w
    told_before = before.current_ma, before.voltage_v, before.power_w
    after = replace(
        before,
        current_ma=current_ma,
        voltage_v=voltage_v,
        power_w=power_w,
        read_at_s=at_s,
        changed_at_s=before.changed_at_s if told == told_before else at_s,
        backwards_since_s=backwards_s,
        theta_ratio=theta_after(
            before.theta_ratio,
            ratio=abs(before.current_ma) / rating_ma,
            curve=circuit.curve,
            elapsed_s=0.0 if is_first else at_s - before.read_at_s,
        ),
        over_since_s=(since_s[0] or at_s) if current_ma > in_force_ma else None,
        over_own_since_s=(since_s[1] or at_s) if current_ma > rating_ma else None,
    )
    if is_first:
        return replace(after, level_ma=current_ma, theta_ratio=(current_ma / rating_ma) ** 2)
    delta_ma = current_ma - before.level_ma
    if abs(delta_ma) <= rating_ma * parameters.meter_noise_ratio:
        return _with_rise(after, 0, rating_ma, parameters)
    if delta_ma > 0:
        expected_ma = _expected_rise_ma(state, circuit_at, phase, at_s) - _given_ma(before, at_s)
        unexplained_ma = max(0, delta_ma - max(0, expected_ma))
    else:
        unexplained_ma = min(0, delta_ma + _expected_fall_ma(state, circuit_at, phase, at_s))
    change = Change(at_s=at_s, delta_ma=delta_ma, unexplained_ma=unexplained_ma)
    kept = tuple(c for c in before.changes if c.at_s > at_s - KEPT_CHANGE_S)[1 - KEPT_CHANGES :]
    gone = before.changes[: len(before.changes) - len(kept)]
    forgotten_s = gone[-1].at_s if gone else before.forgotten_s
    changes = (*kept, change)
    after = replace(after, level_ma=current_ma, changes=changes, forgotten_s=forgotten_s)
    return _with_rise(after, unexplained_ma, rating_ma, parameters)


def rating_in_force_ma(state: SiteState, circuit: CircuitId, own_ma: int, phase: int) -> int:
    """Return a circuit's rating as it is now, by its calendar where that lowers it."""
    if not state.constraints:  # Nearly always, and told at once.
        return own_ma
    lower_ma = [
        constraint.rating_ma[phase]
        for constraint in state.constraints.values()
        if constraint.subject == circuit and constraint.rating_ma is not None
    ]
    return min([own_ma, *lower_ma])


def _expected_rise_ma(state: SiteState, circuit_at: int, phase: int, at_s: float) -> int:
    """Return what connectors just raised or started may still add to this phase."""
    parameters, wiring = state.parameters, state.wiring
    expected_ma = 0
    for at in wiring.below[circuit_at]:
        belief = state.connectors[at]
        if not (belief.mask or wiring.wired[at])[phase]:
            continue
        connector = wiring.connectors[at]
        station = state.stations[connector.ref.station]
        drawn = belief.draw.current_ma if belief.draw is not None else None
        low = 0 if drawn is None else drawn[phase]
        is_over = reading_is_current(belief, station, parameters, at_s) and is_overdrawn(
            connector, belief, station, parameters
        )
        high = high_ma(connector, belief, station, parameters, at_s, is_over=is_over)
        expected_ma += undrawn_ma(belief, low, high, parameters, at_s)
    return expected_ma


def _given_ma(measured: PhaseState, at_s: float) -> int:
    """Return what of recent rises has already been explained by raised connectors."""
    return sum(
        change.delta_ma - change.unexplained_ma
        for change in measured.changes
        if change.delta_ma > 0 and change.at_s > at_s - KEPT_CHANGE_S / 3
    )


def _expected_fall_ma(state: SiteState, circuit_at: int, phase: int, at_s: float) -> int:
    """Return what connectors just cut may still take off this phase.

    A cut that follows a rise of base must not hide it from the rise that comes next.
    """
    wiring, expected_ma, since_s = state.wiring, 0, at_s
    for at in wiring.below[circuit_at]:
        belief = state.connectors[at]
        sent_at_s = belief.limits[-1].sent_at_s
        if at_s - sent_at_s > state.parameters.reaction_s or not wiring.wired[at][phase]:
            continue
        told_ma = [draw.current_ma[phase] for draw in belief.draws if draw.current_ma is not None]
        is_told = bool(told_ma) and belief.raised_at_s < belief.draws[-1].at_s
        fall_ma = (max(told_ma) if is_told else belief.in_force_ma) - belief.wanted_ma
        if fall_ma > 0:
            expected_ma, since_s = expected_ma + fall_ma, min(since_s, sent_at_s)
    taken_ma = sum(
        change.unexplained_ma - change.delta_ma
        for change in state.circuits[circuit_at].phases[phase].changes
        if change.delta_ma < 0 and change.at_s > since_s
    )
    return max(0, expected_ma - taken_ma)


def _after_excursion(
    circuit: CircuitState, parameters: ControlParameters, at_s: float
) -> CircuitState:
    """Return the circuit with a long time over its rating counted, once, and perhaps locked."""
    over_s = max(
        (at_s - phase.over_since_s for phase in circuit.phases if phase.over_since_s is not None),
        default=0.0,
    )
    if over_s <= parameters.excursion_s:
        is_over = any(phase.over_since_s is not None for phase in circuit.phases)
        if circuit.is_in_excursion and not is_over:
            return replace(circuit, is_in_excursion=False)
        return circuit
    if not circuit.is_in_excursion:
        recent = tuple(
            s for s in circuit.excursions_at_s if s > at_s - parameters.excursion_window_s
        )
        circuit = replace(circuit, is_in_excursion=True, excursions_at_s=(*recent, at_s))
        if len(circuit.excursions_at_s) >= parameters.excursion_count:
            circuit = replace(circuit, lockout_until_s=at_s + parameters.lockout_s)
    if over_s > parameters.over_rating_trip_s:
        circuit = replace(circuit, lockout_until_s=at_s + parameters.lockout_s)
    return circuit


def _with_rise(
    measured: PhaseState, moved_ma: int, rating_ma: int, parameters: ControlParameters
) -> PhaseState:
    """Return the phase with its rise histories one reading further; base has moved so far."""
    at_s = measured.read_at_s
    rises = _after_move(
        measured.rises, moved_ma, rating_ma, parameters, at_s=at_s, window_s=parameters.reaction_s
    )
    lease_rises = _after_move(
        measured.lease_rises, moved_ma, rating_ma, parameters, at_s=at_s, window_s=parameters.gone_s
    )
    if rises is measured.rises and lease_rises is measured.lease_rises:
        return measured
    return replace(measured, rises=rises, lease_rises=lease_rises)


def _after_move(
    history: RiseHistory,
    moved_ma: int,
    rating_ma: int,
    parameters: ControlParameters,
    *,
    at_s: float,
    window_s: float,
) -> RiseHistory:
    """Return the history one reading further.

    The rise of a window is the most that base stood above the lowest it had been before in it.
    """
    if at_s < history.window_until_s:
        if not moved_ma:
            return history
        above_ma = max(0, history.above_lowest_ma + moved_ma)
        rise_ma = max(history.window_rise_ma, above_ma)
        return replace(history, above_lowest_ma=above_ma, window_rise_ma=rise_ma)
    closed = _with_window(history, rating_ma) if history.since_s is not None else history
    if at_s - closed.day_since_s >= DAY_S:
        days = (*closed.days[-KEPT_DAYS + 1 :], (0,) * RISE_BINS)
        closed = replace(closed, days=days, day_since_s=at_s)
        closed = replace(closed, quantile_ma=_quantile_ma(closed, rating_ma, at_s, parameters))
    return replace(
        closed,
        since_s=at_s if closed.since_s is None else closed.since_s,
        window_until_s=at_s + window_s,
        above_lowest_ma=max(0, moved_ma),
        window_rise_ma=max(0, moved_ma),
    )


def _with_window(history: RiseHistory, rating_ma: int) -> RiseHistory:
    """Return the history with the window just over counted, in the bin its rise fills."""
    bin_at = min(RISE_BINS - 1, -(-history.window_rise_ma * RISE_BINS // rating_ma))
    today = history.days[-1]
    counted = (*today[:bin_at], today[bin_at] + 1, *today[bin_at + 1 :])
    return replace(history, days=(*history.days[:-1], counted))


def _quantile_ma(
    history: RiseHistory, rating_ma: int, at_s: float, parameters: ControlParameters
) -> int | None:
    """Return the quantile of the rises known, at the upper edge of its bin; None until learnt."""
    since_s = history.since_s
    if since_s is None or at_s - since_s < parameters.reserve_learnt_after_s:
        return None
    counts = [sum(bins) for bins in zip(*history.days, strict=True)]
    left = sum(counts) * parameters.reserve_quantile
    for bin_at, count in enumerate(counts):
        left -= count
        if left <= 0:
            return bin_at * rating_ma // RISE_BINS
    return rating_ma
