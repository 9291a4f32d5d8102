"""After any crash, no connector is believed to draw less than before it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.control.bounds import high_ma
from gateway.control.fold import evolve, evolve_all
from gateway.control.parameters import ControlParameters
from gateway.control.restore import last_alive, restore
from gateway.control.state import SiteState
from gateway.control.wiring import Wiring
from gateway.domain.charging import (
    ConnectorStatus,
    OcppVersion,
    RateUnit,
    StationCapabilities,
)
from gateway.domain.events import (
    CapabilitiesRead,
    ConnectorMetered,
    ConnectorStatusChanged,
    DeadManProven,
    Event,
    FallbackInstalled,
    LimitAcknowledged,
    LimitRejected,
    LimitSent,
    StationBooted,
    StationConnected,
    StationDisconnected,
    TransactionEnded,
    TransactionStarted,
)
from gateway.domain.ids import ConnectorRef, StationId, TransactionId
from gateway.domain.limits import CurrentLimit
from gateway.domain.memory import (
    ConnectorMemory,
    Memory,
    RememberedLimit,
    RunMemory,
)
from gateway.domain.moments import Moment
from gateway.services.remembrance import Remembrance
from tests.support.paper_ledger import PaperLedger
from tests.support.small_site import small_site

STATION = StationId("CP-01")
PLUG = ConnectorRef(STATION, 1)
SITE = small_site(1)
PARAMETERS = ControlParameters()
BEGAN_AT = datetime(2026, 1, 5, tzinfo=UTC)
BOOT_S = 5_000.0


@dataclass
class Clock:
    """The machine's clocks; monotonic and boot time differ, as they do after a suspend."""

    now_s: float = 100.0
    booted_s: float = -BOOT_S
    boot_id: str = "first"
    is_synchronised: bool = False

    def monotonic_s(self) -> float:
        return self.now_s

    def now_at(self) -> datetime:
        return BEGAN_AT + timedelta(seconds=self.now_s)

    async def sleep_s(self, delay_s: float) -> None:
        raise NotImplementedError

    def moment(self) -> Moment:
        return Moment(
            wall_at=self.now_at(),
            boot_id=self.boot_id,
            boot_s=self.now_s - self.booted_s,
            is_synchronised=self.is_synchronised,
        )


@dataclass
class Truth:
    """What an obedient station may have in force, which no daemon's end changes."""

    sent: list[tuple[int, float]] = field(default_factory=list)
    """Limits and when they have surely lapsed, from the last accepted on."""
    fallback_ma: int = 32_000

    def reach_ma(self, now_s: float) -> int:
        return max([self.fallback_ma, *(ma for ma, until_s in self.sent if now_s < until_s)])


@dataclass
class Life:
    """A daemon's control of one station, with its ledger on paper."""

    loop: asyncio.AbstractEventLoop
    clock: Clock = field(default_factory=Clock)
    memory: Memory = field(default_factory=Memory)
    truth: Truth = field(default_factory=Truth)

    def __post_init__(self) -> None:
        self.state = restored(self.memory, self.clock.moment(), self.clock.now_s)
        self.ledger = PaperLedger(self.loop)
        run = RunMemory(run="1", began=self.clock.moment())
        self.ledger.memory = replace(self.memory, run=run)
        self.remembrance = Remembrance(self.ledger, self.state, clock=self.clock)
        self.ledger.commit()
        self.unsent: CurrentLimit | None = None
        self.sequence = 0
        self.is_answered = True
        self.has_risen = False
        """A reading counts higher than before, and nothing was done about it yet."""

    @property
    def is_proven(self) -> bool:
        return self.state.stations[STATION].is_proven

    def learn(self, fact: Event) -> None:
        self.remembrance.hear(fact)
        self.state = evolve(self.state, fact)

    def cycle(self) -> None:
        """End a control cycle: what changed is noted."""
        self.remembrance.note(self.state)

    def commit(self) -> None:
        self.has_risen = False
        self.ledger.commit()
        self.loop.run_until_complete(asyncio.sleep(0))
        if self.unsent is not None:
            self.send(self.unsent)

    def send(self, limit: CurrentLimit) -> None:
        """Send a limit as the dispatcher does: at once if it may go, else once it may."""
        self.unsent = None
        if not self.remembrance.may_send(PLUG, limit, lambda: None):
            self.unsent = limit
            return
        self.sequence += 1
        self.is_answered = False
        # How a first lease of nothing will end is not known; a cut waits for no record of it.
        self.has_risen |= limit.limit_ma == 0
        self.truth.sent.append((limit.limit_ma, self.clock.now_s + 75.0))
        self.learn(
            LimitSent(
                at_s=self.clock.now_s,
                connector=PLUG,
                limit_ma=limit.limit_ma,
                phase_count=limit.phase_count,
                lease_until_s=self.clock.now_s
                + PARAMETERS.lease_s
                + PARAMETERS.acknowledgement_s
                + PARAMETERS.lease_margin_s,
                sequence=self.sequence,
            )
        )

    def install(self, fallback_ma: int) -> None:
        """Write a fallback as the dispatcher does, if it may be written."""
        if self.remembrance.may_write_fallback(PLUG, fallback_ma, lambda: None):
            self.truth.fallback_ma = fallback_ma
            self.learn(
                FallbackInstalled(at_s=self.clock.now_s, connector=PLUG, fallback_ma=fallback_ma)
            )


