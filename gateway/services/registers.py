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
    """What a meter showed, `by_power_wh` of it being counted by power since, and all that had been given then.

    It showed less until the monotonic second `changed_at_s`: some count in whole kilowatt-hours.
    """

    energy_wh: float
    changed_at_s: float
    by_power_wh: float = 0.0
    given_wh: float = 0.0


class Registers:
    """What the meters of connectors showed last, in one event loop."""

    def __init__(self, most_w: Callable[[str], float]) -> None:
        """Know of no reading yet; `most_w` tells what a connector gives at most."""
        self._most_w = most_w
        self._registers: dict[str, _Register] = {}
        self._stood: dict[str, _Register] = {}
        """What a register showed before, by which the last was counted, or which that does not follow."""
        self._powers: dict[str, tuple[float, float]] = {}
        self._counted_until_s: dict[str, float] = {}

    def shown_wh(self, place: str) -> float | None:
        """Return what a connector's meter showed last, and what was counted by power since."""
        known = self._registers.get(place)
        return None if known is None else known.energy_wh

    def count(self, fact: ConnectorMetered) -> float:
        """Take note of a reading; return how much has been given since the one before, in Wh.

        Where a station tells no energy, its power is taken to have lasted since the reading before;
        what that was wrong by the register puts right, once it shows anything again. A register that
        runs backwards, or further than can have flowed, has begun anew, or is wrong once: nothing
        can be told from it, but from the next by the one before it. So what was given by one that
        was too high is taken back.
        """
        place, given_wh = str(fact.connector), self._flowed_wh(fact)
        known = self._registers.get(place)
        if fact.energy_wh is not None:
            given_wh = self._read(fact, fact.energy_wh)
        elif known is not None:
            self._registers[place] = replace(
                known,
                energy_wh=known.energy_wh + given_wh,
                by_power_wh=known.by_power_wh + given_wh,
                given_wh=known.given_wh + given_wh,
            )
        if fact.energy_wh is not None or fact.power_w is not None:
            self._counted_until_s[place] = fact.at_s
        if fact.power_w is not None:
            self._powers[place] = (fact.at_s, fact.power_w)
        return given_wh

    def _read(self, fact: ConnectorMetered, energy_wh: float) -> float:
        """Take note of a register; return how much has been given since the reading before."""
        place, now = str(fact.connector), _Register(energy_wh=energy_wh, changed_at_s=fact.at_s)
        known = self._registers.get(place)
        if known is None:
            self._registers[place] = now
            return 0.0
        if known.energy_wh == energy_wh:
            self._registers[place] = replace(known, by_power_wh=0.0)
            return 0.0
        stood = self._stood.get(place)
        given_by = {
            energy_wh - before.energy_wh + before.given_wh: before
            for before in (stood, known)
            if before is not None and self._follows(fact, energy_wh, before)
        }
        # What may follow either is counted by that after which less has flowed.
        given_wh = min(given_by, default=known.given_wh)
        self._stood[place] = given_by.get(given_wh, known)
        self._registers[place] = replace(now, given_wh=given_wh)
        return given_wh - known.given_wh

    def take_up(self, fact: ConnectorMetered, energy_wh: float, *, lasted_s: float) -> None:
        """Take up what a meter showed in an earlier life, so long ago at most, if nothing is known of it.

        Less than nothing ago is by a clock that was set back: nobody knows for how long it has flowed.
        """
        since_s = fact.at_s - lasted_s if lasted_s >= 0 else -inf
        known = _Register(energy_wh=energy_wh, changed_at_s=since_s)
        self._registers.setdefault(str(fact.connector), known)

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
