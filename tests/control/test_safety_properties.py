"""For any tree, phases, beliefs and readings: no decision of ours claims more than there is."""

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.control.decide import Decision, decide
from gateway.control.fold import ControlEvent, Decided, evolve_all
from gateway.control.guard import guard
from gateway.control.headroom import survey
from gateway.control.parameters import ControlParameters
from gateway.control.state import SiteState
from gateway.control.wiring import Wiring
from gateway.domain.charging import ConnectorStatus
from gateway.domain.circuits import (
    FASTEST_CURVE,
    SET_POINT_RATIO,
    ChargingStation,
    Circuit,
    Connector,
    OvercurrentDevice,
    Site,
)
from gateway.domain.electric import MIN_CHARGING_MA, Phase
from gateway.domain.events import (
    ConnectorMetered,
    ConnectorStatusChanged,
    FallbackInstalled,
    LimitAcknowledged,
    LimitRejected,
    LimitSent,
    LimitUnanswered,
    MeterRead,
    StationBooted,
    StationConnected,
    StationDisconnected,
    StopInputChanged,
)
from gateway.domain.ids import CircuitId, ConnectorRef, MeterId, StationId
from gateway.domain.metering import MeterReading

PARAMETERS = ControlParameters()
WIRINGS: tuple[tuple[Phase, ...], ...] = (
    (Phase.L1, Phase.L2, Phase.L3),
    (Phase.L2, Phase.L3, Phase.L1),
    (Phase.L1,),
    (Phase.L3,),
)


