"""How often a station's persistent fallback may be written: every write wears its flash."""

from collections import defaultdict, deque

from gateway.domain.ids import ConnectorRef, StationId

GAP_S = 60.0
WRITES_A_DAY = 10
DAY_S = 86_400.0
NEVER_S = float("-inf")


class FallbackPace:
    """What was written lately, and so what may be written now.

    A connector's fallback is written at most once a minute, and a station's at most
    `WRITES_A_DAY` times in 24 h. What forbids does not wait for that (design §3): a fallback
    below the one tried last goes at once, one below the one accepted last whatever was spent.
    """

    def __init__(self) -> None:
        """Remember nothing: what was written before a restart is not counted."""
        self._tried: dict[ConnectorRef, tuple[float, int]] = {}
        self._accepted_ma: dict[ConnectorRef, int] = {}
        self._writes_at_s: dict[StationId, deque[float]] = defaultdict(deque)

    def may_write(self, connector: ConnectorRef, limit_ma: int, *, now_s: float) -> bool:
        """Return whether this fallback may be written now."""
        tried_at_s, tried_ma = self._tried.get(connector, (NEVER_S, limit_ma))
        if limit_ma < tried_ma:
            return True
        if now_s - tried_at_s < GAP_S:
            return False
        if limit_ma < self._accepted_ma.get(connector, limit_ma):
            return True
        return self._writes_a_day(connector.station, now_s=now_s) < WRITES_A_DAY

    def note_write(self, connector: ConnectorRef, limit_ma: int, *, now_s: float) -> None:
        """Count a write, from before it is sent: whether it wore anything is not known."""
        self._tried[connector] = (now_s, limit_ma)
        self._writes_at_s[connector.station].append(now_s)

    def note_not_sent(self, connector: ConnectorRef) -> None:
        """Take back the newest write of a connector's station: nothing was worn by it."""
        self._writes_at_s[connector.station].pop()

    def note_accepted(self, connector: ConnectorRef, limit_ma: int) -> None:
        """Remember what the station accepted."""
        self._accepted_ma[connector] = limit_ma

    def _writes_a_day(self, station: StationId, *, now_s: float) -> int:
        """Return how many writes the station had in the last 24 h."""
        writes_at_s = self._writes_at_s[station]
        while writes_at_s and now_s - writes_at_s[0] >= DAY_S:
            writes_at_s.popleft()
        return len(writes_at_s)
