"""The proof at config time: its arithmetic, its direction, and the way out it offers."""

from dataclasses import replace
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from gateway.control.proof import lower_fallbacks, prove, uncontrolled_ma, worst_case_base_ma
from gateway.domain.circuits import (
    FASTEST_CURVE,
    ChargingStation,
    Circuit,
    Connector,
    Load,
    OvercurrentDevice,
    Site,
)
from gateway.domain.electric import NOTHING, PerPhase, Phase
from gateway.domain.ids import CircuitId, ConnectorRef, LoadId, StationId

SUPPLY, CARPARK = CircuitId("supply"), CircuitId("carpark")


def each(current_ma: int) -> PerPhase:
    return current_ma, current_ma, current_ma


def circuit(
    name: str,
    parent: str | None = None,
    *,
    rating_ma: PerPhase = (100_000, 100_000, 100_000),
    base_ma: PerPhase = NOTHING,
) -> Circuit:
    return Circuit(
        id=CircuitId(name),
        parent=None if parent is None else CircuitId(parent),
        rating_ma=rating_ma,
        device=OvercurrentDevice.MCB,
        set_point_ratio=0.95,
        curve=FASTEST_CURVE[OvercurrentDevice.MCB],
        worst_case_base_ma=base_ma,
    )


def load(name: str, on: str, worst_case_ma: PerPhase, interlock: str | None = None) -> Load:
    return Load(
        id=LoadId(name), circuit=CircuitId(on), worst_case_ma=worst_case_ma, interlock=interlock
    )


def station(
    name: str, on: str, fallback_ma: int, phases: tuple[Phase, ...] = tuple(Phase)
) -> ChargingStation:
    connector = Connector(
        ref=ConnectorRef(StationId(name), 1),
        circuit=CircuitId(on),
        phases=phases,
        max_ma=32_000,
        fallback_ma=fallback_ma,
    )
    return ChargingStation(id=StationId(name), connectors=(connector,))


def site(
    *circuits: Circuit, loads: tuple[Load, ...] = (), stations: tuple[ChargingStation, ...] = ()
) -> Site:
    return Site(
        name="Here",
        timezone="Europe/London",
        voltage_v=230.0,
        circuits=circuits,
        loads=loads,
        stations=stations,
    )


currents_ma = st.integers(0, 60_000)
per_phase = st.tuples(currents_ma, currents_ma, currents_ma)
fallbacks_ma = st.sampled_from([0, 6_000, 6_100, 8_000, 10_000, 16_000])
wirings = st.lists(st.sampled_from(list(Phase)), min_size=1, max_size=3, unique=True).map(tuple)


@st.composite
def sites(draw: st.DrawFn) -> Site:
    """Return a forest of up to six circuits with loads and stations anywhere on it."""
    count = draw(st.integers(1, 6))
    names = [f"c{number}" for number in range(count)]
    circuits = tuple(
        circuit(
            name,
            draw(st.sampled_from([None, *names[:number]])),
            rating_ma=draw(st.tuples(*[st.integers(0, 250_000)] * 3)),
            base_ma=draw(per_phase),
        )
        for number, name in enumerate(names)
    )
    groups = st.sampled_from([None, "heating", "cooling"])
    loads = tuple(
        load(f"load{number}", draw(st.sampled_from(names)), draw(per_phase), draw(groups))
        for number in range(draw(st.integers(0, 5)))
    )
    stations = tuple(
        station(f"CP-{number}", draw(st.sampled_from(names)), draw(fallbacks_ma), draw(wirings))
        for number in range(draw(st.integers(0, 6)))
    )
    return site(*circuits, loads=loads, stations=stations)


def hangs_below(place: CircuitId, top: CircuitId, whole: Site) -> bool:
    return top in whole.path_to_root(place)


def recomputed_base_ma(top: CircuitId, phase: Phase, whole: Site) -> int:
    below_ma = sum(
        recomputed_base_ma(child.id, phase, whole)
        for child in whole.circuits
        if child.parent == top
    )
    (own,) = (c.worst_case_base_ma[phase] for c in whole.circuits if c.id == top)
    return max(own, below_ma)


