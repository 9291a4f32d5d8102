"""The board of one decision: the limits while they are made, and the room on every row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress, groupby

from gateway.control.bounds import on_one_phase_ma
from gateway.domain.electric import MIN_CHARGING_MA, STEP_MA

Rank = tuple[int, float]
"""Criticality class and laxity: smaller is served first."""

CRITICAL = 0
_NOTHING_KEPT: Mapping[int, int] = {}
EVERYONE = (CRITICAL, float("-inf"))
AFTER_CRITICAL = (CRITICAL + 1, float("-inf"))


@dataclass(slots=True, kw_only=True)
class Board:
    """The limits of one decision while it is being made. All lists are per connector or row."""

    rows: list[tuple[int, ...]]
    """Per connector: the rows it loads."""
    may_move: list[bool]
    """Per connector: whether it can be told another limit and will follow."""
    limit_ma: list[int]
    """Per connector: the limit to be told."""
    high_ma: list[int]
    """Per connector: what it is counted at before anything new is told."""
    awake_ma: list[int]
    """Per connector: what it is counted at once it is told more, however little."""
    max_ma: Sequence[int]
    """Per connector: its installed maximum."""
    cap_ma: list[int]
    """Per connector: the most safety and its vehicle allow it."""
    floor_ma: list[int]
    """Per connector: what a cut for others leaves it."""
    rank: list[Rank]
    started_at_s: list[float]
    room_ma: list[int]
    """Per row: what is left once every limit told is obeyed; negative is too much told."""
    proven_room_ma: list[int]
    """Per row: what is left with every claim counted high; only this is raised into."""
    takes_watts: list[bool]
    """Per connector: whether its limit is told in watts, and so counted as more amperes."""
    excess_ma: list[int]
    """Per connector: what it draws beyond any limit."""
    in_base_ma: list[int]
    """Per connector: the most that it draws of its limit, where that is in base as well."""
    phase_count: list[int]
    """Per connector: for how many phases its limit is told."""
    known_count: list[int]
    """Per connector: how many phases its vehicle is known to use, 1 until that is known."""
    told_at_s: list[float] = field(default_factory=list)
    """Per connector: since when it has been told its present limit."""
    guaranteed: set[int] = field(default_factory=set)
    """Connectors that were promised their floor: nobody's need but safety's takes it."""
    made_room_for: dict[int, int] = field(default_factory=dict)
    """Connector cut -> connector it was cut for."""
    held_ma: dict[int, int] = field(default_factory=dict)
    """Connector -> the raise that a second look did not let pass."""
    crowded: set[int] = field(default_factory=set)
    """Rows where not even everyone's minimum fits."""
    just_cut: set[int] = field(default_factory=set)
    """Connectors cut lately, to as little as they keep, while another needs more than the minimum."""
    drawn_ma: dict[int, int] = field(default_factory=dict)
    """Connector -> what it draws of its limit, where that is in base as well."""
    turns: set[int] = field(default_factory=set)
    """Connectors that need more than the minimum to begin, and others' turn for it."""
    kept_ma: dict[int, dict[int, int]] = field(default_factory=dict)
    """Row -> connector -> what is kept free there for it: nobody else is raised into it."""
    starting_ma: dict[int, dict[int, int]] = field(default_factory=dict)
    """Connector told nothing -> row -> what the reserve keeps there for its start: that is room for it."""
    spare_ma: dict[int, dict[Rank, int]] = field(default_factory=dict)
    """Row -> rank -> what those of that rank or below can give there, until one of them moves."""
    pausable_ma: dict[int, tuple[int, bool]] = field(default_factory=dict)
    """Row -> what can be paused there at least, and whether that is all; until one moves."""
    movable: list[list[int]] = field(init=False)
    """Per row: the connectors that load it and can be moved, in order."""

    def __post_init__(self) -> None:
        """Find who can be moved where."""
        self.movable = [[] for _ in self.room_ma]
        moved = compress(range(len(self.may_move)), self.may_move)
        for rows, neighbours in groupby(moved, self.rows.__getitem__):
            ats = list(neighbours)
            for row in rows:
                self.movable[row] += ats

    def counted_ma(self, at: int, limit_ma: int) -> int:
        """Return what a limit of a connector is counted at."""
        if not limit_ma:
            return 0
        excess_ma = self.excess_ma[at]
        if not self.takes_watts[at]:
            return limit_ma + excess_ma + min(limit_ma, self.in_base_ma[at])
        max_ma = self.max_ma[at]
        counted_ma = on_one_phase_ma(limit_ma, times=self._times(at), max_ma=max_ma)
        return counted_ma + excess_ma + min(limit_ma, self.in_base_ma[at])

    def more_for_ma(self, at: int, room_ma: int) -> int:
        """Return how much higher a connector's limit may be that is counted `room_ma` more at most."""
        limit_ma = self.limit_ma[at]
        if not self.takes_watts[at] and not self.in_base_ma[at]:
            return room_ma if limit_ma else room_ma - self.excess_ma[at]
        # What watts count for grows unevenly: no phase carries more than the installed maximum.
        most_ma = self.counted_ma(at, limit_ma) + room_ma
        low, high = limit_ma // STEP_MA, self.max_ma[at] // STEP_MA
        while low < high:
            middle = (low + high + 1) // 2
            if self.counted_ma(at, middle * STEP_MA) <= most_ma:
                low = middle
            else:
                high = middle - 1
        return max(0, low * STEP_MA - limit_ma)

    def _times(self, at: int) -> int:
        """Return how many times a limit in watts may flow on one phase of a connector."""
        return max(1, self.phase_count[at] // self.known_count[at])

    def tell_for(self, at: int, limit_ma: int, phase_count: int) -> bool:
        """Tell a connector's watts for more phases where all of them fit on any; say if so."""
        more_ma = self.more_for_phases_ma(at, limit_ma, phase_count)
        if any(self.proven_room_ma[row] < more_ma for row in self.rows[at]):
            return False
        before_ma = self.counted_ma(at, self.limit_ma[at]) - self._not_in_base_ma(
            at, self.limit_ma[at]
        )
        self.phase_count[at] = phase_count
        told_ma = self.counted_ma(at, limit_ma)
        self.limit_ma[at], self.high_ma[at] = limit_ma, self.awake_ma[at]
        for row in self.rows[at]:
            self.room_ma[row] -= told_ma - before_ma
            self.proven_room_ma[row] -= more_ma
            self.spare_ma.pop(row, None)
            self.pausable_ma.pop(row, None)
        return True

    def more_for_phases_ma(self, at: int, limit_ma: int, phase_count: int) -> int:
        """Return what is claimed more once a connector's watts are told for so many phases."""
        not_in_base_ma = self._not_in_base_ma(at, self.limit_ma[at])
        before_ma = self.counted_ma(at, self.limit_ma[at]) - not_in_base_ma
        high_ma = self.high_ma[at] - not_in_base_ma
        told_ma = self.counted_for_ma(at, limit_ma, phase_count)
        # What is in base as well of a lower limit is no room for its claim.
        less_ma = max(0, min(self.limit_ma[at], self.in_base_ma[at]) - not_in_base_ma - limit_ma)
        return max(told_ma, self.awake_ma[at]) - max(before_ma, high_ma) + less_ma

    def counted_for_ma(self, at: int, limit_ma: int, phase_count: int) -> int:
        """Return what a limit is counted at once it is told for so many phases."""
        was_count, self.phase_count[at] = self.phase_count[at], phase_count
        counted_ma = self.counted_ma(at, limit_ma)
        self.phase_count[at] = was_count
        return counted_ma

    def _not_in_base_ma(self, at: int, limit_ma: int) -> int:
        """Return what of a limit is counted as if it were in base, and is not: it is not drawn."""
        if at not in self.drawn_ma:
            return 0
        return max(0, min(limit_ma, self.in_base_ma[at]) - self.drawn_ma[at])

    def gives_ma(self, at: int, keeps_ma: int) -> int:
        """Return what a connector gives where it keeps `keeps_ma`, as it is counted."""
        limit_ma = self.limit_ma[at]
        if limit_ma <= keeps_ma:
            return 0
        if not self.takes_watts[at] and not self.in_base_ma[at]:  # Nearly always, told at once.
            return limit_ma - keeps_ma if keeps_ma else limit_ma + self.excess_ma[at]
        gives_ma = self.counted_ma(at, limit_ma) - self.counted_ma(at, keeps_ma)
        undrawn_ma = self._not_in_base_ma(at, limit_ma) - self._not_in_base_ma(at, keeps_ma)
        return gives_ma - undrawn_ma

    def claimed_more_ma(self, at: int, limit_ma: int) -> int:
        """Return what is claimed more of a row once a connector is told a limit."""
        before_ma, high_ma = self.limit_ma[at], self.high_ma[at]
        was_ma = max(self.counted_ma(at, before_ma), high_ma)
        if limit_ma > before_ma:
            high_ma = self.awake_ma[at]
        return max(self.counted_ma(at, limit_ma), high_ma) - was_ma

    def move(self, at: int, limit_ma: int) -> None:
        """Tell a connector another limit; a raise within what it is counted at costs nothing."""
        floor_ma = self.floor_ma[at]
        gives_otherwise = max(self.limit_ma[at], floor_ma) != max(limit_ma, floor_ma)
        before_ma, claimed_ma = self.limit_ma[at], self.claimed_more_ma(at, limit_ma)
        freed_ma = self.counted_ma(at, before_ma) - self.counted_ma(at, limit_ma)
        if at in self.drawn_ma and limit_ma < before_ma:
            freed_ma -= self._not_in_base_ma(at, before_ma) - self._not_in_base_ma(at, limit_ma)
        self.limit_ma[at] = limit_ma
        if limit_ma > before_ma:
            self.high_ma[at] = self.awake_ma[at]
        in_reserve_ma = self.starting_ma.get(at, _NOTHING_KEPT)
        for row in self.rows[at]:
            self.room_ma[row] += freed_ma
            self.proven_room_ma[row] -= claimed_ma
            if row in in_reserve_ma:
                kept_ma, told_ma = in_reserve_ma[row], self.counted_ma(at, limit_ma)
                of_before_ma = min(kept_ma, self.counted_ma(at, before_ma))
                self.proven_room_ma[row] += min(kept_ma, told_ma) - of_before_ma
            self.pausable_ma.pop(row, None)
            if gives_otherwise and row in self.spare_ma:
                del self.spare_ma[row]

    def set_floor(self, at: int, floor_ma: int) -> None:
        """Let a cut for others leave a connector so much."""
        self.floor_ma[at] = floor_ma
        for row in self.rows[at]:
            self.spare_ma.pop(row, None)

    def start_ma(self, at: int) -> int:
        """Return what one that has nothing needs for its minimum: an old limit may count again."""
        return max(self.counted_ma(at, MIN_CHARGING_MA), self.awake_ma[at] - self.high_ma[at])

    def lacking(self, at: int, least_ma: int) -> list[int]:
        """Return which of the rows that a connector loads have less room, the nearest first."""
        room_ma = self.room_ma
        return [row for row in self.rows[at] if room_ma[row] < least_ma]

    def keep_free(self, at: int, limit_ma: int) -> None:
        """Keep free what a connector lacks of a limit: nobody else is raised into it."""
        lacks_ma = self.counted_ma(at, limit_ma) - self.counted_ma(at, self.limit_ma[at])
        if not self.limit_ma[at]:
            lacks_ma = max(lacks_ma, self.start_ma(at))
        for row in self.rows[at]:
            self.room_ma[row] -= lacks_ma
            self.keep_proven(row, at, lacks_ma)

    def keep_proven(self, row: int, at: int, kept_ma: int) -> None:
        """Keep free for a connector what is proven free on a row."""
        self.proven_room_ma[row] -= kept_ma
        of_row = self.kept_ma.setdefault(row, {})
        of_row[at] = of_row.get(at, 0) + kept_ma

    def fits(self, at: int, limit_ma: int) -> bool:
        """Return whether every row the connector loads has room for it, claims counted high.

        Where it is counted at as much already, its own claim is room enough for what it is told:
        else one whose old limit counts, and does not fit, could never be told to show that it obeys.
        """
        more_ma, room_ma = self.claimed_more_ma(at, limit_ma), self.proven_room_ma
        if more_ma <= 0:
            more_ma = self.counted_ma(at, limit_ma) - self.high_ma[at]
        in_reserve_ma = self.starting_ma.get(at, _NOTHING_KEPT)
        for row in self.rows[at]:
            if room_ma[row] < more_ma and room_ma[row] < more_ma - in_reserve_ma.get(row, 0):
                return False
        return True

    def has_already_ma(self, at: int, row: int) -> int:
        """Return what is counted, or kept, of a row for one that is told nothing."""
        return self.starting_ma[at][row] if at in self.starting_ma else self.high_ma[at]

    def comes_first(self, at: int) -> bool:
        """Return whether the minimum of others gives way to what the connector is to have."""
        return self.rank[at][0] == CRITICAL or at in self.guaranteed

    def may_be_paused(self, at: int) -> bool:
        """Return whether a connector has something, and gives way even with its minimum."""
        return self.limit_ma[at] > 0 and not self.comes_first(at)

    def may_gain(self, row: int, need_ma: int) -> bool:
        """Return whether a row would gain what is needed, were all paused who can be."""
        gained_ma, is_all = self.pausable_ma.get(row, (0, False))
        if gained_ma >= need_ma or is_all:
            return gained_ma >= need_ma
        gained_ma = 0
        for at in self.movable[row]:
            if gained_ma >= need_ma:
                break  # Nearly always, and told by the first few.
            if self.may_be_paused(at):
                gained_ma += self.gives_ma(at, 0)
        else:
            is_all = True
        self.pausable_ma[row] = gained_ma, is_all
        return gained_ma >= need_ma

    def last_served(self, row: int) -> list[int]:
        """Return who on a row can be paused for those that come first, in order.

        The least important first, and among equals the longest served.
        """
        served = [at for at in self.movable[row] if self.may_be_paused(at)]
        return sorted(served, key=self._turn, reverse=True)

    def _turn(self, at: int) -> tuple[Rank, float, int]:
        return self.rank[at], -self.started_at_s[at], at
