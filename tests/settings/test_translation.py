"""What people write becomes the domain's words: mA, phases, parents before children."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.domain.circuits import FASTEST_CURVE, OvercurrentDevice, TripCurve
from gateway.domain.electric import Phase
from gateway.domain.ids import BusId, CircuitId, MeterId, StationId
from gateway.domain.rating_calendar import CalendarRating
from gateway.domain.tokens import KnownToken, TokenMode, TokenPolicy
from gateway.settings import (
    HookSettings,
    ProofRefusedError,
    SerialBus,
    Settings,
    StopInput,
    TcpBus,
    TripOutput,
    load_site,
    read_site,
)

SITE = "site: {name: Here, timezone: Europe/London, voltage_v: 230}\n"


def written(text: str, folder: Path) -> Path:
    file = folder / "site.yaml"
    file.write_text(SITE + text)
    return file


def read(text: str, folder: Path) -> Settings:
    return read_site(written(text, folder))


def test_ratings_and_limits_are_rounded_down_and_worst_cases_up(tmp_path: Path) -> None:
    settings = read(
        """
circuits: [{id: a, rating_a: 63.00099, device: mcb, worst_case_base_a: 1.0001}]
loads: [{id: b, circuit: a, worst_case_a: [2.0009, 0, 16.1]}]
stations:
  - id: CP-1
    circuit: a
    connectors: [{id: 1, phases: [L1], max_a: 16.1009, fallback_a: 6.1009}]
""",
        tmp_path,
    )

    (circuit,), (load,) = settings.site.circuits, settings.site.loads
    (connector,) = settings.site.connectors
    assert circuit.rating_ma == (63_000, 63_000, 63_000)
    assert circuit.worst_case_base_ma == (1_001, 1_001, 1_001)
    assert load.worst_case_ma == (2_001, 0, 16_100)  # 16.1 is 16.1, whatever binary makes of it.
    assert (connector.max_ma, connector.fallback_ma) == (16_100, 6_100)


def test_lower_ratings_hold_at_times_and_the_proof_is_against_the_lowest(tmp_path: Path) -> None:
    text = """
circuits:
  - id: a
    rating_a: 100
    ratings:
      - {{days: [mon, fri], starts: "16:30", ends: "20:00", rating_a: {lower}}}
      - {{starts: "22:00", ends: "06:00", rating_a: [90, 80.0009, 100]}}
    device: mcb
    worst_case_base_a: 50
planning: {{min_gap_s: 30}}
"""
    settings = read(text.format(lower=60), tmp_path)

    (circuit,), (evening, night) = settings.site.circuits, settings.site.circuits[0].ratings
    assert evening == CalendarRating(
        rating_ma=(60_000,) * 3, starts_s=59_400, ends_s=72_000, days=frozenset({0, 4})
    )
    assert night.rating_ma == (90_000, 80_000, 100_000)
    assert night.days == frozenset(range(7))
    assert circuit.lowest_set_point_ma == (57_000,) * 3
    assert [row.set_point_ma for row in settings.proof.phases] == [57_000] * 3
    assert settings.plan_min_gap_s == 30
    (tmp_path / "other").mkdir()
    with pytest.raises(
        ProofRefusedError, match=r"over the set-point of 38\.0 A its calendar leads to"
    ):
        load_site(written(text.format(lower=40), tmp_path / "other"))


def test_a_child_may_stand_before_its_parent(tmp_path: Path) -> None:
    settings = read(
        """
circuits:
  - {id: leaf, parent: branch, rating_a: 16, device: mcb, worst_case_base_a: 0}
  - {id: other, rating_a: 16, device: mcb, worst_case_base_a: 0}
  - {id: branch, parent: root, rating_a: 32, device: fuse, worst_case_base_a: 0}
  - {id: root, rating_a: 63, device: mccb, worst_case_base_a: 0}
""",
        tmp_path,
    )

    assert [circuit.id for circuit in settings.site.circuits] == ["other", "root", "branch", "leaf"]


def test_one_number_is_for_the_phases_that_are_there(tmp_path: Path) -> None:
    settings = read(
        """
circuits:
  - {id: house, rating_a: [63, 0, 40], device: fuse, worst_case_base_a: 20}
  - {id: garage, parent: house, rating_a: 32, device: mcb, worst_case_base_a: 1}
loads: [{id: oven, circuit: garage, worst_case_a: 10}]
""",
        tmp_path,
    )

    house, garage = settings.site.circuits
    (oven,) = settings.site.loads
    assert house.worst_case_base_ma == (20_000, 0, 20_000)
    assert garage.rating_ma == (32_000, 0, 32_000)
    assert garage.worst_case_base_ma == (1_000, 0, 1_000)
    assert oven.worst_case_ma == (10_000, 0, 10_000)


def test_the_device_decides_set_point_and_curve_unless_the_file_does(tmp_path: Path) -> None:
    settings = read(
        """