def recomputed_load_ma(top: CircuitId, phase: Phase, whole: Site) -> int:
    """Try every set of loads that may run together, and take the heaviest."""
    here = [one for one in whole.loads if hangs_below(one.circuit, top, whole)]
    return max(
        sum(one.worst_case_ma[phase] for one in running)
        for size in range(len(here) + 1)
        for running in combinations(here, size)
        if not any(
            a.interlock is not None and a.interlock == b.interlock
            for a, b in combinations(running, 2)
        )
    )


def margins_ma(whole: Site) -> dict[tuple[CircuitId, Phase], int]:
    return {(row.circuit, row.phase): row.margin_ma for row in prove(whole).phases}


@given(sites())
def test_the_proof_is_what_a_second_reckoning_finds(whole: Site) -> None:
    for row in prove(whole).phases:
        (here,) = (c for c in whole.circuits if c.id == row.circuit)
        fallback_ma = sum(
            connector.fallback_ma
            for connector in whole.connectors
            if row.phase in connector.phases and hangs_below(connector.circuit, row.circuit, whole)
        )

        assert row.fallback_ma == fallback_ma
        assert row.base_ma == recomputed_base_ma(row.circuit, row.phase, whole)
        assert row.load_ma == recomputed_load_ma(row.circuit, row.phase, whole)
        assert row.margin_ma == here.set_point_ma[row.phase] - (
            row.fallback_ma + row.base_ma + row.load_ma
        )


@given(sites(), per_phase, st.sampled_from([None, "heating"]), st.data())
def test_another_load_never_makes_the_proof_easier(
    whole: Site, worst_case_ma: PerPhase, interlock: str | None, data: st.DataObject
) -> None:
    where = data.draw(st.sampled_from([c.id for c in whole.circuits]))
    more = replace(whole, loads=(*whole.loads, load("more", where, worst_case_ma, interlock)))

    before, after = margins_ma(whole), margins_ma(more)

    assert all(after[row] <= before[row] for row in before)
    top = whole.path_to_root(where)
    if interlock is None:
        assert all(
            before[place, phase] - after[place, phase] == worst_case_ma[phase]
            for place in top
            for phase in Phase
        )


@given(sites())
def test_an_interlock_never_counts_more_than_its_members_one_by_one(whole: Site) -> None:
    free = replace(whole, loads=tuple(replace(one, interlock=None) for one in whole.loads))

    bound, unbound = margins_ma(whole), margins_ma(free)

    assert all(bound[row] >= unbound[row] for row in bound)


@given(sites())
def test_a_feed_is_never_less_than_what_hangs_below_it(whole: Site) -> None:
    base_ma = worst_case_base_ma(whole)
    for phase in Phase:
        for top in whole.circuits:
            children = [base_ma[c.id][phase] for c in whole.circuits if c.parent == top.id]
            assert base_ma[top.id][phase] >= max(sum(children), top.worst_case_base_ma[phase])


@given(sites())
def test_what_is_uncontrolled_is_the_proof_without_the_fallbacks(whole: Site) -> None:
    uncontrolled = uncontrolled_ma(whole)

    assert set(uncontrolled) == {c.id for c in whole.circuits}
    for row in prove(whole).phases:
        assert uncontrolled[row.circuit][row.phase] == row.worst_case_ma - row.fallback_ma


@given(sites())
def test_the_fallbacks_offered_make_the_proof_hold(whole: Site) -> None:
    offered = lower_fallbacks(whole)

    silent = replace(
        whole,
        stations=tuple(
            replace(s, connectors=tuple(replace(c, fallback_ma=0) for c in s.connectors))
            for s in whole.stations
        ),
    )
    if offered is None:
        assert not prove(silent).holds
        return
    for connector in whole.connectors:
        lowered_ma = offered.get(connector.ref, connector.fallback_ma)
        assert lowered_ma == 0 or lowered_ma >= 6_000
        assert lowered_ma <= connector.fallback_ma
    changed = replace(
        whole,
        stations=tuple(
            replace(
                s,
                connectors=tuple(
                    replace(c, fallback_ma=offered.get(c.ref, c.fallback_ma)) for c in s.connectors
                ),
            )
            for s in whole.stations
        ),
    )
    assert prove(changed).holds
    assert (offered == {}) == prove(whole).holds


