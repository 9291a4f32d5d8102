"""Recorded sessions charged again under a limit, by the policy one likes: what it would have given.

Time goes in slots; a policy sees who is there and what they say of departure and energy, and
nothing of who is to come. What a vehicle really takes, and when it really leaves, is recorded.

By what was only stated, `headroom` goes by the greedy plan: what a program gains is less than what
its trust in statements costs it. It has learnt, of those who left before, how long who is overdue
stays on, and what nobody needs goes to who has all it stated and still draws.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from gateway.planning.calibrate import KEPT_RATIO
from gateway.planning.greedy import greedy
from gateway.planning.grid import Grid, even_grid
from gateway.planning.improve import plan
from gateway.planning.linear import solve
from gateway.planning.problem import Demand, Problem, Rectangle, serves_everyone
from gateway.planning.sessions import SessionBook, learn, stays_on_s

SLOT_S = 300.0
VOLTAGE_V = 208.0
STAYS_ON_LEVEL = 0.9  # Nine in ten of those who are overdue stay on as long as is taken.
LAST_RANK = 3
SHORT_STAY_H, HALF_DAY_H = 2.0, 5.0
NOTHING_WH = 0.5
STEP_MA = 10  # Policies of the literature give any power: steps are left out of the comparison.


class Policy(StrEnum):
    """How a limit is shared."""

    FCFS = "fcfs"
    RR = "rr"
    EDF = "edf"
    LLF = "llf"
    HEADROOM = "headroom"


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
    def user_class(self) -> str:
        """Return a class by the length of the stay that is stated: vehicles are not known here."""
        stays_h = (self.stated_depart_s - self.arrive_s) / 3_600.0
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
    `plans_s` how long each decision took, by the clock that was handed in. `promised` are the
    sessions that were promised all they wanted when they came.
    """

    delivered_wh: tuple[float, ...]
    peak_w: float
    plan_count: int
    powers_w: tuple[tuple[float, float], ...] = ()
    plans_s: tuple[float, ...] = ()
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

    def needs_w(self) -> float:
        """Return the power that would give the rest of what is wanted in a slot, at most its own."""
        left_wh = max(0.0, self.wants_wh - self.delivered_wh)
        return min(self.session.max_w, left_wh * 3_600.0 / SLOT_S)

    def laxity_s(self, now_s: float) -> float:
        """Return how long it could wait and have what is wanted by its departure."""
        left_wh = max(0.0, self.wants_wh - self.delivered_wh)
        return self.departs_s - now_s - left_wh / self.session.max_w * 3_600.0


