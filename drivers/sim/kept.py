"""Room that is rightly left: what a careful gateway may keep for a connector, unseen or unused."""

from collections.abc import Iterable

from drivers.sim.vehicle import MIN_OFFER_A
from drivers.sim.watched import ConnectorWatch, Row
from gateway.domain.charging import RateUnit

WATTS_COUNT_RATIO = 10.0 / 9.0  # A limit in watts allows more amperes at 10 % less voltage.
SHOWS_PHASES_A = 4.5  # A draw from which the phases in use can be told.
READING_A, READING_RATIO = 0.3, 0.02  # How far a station's own reading may be off.
# What a limit may stay above the draw: whole amperes, a vehicle a little below what it is
# offered, and less than the ampere for which no limit is moved.
UNUSED_A, UNUSED_RATIO = 3.0, 0.1
# Headroom that comes and goes with noise is left alone: so much, and the noise of the meter.
LEFT_A, LEFT_RATIO = 4.5, 0.012


def counted_a(watch: ConnectorWatch, at_s: float) -> float | None:
    """Return the most a careful gateway counts a connector at, per phase.

    None where it may rightly doubt what holds there: then all the connector can carry.
    """
    evse, watched = watch.evse, watch.of_station
    is_used = evse.vehicle is not None
    if watched.may_be_doubted(at_s) and (is_used or not watched.station.is_linked):
        return None
    if not is_used:
        return 0.0
    in_watts = RateUnit.AMPERES not in watched.station.store.rate_units
    return evse.limit_a * (WATTS_COUNT_RATIO if in_watts else 1.0) + evse.excess_a


def hidden_a(watch: ConnectorWatch, at_s: float) -> float:
    """Return what of its draw, per phase in use, a careful gateway may take for base."""
    evse = watch.evse
    if watch.of_station.tells_currents and counted_a(watch, at_s) is not None:
        return max(READING_A, READING_RATIO * evse.draw_a) if evse.draw_a else 0.0
    return evse.draw_a


def kept_a(watch: ConnectorWatch, at_s: float) -> tuple[float, float]:
    """Return what may be kept beyond the draw, per phase in use and per other wired phase.

    What a station draws and does not tell may be taken for base, and its limit counts beside it
    on each phase it is wired to. Of one that tells, only what its limit is above its draw is
    kept, and that not without bound: what is not used is to be given to others.
    """
    evse, most_a = watch.evse, counted_a(watch, at_s)
    if most_a is None:
        most_a = max(evse.max_a, evse.draw_a)
        return most_a, most_a
    if not watch.of_station.tells_currents:
        return most_a, most_a
    draw_a = evse.draw_a
    margin_a = max(MIN_OFFER_A - draw_a, UNUSED_A + UNUSED_RATIO * draw_a)
    unused_a = min(max(0.0, most_a - draw_a), margin_a)
    is_shown = draw_a >= SHOWS_PHASES_A
    elsewhere_a = 0.0 if is_shown else min(most_a, draw_a + margin_a)
    return unused_a + hidden_a(watch, at_s), elsewhere_a


class KeptRoom:
    """What is rightly kept on each row at one instant."""

    def __init__(self, connectors: Iterable[ConnectorWatch], at_s: float) -> None:
        self._kept_a: dict[Row, float] = {}
        self._waiting: dict[Row, int] = {}
        for watch in connectors:
            used_a, elsewhere_a = kept_a(watch, at_s)
            for row in watch.wired_rows:
                is_used = watch.record is not None and row in watch.rows
                more_a = used_a if is_used else elsewhere_a
                self._kept_a[row] = self._kept_a.get(row, 0.0) + more_a
            if watch.evse.transaction is not None and not watch.evse.is_served:
                for row in watch.wired_rows:
                    self._waiting[row] = self._waiting.get(row, 0) + 1

    def is_unused_for(self, watch: ConnectorWatch) -> bool:
        """Return whether a vehicle could have more on every row, and nothing rightly prevents it.

        One that has nothing waits for its minimum; one that has it lets those who have nothing
        have theirs first.
        """
        is_served = watch.evse.is_served
        is_shown = is_served and watch.of_station.tells_currents
        rows = watch.rows if is_shown and watch.evse.draw_a >= SHOWS_PHASES_A else watch.wired_rows
        for row in rows:
            circuit, phase = row
            left_a = circuit.wires.spare_a(phase) - circuit.reserve_a - self._kept_a[row]
            left_a -= LEFT_A + LEFT_RATIO * circuit.wires.rating_a[phase]
            wants_a = MIN_OFFER_A * self._waiting.get(row, 0) if is_served else MIN_OFFER_A
            if left_a < wants_a:
                return False
        return True
