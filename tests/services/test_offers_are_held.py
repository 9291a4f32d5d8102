"""Whatever is offered is offered once, and can be held if it is asked for at once, as surely as was said."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from random import Random

import numpy as np
import pytest

from gateway.control.parameters import ControlParameters
from gateway.control.wiring import Wiring
from gateway.domain.acceptance import NOT_KNOWN, Acceptance
from gateway.domain.access import Access, Role
from gateway.domain.events import TransactionStarted
from gateway.domain.ids import ConnectorRef, StationId, TransactionId
from gateway.domain.limits import Constraint
from gateway.domain.needs import Criticality, Need, StateOfCharge
from gateway.planning.asking import AskError, Vehicles
from gateway.planning.demands import Visit, demands_of
from gateway.planning.greedy import greedy
from gateway.planning.grid import Grid, grid_of
from gateway.planning.problem import Problem
from gateway.planning.quote import Verdict
from gateway.planning.rearranging import Rearranged, Rearranging, rearrange
from gateway.planning.standing_plan import Origin, StandingPlan
from gateway.services.booking import Booking
from gateway.services.feed import Feed
from gateway.services.promisable import Prospect
from tests.support.small_site import CARPARK, small_site
from tests.support.virtual_time import VirtualClock, run_virtual

VANS = Access(name="vans", role=Role.VEHICLE_OPERATOR)
DRONES = Access(name="drones", role=Role.VEHICLE_OPERATOR, criticality=Criticality.CRITICAL)
TAPERS = Acceptance(max_ma=25_000, taper=((8_000.0, 14_000), (4_000.0, 8_000)), battery_wh=50_000)
HALF_HOURS = 96
FULL_W = 22_080


class Rough:
    """A building that leaves another current each half hour, and none knows it well."""

    def __init__(self, seed: int, left_ma: tuple[int, int], off_ma: int) -> None:
        rng = np.random.default_rng(seed)
        self._left_ma = rng.integers(*left_ma, size=HALF_HOURS)
        self._off_ma = rng.integers(-off_ma, off_ma, size=(40, HALF_HOURS)) if off_ma else None

    def prospect(
        self, grid: Grid, *, from_at_s: float, constraints: Iterable[Constraint]
    ) -> Prospect:
        del from_at_s, constraints
        at = np.minimum(HALF_HOURS - 1, np.array(grid.edges_s[:-1]) // 1_800).astype(int)
        available_ma = np.repeat(self._left_ma[at][np.newaxis], 3, axis=0)
        if self._off_ma is None:
            return Prospect(available_ma=available_ma)
        of_row_ma = self._off_ma[:, at]
        return Prospect(available_ma=available_ma, base_paths_ma=dict.fromkeys(range(3), of_row_ma))

    def edges_s(self, since_at_s: float, until_at_s: float) -> list[float]:
        del since_at_s, until_at_s
        return []


async def think_over(question: Rearranging) -> Rearranged | None:
    return rearrange(question)


def booking(clock: VirtualClock, rng: Random, prospects: Rough) -> Booking:
    """Return a book of four connectors, at some of which somebody charges without a promise."""
    made = Booking(
        Wiring.of(small_site(4)),
        ControlParameters(),
        clock=clock,
        feed=Feed(clock),
        prospects=prospects,
        think_over=think_over,
        vehicles=Vehicles(acceptance=lambda token: TAPERS if token else NOT_KNOWN),
    )
    now_s, grid = clock.now_at().timestamp(), grid_of()
    visits = tuple(
        Visit(
            place=f"CP-0{number}/1",
            since_at_s=now_s,
            leaves_at_s=now_s + rng.randint(600, 20_000),
            wants_wh=rng.uniform(500, 40_000),
            rank=rng.choice([2, 3]),
        )
        for number in range(1, rng.randint(1, 4))
    )
    for number in range(1, len(visits) + 1):
        if rng.random() < 0.5:
            made.hear(
                TransactionStarted(
                    at_s=clock.monotonic_s(),
                    connector=ConnectorRef(StationId(f"CP-0{number}"), 1),
                    transaction=TransactionId("1"),
                    id_token=None,
                )
            )
    problem = Problem(
        grid=grid,
        available_ma=((40_000,) * grid.slot_count,) * 3,
        demands=demands_of(visits, (), made.places, grid, now_s=now_s),
    )
    standing = StandingPlan(
        origin=Origin.GREEDY,
        from_at_s=now_s,
        problem=problem,
        plan=greedy(problem),
        promises={},
        short_wh={},
    )
    made.go_by(lambda: standing)
    return made


def any_need(clock: VirtualClock, rng: Random) -> Need:
    """Return whatever somebody may ask, windows of half a minute too."""
    now_at = clock.now_at()
    arrive_at = now_at + timedelta(seconds=rng.choice([0, rng.randint(0, 36_000), 3_600]))
    stays_s = rng.choice([30, rng.randint(20, 900), rng.randint(900, 30_000), 7_200])
    energy_wh = rng.choice([None, rng.randint(1, 60_000), int(stays_s / 3_600 * FULL_W * 0.8) + 1])
    depart_at = arrive_at + timedelta(seconds=stays_s) if rng.random() < 0.8 else None
    place = rng.choice(["circuit", "any", *["connector"] * 3])
    if place == "circuit" and energy_wh is not None:
        return Need(arrive_at=arrive_at, depart_at=depart_at, energy_wh=energy_wh, circuit=CARPARK)
    need = Need(
        arrive_at=arrive_at,
        depart_at=depart_at,
        energy_wh=energy_wh,
        min_energy_wh=rng.choice([0, min(energy_wh or 3_000, 3_000)]),
        arrive_slack_s=rng.choice([0, 0, 10, 600]),
        depart_slack_s=0.0 if depart_at is None else rng.choice([0, 0, 10, 600]),
        criticality=rng.choice(list(Criticality)),
        max_power_w=rng.choice([None, None, 11_000]),
        phase_count=rng.choice([None, None, 1]),
        confidence_ratio=rng.choice([None, 0.5, 0.8, 0.95]),
    )
    if place == "connector":
        number = rng.randint(1, 4)
        need = replace(need, connector=ConnectorRef(StationId(f"CP-0{number}"), 1))
    if rng.random() < 0.3:
        now_pct = rng.uniform(5, 80)
        soc = StateOfCharge(
            now_pct=now_pct, target_pct=rng.uniform(now_pct, 100), battery_wh=50_000
        )
        need = replace(need, energy_wh=None, soc=soc, id_token="tapers")
    return need


async def holds_all_that_is_offered(made: Booking, need: Need) -> str | None:
    """Hold each offer of a quote in turn, as if no other had been; return the first one's id.

    None if nothing is offered.
    """
    try:
        answer = await made.quote_thoroughly(need, DRONES)
    except AskError:
        return None
    said = [
        (o.outlet.key, o.floor[0].from_at_s, o.profile, round(o.offer.energy_wh))
        for o in answer.offers
    ]
    assert len(set(said)) == len(said)
    if answer.verdict is Verdict.YES:
        best = answer.offers[0]
        assert best.offer.energy_wh >= (need.wanted_wh or need.min_energy_wh)
        assert need.depart_at is None or best.finish_at_s < need.depart_at.timestamp() + 0.01
    before = made.book
    for offer in answer.offers:
        held = await made.hold(offer.id, DRONES)
        assert held.energy_wh == int(offer.guaranteed_wh)
        assert held.confidence_ratio == offer.offer.confidence_ratio
        made._keeper.book = before
    return answer.offers[0].id if answer.offers else None


@pytest.mark.parametrize("seed", [*range(20), 121])
def test_every_offer_can_be_held_at_once(seed: int) -> None:
    async def test() -> None:
        clock, rng = VirtualClock(), Random(seed)
        await clock.sleep_s(rng.choice([0, 17, 1_234]))
        off_ma = rng.choice([0, 15_000, 15_000])
        made = booking(clock, rng, Rough(seed, (10_000, 90_000), off_ma))
        for _ in range(10):
            best = await holds_all_that_is_offered(made, any_need(clock, rng))
            if best is not None and rng.random() < 0.6:
                await made.confirm((await made.hold(best, DRONES)).id, DRONES)

    run_virtual(test())


@pytest.mark.parametrize("seed", [*range(20), 63, 73, 80, 127, 310])
def test_what_moves_promises_in_time_can_be_held_at_once(seed: int) -> None:
    async def test() -> None:
        clock, rng = VirtualClock(), Random(seed)
        await clock.sleep_s(rng.choice([0, 17, 1_234]))
        made = booking(clock, rng, Rough(seed, (36_000, 64_000), rng.choice([0, 6_000])))

        def need(number: int, stays_s: int, full_ratio: float) -> Need:
            arrive_at = clock.now_at() + timedelta(
                seconds=rng.choice([0, 3_600, rng.randint(0, 7_200)])
            )
            return Need(
                arrive_at=arrive_at,
                depart_at=arrive_at + timedelta(seconds=stays_s),
                energy_wh=int(stays_s / 3_600 * FULL_W * full_ratio) + 1,
                connector=ConnectorRef(StationId(f"CP-0{number}"), 1),
                confidence_ratio=rng.choice([0.5, 0.8]),
            )

        for number in (1, 2, 3):
            van = made.quote(need(number, rng.randint(3_000, 20_000), rng.uniform(0.2, 0.7)), VANS)
            await made.confirm((await made.hold(van.offers[0].id, VANS)).id, VANS)
        for _ in range(6):
            stays_s = rng.choice([rng.randint(120, 900), rng.randint(900, 7_000), 3_600])
            drone = need(4, stays_s, rng.uniform(0.4, 0.9))
            await holds_all_that_is_offered(made, replace(drone, criticality=Criticality.CRITICAL))

    run_virtual(test())
