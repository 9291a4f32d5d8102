"""Sites, stations and what happens at them, drawn at random: what the law is tried on."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from hypothesis import strategies as st

from gateway.domain.circuits import (
    FASTEST_CURVE,
    SET_POINT_RATIO,
    ChargingStation,
    Circuit,
    Connector,
    OvercurrentDevice,
    Site,
)
from gateway.domain.electric import PerPhase, Phase
from gateway.domain.ids import CircuitId, ConnectorRef, MeterId, StationId
from tests.control.outlets import Tells, Traits

THREE_PHASE = (Phase.L1, Phase.L2, Phase.L3)
WIRINGS: tuple[tuple[Phase, ...], ...] = (
    THREE_PHASE,
    THREE_PHASE,
    (Phase.L2, Phase.L3, Phase.L1),
    (Phase.L3, Phase.L1, Phase.L2),
    (Phase.L1,),
    (Phase.L3,),
)


class Kind(Enum):
    """What can happen."""

    PLUG_IN = auto()
    LEAVE = auto()
    SWAP = auto()
    NEW_TRANSACTION = auto()
    REST = auto()
    WAKE = auto()
    APPETITE = auto()
    BASE = auto()
    EXPORT = auto()
    LOSE = auto()
    RETURN = auto()
    MUTE = auto()
    REFUSE = auto()
    LATE = auto()
    BOOT = auto()
    DISOBEY = auto()
    NO_READINGS = auto()
    ENERGY_READING = auto()
    GHOST = auto()
    METER_SILENT = auto()
    METER_FROZEN = auto()
    STOP = auto()
    RELEASE = auto()
    LIMIT_CIRCUIT = auto()
    LIMIT_CONNECTOR = auto()
    LIFT = auto()
    PRIORITY = auto()
    RESTART = auto()


WEIGHTS = {
    Kind.PLUG_IN: 6,
    Kind.LEAVE: 3,
    Kind.SWAP: 5,
    Kind.NEW_TRANSACTION: 3,
    Kind.REST: 3,
    Kind.WAKE: 3,
    Kind.APPETITE: 3,
    Kind.BASE: 8,
    Kind.LOSE: 3,
    Kind.RETURN: 3,
    Kind.MUTE: 3,
    Kind.REFUSE: 3,
    Kind.LATE: 2,
    Kind.BOOT: 4,
    Kind.NO_READINGS: 2,
    Kind.LIMIT_CONNECTOR: 2,
    Kind.LIFT: 2,
    Kind.PRIORITY: 3,
}
KINDS = [kind for kind in Kind for _ in range(WEIGHTS.get(kind, 1))]


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happens to the `at`-th of its sort, and the seconds that pass after it."""

    kind: Kind
    at: int
    amount: int
    wait_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A site, its stations, and everything that happens there.

    `is_proven`: every station has been seen to obey before the first second; `knows_base`: base
    has been known to be quiet for weeks. After the last happening all is well for `calm_s`.
    """

    site: Site
    traits: dict[StationId, Traits]
    is_proven: bool
    knows_base: bool
    rotation_s: float
    seed: int
    happenings: tuple[Happening, ...]
    calm_s: int


def _rating(draw: st.DrawFn, parent: PerPhase | None) -> PerPhase:
    """Draw a rating per phase: mostly equal, some unequal, some with one phase alone."""
    amps = st.integers(20, 90)
    a = draw(amps) * 1_000
    match draw(
        st.sampled_from(["equal", "equal", "equal", "equal", "unequal", "unequal", "single"])
    ):
        case "unequal":
            rating = (a, draw(amps) * 1_000, draw(amps) * 1_000)
        case "single":
            rating = (a, 0, 0)
        case _:
            rating = (a, a, a)
    if parent is None:
        return rating
    one, two, three = (own if above else 0 for own, above in zip(rating, parent, strict=True))
    return one, two, three


@st.composite
def sites(draw: st.DrawFn, *, has_joined: bool = False) -> Site:
    """Draw a tree of one to three levels with up to five stations of one or two connectors.

    If it `has_joined`, some circuits have limits that join their phases.
    """
    powers_va = [*[None] * 8, 20_000, 40_000] if has_joined else [None]
    imbalances_ma = [*[None] * 9, 20_000] if has_joined else [None]
    circuits: list[Circuit] = []
    for at in range(draw(st.integers(1, 4))):
        parent = circuits[draw(st.integers(0, at - 1))] if at else None
        device = draw(st.sampled_from(list(OvercurrentDevice)))
        rating_ma = _rating(draw, None if parent is None else parent.rating_ma)
        one, two, three = (ma // 4 for ma in rating_ma)
        is_metered = at == 0 or draw(st.booleans())
        circuits.append(
            Circuit(
                id=CircuitId(f"c{at}"),
                parent=None if parent is None else parent.id,
                rating_ma=rating_ma,
                device=device,
                set_point_ratio=SET_POINT_RATIO[device],
                curve=FASTEST_CURVE[device],
                meter=MeterId(f"m{at}") if is_metered else None,
                worst_case_base_ma=(one, two, three),
                power_limit_va=draw(st.sampled_from(powers_va)),
                imbalance_ma=draw(st.sampled_from(imbalances_ma)),
            )
        )
    stations = []
    for at in range(draw(st.integers(1, 5))):
        station, circuit = StationId(f"s{at}"), draw(st.sampled_from(circuits))
        connectors = tuple(
            Connector(
                ref=ConnectorRef(station, number),
                circuit=circuit.id,
                phases=draw(st.sampled_from(WIRINGS)) if circuit.rating_ma[1] else (Phase.L1,),
                max_ma=draw(st.sampled_from([16_000, 32_000])),
                fallback_ma=draw(st.sampled_from([0, 6_000])),
            )
            for number in range(1, draw(st.sampled_from([1, 1, 2])) + 1)
        )
        stations.append(ChargingStation(id=station, connectors=connectors))
    return Site(
        name="drawn",
        timezone="UTC",
        voltage_v=230.0,
        circuits=tuple(circuits),
        stations=tuple(stations),
    )


TRAITS = st.builds(
    Traits,
    takes_watts=st.sampled_from([False, False, False, True]),
    tells=st.sampled_from([Tells.AMPERES] * 5 + [Tells.WATTS, Tells.NOTHING, Tells.ENERGY]),
    interval_s=st.sampled_from([10, 10, 30, 60]),
    answers_questions=st.sampled_from([True, True, False]),
    latest_answer_s=st.sampled_from([0, 1, 1, 3]),
    has_tx_profile=st.sampled_from([True, True, False]),
    has_default_lease=st.booleans(),
    lapses=st.sampled_from([True, True, True, False]),
    has_fallback=st.sampled_from([True, True, True, False]),
    resumes_transaction=st.booleans(),
    forgets_in_boot=st.sampled_from([False, False, True]),
    lease_extra_s=st.integers(1, 14),
    divides_by_use=st.sampled_from([False, False, True]),
    voltage_v=st.sampled_from([207.0, 230.0]),
)


def happenings(kinds: Sequence[Kind]) -> st.SearchStrategy[Happening]:
    """Draw something that happens, of these kinds; what is named twice comes twice as often."""
    return st.builds(
        Happening,
        kind=st.sampled_from(kinds),
        at=st.integers(0, 9),
        amount=st.integers(0, 100),
        wait_s=st.sampled_from([1, 1, 2, 3, 5, 8, 13, 21, 34, 55]),
    )


@st.composite
def scripts(draw: st.DrawFn, kinds: Sequence[Kind] = KINDS, *, has_joined: bool = False) -> Script:
    """Draw a site and some minutes of its life; at first some vehicles come."""
    site = draw(sites(has_joined=has_joined))
    arrivals = tuple(
        Happening(Kind.PLUG_IN, at, draw(st.integers(0, 100)), draw(st.sampled_from([0, 1, 9])))
        for at in range(len(site.connectors))
        if draw(st.sampled_from([True, True, True, False]))
    )
    settling = Happening(Kind.WAKE, 0, 0, draw(st.sampled_from([5, 60, 90])))
    return Script(
        site=site,
        traits={station.id: draw(TRAITS) for station in site.stations},
        is_proven=draw(st.booleans()),
        knows_base=draw(st.booleans()),
        rotation_s=draw(st.sampled_from([60.0, 60.0, 900.0])),
        seed=draw(st.integers(0, 2**16)),
        happenings=(
            *arrivals,
            settling,
            *draw(st.lists(happenings(kinds), min_size=8, max_size=24)),
        ),
        calm_s=draw(st.sampled_from([0, 360])),
    )
