"""Recorded sessions charged again under a limit, by the policy one likes: what it would have given.

Time goes in slots; a policy sees who is there and what they say of departure and energy, and
nothing of who is to come. What a vehicle really takes, and when it really leaves, is recorded.

`headroom` plans as the daemon does: the greedy plan, and a better one where that does not serve
everybody; `greedy` is the first of the two alone. By what was only stated both have learnt, of those
who left before, how long who is overdue stays on. What nobody needs goes, with every policy, to who
has all it stated and still draws.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import ceil

from gateway.planning.calibrate import KEPT_RATIO
from gateway.planning.greedy import greedy
from gateway.planning.grid import HOUR_S, Grid, even_grid
from gateway.planning.improve import plan
from gateway.planning.linear import solve
from gateway.planning.problem import Demand, Plan, Problem, Rectangle, serves_everyone
from gateway.planning.sessions import SessionBook, learn, stays_on_s

SLOT_S = 300.0
VOLTAGE_V = 208.0
STAYS_ON_LEVEL = 0.9  # Nine in ten of those who are overdue stay on as long as is taken.
LAST_RANK = 3
SHORT_STAY_H, HALF_DAY_H = 2.0, 5.0
NOTHING_WH = 0.5
FINE_MA = 10
"""As good as any power, which is what policies of the literature give."""


class Policy(StrEnum):
    """How a limit is shared."""

    FCFS = "fcfs"
    RR = "rr"
    EDF = "edf"
    LLF = "llf"
    GREEDY = "greedy"
    HEADROOM = "headroom"


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Which currents a vehicle can be given: none, or from the least on whole steps."""

    min_ma: int = FINE_MA
    step_ma: int = FINE_MA

    def down_ma(self, current_ma: int) -> int:
        """Return the highest of them that is not above a current."""
        return current_ma // self.step_ma * self.step_ma if current_ma >= self.min_ma else 0


