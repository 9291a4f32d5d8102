"""What is allowed in a site file and probably not meant is said, and nothing else is."""

from pathlib import Path

import pytest

from gateway.settings import read_site

RIGHT = """\
site: {name: Here, timezone: Europe/London, voltage_v: 230}
buses:
  - {id: lan, tcp: {host: 10.0.0.5}}
  - {id: rs485, serial: {port: /dev/serial/by-id/x, baud: 9600, format: 8N1}}
meters:
  - {id: main, bus: lan, unit: 1, profile: schneider_iem3000}
  - {id: sub, bus: rs485, unit: 1, profile: eastron_sdm630_v2}
circuits:
  - {id: supply, rating_a: 100, device: mcb, meter: main, worst_case_base_a: 10}
  - {id: carpark, parent: supply, rating_a: [20, 20, 16], device: mcb, meter: sub, worst_case_base_a: 2}
loads:
  - {id: fan-1, circuit: supply, worst_case_a: 2, interlock: fans}
  - {id: fan-2, circuit: supply, worst_case_a: 3, interlock: fans}
stations:
  - {id: CP-01, circuit: carpark, auth: none, connectors: [{id: 1, phases: [L3], max_a: 16, fallback_a: 0}]}
"""

# What stands in the right file, what is written instead, what is said of it.
DOUBTS = [
    ("bus: lan", "bus: rs485, interval_s: 2", ["3:6: buses.lan: nothing hangs on this bus"]),
    (
        "/dev/serial/by-id/x",
        "/dev/ttyUSB0",
        [
            "4:32: buses.rs485.serial.port: /dev/ttyUSB0 may be another adapter after a restart; take its name in /dev/serial/by-id"
        ],
    ),
    (
        "/dev/serial/by-id/x",
        "COM3",
        [
            "4:32: buses.rs485.serial.port: COM3 is no name of a serial line here; take one in /dev/serial/by-id"
        ],
    ),
    (
        ", meter: sub",
        "",
        ["7:6: meters.sub: no circuit or source names this meter; what it says is not used"],
    ),
    (
        "schneider_iem3000",
        "schneider_iem3000, phases: [L3, L1]",
        [
            "6:71: meters.main.phases: does not measure L2 of circuit supply: there the worst-case base always counts"
        ],
    ),
    (
        "id: supply, rating_a: 100, device: mcb, meter: main",
        "id: supply, rating_a: 100, device: mcb",
        [
            "6:6: meters.main: no circuit or source names this meter; what it says is not used",
            "9:6: circuits.supply: no meter measures this supply: its worst-case base always counts in full",
        ],
    ),
    (
        "worst_case_base_a: 10",
        "worst_case_base_a: [10, 1, 10], set_point_ratio: 0.98",
        [
            "9:78: circuits.supply.worst_case_base_a: 1 A on L2 is less than the 2 A of the circuits below, which it includes: the larger counts",
            "9:108: circuits.supply.set_point_ratio: aims closer to the rating than the 0.95 that suit a device mcb",
        ],
    ),
    (
        "rating_a: [20, 20, 16], device: mcb",
        "rating_a: [100, 125, 16], device: mcb",
        [
            "10:45: circuits.carpark.rating_a: 125 A on L2 is more than the 100 A that supply, which feeds it, is rated for"
        ],
    ),
    (
        "worst_case_a: 3, interlock: fans",
        "worst_case_a: 3",
        ["12:62: loads.fan-1.interlock: fan-1 is alone in the interlock group fans"],
    ),
    (
        "max_a: 16",
        "max_a: 32",
        [
            "15:89: stations.CP-01.connectors.1.max_a: 32 A is more than the 16 A circuit carpark is rated for"
        ],
    ),
    (
        "loads:",
        "listen: {ocpp: {host: 0.0.0.0}}\nloads:",
        ["16:41: stations.CP-01.auth: anyone who reaches 0.0.0.0 can pose as this station"],
    ),
    (
        "loads:",
        "stop_input: {bus: lan, unit: 2, address: 0, stops_when: closed}\nloads:",
        [
            "11:57: stop_input.stops_when: a cut wire looks like a contact at rest; wire it to open for a stop if you can"
        ],
    ),
    ("loads:", "stop_input: {bus: lan, unit: 2, address: 0}\nloads:", []),
    (
        "loads:",
        "authorize: {accept: list}\nloads:",
        ["11:21: authorize.accept: no token is listed, so none is accepted"],
    ),
    ("meter: sub,", "meter: sub, trip_output: {bus: lan, unit: 2, address: 0},", []),
    (
        "meter: sub,",
        "meter: sub, trip_output: {bus: lan, unit: 2, address: 0, trips_when: closed},",
        [
            "10:141: circuits.carpark.trip_output.trips_when: with a cut wire it never trips; wire it to open for a trip if you can"
        ],
    ),
    (
        "loads:",
        "webhooks: [{id: a, url: 'http://fleet/hear'}, {id: b, url: 'http://127.0.0.1:81/'}]\nloads:",
        [
            "11:25: webhooks.a.url: what is told is signed, but everybody on the way to fleet can read it: use https"
        ],
    ),
]