@st.composite
def sites(draw: st.DrawFn) -> Site:
    """Draw a tree of up to four circuits with up to six stations."""
    count = draw(st.integers(1, 4))
    circuits = []
    for at in range(count):
        device = draw(st.sampled_from(list(OvercurrentDevice)))
        rating_ma = draw(st.integers(20, 200)) * 1_000
        circuits.append(
            Circuit(
                id=CircuitId(f"c{at}"),
                parent=CircuitId(f"c{draw(st.integers(0, at - 1))}") if at else None,
                rating_ma=(rating_ma, rating_ma, rating_ma),
                device=device,
                set_point_ratio=SET_POINT_RATIO[device],
                curve=FASTEST_CURVE[device],
                meter=MeterId(f"m{at}") if draw(st.booleans()) else None,
                worst_case_base_ma=(rating_ma // 2,) * 3,
            )
        )
    stations = []
    for at in range(draw(st.integers(1, 6))):
        station = StationId(f"s{at}")
        connector = Connector(
            ref=ConnectorRef(station, 1),
            circuit=CircuitId(f"c{draw(st.integers(0, count - 1))}"),
            phases=draw(st.sampled_from(WIRINGS)),
            max_ma=draw(st.sampled_from([16_000, 32_000])),
            fallback_ma=draw(st.sampled_from([0, 6_000])),
        )
        stations.append(ChargingStation(id=station, connectors=(connector,)))
    return Site(
        name="drawn",
        timezone="UTC",
        voltage_v=230.0,
        circuits=tuple(circuits),
        stations=tuple(stations),
    )


class World:
    """A site under control whose stations and meters do whatever was drawn."""

    def __init__(self, site: Site) -> None:
        self.now_s = 1_000.0
        self.state = SiteState.at_start(Wiring.of(site), PARAMETERS, now_s=self.now_s)
        self.sequence = 0

    def learn(self, *events: ControlEvent) -> None:
        """Fold facts in."""
        self.state = evolve_all(self.state, events)

    def decide(self) -> Decision:
        """Decide, let the guard look, and count what is sent as sent."""
        decision = decide(self.state, self.now_s)
        self.learn(Decided(at_s=self.now_s, memory=decision.memory))
        for order in guard(self.state, decision.orders, self.now_s):
            self.sequence += 1
            self.learn(
                LimitSent(
                    at_s=self.now_s,
                    connector=order.connector,
                    limit_ma=order.limit.limit_ma,
                    phase_count=order.limit.phase_count,
                    lease_until_s=self.now_s + order.valid_for_s + PARAMETERS.lease_margin_s,
                    sequence=self.sequence,
                )
            )
        return decision


def drawn_fact(data: st.DataObject, world: World) -> ControlEvent:
    """Draw one fact about one thing of the site."""
    site, at_s = world.state.wiring.site, world.now_s
    connector = data.draw(st.sampled_from(site.connectors)).ref
    sequence = data.draw(st.integers(max(0, world.sequence - 4), world.sequence))
    current_a = st.one_of(st.none(), st.floats(0.0, 40.0))
    metered = [circuit.meter for circuit in site.circuits if circuit.meter is not None]
    reading = MeterReading(
        meter=data.draw(st.sampled_from(metered)) if metered else MeterId("none"),
        at_s=at_s - data.draw(st.floats(0.0, 1.0)),
        current_a=data.draw(st.tuples(*[st.one_of(st.none(), st.floats(0.0, 220.0))] * 3)),
        power_w=data.draw(st.tuples(*[st.one_of(st.none(), st.floats(-5e4, 5e4))] * 3)),
        voltage_v=(230.0, 230.0, 230.0),
    )
    facts: list[ControlEvent] = [
        MeterRead(at_s=at_s, reading=reading),
        StationConnected(at_s=at_s, station=connector.station),
        StationDisconnected(at_s=at_s, station=connector.station),
        StationBooted(at_s=at_s, station=connector.station, firmware="1"),
        ConnectorStatusChanged(
            at_s=at_s,
            connector=connector,
            status=data.draw(st.sampled_from(list(ConnectorStatus))),
        ),
        ConnectorMetered(
            at_s=at_s, connector=connector, current_a=data.draw(st.tuples(*[current_a] * 3))
        ),
        FallbackInstalled(at_s=at_s, connector=connector, fallback_ma=6_000),
        LimitAcknowledged(at_s=at_s, connector=connector, sequence=sequence),
        LimitRejected(at_s=at_s, connector=connector, sequence=sequence),
        LimitUnanswered(at_s=at_s, connector=connector, sequence=sequence),
        StopInputChanged(at_s=at_s, is_stopped=data.draw(st.booleans())),
    ]
    weights = [0, 0, 0, 0, 1, 2, 3, 4, 4, 4, 5, 5, 5, 6, 7, 7, 7, 8, 9, 10]
    return facts[data.draw(st.sampled_from(weights))]


@settings(max_examples=150)
@given(site=sites(), data=st.data())
def test_no_decision_of_ours_claims_more_than_is_available(site: Site, data: st.DataObject) -> None:
    world = World(site)
    for station in site.stations:
        world.learn(StationConnected(at_s=world.now_s, station=station.id))
    for _ in range(data.draw(st.integers(2, 12))):
        world.now_s += data.draw(st.sampled_from([1.0, 1.0, 1.0, 12.0, 31.0]))
        for _ in range(data.draw(st.integers(0, 5))):
            world.learn(drawn_fact(data, world))
        before = survey(world.state, world.now_s).claimed_ma
        decision = world.decide()
        after = survey(world.state, world.now_s)
        for row, claimed_ma in enumerate(after.claimed_ma):
            allowed_ma = max(0, after.rows[row].available_ma)
            assert claimed_ma <= max(allowed_ma, before[row]), (
                [(str(k), r.kind, r.limit_ma) for k, r in decision.reasons.items()],
                world.state.connectors,
                after.rows[row],
                before[row],
            )
        _assert_every_limit_is_fit_to_send_and_explained(world, decision)


def _assert_every_limit_is_fit_to_send_and_explained(world: World, decision: Decision) -> None:
    assert set(decision.reasons) == {c.ref for c in world.state.wiring.connectors}
    for order in decision.orders:
        connector = world.state.wiring.connectors[world.state.wiring.connector_at[order.connector]]
        limit_ma = order.limit.limit_ma
        assert limit_ma == 0 or MIN_CHARGING_MA <= limit_ma <= connector.max_ma
        assert limit_ma == 0 or not world.state.is_stopped
        assert decision.reasons[order.connector].limit_ma == limit_ma
