"""Watches what one vehicle takes while it is there, reading by reading, and how it follows a start."""

from dataclasses import dataclass, field
from math import inf

from gateway.control.bounds import draw_as_limit_ma
from gateway.control.state import ConnectorBelief
from gateway.domain.acceptance import Acceptance
from gateway.domain.circuits import Connector
from gateway.planning.following import (
    DRAWING_MA,
    NEARLY_ALL_RATIO,
    Followed,
    Sample,
    Told,
)
from gateway.planning.taking import Taken, acceptance_of, battery_wh_of

NOTHING_TOLD = Told(at_s=inf, limit_ma=0)
APART_WH, APART_MA = 100.0, 500
"""Of readings that are nearer to the one before than both, nothing new is learnt."""


@dataclass(slots=True)
class Intake:
    """What a vehicle took so far, and the start it is in; `full_wh` is what it had when it rested."""

    taken: list[Taken] = field(default_factory=list)
    highest_ma: int = 0
    full_wh: float | None = None
    _before: Sample | None = None
    _told: Told = NOTHING_TOLD
    _limit_ma: int = 0
    _first_soc: tuple[float, float] | None = None
    """What had been delivered when its state of charge was told first, and that; and last."""
    _last_soc: tuple[float, float] | None = None

    def watch(
        self,
        connector: Connector,
        belief: ConnectorBelief,
        followed: Followed,
        *,
        delivered_wh: float,
        soc_pct: float | None,
    ) -> Followed:
        """Take note of a connector as it is now; return what is known of how it follows."""
        self._hear(belief)
        draw, before = belief.draw, self._before
        drawn_ma = None if draw is None else draw_as_limit_ma(draw, connector, belief)
        if draw is None or drawn_ma is None or (before is not None and draw.at_s <= before.at_s):
            return followed
        if soc_pct is not None:
            self._first_soc = self._first_soc or (delivered_wh, soc_pct)
            self._last_soc = delivered_wh, soc_pct
        now = Sample(at_s=draw.at_s, current_ma=drawn_ma)
        self._before, self.highest_ma = now, max(self.highest_ma, drawn_ma)
        if drawn_ma >= DRAWING_MA:
            self.full_wh = None
            if belief.unused_since_s is not None:
                self._take(Taken(delivered_wh=delivered_wh, current_ma=drawn_ma, soc_pct=soc_pct))
        elif self.highest_ma and self.full_wh is None and belief.limits[-1].limit_ma:
            self.full_wh = delivered_wh
        if before is None or now.at_s <= self._told.at_s:
            return followed
        return followed.after(self._told, before, now)

    def _hear(self, belief: ConnectorBelief) -> None:
        """Take note of what it is told: after nothing to start, or more than it draws in full."""
        newest, was_ma = belief.limits[-1], self._limit_ma
        self._limit_ma = newest.limit_ma
        if newest.limit_ma == was_ma:
            return
        self._told = NOTHING_TOLD
        had_ma = 0 if self._before is None else self._before.current_ma
        if was_ma and had_ma < NEARLY_ALL_RATIO * was_ma:
            return
        # Plugged in, a vehicle waits for its driver too: only what is sent later tells of it.
        if newest.sent_at_s in (belief.started_at_s, belief.raised_at_s):
            had_ma = had_ma if was_ma else 0
            self._told = Told(at_s=newest.sent_at_s, limit_ma=newest.limit_ma, had_ma=had_ma)

    def _take(self, now: Taken) -> None:
        last = self.taken[-1] if self.taken else None
        if (
            last is None
            or now.delivered_wh - last.delivered_wh >= APART_WH
            or abs(now.current_ma - last.current_ma) >= APART_MA
        ):
            self.taken.append(now)

    @property
    def battery_wh(self) -> float | None:
        """Return what its battery holds, by how its state of charge rose; None if that is not known."""
        if self._first_soc is None or self._last_soc is None:
            return None
        (first_wh, first_pct), (last_wh, last_pct) = self._first_soc, self._last_soc
        return battery_wh_of(last_wh - first_wh, last_pct - first_pct)

    def acceptance(self) -> Acceptance:
        """Return what it tells of what its vehicle takes."""
        return acceptance_of(
            self.taken,
            highest_ma=self.highest_ma,
            full_wh=self.full_wh,
            battery_wh=self.battery_wh,
        )