def doubts_of(text: str, folder: Path) -> list[str]:
    file = folder / "site.yaml"
    file.write_text(text)
    return [warning.describe("").removeprefix(":") for warning in read_site(file).warnings]


def test_the_right_file_raises_no_doubt(tmp_path: Path) -> None:
    assert doubts_of(RIGHT, tmp_path) == []


@pytest.mark.parametrize(("was", "now", "said"), DOUBTS)
def test_what_is_probably_not_meant_is_said(
    was: str, now: str, said: list[str], tmp_path: Path
) -> None:
    assert was in RIGHT
    text = RIGHT.replace(was, now, 1)
    if "bus: rs485, interval_s" in now:
        text = text.replace("id: sub, bus: rs485, unit: 1", "id: sub, bus: rs485, unit: 2")

    assert doubts_of(text, tmp_path) == said


# On a supply of 100 A, 15 A are kept free until base is learnt, then 10 A at least: what is
# bounded, what is said of it, and of which sum.
KNOWN = "has been known for 7 days to be quiet"
SHUT_OUT = [
    (
        "imbalance_a: 20, worst_case_base_a: 10",
        f"imbalance_a: nobody can charge here until base {KNOWN}",
        "of 20.0 A on L3 0.0 A of difference of worst-case base and 15.0 A kept free leave 5.0 A",
    ),
    (
        "neutral_a: 15.9, worst_case_base_a: 10",
        "neutral_a: nobody can ever charge here",
        "of 15.9 A on L3 0.0 A of difference of worst-case base and 15.0 A kept free leave 0.9 A",
    ),
    (
        "imbalance_a: 25, worst_case_base_a: [4, 10, 11]",
        f"imbalance_a: nobody can charge here while base is at its worst case, until it {KNOWN}",
        "of 25.0 A on L3 7.0 A of difference of worst-case base and 15.0 A kept free leave 3.0 A",
    ),
    (
        "imbalance_a: 25, worst_case_base_a: [2, 14, 14]",
        "imbalance_a: nobody can charge here while base is at its worst case",
        "of 25.0 A on L3 12.0 A of difference of worst-case base and 15.0 A kept free leave 0.0 A",
    ),
    (
        "power_limit_kva: 14, worst_case_base_a: 10",
        f"power_limit_kva: nobody can charge here until base is below its worst case and {KNOWN}",
        "of 60.9 A (at 230 V) 39.0 A of worst-case base and 45.0 A kept free leave 0.0 A",
    ),
]


@pytest.mark.parametrize(("bounds", "said", "of_sum"), SHUT_OUT)
def test_a_bound_that_joins_phases_and_shuts_everybody_out_is_said_with_its_numbers(
    bounds: str, said: str, of_sum: str, tmp_path: Path
) -> None:
    text, needs = RIGHT.replace("worst_case_base_a: 10", bounds, 1), "6.0 A"
    if "kva" in bounds:  # On all three phases, of which its vehicle may use one.
        text, needs = text.replace("phases: [L3]", "phases: [L1, L2, L3]"), "18.0 A"

    (doubt,) = doubts_of(text, tmp_path)
    assert (
        doubt.partition("circuits.supply.")[2] == f"{said}: {of_sum}, and a vehicle needs {needs}"
    )


def test_bounds_that_leave_room_are_in_no_doubt(tmp_path: Path) -> None:
    bounds = "neutral_a: 21, imbalance_a: 21, power_limit_kva: 24, worst_case_base_a: 10"

    assert doubts_of(RIGHT.replace("worst_case_base_a: 10", bounds, 1), tmp_path) == []


def test_one_number_below_counts_on_the_phases_that_are_there(tmp_path: Path) -> None:
    text = RIGHT.replace("rating_a: [20, 20, 16]", "rating_a: [0, 0, 20]")
    text = text.replace("worst_case_base_a: 10", "worst_case_base_a: [0, 0, 10]")

    assert doubts_of(text, tmp_path) == []