circuits:
  - {id: a, rating_a: 100, device: mcb, worst_case_base_a: 0}
  - {id: b, rating_a: 100, device: fuse, worst_case_base_a: 0}
  - id: c
    rating_a: 100
    device: mccb
    worst_case_base_a: 0
    set_point_ratio: 0.8
    curve: {trip_ratio: 1.2, time_constant_s: 300}
""",
        tmp_path,
    )

    a, b, c = settings.site.circuits
    assert [x.set_point_ma[0] for x in (a, b, c)] == [95_000, 90_000, 80_000]
    assert a.curve == FASTEST_CURVE[OvercurrentDevice.MCB]
    assert b.curve == FASTEST_CURVE[OvercurrentDevice.FUSE]
    assert c.curve == TripCurve(trip_ratio=1.2, time_constant_s=300)


def test_lines_meters_and_phases_arrive_as_wired(tmp_path: Path) -> None:
    settings = read(
        """
buses:
  - {id: rs485, serial: {port: /dev/serial/by-id/x, baud: 9600, format: 8E1}, timeout_s: 0.3}
  - {id: lan, tcp: {host: meter.local, port: 1502}}
meters:
  - id: main
    bus: rs485
    unit: 7
    profile: eastron_sdm630_v2
    ct_ratio: 40
    invert: true
    phases: [L3, L1, L2]
    interval_s: 2
circuits: [{id: a, rating_a: 63, device: mcb, meter: main, worst_case_base_a: 0}]
stations:
  - {id: CP-1, circuit: a, connectors: [{id: 2, phases: [L2, L3, L1], max_a: 16, fallback_a: 0}]}
listen: {ocpp: {host: 0.0.0.0}, api: {port: 0}}
""",
        tmp_path,
    )

    assert settings.buses == (
        SerialBus(
            id=BusId("rs485"), port="/dev/serial/by-id/x", baud=9600, format="8E1", timeout_s=0.3
        ),
        TcpBus(id=BusId("lan"), host="meter.local", port=1502, timeout_s=0.5),
    )
    (meter,), (connector,) = settings.site.meters, settings.site.connectors
    assert (meter.id, meter.bus, meter.unit, meter.ct_ratio) == ("main", "rs485", 7, 40.0)
    assert (meter.invert, meter.interval_s) == (True, 2.0)
    assert meter.phases == (Phase.L3, Phase.L1, Phase.L2)
    assert connector.phases == (Phase.L2, Phase.L3, Phase.L1)
    assert (connector.ref, connector.circuit) == ((StationId("CP-1"), 2), CircuitId("a"))
    assert settings.site.circuits[0].meter == MeterId("main")
    assert (settings.listen.ocpp.host, settings.listen.ocpp.port) == ("0.0.0.0", 9000)
    assert (settings.listen.api.host, settings.listen.api.port) == ("127.0.0.1", 0)


STOP = """
buses: [{id: lan, tcp: {host: 10.0.0.5}}]
circuits: [{id: a, rating_a: 63, device: mcb, worst_case_base_a: 0}]
stop_input: {bus: lan, unit: 1, address: 3%s}
"""


def test_a_stop_input_stops_when_its_wire_breaks_and_until_a_person_releases_it(
    tmp_path: Path,
) -> None:
    assert read(STOP % "", tmp_path).stop_input == StopInput(
        bus=BusId("lan"),
        unit=1,
        kind="discrete_input",
        address=3,
        bit=0,
        stops_when_closed=False,
        is_self_releasing=False,
    )


def test_a_stop_input_can_be_told_otherwise(tmp_path: Path) -> None:
    told = ", kind: holding_register, bit: 7, stops_when: closed, release: contact"

    assert read(STOP % told, tmp_path).stop_input == StopInput(
        bus=BusId("lan"),
        unit=1,
        kind="holding_register",
        address=3,
        bit=7,
        stops_when_closed=True,
        is_self_releasing=True,
    )


AUTHORIZE = """
circuits: [{id: a, rating_a: 63, device: mcb, worst_case_base_a: 0}]
authorize: {accept: %s}
"""


def test_a_token_is_good_through_its_last_day_by_the_clocks_of_the_site(tmp_path: Path) -> None:
    token = "list, tokens: [{id: aB, group: g, valid_until: 2027-07-31}, {id: c, blocked: true}]"

    policy = read(AUTHORIZE % token, tmp_path).tokens

    assert policy == TokenPolicy(
        TokenMode.LIST,
        {
            "ab": KnownToken(
                id="aB", group="g", good_until_at=datetime(2027, 7, 31, 23, tzinfo=UTC)
            ),
            "c": KnownToken(id="c", is_blocked=True),
        },
    )


@pytest.mark.parametrize("accept", ["all", "station"])
def test_who_decides_of_tokens_can_be_said(accept: str, tmp_path: Path) -> None:
    assert read(AUTHORIZE % accept, tmp_path).tokens == TokenPolicy(TokenMode(accept))


@pytest.mark.parametrize("accept", ["all", "list"])
def test_whose_id_tokens_are_can_be_said(accept: str, tmp_path: Path) -> None:
    holders = "holders: [{id: drones, id_tokens: [aB, c]}, {id: vans, id_tokens: [d]}]"

    policy = read(AUTHORIZE % f"{accept}, {holders}", tmp_path).tokens

    assert [policy.holder_of(name) for name in ("Ab", "c", "D", "e")] == [
        "drones",
        "drones",
        "vans",
        None,
    ]


TRIP = """
buses: [{id: lan, tcp: {host: 10.0.0.5}}]
circuits:
  - {id: a, rating_a: 63, device: mcb, worst_case_base_a: 0, trip_output: {bus: lan, unit: 1, address: 3%s}}
  - {id: b, parent: a, rating_a: 32, device: mcb, worst_case_base_a: 0}
