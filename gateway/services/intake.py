"""Watches what one vehicle takes while it is there, reading by reading, and how it follows a start."""

from dataclasses import dataclass, field

from gateway.control.bounds import draw_as_limit_ma
from gateway.control.state import NEVER_S, ConnectorBelief
from gateway.domain.acceptance import Acceptance
from gateway.domain.circuits import Connector
from gateway.planning.following import DRAWING_MA, Sample, Starts
from gateway.planning.taking import Taken, acceptance_of

APART_WH, APART_MA = 100.0, 500
"""Of readings that are nearer to the one before than both, nothing new is learnt."""


@dataclass(slots=True)
class Intake:
    """What a vehicle took so far, and the start it is in; `full_wh` is what it had when it rested."""

    taken: list[Taken] = field(default_factory=list)
    highest_ma: int = 0
    full_wh: float | None = None
    _before: Sample | None = None
    _told_at_s: float = NEVER_S

    def watch(
        self,
        connector: Connector,
        belief: ConnectorBelief,
        starts: Starts,
        *,
        delivered_wh: float,
        soc_pct: float | None,
    ) -> Starts:
        """Take note of a connector's newest reading, once; return what is known of its starts."""
        draw, before = belief.draw, self._before
        drawn_ma = None if draw is None else draw_as_limit_ma(draw, connector, belief)
        if draw is None or drawn_ma is None or (before is not None and draw.at_s <= before.at_s):
            return starts
        now = Sample(at_s=draw.at_s, current_ma=drawn_ma)
        self._before, self.highest_ma = now, max(self.highest_ma, drawn_ma)
        if drawn_ma >= DRAWING_MA:
            self.full_wh = None
            if belief.unused_since_s is not None:
                self._take(Taken(delivered_wh=delivered_wh, current_ma=drawn_ma, soc_pct=soc_pct))
        elif self.highest_ma and self.full_wh is None and belief.limits[-1].limit_ma:
            self.full_wh = delivered_wh
        told_at_s = belief.started_at_s
        if any(limit.limit_ma and limit.sent_at_s == told_at_s for limit in belief.limits):
            self._told_at_s = told_at_s  # Plugged in, a vehicle waits for its driver too.
        if self._told_at_s != told_at_s or now.at_s <= told_at_s or before is None:
            return starts
        return starts.after(told_at_s, belief.limits[-1].limit_ma, before, now)

    def _take(self, now: Taken) -> None:
        last = self.taken[-1] if self.taken else None
        if (
            last is None
            or now.delivered_wh - last.delivered_wh >= APART_WH
            or abs(now.current_ma - last.current_ma) >= APART_MA
        ):
            self.taken.append(now)

    def acceptance(self) -> Acceptance:
        """Return what it tells of what its vehicle takes."""
        return acceptance_of(self.taken, highest_ma=self.highest_ma, full_wh=self.full_wh)
