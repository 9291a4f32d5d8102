"""What binds a row besides its set-point: sources that may vanish, power, neutral, imbalance."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.control.decide import Decision, decide
from gateway.control.fold import Decided, evolve, evolve_all
from gateway.control.headroom import survey
from gateway.control.parameters import ControlParameters
from gateway.control.rows import ReserveFor, Row
from gateway.control.state import RiseHistory, SiteState
from gateway.control.three_phase import within_three_phase_bounds
from gateway.control.wants import Claims
from gateway.control.wiring import Wiring
from gateway.domain.circuits import Site, Source, SourceKind, TripCurve
from gateway.domain.events import MeterRead
from gateway.domain.ids import MeterId, SourceId
from gateway.domain.metering import MeterReading
from tests.support.one_circuit import BOARD, METER, site

ROOF_METER = MeterId("roof-meter")
Amperes = tuple[float, float, float]


def at_start(of_site: Site) -> SiteState:
    return SiteState.at_start(Wiring.of(of_site), ControlParameters(), now_s=0.0)


def read(meter: MeterId, current_a: Amperes, *, at_s: float) -> MeterRead:
    """Return a reading; a negative current is export."""
    l1, l2, l3 = current_a
    return MeterRead(
        at_s=at_s,
        reading=MeterReading(
            meter=meter,
            at_s=at_s,
            current_a=(abs(l1), abs(l2), abs(l3)),
            power_w=(l1 * 230, l2 * 230, l3 * 230),
            voltage_v=(230.0, 230.0, 230.0),
        ),
    )


def with_source(kind: SourceKind, meter: MeterId | None) -> Site:
    source = Source(
        id=SourceId("roof"),
        circuit=BOARD,
        kind=kind,
        nameplate_ma=(30_000, 30_000, 30_000),
        meter=meter,
    )
    return replace(site(), sources=(source,))


def with_bounds(**bounds: int) -> Site:
    (circuit,) = site().circuits
    return replace(site(), circuits=(replace(circuit, **bounds),))  # type: ignore[arg-type]


def rows_at(of_site: Site, current_a: Amperes) -> list[Row]:
    state = evolve_all(at_start(of_site), [read(METER, current_a, at_s=1.0)])
    return survey(state, 1.5).rows


@pytest.mark.parametrize(("floor", "unlearnt", "kept"), [(0.3, 0.15, 0.3), (0.1, 0.15, 0.15)])
def test_no_less_is_kept_free_before_base_is_known_than_after(
    floor: float, unlearnt: float, kept: float
) -> None:
    parameters = ControlParameters(reserve_floor_ratio=floor, reserve_unlearnt_ratio=unlearnt)
    state = SiteState.at_start(Wiring.of(site()), parameters, now_s=0.0)

    rows = survey(evolve(state, read(METER, (20.0, 20.0, 20.0), at_s=1.0)), 1.5).rows

    assert [row.reserve_ma for row in rows] == [int(kept * site().circuits[0].rating_ma[0])] * 3


@pytest.mark.parametrize(
    ("kind", "told_a", "base_ma"),
    [
        (SourceKind.PV, -12.0, 32_000),
        (SourceKind.PV, 12.0, 32_000),  # Wired the other way round: PV never takes.
        (SourceKind.BATTERY, -12.0, 32_000),
        (SourceKind.BATTERY, 12.0, 20_000),  # It charges: nothing of that may vanish upwards.
    ],
)
def test_what_a_source_gives_counts_as_if_it_had_gone(
    kind: SourceKind, told_a: float, base_ma: int
) -> None:
    facts = [
        read(ROOF_METER, (told_a, told_a, told_a), at_s=1.0),
        read(METER, (20.0, 20.0, 20.0), at_s=1.0),
    ]
    state = evolve_all(at_start(with_source(kind, ROOF_METER)), facts)

    assert [row.base_ma for row in survey(state, 1.5).rows] == [base_ma] * 3


def test_a_source_that_nobody_measures_counts_its_nameplate() -> None:
    rows = rows_at(with_source(SourceKind.PV, None), (20.0, 20.0, 20.0))

    assert [(row.base_ma, row.export_ma) for row in rows] == [(50_000, 30_000)] * 3


def test_a_source_whose_meter_is_silent_counts_its_nameplate() -> None:
    of_site = with_source(SourceKind.PV, ROOF_METER)
    facts = [read(ROOF_METER, (-5.0, -5.0, -5.0), at_s=1.0), read(METER, (20.0,) * 3, at_s=12.0)]
    state = evolve_all(at_start(of_site), facts)

    assert survey(state, 12.5).rows[0].base_ma == 50_000


def test_a_building_that_exports_has_the_base_behind_its_roof() -> None:
    facts = [
        read(ROOF_METER, (-30.0, -30.0, -30.0), at_s=1.0),
        read(METER, (-10.0, -10.0, -10.0), at_s=1.0),
    ]
    state = evolve_all(at_start(with_source(SourceKind.PV, ROOF_METER)), facts)

    assert survey(state, 1.5).rows[0].base_ma == 20_000


def test_a_limit_on_power_leaves_what_is_left_to_the_phases() -> None:
    # 34.5 kVA at 230 V are 150 A over three phases; 20 A flow on each, and 15 A are kept free.
    rows = rows_at(with_bounds(power_limit_va=34_500), (20.0, 20.0, 20.0))

    assert sum(row.bound_ma for row in rows) == 150_000
    assert [row.available_ma for row in rows] == [15_000] * 3
    assert {row.bound_source for row in rows} == {"the limit on power"}


@given(
    current_a=st.tuples(*(st.floats(0, 120, allow_nan=False) for _ in range(3))),
    limit_va=st.integers(5_000, 70_000),
    claims_ma=st.tuples(*(st.integers(0, 64_000) for _ in range(3))),
)
def test_bounds_of_phases_never_add_up_to_more_than_the_power(
    current_a: Amperes, limit_va: int, claims_ma: tuple[int, int, int]
) -> None:
    of_site = with_bounds(power_limit_va=limit_va)
    state = evolve_all(at_start(of_site), [read(METER, current_a, at_s=1.0)])
    unbound = survey(evolve_all(at_start(site()), [read(METER, current_a, at_s=1.0)]), 1.5).rows
    claims = Claims(
        high_ma=[0] * 3,
        masks=[(True, True, True)] * 3,
        overdrawn=[False] * 3,
        claimed_ma=[*claims_ma],
    )
    rows = within_three_phase_bounds(state, list(unbound), claims, 1.5)

    given_ma = [
        row.base_ma + row.reserve_ma + max(row.available_ma, 0)
        for row in rows
        if row.available_ma >= 0
    ]
    bound = [row for row in rows if row.bound_source == "the limit on power"]
    assert sum(row.bound_ma for row in rows) <= limit_va * 1_000 / 230 or len(bound) < 3
    assert all(ma <= row.set_point_ma for ma, row in zip(given_ma, rows, strict=False))


def test_a_phase_goes_no_further_than_the_others_and_the_imbalance_allowed() -> None:
    rows = rows_at(with_bounds(imbalance_ma=20_000), (30.0, 10.0, 40.0))

    assert [row.bound_ma for row in rows] == [30_000, 50_000, 30_000]
    assert rows[0].bound_source == "the limit on imbalance"


def test_the_neutral_binds_like_an_imbalance() -> None:
    rows = rows_at(with_bounds(neutral_ma=25_000, imbalance_ma=40_000), (10.0, 10.0, 10.0))

    assert {(row.bound_ma, row.bound_source) for row in rows} == {(35_000, "the neutral")}


def decided(state: SiteState, currents_a: list[Amperes]) -> tuple[SiteState, Decision]:
    """Let seconds pass with what flows in each; return the last state and decision."""
    for second, current_a in enumerate(currents_a):
        state = evolve_all(state, [read(METER, current_a, at_s=second)])
        decision = decide(state, float(second))
        state = evolve_all(state, [Decided(at_s=float(second), memory=decision.memory)])
    return state, decide(state, float(len(currents_a)))


def with_lease_rise(rise_ma: int, curve: TripCurve) -> SiteState:
    (circuit,) = site().circuits
    state = at_start(replace(site(), circuits=(replace(circuit, curve=curve),)))
    state = evolve_all(state, [read(METER, (20.0, 20.0, 20.0), at_s=1.0)])
    learnt = RiseHistory(quantile_ma=rise_ma)
    phases = tuple(replace(phase, lease_rises=learnt) for phase in state.circuits[0].phases)
    return replace(state, circuits=(replace(state.circuits[0], phases=phases),))  # type: ignore[arg-type]


def test_what_would_trip_the_device_before_leases_lapse_is_kept_free() -> None:
    quick, slow = (
        TripCurve(trip_ratio=1.13, time_constant_s=4.6),
        TripCurve(trip_ratio=1.13, time_constant_s=600.0),
    )
    row = survey(with_lease_rise(40_000, quick), 1.5).rows[0]

    # From the set-point of 95 A up to 113 A, which the device carries, 18 A of the 40 may come.
    assert (row.reserve_ma, row.reserve_for) == (22_000, ReserveFor.LEASE)
    assert survey(with_lease_rise(40_000, slow), 1.5).rows[0].reserve_for is ReserveFor.BASE
    assert survey(with_lease_rise(30_000, quick), 1.5).rows[0].reserve_ma == 15_000


def test_base_above_its_worst_case_voids_the_proof_and_counts_when_the_meter_is_lost() -> None:
    currents_a = [(90.0 + second / 1_000,) * 3 for second in range(70)]
    state, decision = decided(at_start(replace(site(), stations=())), currents_a)

    assert decision.void_proofs == (BOARD,)
    assert survey(state, 82.0).rows[0].base_ma >= 90_000


def test_a_moment_above_the_worst_case_voids_nothing() -> None:
    currents_a = [
        ((90.0 if second % 30 < 20 else 50.0) + second / 1_000,) * 3 for second in range(70)
    ]
    _, decision = decided(at_start(replace(site(), stations=())), currents_a)

    assert decision.void_proofs == ()


def test_a_phase_the_circuit_does_not_have_is_nothing_to_control() -> None:
    (circuit,) = site().circuits
    single = replace(circuit, rating_ma=(60_000, 0, 0), worst_case_base_ma=(20_000, 0, 0))
    of_site = replace(site(), circuits=(single,), stations=())
    currents_a = [(20.0 + second / 1_000, 0.4, 0.0) for second in range(30)]
    _, decision = decided(at_start(of_site), currents_a)

    assert decision.survey.rows[0].available_ma == 57_000 - 20_029 - 9_000
    assert decision.void_proofs == ()