"""


@pytest.mark.parametrize(
    ("told", "bit", "trips_when_closed"),
    [
        ("", None, False),
        (", kind: holding_register, bit: 7, trips_when: closed", 7, True),
    ],
)
def test_a_trip_output_trips_when_its_wire_breaks_unless_told_otherwise(
    told: str, bit: int | None, trips_when_closed: bool, tmp_path: Path
) -> None:
    assert read(TRIP % told, tmp_path).trip_outputs == (
        TripOutput(
            circuit=CircuitId("a"),
            bus=BusId("lan"),
            unit=1,
            address=3,
            bit=bit,
            trips_when_closed=trips_when_closed,
        ),
    )


def test_a_webhook_is_told_what_is_at_risk_unless_told_otherwise(tmp_path: Path) -> None:
    settings = read(
        """
circuits: [{id: a, rating_a: 63, device: mcb, worst_case_base_a: 0}]
webhooks:
  - {id: desk, url: 'https://fleet.example/hear?a=1'}
  - {id: log, url: 'http://127.0.0.1:81', credential: key, tell: [reservation], holder: vans}
""",
        tmp_path,
    )

    at_risk = ("reservation-at-risk", "reservation-safe-again")
    desk = HookSettings(
        id="desk",
        url="https://fleet.example/hear?a=1",
        credential="desk",
        kinds=at_risk,
        holder=None,
    )
    log = HookSettings(
        id="log",
        url="http://127.0.0.1:81",
        credential="key",
        kinds=("reservation",),
        holder="vans",
    )
    assert settings.webhooks == (desk, log)


def test_safety_numbers_in_amperes_become_milliamperes(tmp_path: Path) -> None:
    settings = read(
        """
circuits: [{id: a, rating_a: 63, device: mcb, worst_case_base_a: 0}]
control: {dead_band_a: 0.5, disobedience_a: 1.5, lease_s: 120}
""",
        tmp_path,
    )

    control = settings.control
    assert (control.dead_band_ma, control.disobedience_ma, control.lease_s) == (500, 1_500, 120)


def test_a_station_logs_in_with_its_own_password_unless_told_otherwise(tmp_path: Path) -> None:
    settings = read(
        """
circuits: [{id: a, rating_a: 63, device: mcb, worst_case_base_a: 0}]
stations:
  - {id: A, circuit: a, connectors: [{id: 1, phases: [L1], max_a: 16, fallback_a: 0}]}
  - {id: B, circuit: a, auth: {credential: shared}, connectors: [{id: 1, phases: [L1], max_a: 16, fallback_a: 0}]}
  - {id: C, circuit: a, auth: none, connectors: [{id: 1, phases: [L1], max_a: 16, fallback_a: 0}]}
""",
        tmp_path,
    )

    assert settings.credentials == {"A": "A", "B": "shared", "C": None}


def test_a_site_whose_silence_overloads_a_circuit_is_refused_with_its_sums(tmp_path: Path) -> None:
    text = """
circuits: [{id: a, rating_a: 40, device: mcb, worst_case_base_a: [20, 30, 36.5]}]
loads: [{id: fan, circuit: a, worst_case_a: [2, 2, 0]}]
stations:
  - {id: CP-1, circuit: a, connectors: [{id: 1, phases: [L1, L2, L3], max_a: 16, fallback_a: 6}]}
"""
    settings = read(text, tmp_path)

    with pytest.raises(ProofRefusedError) as refused:
        load_site(settings.path)

    assert not settings.proof.holds
    assert str(refused.value).replace(f"{tmp_path}/", "").split("\n") == [
        (
            "site.yaml: circuit a, L3: fallbacks 6.0 A + base 36.5 A + loads 0.0 A = 42.5 A, "
            "4.5 A over the set-point of 38.0 A"
        ),
        "site.yaml: `headroom check site.yaml` shows every term, and what would mend it",
    ]
