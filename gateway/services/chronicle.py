"""Says in the log what changed, once: limits with their reasons, stations and circuits lost."""

import logging
from datetime import timedelta

from gateway.control.decide import Decision
from gateway.control.explain import amps, sentence, too_little
from gateway.control.state import SiteState
from gateway.domain.ids import CircuitId, ConnectorRef, StationId
from gateway.domain.reasons import Reason, ReasonKind

_log = logging.getLogger(__name__)

GRAVE = frozenset(
    {
        ReasonKind.STATION_UNREACHABLE,
        ReasonKind.STATION_DISOBEYS,
        ReasonKind.METER_STALE,
        ReasonKind.METER_DOUBTED,
        ReasonKind.THERMAL_BUDGET,
        ReasonKind.OVER_RATING,
        ReasonKind.LOCKOUT,
        ReasonKind.STOPPED,
        ReasonKind.OUTSIDE_LIMIT,
    }
)
"""Reasons whose coming and going is said even when the limit stays the same."""


class Chronicle:
    """Remembers what was said of each thing, and says only what is different now."""

    def __init__(self) -> None:
        """Say nothing yet: a station not seen is not lost, a limit is told when it is first known."""
        self._limits: dict[ConnectorRef, tuple[int, ReasonKind | None]] = {}
        self._connected: dict[StationId, bool] = {}
        self._blind: set[CircuitId] = set()
        self._tripped: frozenset[CircuitId] = frozenset()

    def tell(self, state: SiteState, decision: Decision) -> None:
        """Log what this decision changed."""
        self._tell_stations(state, decision.at_s)
        self._tell_circuits(state, decision)
        for connector, reason in decision.reasons.items():
            self._tell_limit(connector, reason)

    def tell_clock_jump(self, jump: timedelta) -> None:
        """Log that somebody set the wall clock."""
        direction = "forward" if jump > timedelta() else "back"
        _log.warning(
            "the wall clock jumped %s by %.1f s; control goes by a clock that does not",
            direction,
            abs(jump.total_seconds()),
        )

    def _tell_limit(self, connector: ConnectorRef, reason: Reason) -> None:
        now = (reason.limit_ma, reason.kind if reason.kind in GRAVE else None)
        before = self._limits.get(connector)
        if before == now:
            return
        self._limits[connector] = now
        # A station that has not come yet has not been lost either.
        if before is not None or reason.kind is not ReasonKind.STATION_UNREACHABLE:
            _log.info("%s: %s", connector, sentence(reason))

    def _tell_stations(self, state: SiteState, now_s: float) -> None:
        for station, belief in state.stations.items():
            was_connected = self._connected.get(station, False)
            if belief.is_connected == was_connected:
                continue
            self._connected[station] = belief.is_connected
            if belief.is_connected:
                _log.info("station %s is connected", station)
            else:
                ago_s = max(0.0, now_s - belief.changed_at_s)
                _log.warning("station %s is lost since %.0f s", station, ago_s)

    def _tell_circuits(self, state: SiteState, decision: Decision) -> None:
        rows, most_s = decision.survey.rows, state.parameters.stale_worst_case_s
        for at, circuit in enumerate(state.wiring.circuits):
            seen = [row for row in rows[3 * at : 3 * at + 3] if row.rating_ma]
            is_blind = any(row.age_s is not None and row.age_s > most_s for row in seen)
            # At the start nothing was read yet, and nothing is lost.
            is_young = decision.at_s - state.started_at_s <= most_s
            if is_blind == (circuit.id in self._blind) or (is_blind and is_young):
                continue
            if is_blind:
                self._blind.add(circuit.id)
                doubted = [row.doubted_ma for row in seen if row.doubted_ma]
                said = f"has said nothing new for {most_s:.0f} s"
                _log.warning(
                    "circuit %s: its meter %s; its declared worst case of %s counts",
                    circuit.id,
                    too_little(max(doubted)) if doubted else said,
                    amps(max(row.base_ma for row in seen)),
                )
            else:
                self._blind.discard(circuit.id)
                _log.info("circuit %s: its meter speaks", circuit.id)
        tripped = frozenset(decision.trips)
        for circuit_id in sorted(tripped - self._tripped):
            _log.critical(
                "circuit %s is over its rating and nothing is left to cut",
                circuit_id,
            )
        self._tripped = tripped
