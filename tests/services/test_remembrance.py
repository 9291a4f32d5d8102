"""What goes out is safe first where it is higher than before, and waits for nothing where it is not."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.control.decide import Decision, decide
from gateway.control.explain import sentence
from gateway.control.fold import evolve, evolve_all
from gateway.control.orders import FallbackOrder, LimitOrder
from gateway.control.parameters import ControlParameters
from gateway.control.restore import Restored, restore, unaccounted
from gateway.control.state import NEVER_S, RiseHistory, SiteState, StandingLimit
from gateway.control.wiring import Wiring
from gateway.domain.circuits import Site
from gateway.domain.electric import NOTHING
from gateway.domain.events import (
    ConstraintSet,
    Event,
    StationConnected,
    StationDisconnected,
    StopInputChanged,
)
from gateway.domain.ids import ConnectorRef, StationId
from gateway.domain.limits import Authority, Constraint, CurrentLimit
from gateway.domain.memory import (
    CircuitMemory,
    ConnectorMemory,
    Memory,
    RememberedLimit,
    RunMemory,
    SiteMemory,
    StationMemory,
)
from gateway.domain.moments import Moment, elapsed
from gateway.domain.reasons import ReasonKind
from gateway.services.control_loop import ControlLoop
from gateway.services.dispatcher import Dispatcher
from gateway.services.inbox import Inbox
from gateway.services.recollection import Recollection
from gateway.services.remembrance import Remembrance
from tests.support.paper_ledger import PaperLedger
from tests.support.scripted_stations import ScriptedStations, Temper
from tests.support.small_site import CARPARK, no_decision, order, small_site
from tests.support.virtual_time import VirtualClock, run_virtual

PARAMETERS = ControlParameters()
SITE = small_site(3)
STATIONS = [station.id for station in SITE.stations]
PLUGS = [ConnectorRef(station, 1) for station in STATIONS]


class MachineClock(VirtualClock):
    is_synchronised = False

    def moment(self) -> Moment:
        return Moment(
            wall_at=self.now_at(),
            boot_id="boot",
            boot_s=self.monotonic_s(),
            is_synchronised=self.is_synchronised,
        )


def charging_at(limit_ma: int) -> Memory:
    """Return what is remembered of stations that are proven and charge."""
    return Memory(
        connectors={
            plug: ConnectorMemory(
                connector=plug,
                limits=(RememberedLimit(limit_ma=limit_ma),),
                max_ma=32_000,
                fallback_ma=6_000,
                is_plugged=True,
            )
            for plug in PLUGS
        },
        stations={
            station: StationMemory(station=station, is_proven=True, is_dead_man_proven=True)
            for station in STATIONS
        },
    )


def restored(memory: Memory, clock: MachineClock) -> Restored:
    return restore(
        Wiring.of(SITE),
        PARAMETERS,
        memory,
        alive=None,
        now=clock.moment(),
        now_s=clock.monotonic_s(),
    )


@dataclass(kw_only=True)
class Bench:
    """A dispatcher behind the gate, a ledger whose disk the test moves, and what stations heard."""

    dispatcher: Dispatcher
    stations: ScriptedStations
    ledger: PaperLedger
    remembrance: Remembrance
    state: SiteState
    facts: list[Event]
    folded: int = 0

    def offer(self, *orders: LimitOrder, fallbacks: tuple[FallbackOrder, ...] = ()) -> None:
        at_s = asyncio.get_running_loop().time()
        nothing = no_decision(SITE)
        self.dispatcher.offer(replace(nothing, at_s=at_s, orders=orders, fallbacks=fallbacks))

    def cycle(self) -> None:
        """Fold what was posted, and note what changed, as a control cycle does."""
        for fact in self.facts[self.folded :]:
            self.state = evolve(self.state, fact)
        self.folded = len(self.facts)
        self.remembrance.note(self.state)

    def heard(self, station: str) -> list[int | None]:
        return [heard.limit_ma for heard in self.stations.heard_of("limit", station)]


def on_bench(test: Callable[[Bench], Awaitable[None]], *, limit_ma: int = 10_000) -> Bench:
    """Run `test` with stations that charge at `limit_ma`, in virtual time."""
    made: list[Bench] = []

    async def run() -> None:
        clock, facts = MachineClock(), list[Event]()
        ledger = PaperLedger(asyncio.get_running_loop())
        state = restored(charging_at(limit_ma), clock).state
        remembrance = Remembrance(ledger, state, clock=clock)
        stations = ScriptedStations(
            tempers={station: Temper() for station in STATIONS}, post=facts.append
        )
        dispatcher = Dispatcher(
            SITE.stations,
            stations,
            clock=clock,
            post=facts.append,
            parameters=PARAMETERS,
            gate=remembrance,
        )
        ledger.commit()
        bench = Bench(
            dispatcher=dispatcher,
            stations=stations,
            ledger=ledger,
            remembrance=remembrance,
            state=state,
            facts=facts,
        )
        made.append(bench)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(dispatcher.run())
            await test(bench)
            running.cancel()

    run_virtual(run())
    return made[0]


def test_a_raise_is_sent_once_it_is_safe_and_all_else_at_once() -> None:
    async def test(bench: Bench) -> None:
        bench.offer(order("CP-01", 16), order("CP-02", 8, is_cut=True), order("CP-03", 10))
        await asyncio.sleep(1)
        assert bench.heard("CP-01") == []
        assert bench.heard("CP-02") == [8_000]
        assert bench.heard("CP-03") == [10_000]  # A renewal.

        bench.ledger.commit()
        await asyncio.sleep(0.01)
        assert bench.heard("CP-01") == [16_000]

    bench = on_bench(test)

    remembered = bench.ledger.memory.connectors[PLUGS[0]].limits
    assert {limit.limit_ma for limit in remembered} == {10_000, 16_000}


def test_all_raises_of_a_decision_are_made_safe_together() -> None:
    async def test(bench: Bench) -> None:
        commits = bench.ledger.commits
        bench.offer(*(order(station, 16) for station in STATIONS))
        assert bench.ledger.is_asked  # Before anything had to wait.
        bench.ledger.commit()
        await asyncio.sleep(1)
        assert [bench.heard(station) for station in STATIONS] == [[16_000]] * 3
        assert bench.ledger.commits == commits + 1

    on_bench(test)


def test_a_cut_passes_a_raise_that_waits_for_the_disk() -> None:
    async def test(bench: Bench) -> None:
        for second in range(5):
            bench.offer(order("CP-01", 16 + second))
            bench.cycle()
            await asyncio.sleep(1)
        bench.offer(order("CP-01", 6, is_cut=True))
        await asyncio.sleep(1)
        assert bench.heard("CP-01") == [6_000]
        bench.ledger.commit()  # It would be safe now, and is no longer meant.
        await asyncio.sleep(5)
        assert bench.heard("CP-01") == [6_000]

    on_bench(test)


def test_what_was_safe_when_it_was_sent_is_renewed_whatever_becomes_of_the_disk() -> None:
    async def test(bench: Bench) -> None:
        bench.offer(order("CP-01", 16))
        bench.ledger.commit()
        await asyncio.sleep(1)
        bench.cycle()  # From here on the disk takes nothing.
        for _ in range(3):
            bench.offer(order("CP-01", 16))
            await asyncio.sleep(1)
            bench.cycle()
        bench.offer(order("CP-01", 8, is_cut=True))
        await asyncio.sleep(90)  # It is acknowledged, has settled, and no lease of before is left.
        bench.cycle()
        bench.offer(order("CP-01", 8))
        await asyncio.sleep(1)
        bench.cycle()
        bench.offer(order("CP-01", 10))
        await asyncio.sleep(1)
        assert bench.heard("CP-01") == [16_000] * 4 + [8_000] * 2

    on_bench(test, limit_ma=10_000)


def test_a_first_lease_is_renewed_too() -> None:
    async def test(bench: Bench) -> None:
        at_rest = replace(
            bench.state.connectors[0], limits=(StandingLimit(limit_ma=6_000),), plugged_at_s=0.0
        )
        bench.state = replace(bench.state, connectors=(at_rest, *bench.state.connectors[1:]))
        bench.cycle()
        bench.ledger.commit()
        await asyncio.sleep(0)
        bench.offer(order("CP-01", 6))
        bench.ledger.commit()
        await asyncio.sleep(1)
        bench.cycle()  # From here on the disk takes nothing.
        bench.offer(order("CP-01", 6))
        await asyncio.sleep(1)
        assert bench.heard("CP-01") == [6_000] * 2

    on_bench(test)


def test_a_raise_that_was_safe_and_not_sent_is_forgotten_in_the_end() -> None:
    async def test(bench: Bench) -> None:
        bench.offer(order("CP-01", 16))
        bench.offer()
        bench.ledger.commit()
        await asyncio.sleep(1)
        bench.cycle()
        remembered = bench.ledger.memory.connectors[PLUGS[0]].limits
        assert 16_000 in {limit.limit_ma for limit in remembered}
        await asyncio.sleep(70)
        bench.state = replace(bench.state)  # A cycle in which nothing was learnt.
        bench.cycle()
        bench.ledger.commit()
        remembered = bench.ledger.memory.connectors[PLUGS[0]].limits
        assert {limit.limit_ma for limit in remembered} == {10_000}

    on_bench(test)


def test_a_higher_fallback_is_safe_before_it_is_written_and_a_lower_one_waits_for_nothing() -> None:
    async def test(bench: Bench) -> None:
        higher = FallbackOrder(connector=PLUGS[0], limit=CurrentLimit(limit_ma=10_000))
        lower = FallbackOrder(connector=PLUGS[1], limit=CurrentLimit(limit_ma=0))
        bench.offer(fallbacks=(higher, lower))
        await asyncio.sleep(1)
        written = [(h.connector, h.limit_ma) for h in bench.stations.heard_of("fallback")]
        assert written == [(PLUGS[1], 0)]
        bench.cycle()
        bench.ledger.commit()
        await asyncio.sleep(1)
        written = [(h.connector, h.limit_ma) for h in bench.stations.heard_of("fallback")]
        assert written == [(PLUGS[1], 0), (PLUGS[0], 10_000)]
        bench.cycle()
        bench.ledger.commit()

    bench = on_bench(test)

    connectors = bench.ledger.memory.connectors
    assert [connectors[plug].fallback_ma for plug in PLUGS] == [10_000, 0, 6_000]


def test_orders_of_people_are_written_at_once_with_who_and_what() -> None:
    veto = Constraint(
        subject=CARPARK, limit_ma=NOTHING, authority=Authority.VETO, source="veto by J. Smith"
    )

    async def test(bench: Bench) -> None:
        bench.facts += [
            StopInputChanged(at_s=0.0, is_stopped=True),
            ConstraintSet(at_s=0.0, constraint=veto),
        ]
        bench.cycle()
        assert bench.ledger.is_asked
        bench.ledger.commit()
        bench.facts.append(StopInputChanged(at_s=1.0, is_stopped=False))
        bench.cycle()
        bench.ledger.commit()

    bench = on_bench(test)

    assert bench.ledger.memory.site == SiteMemory(is_stopped=False, constraints=(veto,))
    assert [act.kind for act in bench.ledger.acts] == ["stopped", "stop-released"]


def test_a_proof_that_is_lost_and_an_excess_that_is_learnt_are_written_at_once() -> None:
    async def test(bench: Bench) -> None:
        def becomes(*, is_proven: bool, excess_ma: int) -> bool:
            """Return whether it waits for no batch that a station and its connector are so now."""
            bench.ledger.commit()
            station = replace(bench.state.stations[STATIONS[0]], is_proven=is_proven)
            first = replace(bench.state.connectors[0], excess_ma=excess_ma)
            bench.state = replace(
                bench.state,
                stations={**bench.state.stations, STATIONS[0]: station},
                connectors=(first, *bench.state.connectors[1:]),
            )
            bench.cycle()
            assert bench.ledger.waiting != ()
            return bench.ledger.is_asked

        assert becomes(is_proven=True, excess_ma=2_500)
        assert not becomes(is_proven=True, excess_ma=0)
        assert becomes(is_proven=False, excess_ma=0)
        assert not becomes(is_proven=True, excess_ma=0)
        assert becomes(is_proven=True, excess_ma=1_200)
        bench.ledger.commit()
        after = restored(bench.ledger.memory, MachineClock()).state
        assert after.stations[STATIONS[0]].is_proven
        assert after.connectors[0].excess_ma == 1_200

    on_bench(test)


def test_a_station_is_adopted_once_and_that_is_written_before_it_hears_anything() -> None:
    async def test(bench: Bench) -> None:
        bench.remembrance = Remembrance(
            bench.ledger, bench.state, clock=MachineClock(), adopted=STATIONS[1:]
        )
        for station in STATIONS:
            bench.facts.append(StationConnected(at_s=0.0, station=station))
        bench.cycle()
        assert bench.ledger.is_asked
        bench.ledger.commit()
        bench.facts += [
            StationDisconnected(at_s=1.0, station=STATIONS[0]),
            StationConnected(at_s=2.0, station=STATIONS[0]),
        ]
        bench.cycle()
        bench.ledger.commit()

    bench = on_bench(test)

    acts = [(act.kind, act.subject) for act in bench.ledger.acts]
    assert acts == [("adopted", STATIONS[0])]
    assert STATIONS[0] in bench.ledger.memory.stations


def test_what_was_learnt_of_a_building_is_known_after_a_restart() -> None:
    days = ((5,) * 100,) * 8
    history = RiseHistory(
        since_s=-8 * 86_400.0, days=days, day_since_s=-3_600.0, quantile_ma=12_000
    )

    async def test(bench: Bench) -> None:
        circuit = bench.state.circuits[0]
        l1, l2, l3 = circuit.phases
        learnt = (replace(l1, rises=history), replace(l2, lease_rises=history), l3)
        memory = replace(bench.state.memory, base_seen_ma=(0, 45_000, 0))
        bench.state = replace(
            bench.state, circuits=(replace(circuit, phases=learnt),), memory=memory
        )
        bench.cycle()
        bench.ledger.commit()
        assert bench.ledger.memory.learnt == {}  # Once an hour is often enough.
        await asyncio.sleep(3_600.0)
        bench.state = replace(bench.state)
        bench.cycle()
        bench.ledger.commit()

    bench = on_bench(test)
    now = Moment(
        wall_at=datetime(2026, 1, 5, tzinfo=UTC), boot_id="", boot_s=0.0, is_synchronised=False
    )

    def after(site: Site) -> SiteState:
        memory = bench.ledger.memory
        wiring = Wiring.of(site)
        return restore(wiring, PARAMETERS, memory, alive=None, now=now, now_s=50.0).state

    state = after(SITE)
    restored_rises = state.circuits[0].phases[0].rises
    assert (restored_rises.days, restored_rises.quantile_ma) == (days, 12_000)
    assert restored_rises.since_s == 50.0 - 8 * 86_400.0 - 3_600.0
    assert state.circuits[0].phases[1].lease_rises.quantile_ma == 12_000
    assert state.circuits[0].phases[2].rises == RiseHistory()
    assert state.memory.base_seen_ma == (0, 45_000, 0)
    # Parts of another rating say nothing of this one.
    larger = replace(SITE.circuits[0], rating_ma=(160_000,) * 3)
    assert after(replace(SITE, circuits=(larger,))).circuits[0].phases[0].rises == RiseHistory()


def test_a_lockout_outlives_us_and_is_shortened_only_by_time_that_has_surely_passed() -> None:
    async def test(bench: Bench) -> None:
        circuit = replace(
            bench.state.circuits[0],
            excursions_at_s=(1.0, 2.0, 3.0),
            lockout_until_s=3_600.0,
        )
        bench.state = replace(bench.state, circuits=(circuit,))
        bench.cycle()
        bench.ledger.commit()

    bench = on_bench(test)
    assert "lockout" in [act.kind for act in bench.ledger.acts]

    def after(now: Moment, now_s: float) -> tuple[float, int]:
        state = restore(
            Wiring.of(SITE), PARAMETERS, bench.ledger.memory, alive=None, now=now, now_s=now_s
        ).state
        return state.circuits[0].lockout_until_s - now_s, len(state.circuits[0].excursions_at_s)

    noted = bench.ledger.memory.circuits[CARPARK].noted
    later = replace(noted, boot_s=noted.boot_s + 600.0)
    assert after(later, 50.0) == (3_000.0, 3)
    # The machine was started again, and its clock begins in 1970: at least its uptime has passed.
    rebooted = replace(
        noted, boot_id="again", boot_s=60.0, wall_at=noted.wall_at.replace(year=1970)
    )
    assert after(rebooted, 50.0) == (3_540.0, 3)
    # A clock that nobody keeps right says nothing, however late it is.
    future = replace(rebooted, wall_at=noted.wall_at.replace(year=2090))
    assert after(future, 50.0) == (3_540.0, 3)
    # One that is kept right does.
    good = replace(noted, is_synchronised=True)
    memory = bench.ledger.memory
    circuits = {CARPARK: replace(memory.circuits[CARPARK], noted=good)}
    bench.ledger.memory = replace(memory, circuits=circuits)
    lasting = replace(rebooted, is_synchronised=True, wall_at=noted.wall_at.replace(year=2090))
    assert after(lasting, 50.0) == (NEVER_S, 0)


@pytest.mark.parametrize("is_back", [True, False])
def test_nothing_is_raised_before_every_station_is_accounted_for(*, is_back: bool) -> None:
    async def test() -> None:
        clock = MachineClock()
        found = restored(charging_at(10_000), clock)
        assert set(found.awaited) == set(STATIONS)
        # A lease that has surely run out is waited for no longer.
        assert all(until_s <= 75.0 for until_s in found.awaited.values())
        state = found.state
        for station in STATIONS if is_back else STATIONS[:2]:
            state = evolve(state, StationConnected(at_s=1.0, station=station))
        absent = frozenset() if is_back else frozenset({StationId("CP-03")})
        assert unaccounted(state, found.awaited) == absent

    run_virtual(test())


def test_the_loop_holds_every_raise_and_says_for_whom() -> None:
    async def test() -> None:
        clock = MachineClock()
        found = restored(charging_at(10_000), clock)
        connected = [StationConnected(at_s=0.0, station=station) for station in STATIONS[:2]]
        loop = ControlLoop(
            evolve_all(found.state, connected),
            Inbox(),
            lambda _: None,
            clock=clock,
            awaited=found.awaited,
        )
        made = decide(found.state, 0.0)
        decision = replace(
            made,
            orders=(order("CP-01", 16), order("CP-02", 8, is_cut=True)),
            reasons={
                plug: made.reasons[plug]._replace(kind=ReasonKind.AT_MAXIMUM, limit_ma=16_000)
                for plug in PLUGS
            },
        )

        held = loop._held(decision)
        assert limits_of(held) == {PLUGS[0]: 10_000, PLUGS[1]: 8_000}
        reason = held.reasons[PLUGS[0]]
        assert (reason.kind, reason.limit_ma) == (ReasonKind.AWAITS_STATIONS, 10_000)
        assert sentence(reason).startswith("10.0 A: not raised until CP-03 has come back, or 75 s")
        assert held.reasons[PLUGS[1]] == decision.reasons[PLUGS[1]]
        # By then its lease has surely run out.
        assert loop._held(replace(decision, at_s=76.0)) == replace(decision, at_s=76.0)

    run_virtual(test())


def limits_of(decision: Decision) -> dict[ConnectorRef, int]:
    return {order.connector: order.limit.limit_ma for order in decision.orders}


def test_who_ended_in_order_long_ago_left_no_lease_to_wait_for() -> None:
    async def test() -> None:
        clock = MachineClock()
        ended = clock.moment()
        await asyncio.sleep(100)
        memory = replace(charging_at(10_000), run=RunMemory(run="1", began=ended, ended=ended))
        found = restore(
            Wiring.of(SITE),
            PARAMETERS,
            memory,
            alive=ended,
            now=clock.moment(),
            now_s=clock.monotonic_s(),
        )
        assert found.awaited == {}
        assert isinstance(found.state.connectors[0].limits[-1], StandingLimit)

    run_virtual(test())


def test_a_lockout_restored_in_1970_ends_when_it_should_once_the_clock_is_right() -> None:
    noted = Moment(
        wall_at=datetime(2026, 1, 5, 12, tzinfo=UTC),
        boot_id="before",
        boot_s=9_000.0,
        is_synchronised=True,
    )
    memory = Memory(
        circuits={
            CARPARK: CircuitMemory(
                circuit=CARPARK,
                noted=noted,
                excursions_ago_s=(3_000.0, 2_000.0, 10.0),
                lockout_left_s=14_000.0,
            )
        }
    )
    posted: list[Event] = []

    async def test() -> None:
        clock = MachineClock(datetime(1970, 1, 1, tzinfo=UTC))
        await asyncio.sleep(20.0)
        found = restored(memory, clock)
        circuit = found.state.circuits[0]
        assert circuit.lockout_until_s == pytest.approx(14_000.0)  # The uptime, and no more.
        watch = Recollection(
            found, at=clock.moment(), at_s=clock.monotonic_s(), clock=clock, post=posted.append
        )
        for _ in range(5):
            await asyncio.sleep(60.0)
            watch.review()
        assert posted == []

        # The network is up: it is two hours after the lockout was noted.
        clock.jump_wall_clock(noted.wall_at + timedelta(hours=2) - clock.now_at())
        watch.review()
        assert posted == []  # Nobody says yet that this is right.
        clock.is_synchronised = True
        await asyncio.sleep(60.0)
        watch.review()
        (event,) = posted
        state = evolve(found.state, event)
        left_s = state.circuits[0].lockout_until_s - clock.monotonic_s()
        assert left_s == pytest.approx(14_000.0 - 7_200.0 - 60.0, abs=5.0)
        ages_s = [clock.monotonic_s() - at_s for at_s in state.circuits[0].excursions_at_s]
        assert ages_s == pytest.approx([10_260.0, 9_260.0, 7_270.0], abs=5.0)
        watch.review()
        assert posted == [event]

        # A new excursion meanwhile has begun a lockout of its own, which stands.
        later = replace(
            circuit, excursions_at_s=(*circuit.excursions_at_s, 200.0), lockout_until_s=14_600.0
        )
        state = evolve(replace(found.state, circuits=(later,)), event)
        assert state.circuits[0].lockout_until_s == 14_600.0
        assert state.circuits[0].excursions_at_s[-1] == 200.0

    run_virtual(test())


@given(
    off_s=st.floats(0, 1e6),
    up_s=st.floats(0, 1e4),
    wall_error_s=st.floats(-1e9, 1e9),
    is_rebooted=st.booleans(),
    was_right=st.booleans(),
    is_right=st.booleans(),
)
def test_elapsed_time_is_bounded_by_what_can_be_known(
    *,
    off_s: float,
    up_s: float,
    wall_error_s: float,
    is_rebooted: bool,
    was_right: bool,
    is_right: bool,
) -> None:
    began_at = datetime(2026, 1, 5, 12, tzinfo=UTC)
    passed_s = (off_s if is_rebooted else 0.0) + up_s

    def shown(true_s: float, *, is_synchronised: bool) -> datetime:
        error_s = 0.5 if is_synchronised else wall_error_s
        return began_at + timedelta(seconds=true_s + error_s)

    since = Moment(
        wall_at=shown(0.0, is_synchronised=was_right),
        boot_id="a",
        boot_s=1_000.0,
        is_synchronised=was_right,
    )
    now = Moment(
        wall_at=shown(passed_s, is_synchronised=is_right),
        boot_id="b" if is_rebooted else "a",
        boot_s=up_s if is_rebooted else 1_000.0 + up_s,
        is_synchronised=is_right,
    )

    found = elapsed(since, now)

    assert found.at_least_s <= passed_s + 0.001
    assert found.at_most_s is None or found.at_most_s >= passed_s - 0.001
    assert (found.at_most_s is None) is (is_rebooted and not (was_right and is_right))