def capabilities(*, in_watts: bool) -> StationCapabilities:
    units = frozenset({RateUnit.WATTS}) if in_watts else frozenset(RateUnit)
    return StationCapabilities(ocpp_version=OcppVersion.V16, rate_units=units)


LIMITS_MA = st.sampled_from([0, 6_000, 10_000, 16_000, 25_000, 32_000])
FACTS: dict[str, Callable[[float], Event]] = {
    "connect": lambda at_s: StationConnected(at_s=at_s, station=STATION),
    "disconnect": lambda at_s: StationDisconnected(at_s=at_s, station=STATION),
    "boot": lambda at_s: StationBooted(at_s=at_s, station=STATION, firmware="1"),
    "update": lambda at_s: StationBooted(at_s=at_s, station=STATION, firmware="2"),
    "amperes": lambda at_s: CapabilitiesRead(
        at_s=at_s, station=STATION, capabilities=capabilities(in_watts=False)
    ),
    "watts": lambda at_s: CapabilitiesRead(
        at_s=at_s, station=STATION, capabilities=capabilities(in_watts=True)
    ),
    "occupied": lambda at_s: ConnectorStatusChanged(
        at_s=at_s, connector=PLUG, status=ConnectorStatus.OCCUPIED
    ),
    "available": lambda at_s: ConnectorStatusChanged(
        at_s=at_s, connector=PLUG, status=ConnectorStatus.AVAILABLE
    ),
    "start": lambda at_s: TransactionStarted(
        at_s=at_s, connector=PLUG, transaction=TransactionId("7")
    ),
    "stop": lambda at_s: TransactionEnded(
        at_s=at_s, connector=PLUG, transaction=TransactionId("7")
    ),
    "dead man": lambda at_s: DeadManProven(at_s=at_s, station=STATION),
}
STEPS = st.one_of(
    st.tuples(st.just("fact"), st.sampled_from(sorted(FACTS))),
    st.tuples(st.just("send"), LIMITS_MA),
    st.tuples(st.just("fallback"), LIMITS_MA),
    st.tuples(st.just("draw"), LIMITS_MA),
    st.tuples(st.just("excess"), st.sampled_from([0, 2_500, 4_000])),
    st.tuples(st.sampled_from(["accept", "refuse", "cycle", "commit", "bite"]), st.just(0)),
    st.tuples(st.just("wait"), st.sampled_from([0.2, 1.0, 5.0, 12.0, 30.0, 80.0])),
)


ESTABLISHED: list[tuple[str, object]] = [
    *(("fact", name) for name in ("connect", "boot", "amperes", "occupied", "start")),
    *(("fallback", 6_000), ("send", 16_000), ("commit", 0), ("accept", 0)),
    *(("bite", 0), ("wait", 12.0), ("fact", "dead man"), ("cycle", 0)),
    *(("send", 10_000), ("accept", 0), ("wait", 12.0), ("draw", 10_000), ("commit", 0)),
]
"""A station that is proven and charges at 10 A, all of it safe in the ledger."""


def live(life: Life, steps: list[tuple[str, object]]) -> None:
    for kind, value in steps:
        now_s = life.clock.now_s
        match kind, value:
            case "fact", str(name):
                life.learn(FACTS[name](now_s))
                if name in ("amperes", "watts"):
                    life.cycle()  # Read anew at every connection, before any limit goes out.
                    life.commit()
                elif name in ("boot", "update"):
                    life.commit()  # It boots again until it is answered, which waits for this.
            case "send", int(limit_ma):
                life.send(CurrentLimit(limit_ma=limit_ma))
            case "fallback", int(limit_ma):
                life.install(limit_ma)
            case "draw", int(draw_ma):
                amps = (draw_ma / 1_000,) * 3
                known, was_proven = life.state.connectors[0].in_force_ma, life.is_proven
                life.learn(ConnectorMetered(at_s=now_s, connector=PLUG, current_a=amps))
                life.has_risen |= life.state.connectors[0].in_force_ma > known
                life.has_risen |= was_proven and not life.is_proven
                life.cycle()
            case "excess", int(excess_ma):
                settle_above(life, excess_ma)
            case (("accept" | "refuse"), _) if life.is_answered:
                pass
            case "accept", _:
                life.is_answered = True
                del life.truth.sent[:-1]
                life.learn(LimitAcknowledged(at_s=now_s, connector=PLUG, sequence=life.sequence))
            case "refuse", _:
                life.is_answered = True
                del life.truth.sent[-1:]
                life.learn(LimitRejected(at_s=now_s, connector=PLUG, sequence=life.sequence))
            case "bite", _:
                prove(life)
            case "wait", float(wait_s):
                life.clock.now_s += wait_s
            case "commit", _:
                life.commit()
            case _:
                life.cycle()


