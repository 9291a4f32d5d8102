"""Which connectors have a vehicle, whose it is, and what it has been given, as stations tell."""

from dataclasses import dataclass

from gateway.domain.events import ConnectorMetered, TransactionEnded, TransactionStarted
from gateway.domain.ids import TransactionId

LONGEST_GAP_S = 900.0
"""Power is not taken to have lasted longer than this between two readings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Session:
    transaction: TransactionId
    id_token: str | None


class Deliveries:
    """Sessions and readings by connector, as far as promises need them."""

    def __init__(self) -> None:
        """Know of nothing yet."""
        self._sessions: dict[str, _Session] = {}
        self._gone_since_s: dict[str, float] = {}
        self._registers_wh: dict[str, float] = {}
        self._powers: dict[str, tuple[float, float]] = {}

    def begin(self, fact: TransactionStarted) -> None:
        """Note that a vehicle is there, or was found there."""
        place = str(fact.connector)
        self._sessions[place] = _Session(transaction=fact.transaction, id_token=fact.id_token)
        self._gone_since_s.pop(place, None)

    def end(self, fact: TransactionEnded, *, now_s: float) -> None:
        """Note that it has gone; `now_s` is the epoch second."""
        place = str(fact.connector)
        session = self._sessions.get(place)
        if session is not None and session.transaction == fact.transaction:
            del self._sessions[place]
            self._gone_since_s[place] = now_s

    def occupied(self) -> frozenset[str]:
        """Return the connectors that have a vehicle."""
        return frozenset(self._sessions)

    def is_there(self, place: str, id_token: str | None) -> bool:
        """Return whether a vehicle is at a connector, and it is the one with that token, if any."""
        session = self._sessions.get(place)
        return session is not None and id_token in (None, session.id_token)

    def gone_since_s(self, place: str) -> float | None:
        """Return when (epoch s) the last vehicle left; None while one is there, or none was."""
        return self._gone_since_s.get(place)

    def register_wh(self, place: str) -> float | None:
        """Return what a connector's meter showed last."""
        return self._registers_wh.get(place)

    def gained_wh(
        self, fact: ConnectorMetered, since_wh: float | None
    ) -> tuple[float | None, float]:
        """Return what the meter shows, and how much has been given since it showed `since_wh`.

        Where a station tells no energy, its power is taken to have lasted since the reading before.
        """
        place = str(fact.connector)
        if fact.energy_wh is not None:
            # A register that runs backwards has begun anew: nothing can be told from it.
            gained_wh = 0.0 if since_wh is None else max(0.0, fact.energy_wh - since_wh)
            return fact.energy_wh, gained_wh
        before = self._powers.get(place)
        if since_wh is not None or before is None or fact.power_w is None:
            return since_wh, 0.0
        lasted_s = min(LONGEST_GAP_S, max(0.0, fact.at_s - before[0]))
        return None, max(0.0, before[1]) * lasted_s / 3_600

    def note(self, fact: ConnectorMetered) -> None:
        """Remember a reading for the next."""
        place = str(fact.connector)
        if fact.energy_wh is not None:
            self._registers_wh[place] = fact.energy_wh
        if fact.power_w is not None:
            self._powers[place] = (fact.at_s, fact.power_w)
