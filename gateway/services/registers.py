"""How much energy flowed at a connector from one reading to the next, whatever its station tells of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf

from gateway.domain.events import ConnectorMetered, StationDisconnected, TransactionStarted
from gateway.domain.ids import ConnectorRef, StationId

LONGEST_GAP_S = 900.0
"""Power is not taken to have lasted longer than this between two readings."""

OLDEST_READING_S = 60.0
"""A reading may be as old as that when it comes."""

MOST_RATIO = 1.5
"""Beyond so much of what a connector gives at most at the nominal voltage no reading is believed."""

POWER_ERROR_RATIO = 0.2
"""What was counted by power is too much by no more of it than that, where a lower register may begin anew."""

SAME_WH = 1.0
"""A start is told in whole Wh."""

ROUNDING_WH, WH_DECIMALS = 1e-3, 6
"""Sums of what was counted by power are as wrong as the first, and those of what was shown less than the second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Register:
    """What a meter showed, `by_power_wh` of it being counted by power since, and what was given to its vehicle.

    It showed less until the monotonic second `changed_at_s`: some count in whole kilowatt-hours.
    One that `may_restart` was shown with the vehicle before: it may begin anew with each.
    """

    energy_wh: float
    changed_at_s: float
    by_power_wh: float = 0.0
    given_wh: float = 0.0
    may_restart: bool = False

    @property
    def least_wh(self) -> float:
        """What it shows next if it still counts on, at the least."""
        ratio = POWER_ERROR_RATIO if self.may_restart else 1.0
        return self.energy_wh - ratio * self.by_power_wh - ROUNDING_WH


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
        self._lost_at_s: dict[StationId, float] = {}

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
            given_wh = self._stays_wh(fact, known)
            self._registers[place] = replace(
                known, given_wh=given_wh, by_power_wh=0.0, may_restart=False
            )
            return given_wh - known.given_wh
        befores = [known, self._stood.get(place, known)]
        given_by: dict[float, _Register] = {}
        if any(self._follows(fact, energy_wh, before) for before in befores):
            # It is counted by that after which less has flowed, were it more than can have since;
            # where it is the same, by what was shown longer ago.
            given_by = {
                round(energy_wh - before.energy_wh + before.given_wh, WH_DECIMALS): before
                for before in befores
                if energy_wh >= before.least_wh
            }
        given_wh = min(given_by, default=known.given_wh)
        if energy_wh == 0.0 and given_wh < known.given_wh:
            return 0.0  # So is told what cannot be read: it takes nothing away.
        self._stood[place] = given_by.get(given_wh, known)
        self._registers[place] = replace(now, given_wh=given_wh)
        return given_wh - known.given_wh

    def _stays_wh(self, fact: ConnectorMetered, known: _Register) -> float:
        """Return how much has been given to a vehicle whose register is shown as it was before.

        What came sooner than it can have flowed, as whole kilowatt-hours may, is right if it stays.
        """
        before = self._stood.get(str(fact.connector))
        is_recent = fact.at_s - known.changed_at_s <= LONGEST_GAP_S
        if before is None or before.may_restart or not is_recent:
            return known.given_wh
        if not self._follows(fact, known.energy_wh, before):
            return known.given_wh
        return max(known.given_wh, known.energy_wh - before.energy_wh + before.given_wh)

    def take_up(self, fact: ConnectorMetered, energy_wh: float, *, lasted_s: float) -> None:
        """Take up what a meter showed in an earlier life, so long ago at most, if nothing is known of it.

        Less than nothing ago is by a clock that was set back: nobody knows for how long it has flowed.
        """
        since_s = fact.at_s - lasted_s if lasted_s >= 0 else -inf
        known = _Register(energy_wh=energy_wh, changed_at_s=since_s)
        self._registers.setdefault(str(fact.connector), known)

    def begin(self, fact: TransactionStarted) -> None:
        """Take note that a vehicle has come: what flowed before, heard or not, was not given to it.

        Its station tells what the meter showed then. Some tell 0 where they cannot read it yet: so
        what was shown before stays beside it, unless the meter is one that begins there each time.
        Where no start is told, what was shown last counts, if the connector was heard ever since.
        """
        place, began_at_s = str(fact.connector), fact.at_s - fact.age_s
        known, is_heard = self._registers.get(place), self.is_heard(fact.connector)
        self.forget(place)
        if fact.meter_start_wh is not None:
            now = _Register(energy_wh=fact.meter_start_wh, changed_at_s=began_at_s)
            self._registers[place] = now
            # What is told late may have been overtaken by a reading, which then is not before it.
            if known is not None and known.changed_at_s <= began_at_s:
                began_wh = known.energy_wh - known.given_wh  # With the vehicle before.
                if abs(began_wh - fact.meter_start_wh) > SAME_WH:
                    self._stood[place] = replace(known, given_wh=0.0, may_restart=True)
        elif known is not None and is_heard:
            self._registers[place] = replace(known, given_wh=0.0, may_restart=True)

    def lose(self, fact: StationDisconnected) -> None:
        """Note that a station is out of reach: what flows there now, and to whom, nobody hears."""
        self._lost_at_s[fact.station] = fact.at_s

    def is_heard(self, connector: ConnectorRef) -> bool:
        """Return whether a connector was read in this life, and its station in reach ever since."""
        lost_at_s = self._lost_at_s.get(connector.station, -inf)
        return self._counted_until_s.get(str(connector), -inf) > lost_at_s

    def stop(self, place: str) -> None:
        """Note that the vehicle at a connector has gone: the power it drew at last flows no more."""
        self._powers.pop(place, None)

    def most_wh(self, place: str, lasted_s: float) -> float:
        """Return what can have flowed at a connector from a reading to one so much later."""
        return MOST_RATIO * self._most_w(place) * (lasted_s + OLDEST_READING_S) / 3_600

    def forget(self, place: str) -> None:
        """Forget what a connector's meter showed: what it shows next is where counting begins."""
        for known in (self._registers, self._stood, self._powers, self._counted_until_s):
            known.pop(place, None)

    def _follows(self, fact: ConnectorMetered, energy_wh: float, before: _Register) -> bool:
        """Return whether what a meter shows can have come of what it showed before."""
        most_wh = self.most_wh(str(fact.connector), fact.at_s - before.changed_at_s)
        return before.least_wh <= energy_wh <= before.energy_wh + most_wh

    def _flowed_wh(self, fact: ConnectorMetered) -> float:
        """Return what has flowed since it was last counted, by the power that was told last."""
        place = str(fact.connector)
        if fact.power_w is None or place not in self._powers:
            return 0.0
        told_at_s, power_w = self._powers[place]
        until_s = min(fact.at_s, told_at_s + LONGEST_GAP_S)
        return max(0.0, power_w) * max(0.0, until_s - self._counted_until_s[place]) / 3_600