def test_a_parents_figure_covers_its_childrens_base() -> None:
    whole = site(
        circuit("supply", rating_ma=each(200_000), base_ma=each(130_000)),
        circuit("carpark", "supply", base_ma=each(5_000)),
    )

    assert worst_case_base_ma(whole)[SUPPLY] == each(130_000)


def test_children_who_declare_more_than_their_parent_are_believed() -> None:
    whole = site(
        circuit("supply", base_ma=(3_000, 50_000, 0)),
        circuit("carpark", "supply", base_ma=each(5_000)),
        circuit("annex", "supply", base_ma=each(2_000)),
    )

    assert worst_case_base_ma(whole)[SUPPLY] == (7_000, 50_000, 7_000)


def test_an_interlock_spanning_circuits_counts_its_largest_at_each_circuit() -> None:
    whole = site(
        circuit("supply"),
        circuit("carpark", "supply"),
        loads=(
            load("chiller-1", "supply", (60_000, 10_000, 0), "chillers"),
            load("chiller-2", "carpark", (40_000, 20_000, 0), "chillers"),
        ),
    )

    assert uncontrolled_ma(whole) == {SUPPLY: (60_000, 20_000, 0), CARPARK: (40_000, 20_000, 0)}
    (term,) = prove(whole).phases[Phase.L2].loads
    assert (term.load, term.silenced) == (LoadId("chiller-2"), (LoadId("chiller-1"),))


def test_a_rotated_single_phase_connector_counts_on_its_own_phase_alone() -> None:
    whole = site(circuit("supply"), stations=(station("CP-1", "supply", 6_000, (Phase.L2,)),))

    assert [row.fallback_ma for row in prove(whole).phases] == [0, 6_000, 0]


def test_exactly_the_set_point_holds_and_a_milliampere_more_does_not() -> None:
    full = site(circuit("supply", base_ma=each(95_000)))
    over = site(circuit("supply", base_ma=(95_000, 95_001, 95_000)))

    assert prove(full).holds
    assert [row.phase for row in prove(over).failures] == [Phase.L2]
    assert lower_fallbacks(over) is None


def test_anything_on_a_phase_the_circuit_does_not_have_fails() -> None:
    whole = site(
        circuit("supply", rating_ma=(63_000, 0, 0)), stations=(station("CP-1", "supply", 6_000),)
    )

    assert [row.phase for row in prove(whole).failures] == [Phase.L2, Phase.L3]


def test_the_way_out_takes_the_high_fallbacks_down_before_any_to_nothing() -> None:
    whole = site(
        circuit("supply", rating_ma=each(40_000), base_ma=each(5_000)),  # Set-point 38 A.
        stations=(
            station("CP-1", "supply", 16_000),
            station("CP-2", "supply", 10_000),
            station("CP-3", "supply", 6_000),
            station("CP-4", "supply", 6_000),
        ),
    )

    # 43 A are 5 A too much: CP-1 alone gives that.
    assert lower_fallbacks(whole) == {ConnectorRef(StationId("CP-1"), 1): 11_000}
    tight = replace(whole, loads=(load("fan", "supply", each(10_000)),))
    # 15 A too much: 10 A from CP-1, 4 A from CP-2, and the last declared goes to nothing.
    assert lower_fallbacks(tight) == {
        ConnectorRef(StationId("CP-1"), 1): 6_000,
        ConnectorRef(StationId("CP-2"), 1): 6_000,
        ConnectorRef(StationId("CP-4"), 1): 0,
    }
