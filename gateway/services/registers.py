"""How much energy flowed at a connector from one reading to the next, whatever its station tells of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf

from gateway.domain.events import ConnectorMetered

LONGEST_GAP_S = 900.0
"""Power is not taken to have lasted longer than this between two readings."""

OLDEST_READING_S = 60.0
"""A reading may be as old as that when it comes."""

MOST_RATIO = 1.5
"""Beyond so much of what a connector gives at most at the nominal voltage no reading is believed."""

POWER_ERROR_RATIO = 0.2
"""What was counted by power is too much by no more of it than that: a register lower still begins anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Register:
    """What a meter showed last, `by_power_wh` of it being counted by power since.

    It showed less until the monotonic second `changed_at_s`: some count in whole kilowatt-hours.
    """

    energy_wh: float
    changed_at_s: float
    by_power_wh: float = 0.0


class Registers:
    """What the meters of connectors showed last, in one event loop."""

    def __init__(self, most_w: Callable[[str], float]) -> None:
        """Know of no reading yet; `most_w` tells what a connector gives at most."""
        self._most_w = most_w
        self._registers: dict[str, _Register] = {}
        self._stood: dict[str, _Register] = {}
        """What a register showed before one that does not follow it: a single one may be wrong."""
        self._powers: dict[str, tuple[float, float]] = {}
        self._counted_until_s: dict[str, float] = {}

    def shown_wh(self, place: str) -> float | None:
        """Return what a connector's meter showed last, and what was counted by power since."""
        known = self._registers.get(place)
        return None if known is None else known.energy_wh

    def gained_wh(
        self, fact: ConnectorMetered, since_wh: float | None
    ) -> tuple[float | None, float]:
        """Return what the meter shows, and how much has been given since it showed `since_wh`.

        Where a station tells no energy, its power is taken to have lasted since the reading before;
        what that was wrong by the register puts right, once it shows anything again. A register that
        runs backwards, or further than can have flowed, has begun anew, or is wrong once: nothing
        can be told from it, but from the next by the one before it.
        """
        place, energy_wh = str(fact.connector), fact.energy_wh
        if energy_wh is None:
            flowed_wh = self._flowed_wh(fact)
            return None if since_wh is None else since_wh + flowed_wh, flowed_wh
        if since_wh is None:
            return energy_wh, 0.0
        gains_wh = (
            energy_wh - before.energy_wh
            for before in (self._registers.get(place), self._stood.get(place))
            if before is not None and self._follows(fact, energy_wh, before)
        )
        # What may follow either is counted by that after which less has flowed.
        return energy_wh, min(gains_wh, default=0.0)

    def take_up(self, fact: ConnectorMetered, energy_wh: float, *, lasted_s: float) -> None:
        """Take up what a meter showed in an earlier life, so long ago at most, if nothing is known of it.

        Less than nothing ago is by a clock that was set back: nobody knows for how long it has flowed.
        """
        since_s = fact.at_s - lasted_s if lasted_s >= 0 else -inf
        known = _Register(energy_wh=energy_wh, changed_at_s=since_s)
        self._registers.setdefault(str(fact.connector), known)

    def note(self, fact: ConnectorMetered) -> None:
        """Remember a reading for the next."""
        place = str(fact.connector)
        known, stood = self._registers.get(place), self._stood.get(place)
        if fact.energy_wh is not None:
            now = _Register(energy_wh=fact.energy_wh, changed_at_s=fact.at_s)
            if known is not None and known.energy_wh == fact.energy_wh:
                now = replace(now, changed_at_s=known.changed_at_s)
            elif known is None or self._follows(fact, fact.energy_wh, known):
                self._stood.pop(place, None)
            elif stood is not None and self._follows(fact, fact.energy_wh, stood):
                del self._stood[place]
            else:
                self._stood[place] = known
            self._registers[place] = now
        elif known is not None:
            flowed_wh = self._flowed_wh(fact)
            self._registers[place] = replace(
                known,
                energy_wh=known.energy_wh + flowed_wh,
                by_power_wh=known.by_power_wh + flowed_wh,
            )
        if fact.energy_wh is not None or fact.power_w is not None:
            self._counted_until_s[place] = fact.at_s
        if fact.power_w is not None:
            self._powers[place] = (fact.at_s, fact.power_w)

    def stop(self, place: str) -> None:
        """Note that the vehicle at a connector has gone: the power it drew at last flows no more."""
        self._powers.pop(place, None)

    def forget(self, place: str) -> None:
        """Forget what a connector's meter showed: what it shows next is where counting begins."""
        for known in (self._registers, self._stood, self._powers, self._counted_until_s):
            known.pop(place, None)

    def _follows(self, fact: ConnectorMetered, energy_wh: float, before: _Register) -> bool:
        """Return whether what a meter shows can have come of what it showed before."""
        lasted_s = fact.at_s - before.changed_at_s + OLDEST_READING_S
        most_wh = MOST_RATIO * self._most_w(str(fact.connector)) * lasted_s / 3_600
        least_wh = -POWER_ERROR_RATIO * before.by_power_wh
        return least_wh <= energy_wh - before.energy_wh <= most_wh

    def _flowed_wh(self, fact: ConnectorMetered) -> float:
        """Return what has flowed since it was last counted, by the power that was told last."""
        place = str(fact.connector)
        if fact.power_w is None or place not in self._powers:
            return 0.0
        told_at_s, power_w = self._powers[place]
        until_s = min(fact.at_s, told_at_s + LONGEST_GAP_S)
        return max(0.0, power_w) * max(0.0, until_s - self._counted_until_s[place]) / 3_600