def prove(life: Life) -> None:
    """Let the station be seen to obey: as the fold has it after a cut that bit."""
    stations = {STATION: replace(life.state.stations[STATION], is_proven=True)}
    life.state = replace(life.state, stations=stations)


def settle_above(life: Life, excess_ma: int) -> None:
    """Let the vehicle be seen to settle above its limits: as the fold has it once it was learnt."""
    before = life.state.connectors[0]
    after = replace(before, excess_ma=excess_ma, is_excess_shown=True)
    life.state = replace(life.state, connectors=(after, *life.state.connectors[1:]))
    life.has_risen |= excess_ma > before.excess_ma
    life.cycle()


def counted_ma(state: SiteState, now_s: float) -> int:
    at = state.wiring.connector_at[PLUG]
    return high_ma(
        state.wiring.connectors[at],
        state.connectors[at],
        state.stations[STATION],
        state.parameters,
        now_s,
        is_over=False,
    )


def restored(memory: Memory, now: Moment, now_s: float) -> SiteState:
    alive = last_alive(memory.run, now)
    wiring = Wiring.of(SITE)
    return restore(wiring, PARAMETERS, memory, alive=alive, now=now, now_s=now_s).state


@example(  # A fallback that is about to be written is what holds where no lease is.
    lives=[
        [
            *(("fallback", 0), ("fact", "amperes"), ("bite", 0), ("fact", "available")),
            *(("fallback", 6_000), ("fact", "amperes"), ("fallback", 6_000)),
        ]
    ],
    dead_for_s=0.0,
    is_reboot=False,
    is_synchronised=False,
)
@settings(max_examples=600)
@given(
    lives=st.lists(
        st.one_of(
            st.lists(STEPS, max_size=20),
            st.lists(STEPS, max_size=8).map(lambda steps: [*ESTABLISHED, *steps]),
        ),
        min_size=1,
        max_size=2,
    ),
    dead_for_s=st.sampled_from([0.0, 1.0, 30.0, 59.0, 70.0, 100.0, 5_000.0]),
    is_reboot=st.booleans(),
    is_synchronised=st.booleans(),
)
def test_a_restored_belief_is_never_lower(
    lives: list[list[tuple[str, object]]],
    dead_for_s: float,
    *,
    is_reboot: bool,
    is_synchronised: bool,
) -> None:
    loop = asyncio.new_event_loop()
    clock, memory, truth = Clock(is_synchronised=is_synchronised), Memory(), Truth()
    try:
        for number, steps in enumerate(lives):
            life = Life(loop, clock, memory, truth)
            live(life, steps)
            memory, truth = life.ledger.memory, life.truth
            before = evolve(life.state, StationDisconnected(at_s=clock.now_s, station=STATION))
            clock = replace(clock, now_s=clock.now_s + dead_for_s)
            if is_reboot:
                # The machine was started again as late as it can have been.
                clock = replace(clock, boot_id=str(number), booted_s=clock.now_s - dead_for_s)
            after = restored(memory, clock.moment(), clock.now_s)
            for later_s in (0.0, 10.0, 60.0, 75.0, 80.0, 10_000.0):
                now_s = clock.now_s + later_s
                assert counted_ma(after, now_s) >= truth.reach_ma(now_s)
                if not life.has_risen:
                    assert counted_ma(after, now_s) >= counted_ma(before, now_s)
                back = StationConnected(at_s=now_s, station=STATION)
                here = ConnectorStatusChanged(
                    at_s=now_s, connector=PLUG, status=ConnectorStatus.OCCUPIED
                )
                assert counted_ma(evolve(after, back), now_s) >= truth.reach_ma(now_s)
                met = evolve_all(after, [back, here])
                assert counted_ma(met, now_s) >= truth.reach_ma(now_s)
                if not life.has_risen:
                    known = counted_ma(evolve_all(before, [back, here]), now_s)
                    assert counted_ma(met, now_s) >= known
    finally:
        loop.close()


def test_what_is_believed_without_a_record_is_written_before_a_proof_makes_it_forgotten() -> None:
    """A station's own record is lost (a damaged file): its connector's says 10 A and no more."""
    limits = (RememberedLimit(limit_ma=10_000),)
    kept = ConnectorMemory(connector=PLUG, limits=limits, max_ma=32_000, fallback_ma=6_000)
    loop = asyncio.new_event_loop()
    life = Life(loop, memory=Memory(connectors={PLUG: kept}))

    live(life, [("fact", "connect"), ("bite", 0), ("cycle", 0), ("commit", 0)])
    loop.close()

    now, now_s = life.clock.moment(), life.clock.now_s
    assert life.ledger.memory.stations[STATION].is_proven
    assert counted_ma(restored(life.ledger.memory, now, now_s), now_s) == 32_000
