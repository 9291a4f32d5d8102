"""Tells those who follow which limits have changed, and why, once for each change."""

from gateway.control.explain import sentence
from gateway.domain.ids import ConnectorRef
from gateway.domain.reasons import ReasonKind
from gateway.services.control_loop import Cycle
from gateway.services.feed import Feed


class LimitNews:
    """Remembers what was told of each connector."""

    def __init__(self, feed: Feed) -> None:
        """Tell the first limits as changes: nobody knows them yet."""
        self._feed = feed
        self._told: dict[ConnectorRef, tuple[int, ReasonKind]] = {}

    def note(self, cycle: Cycle) -> None:
        """Tell what a cycle has changed."""
        for connector, reason in cycle.decision.reasons.items():
            now = (reason.limit_ma, reason.kind)
            if self._told.get(connector) == now:
                continue
            self._told[connector] = now
            self._feed.tell(
                "limit",
                str(connector),
                limit_ma=reason.limit_ma,
                reason=str(reason.kind),
                why=sentence(reason),
            )