def replay(
    sessions: Sequence[RecordedSession],
    *,
    limit_w: float,
    policy: Policy,
    is_stated: bool = False,
    is_promising: bool = False,
    clock_s: Callable[[], float] = lambda: 0.0,
) -> Result:
    """Return what a policy gives under a limit on the power of all.

    With `is_stated` it goes by what drivers said; one that stays longer than it said goes on
    charging, as if it were about to leave. With `is_promising` `headroom` promises each who comes
    all it wants if that fits beside what is promised already, and then keeps it.
    """
    is_promising = is_promising and policy is Policy.HEADROOM and not is_stated
    share = _headroom if policy is Policy.HEADROOM else _in_turn(policy)
    learnt = _ByStatements() if policy is Policy.HEADROOM and is_stated else None
    delivered_wh = [0.0] * len(sessions)
    order = sorted(range(len(sessions)), key=lambda at: sessions[at].arrive_s)
    present: list[_Present] = []
    peak_w, coming = 0.0, 0
    powers: list[tuple[float, float]] = []
    plans_s: list[float] = []
    promised: set[int] = set()
    slot = int(sessions[order[0]].arrive_s // SLOT_S) if order else 0
    while coming < len(order) or present:
        now_s = slot * SLOT_S
        if not present and coming < len(order):
            slot = max(slot, int(-(-sessions[order[coming]].arrive_s // SLOT_S)))
            now_s = slot * SLOT_S
        while coming < len(order) and sessions[order[coming]].arrive_s <= now_s:
            one = _arrived(order[coming], sessions[order[coming]], is_stated=is_stated)
            if is_promising and _can_promise([*present, one], now_s, limit_w):
                one.is_promised = True
                promised.add(one.at)
            present.append(one)
            coming += 1
        if learnt is not None:
            learnt.see_off([p for p in present if p.session.depart_s < now_s + SLOT_S])
        present = [p for p in present if p.session.depart_s >= now_s + SLOT_S]
        hungry = [p for p in present if p.delivered_wh < p.wants_wh - NOTHING_WH]
        if learnt is not None:
            hungry = [p for p in present if not p.is_full]
        if hungry:
            began_s = clock_s()
            powers_w = (learnt.share if learnt else share)(hungry, now_s, limit_w)
            plans_s.append(clock_s() - began_s)
            peak_w = max(peak_w, sum(powers_w))
            given_w = 0.0
            for one, power_w in zip(hungry, powers_w, strict=True):
                takes_wh = min(power_w * SLOT_S / 3_600.0, one.session.energy_wh - one.delivered_wh)
                one.delivered_wh += takes_wh
                delivered_wh[one.at] = one.delivered_wh
                given_w += takes_wh * 3_600.0 / SLOT_S
                if takes_wh < power_w * SLOT_S / 3_600.0:
                    one.wants_wh = one.delivered_wh  # It is full, and shows it.
                    one.is_full = True
            powers.append((now_s, given_w))
        slot += 1
    return Result(
        delivered_wh=tuple(delivered_wh),
        peak_w=peak_w,
        plan_count=len(plans_s),
        powers_w=tuple(powers),
        plans_s=tuple(plans_s),
        promised=frozenset(promised),
    )


def _can_promise(there: list[_Present], now_s: float, limit_w: float) -> bool:
    """Return whether the last who came can have all it wants, and the others what was promised."""
    promised = [one for one in there[:-1] if one.is_promised and one.wants_wh > one.delivered_wh]
    new = there[-1]
    if new.session.depart_s < now_s + SLOT_S:
        return False
    problem = _problem_of([*promised, new], now_s, limit_w)
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


Share = Callable[[list[_Present], float, float], list[float]]


def _in_turn(policy: Policy) -> Share:
    """Return one of the simple policies: each in turn gets what it needs, or all alike."""
    orders: dict[Policy, Callable[[_Present, float], float]] = {
        Policy.FCFS: lambda one, _: one.session.arrive_s,
        Policy.EDF: lambda one, _: one.departs_s,
        Policy.LLF: lambda one, now_s: one.laxity_s(now_s),
    }
    if policy is Policy.RR:
        return _alike
    order = orders[policy]

    def share(present: list[_Present], now_s: float, limit_w: float) -> list[float]:
        left_w, powers_w = limit_w, [0.0] * len(present)
        for at in sorted(range(len(present)), key=lambda at: order(present[at], now_s)):
            powers_w[at] = min(left_w, present[at].needs_w())
            left_w -= powers_w[at]
        return powers_w

    return share


def _alike(present: list[_Present], _now_s: float, limit_w: float) -> list[float]:
    left_w, powers_w = limit_w, [0.0] * len(present)
    in_order = sorted(range(len(present)), key=lambda at: present[at].needs_w())
    for count, at in enumerate(in_order):
        powers_w[at] = min(present[at].needs_w(), left_w / (len(in_order) - count))
        left_w -= powers_w[at]
    return powers_w


def _headroom(present: list[_Present], now_s: float, limit_w: float) -> list[float]:
    """Return what the first slot of a plan for those who are there gives them.

    The greedy plan keeps what is kept for promises, so the plan taken keeps each of them; it
    becomes what is kept for the next.
    """
    problem = _problem_of(present, now_s, limit_w)
    planned = plan(problem)
    for one, of_slots in zip(present, planned.current_ma, strict=True):
        one.envelope_ma = of_slots[1:] if one.is_promised else ()
    to_w = VOLTAGE_V / 1_000
    return [of_slots[0] * to_w for of_slots in planned.current_ma]


class _ByStatements:
    """The plan by what was stated, and what is learnt of those who have left."""

    def __init__(self) -> None:
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

    def share(self, present: list[_Present], now_s: float, limit_w: float) -> list[float]:
        """Return what the first slot of the greedy plan gives those who are there."""
        if sum(one.session.max_w for one in present) <= limit_w:
            return [one.session.max_w for one in present]
        for one in present:
            overdue_s = now_s - one.session.stated_depart_s
            if overdue_s >= 0:
                stays_s = stays_on_s(
                    self._book, one.session.user_class, overdue_s, STAYS_ON_LEVEL
                ).value
                one.departs_s = max(one.session.stated_depart_s, now_s + stays_s)
        # What comes later decides nothing by the greedy plan: one slot of it is enough.
        demands = tuple(self._demand(one, now_s) for one in present)
        limit_ma = int(limit_w / VOLTAGE_V * 1_000)
        problem = Problem(grid=even_grid(1, SLOT_S), available_ma=((limit_ma,),), demands=demands)
        return [current_ma * VOLTAGE_V / 1_000 for (current_ma,) in greedy(problem).current_ma]

    def _demand(self, one: _Present, now_s: float) -> Demand:
        wants_wh = one.wants_wh - one.delivered_wh
        demand = _demand_of(one, max(one.departs_s - now_s, SLOT_S))
        if wants_wh > NOTHING_WH:
            return demand
        return replace(demand, energy_wh=None, rank=LAST_RANK)


def _problem_of(present: list[_Present], now_s: float, limit_w: float) -> Problem:
    # One that is there beyond its stated departure may leave any minute.
    departs_s = [max(one.departs_s - now_s, SLOT_S) for one in present]
    grid = even_grid(max(1, int(max(departs_s) // SLOT_S)), SLOT_S)
    limit_ma = int(limit_w / VOLTAGE_V * 1_000)
    demands = tuple(
        _demand_of(one, leaves_s // SLOT_S * SLOT_S)
        for one, leaves_s in zip(present, departs_s, strict=True)
    )
    return Problem(grid=grid, available_ma=((limit_ma,) * grid.slot_count,), demands=demands)


def _demand_of(one: _Present, leaves_in_s: float) -> Demand:
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
        max_ma=int(one.session.max_w / VOLTAGE_V * 1_000),
        min_ma=STEP_MA,
        step_ma=STEP_MA,
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
                max_ma=int(session.max_w / VOLTAGE_V * 1_000),
            )
            for at, session in enumerate(group)
        )
        limit_ma = int(limit_w / VOLTAGE_V * 1_000)
        problem = Problem(grid=grid, available_ma=((limit_ma,) * grid.slot_count,), demands=demands)
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