ANY_POWER = Steps()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedSession:
    """A session as it was, s since a common instant, and what its driver said of it."""

    arrive_s: float
    depart_s: float
    energy_wh: float
    stated_depart_s: float
    stated_energy_wh: float
    max_w: float

    @property
    def max_ma(self) -> int:
        """Return the most it takes."""
        return most_ma(self.max_w)

    @property
    def user_class(self) -> str:
        """Return a class by the length of the stay that is stated: vehicles are not known here."""
        stays_h = (self.stated_depart_s - self.arrive_s) / HOUR_S
        if stays_h < SHORT_STAY_H:
            return "short"
        return "half a day" if stays_h < HALF_DAY_H else "day"

    @property
    def is_stated(self) -> bool:
        """Return whether its driver said anything: else its own end stands there, or nothing."""
        is_said = self.stated_depart_s not in (self.depart_s, self.arrive_s)
        return is_said and self.stated_energy_wh > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a policy gave: the energy of each session, and the highest power.

    `powers_w` are the beginnings of slots in which power was given, s, and what was given then;
    `plans_s` how long each decision took, by the clock that was handed in. `currents_ma` are those
    that anybody was given. `promised` are the sessions that were promised all they wanted when they
    came.
    """

    delivered_wh: tuple[float, ...]
    peak_w: float
    plan_count: int
    powers_w: tuple[tuple[float, float], ...] = ()
    plans_s: tuple[float, ...] = ()
    currents_ma: frozenset[int] = frozenset()
    promised: frozenset[int] = frozenset()

    @property
    def energy_wh(self) -> float:
        """Return the energy of all sessions."""
        return sum(self.delivered_wh)

    def kept_count(self, sessions: Sequence[RecordedSession]) -> int:
        """Return how many of the promised got at least 98 % of what they wanted (design §4)."""
        return sum(
            self.delivered_wh[at] >= KEPT_RATIO * sessions[at].energy_wh for at in self.promised
        )


@dataclass(slots=True)
class _Present:
    """A session while its vehicle is there, as the policy sees it."""

    at: int
    session: RecordedSession
    departs_s: float
    wants_wh: float
    delivered_wh: float = 0.0
    is_full: bool = False
    is_promised: bool = False
    envelope_ma: Sequence[int] = ()
    """What is kept for a promise, slot by slot from the one that is planned."""

    @property
    def lacks(self) -> bool:
        """Return whether it was not yet given what it wants."""
        return self.delivered_wh < self.wants_wh - NOTHING_WH

    def offer_ma(self, most_ma: int, steps: Steps) -> int:
        """Return the current it gets of so much: what it still needs, as its steps allow."""
        left_wh = self.wants_wh - self.delivered_wh
        if left_wh <= 0:
            return 0
        needs_ma = ceil(left_wh / _slot_wh(steps.step_ma)) * steps.step_ma
        return steps.down_ma(min(most_ma, self.session.max_ma, max(steps.min_ma, needs_ma)))

    def take(self, current_ma: int) -> float:
        """Charge for a slot and return what it takes, Wh; when that is less, it is full and shows it."""
        given_wh = _slot_wh(current_ma)
        takes_wh = min(given_wh, self.session.energy_wh - self.delivered_wh)
        self.delivered_wh += takes_wh
        if takes_wh < given_wh:
            self.wants_wh = self.delivered_wh
            self.is_full = True
        return takes_wh

    def laxity_s(self, now_s: float) -> float:
        """Return how long it could wait and have what is wanted by its departure."""
        left_wh = max(0.0, self.wants_wh - self.delivered_wh)
        return self.departs_s - now_s - left_wh / self.session.max_w * HOUR_S


@dataclass(frozen=True, slots=True, kw_only=True)
class _Supply:
    """What all may have together, and in which steps each can be given of it."""

    limit_ma: int
    steps: Steps


def most_ma(power_w: float) -> int:
    """Return the most current a power allows."""
    return int(power_w / VOLTAGE_V * 1_000)


def _slot_wh(current_ma: int) -> float:
    return current_ma * VOLTAGE_V / 1_000 * SLOT_S / HOUR_S


def replay(
    sessions: Sequence[RecordedSession],
    *,
    limit_w: float,
    policy: Policy,
    steps: Steps = ANY_POWER,
    is_stated: bool = False,
    is_promising: bool = False,
    clock_s: Callable[[], float] = lambda: 0.0,
) -> Result:
    """Return what a policy gives under a limit on the power of all.

    With `is_stated` it goes by what drivers said; one that stays longer than it said goes on
    charging, as if it were about to leave. With `is_promising` `headroom` promises each who comes
    all it wants if that fits beside what is promised already, and then keeps it. `steps` are what
    every policy can give, whatever it is.
    """
    is_promising = is_promising and policy is Policy.HEADROOM and not is_stated
    supply = _Supply(limit_ma=most_ma(limit_w), steps=steps)
    learnt = _ByStatements(PLANNERS[policy]) if is_stated and policy in PLANNERS else None
    share = SHARES[policy] if learnt is None else learnt.share
    if is_stated and learnt is None:
        share = _and_the_rest(share)
    delivered_wh = [0.0] * len(sessions)
    order = sorted(range(len(sessions)), key=lambda at: sessions[at].arrive_s)
    present: list[_Present] = []
    peak_w, coming = 0.0, 0
    powers: list[tuple[float, float]] = []
    plans_s: list[float] = []
    given_ma, promised = set[int](), set[int]()
    slot = int(sessions[order[0]].arrive_s // SLOT_S) if order else 0
    while coming < len(order) or present:
        now_s = slot * SLOT_S
        if not present and coming < len(order):
            slot = max(slot, int(-(-sessions[order[coming]].arrive_s // SLOT_S)))
            now_s = slot * SLOT_S
        while coming < len(order) and sessions[order[coming]].arrive_s <= now_s:
            one = _arrived(order[coming], sessions[order[coming]], is_stated=is_stated)
            if is_promising and _can_promise([*present, one], now_s, supply):
                one.is_promised = True
                promised.add(one.at)
            present.append(one)
            coming += 1
        if learnt is not None:
            learnt.see_off([p for p in present if p.session.depart_s < now_s + SLOT_S])
        present = [p for p in present if p.session.depart_s >= now_s + SLOT_S]
        hungry = [p for p in present if (not p.is_full if is_stated else p.lacks)]
        if hungry:
            began_s = clock_s()
            currents_ma = share(hungry, now_s, supply)
            plans_s.append(clock_s() - began_s)
            given_ma.update(currents_ma)
            peak_w = max(peak_w, sum(currents_ma) * VOLTAGE_V / 1_000)
            takes_wh = [
                one.take(current_ma) for one, current_ma in zip(hungry, currents_ma, strict=True)
            ]
            for one in hungry:
                delivered_wh[one.at] = one.delivered_wh
            powers.append((now_s, sum(takes_wh) * HOUR_S / SLOT_S))
        slot += 1
    return Result(
        delivered_wh=tuple(delivered_wh),
        peak_w=peak_w,
        plan_count=len(plans_s),
        powers_w=tuple(powers),
        plans_s=tuple(plans_s),
        currents_ma=frozenset(given_ma - {0}),
        promised=frozenset(promised),
    )


def _can_promise(there: list[_Present], now_s: float, supply: _Supply) -> bool:
    """Return whether the last who came can have all it wants, and the others what was promised."""
    promised = [one for one in there[:-1] if one.is_promised and one.wants_wh > one.delivered_wh]
    new = there[-1]
    if new.session.depart_s < now_s + SLOT_S:
        return False
    problem = _problem_of([*promised, new], now_s, supply)
    # Who came before does not go first in this: all of them are served, or the last is not promised.
    alike = tuple(replace(d, promised_wh=0.0, committed=()) for d in problem.demands)
    problem = replace(problem, demands=alike)
    planned = greedy(problem)
    if not serves_everyone(problem, planned):
        return False
    for one, of_slots in zip((*promised, new), planned.current_ma, strict=True):
        one.envelope_ma = of_slots
    return True


def _arrived(at: int, session: RecordedSession, *, is_stated: bool) -> _Present:
    if is_stated:
        return _Present(at, session, session.stated_depart_s, session.stated_energy_wh)
    return _Present(at, session, session.depart_s, session.energy_wh)


Share = Callable[[list[_Present], float, _Supply], list[int]]
"""Return the current of each who is there, at an instant, of what all may have."""


def _in_turn(order: Callable[[_Present, float], float]) -> Share:
    """Return a simple policy: one after the other gets what it needs, the lowest of `order` first."""

    def share(present: list[_Present], now_s: float, supply: _Supply) -> list[int]:
        left_ma, currents_ma = supply.limit_ma, [0] * len(present)
        for at in sorted(range(len(present)), key=lambda at: order(present[at], now_s)):
            currents_ma[at] = present[at].offer_ma(left_ma, supply.steps)
            left_ma -= currents_ma[at]
        return currents_ma

    return share


def _and_the_rest(simple: Share) -> Share:
    """Return a simple policy that gives what nobody needs to who takes it, least laxity first."""

    def share(present: list[_Present], now_s: float, supply: _Supply) -> list[int]:
        currents_ma = simple(present, now_s, supply)
        left_ma = supply.limit_ma - sum(currents_ma)
        for at in sorted(range(len(present)), key=lambda at: present[at].laxity_s(now_s)):
            most_ma = min(currents_ma[at] + left_ma, present[at].session.max_ma)
            left_ma += currents_ma[at]
            currents_ma[at] = supply.steps.down_ma(most_ma)
            left_ma -= currents_ma[at]
        return currents_ma

    return share


def _alike(present: list[_Present], _now_s: float, supply: _Supply) -> list[int]:
    """Return the same for all, at most what each needs; where the least is too much, to who came first."""
    left_ma, currents_ma = supply.limit_ma, [0] * len(present)
    came = sorted(range(len(present)), key=lambda at: present[at].session.arrive_s)
    served = came[: left_ma // supply.steps.min_ma]
    needs_ma = {at: present[at].offer_ma(left_ma, supply.steps) for at in served}
    in_order = sorted(served, key=lambda at: needs_ma[at])
    for count, at in enumerate(in_order):
        currents_ma[at] = present[at].offer_ma(left_ma // (len(in_order) - count), supply.steps)
        left_ma -= currents_ma[at]
    return currents_ma


def _planned(planner: Callable[[Problem], Plan]) -> Share:
    """Return what the first slot of a plan for those who are there gives them.

    The greedy plan keeps what is kept for promises, so the plan taken keeps each of them; it
    becomes what is kept for the next.
    """

    def share(present: list[_Present], now_s: float, supply: _Supply) -> list[int]:
        planned = planner(_problem_of(present, now_s, supply))
        for one, of_slots in zip(present, planned.current_ma, strict=True):
            one.envelope_ma = of_slots[1:] if one.is_promised else ()
        return [of_slots[0] for of_slots in planned.current_ma]

    return share


PLANNERS: dict[Policy, Callable[[Problem], Plan]] = {
    Policy.GREEDY: greedy,
    Policy.HEADROOM: plan,
}
SHARES: dict[Policy, Share] = {
    Policy.FCFS: _in_turn(lambda one, _: one.session.arrive_s),
    Policy.RR: _alike,
    Policy.EDF: _in_turn(lambda one, _: one.departs_s),
    Policy.LLF: _in_turn(_Present.laxity_s),
    **{policy: _planned(planner) for policy, planner in PLANNERS.items()},
}


class _ByStatements:
    """A plan by what was stated, and what is learnt of those who have left."""

    def __init__(self, planner: Callable[[Problem], Plan]) -> None:
        self._planner = planner
        self._book = SessionBook()

    def see_off(self, leaving: list[_Present]) -> None:
        """Learn of vehicles that leave now how that differs from what they said."""
        for one in leaving:
            session = one.session
            if session.is_stated:
                self._book = learn(
                    self._book,
                    session.user_class,
                    departs_s=session.depart_s - session.stated_depart_s,
                    takes_ratio=one.delivered_wh / session.stated_energy_wh,
                )

    def share(self, present: list[_Present], now_s: float, supply: _Supply) -> list[int]:
        """Return what the first slot of a plan gives those who are there."""
        most_ma = [supply.steps.down_ma(one.session.max_ma) for one in present]
        if sum(most_ma) <= supply.limit_ma:
            return most_ma
        for one in present:
            overdue_s = now_s - one.session.stated_depart_s
            if overdue_s >= 0:
                stays_s = stays_on_s(
                    self._book, one.session.user_class, overdue_s, STAYS_ON_LEVEL
                ).value
                one.departs_s = max(one.session.stated_depart_s, now_s + stays_s)
        problem = _problem_of(present, now_s, supply)
        demands = tuple(map(_beyond_words, problem.demands))
        planned = self._planner(replace(problem, demands=demands))
        return [of_slots[0] for of_slots in planned.current_ma]


def _beyond_words(demand: Demand) -> Demand:
    """Return what nobody else needs for who has all it stated, and still draws."""
    if demand.energy_wh is None or demand.energy_wh > NOTHING_WH:
        return demand
    return replace(demand, energy_wh=None, rank=LAST_RANK)


def _problem_of(present: list[_Present], now_s: float, supply: _Supply) -> Problem:
    # One that is there beyond its stated departure may leave any minute.
    departs_s = [max(one.departs_s - now_s, SLOT_S) for one in present]
    grid = even_grid(max(1, int(max(departs_s) // SLOT_S)), SLOT_S)
    demands = tuple(
        _demand_of(one, leaves_s // SLOT_S * SLOT_S, supply.steps)
        for one, leaves_s in zip(present, departs_s, strict=True)
    )
    available_ma = ((supply.limit_ma,) * grid.slot_count,)
    return Problem(grid=grid, available_ma=available_ma, demands=demands)


def _demand_of(one: _Present, leaves_in_s: float, steps: Steps) -> Demand:
    return Demand(
        key=str(one.at),
        place=str(one.at),
        rows=(0,),
        phase_count=1,
        voltage_v=VOLTAGE_V,
        earliest_s=0.0,
        latest_s=leaves_in_s,
        energy_wh=one.wants_wh - one.delivered_wh,
        promised_wh=one.wants_wh - one.delivered_wh if one.is_promised else 0.0,
        committed=tuple(
            Rectangle(from_s=at * SLOT_S, until_s=(at + 1) * SLOT_S, current_ma=current_ma)
            for at, current_ma in enumerate(one.envelope_ma)
            if current_ma
        ),
        max_ma=one.session.max_ma,
        min_ma=steps.min_ma,
        step_ma=steps.step_ma,
    )


def offline_optimum_wh(sessions: Sequence[RecordedSession], *, limit_w: float) -> float:
    """Return the most energy any plan could have given, all arrivals known from the start.

    Days that share no vehicle are solved one by one.
    """
    total_wh = 0.0
    for group in _apart(sessions):
        begins_s = min(s.arrive_s for s in group) // SLOT_S * SLOT_S
        ends_s = max(s.depart_s for s in group)
        grid: Grid = even_grid(int((ends_s - begins_s) // SLOT_S) + 1, SLOT_S)
        demands = tuple(
            Demand(
                key=str(at),
                place=str(at),
                rows=(0,),
                phase_count=1,
                voltage_v=VOLTAGE_V,
                earliest_s=session.arrive_s - begins_s,
                latest_s=session.depart_s - begins_s,
                energy_wh=session.energy_wh,
                max_ma=session.max_ma,
            )
            for at, session in enumerate(group)
        )
        available_ma = ((most_ma(limit_w),) * grid.slot_count,)
        problem = Problem(grid=grid, available_ma=available_ma, demands=demands)
        rates = solve(problem, time_limit_s=600.0, interval_count=grid.slot_count)
        if rates is None:
            message = "the offline optimum was not found in ten minutes"
            raise ArithmeticError(message)
        total_wh += rates.bound_wh
    return total_wh


def _apart(sessions: Sequence[RecordedSession]) -> list[list[RecordedSession]]:
    """Return the sessions in groups between which nobody was there."""
    groups: list[list[RecordedSession]] = []
    until_s = float("-inf")
    for session in sorted(sessions, key=lambda s: s.arrive_s):
        if session.arrive_s >= until_s:
            groups.append([])
        groups[-1].append(session)
        until_s = max(until_s, session.depart_s)
    return groups
