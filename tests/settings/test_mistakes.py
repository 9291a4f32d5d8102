"""Every mistake in a site file is named by line and column, in plain words, all at once."""

import os
from pathlib import Path

import pytest

from gateway.settings import MistakesError, read_site
from gateway.settings.nodes import name_route, read_nodes

RIGHT = """\
site: {name: Here, timezone: Europe/London, voltage_v: 230}
buses:
  - {id: plant, serial: {port: /dev/serial/by-id/x, baud: 9600, format: 8N1}}
  - {id: net, tcp: {host: 10.0.0.5}}
meters:
  - {id: main, bus: plant, unit: 1, profile: eastron_sdm630_v2}
  - {id: sub, bus: net, unit: 1, profile: schneider_iem3000}
circuits:
  - {id: supply, rating_a: 200, device: mccb, meter: main, worst_case_base_a: 100}
  - {id: carpark, parent: supply, rating_a: 100, device: mcb, meter: sub, worst_case_base_a: 5}
loads:
  - {id: chiller, circuit: supply, worst_case_a: 20}
stations:
  - id: CP-01
    circuit: carpark
    connectors:
      - {id: 1, phases: [L1, L2, L3], max_a: 32, fallback_a: 6}
  - id: CP-02
    circuit: carpark
    connectors:
      - {id: 1, phases: [L2], max_a: 32, fallback_a: 0}
"""


def mistakes_in(content: str | bytes, folder: Path) -> list[str]:
    """Return what is wrong with a file of this content, as it is told."""
    file = folder / "site.yaml"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(MistakesError) as caught:
        read_site(file)
    told = str(caught.value).split("\n")
    assert len(told) == len(caught.value.mistakes)
    return [line.removeprefix(f"{folder}/site.yaml:") for line in told]


def test_the_right_file_has_no_mistakes(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(RIGHT)

    assert read_site(file).warnings == ()


# (what stands in the right file, what is written instead, what is told)
SHAPE = [
    # Keys.
    ("rating_a: 200", "ratng_a: 200", [
        "9:6: circuits.supply: rating_a is missing",
        "9:18: circuits.supply.ratng_a: there is no such key (did you mean rating_a?)",
    ]),
    ("rating_a: 200", "rating_a: 200, rating: 3", [
        "9:33: circuits.supply.rating: there is no such key (did you mean ratings?)",
    ]),
    ("{id: net,", "{id: net, zzz: 1,", [
        "4:15: buses.net.zzz: there is no such key (known here: id, serial, tcp, timeout_s, min_gap_s)",
    ]),
    ("loads:", "lods:", ["11:1: lods: there is no such key (did you mean loads?)"]),
    ("site: {name: Here, timezone: Europe/London, voltage_v: 230}\n", "", ["1:1: site is missing"]),
    (", fallback_a: 0", "", [
        ("21:10: stations.CP-02.connectors.1: fallback_a is missing "
         "(what it draws when nobody tells it anything: 0, or 6 and more)"),
    ]),
    ("max_a: 32, fallback_a: 0", "max_a: 32, fallback_a: 0, max_a: 16, max_a: 20", [
        "21:57: stations.CP-02.connectors.1.max_a: this key stands twice, first on line 21",
        "21:68: stations.CP-02.connectors.1.max_a: this key stands twice, first on line 21",
    ]),
    ("loads:", "stations: []\nloads:", [
        "14:1: stations: this key stands twice, first on line 11",
    ]),
    # Types.
    ("rating_a: 200", 'rating_a: "200"', [
        ("9:28: circuits.supply.rating_a: "
         "takes one number for every phase, or three: [L1, L2, L3], not '200' (take the quotes away)"),
    ]),
    ("rating_a: 200", 'rating_a: "1.250,5"', [
        ("9:28: circuits.supply.rating_a: takes one number for every phase, or three: [L1, L2, L3], "
         "not '1.250,5' (decimals take a point: 30.5; nothing stands between thousands)"),
    ]),
    ("rating_a: 200", "rating_a: [200, 63 A, 200]", [
        ("9:28: circuits.supply.rating_a: takes one number for every phase, or three: [L1, L2, L3], "
         "not '63 A' (a number alone: its unit is in the key)"),
    ]),
    ("voltage_v: 230", 'voltage_v: "230,0"', [
        ("1:56: site.voltage_v: takes a number, not '230,0' (decimals take a point: 30.5; "
         "nothing stands between thousands) (between a phase and neutral, such as 230)"),
    ]),
    ("max_a: 32, fallback_a: 6", "max_a: 11kW, fallback_a: 6", [
        ("17:46: stations.CP-01.connectors.1.max_a: takes a number, not '11kW' "
         "(a number alone: its unit is in the key)"),
    ]),
    ("unit: 1, profile: e", 'unit: "1", profile: e', [
        "6:34: meters.main.unit: takes a whole number, not '1' (take the quotes away)",
    ]),
    ("baud: 9600", 'baud: "9600"', [
        ("3:59: buses.plant.serial.baud: takes 1200, 2400, 4800, 9600, 19200, 38400, 57600 or 115200, "
         "not '9600' (take the quotes away) (as set on every meter of the line)"),
    ]),
    ("rating_a: 200", "rating_a: [200, 100]", [
        "9:28: circuits.supply.rating_a: takes one number for every phase, or three: [L1, L2, L3]",
    ]),
    ("rating_a: 200", "rating_a: true", [
        ("9:28: circuits.supply.rating_a: "
         "takes one number for every phase, or three: [L1, L2, L3], not true"),
    ]),
    ("    circuit: carpark\n", "    circuit:\n", ["15:5: stations.CP-01.circuit: no value is given"]),
    ("id: CP-01", "id: 17", ["14:9: stations.17.id: takes text, not 17 (put it in quotes)"]),
    ("unit: 1, profile: e", "unit: 1.5, profile: e", [
        "6:34: meters.main.unit: takes a whole number, not 1.5",
    ]),
    ("unit: 1, profile: e", "unit: 1, invert: yes, profile: e", [
        "6:45: meters.main.invert: takes true or false, not 'yes'",
    ]),
    ("phases: [L2]", "phases: L2", ["21:25: stations.CP-02.connectors.1.phases: takes a list, not 'L2'"]),
    ("tcp: {host: 10.0.0.5}", "tcp: 10.0.0.5", [
        "4:20: buses.net.tcp: takes keys and values, not '10.0.0.5'",
    ]),
    ("  - {id: chiller, circuit: supply, worst_case_a: 20}", "  - chiller", [
        "12:5: loads[0]: takes keys and values, not 'chiller'",
    ]),
    ("loads:\n  - {id: chiller, circuit: supply, worst_case_a: 20}\n", "loads:\n", [
        "11:1: loads: no value is given (take the key out, or write [])",
    ]),
    # Choices and bounds.
    ("device: mccb", "device: mbc", [
        "9:41: circuits.supply.device: takes mcb, mccb or fuse, not 'mbc' (did you mean mcb?)",
    ]),
    ("phases: [L2]", "phases: [L4]", [
        "21:26: stations.CP-02.connectors.1.phases[0]: takes L1, L2 or L3, not 'L4'",
    ]),
    ("phases: [L2]", "phases: [L2, L3, L2]", [
        "21:25: stations.CP-02.connectors.1.phases: names a phase twice",
    ]),
    ("meter: main, w", 'meter: main, ratings: [{starts: "4pm", ends: "20:00", rating_a: 99}], w', [
        ("9:79: circuits.supply.ratings[0].starts: "
         "takes a time of day such as \"16:30\", not '4pm'"),
    ]),
    ("phases: [L2]", "phases: []", ["21:25: stations.CP-02.connectors.1.phases: is empty"]),
    ("voltage_v: 230", "voltage_v: 400", [
        "1:56: site.voltage_v: takes 300 or less, not 400 (between a phase and neutral, such as 230)",
    ]),
    ("baud: 9600", "baud: 9601", [
        ("3:59: buses.plant.serial.baud: takes 1200, 2400, 4800, 9600, 19200, 38400, 57600 or "
         "115200, not 9601 (as set on every meter of the line)"),
    ]),
    ("format: 8N1", "format: 7E1", [
        ("3:73: buses.plant.serial.format: takes 8N1, 8E1, 8O1, 8N2, 8E2 or 8O2, not '7E1' "
         "(did you mean 8E1?) (as set on every meter of the line)"),
    ]),
    ("rating_a: 200", "rating_a: -5", ["9:28: circuits.supply.rating_a: takes amperes from 0 to 10,000"]),
    ("rating_a: 200", "rating_a: 1e5", ["9:28: circuits.supply.rating_a: takes amperes from 0 to 10,000"]),
    ("rating_a: 200", "rating_a: .nan", ["9:28: circuits.supply.rating_a: .nan is no number that can be used"]),
    ("rating_a: 200", "rating_a: [200, -.inf, 1]", [
        "9:34: circuits.supply.rating_a[1]: -.inf is no number that can be used",
    ]),
    ("unit: 1, profile: eastron_sdm630_v2", "unit: .nan", [
        "6:6: meters.main: profile is missing",
        "6:34: meters.main.unit: .nan is no number that can be used",
    ]),
    ("rating_a: 200", "rating_a: 1e999", ["9:28: circuits.supply.rating_a: 1e999 is no number that can be used"]),
    ("unit: 1, profile: e", "unit: " + "9" * 5_000 + ", profile: e", [
        "6:34: meters.main.unit: a number of 5,000 characters is no number that can be used",
    ]),
    ("max_a: 32, fallback_a: 6", "max_a: 5, fallback_a: 0", [
        "17:46: stations.CP-01.connectors.1.max_a: takes 6 or more, not 5",
    ]),
    ("id: CP-01", 'id: "CP:01"', [
        ("14:9: stations[0].id: takes a name of at most 48 letters from A to Z, digits and "
         "* _ = + | @ . -, that begins with a letter or digit, not 'CP:01'"),
    ]),
    ("id: carpark", "id: car/park", [
        ("10:10: circuits[1].id: takes a name of at most 48 letters from A to Z, digits and . _ -, "
         "that begins with a letter or digit, not 'car/park'"),
        "15:14: stations.CP-01.circuit: there is no circuit 'carpark' (did you mean car/park?)",
        "19:14: stations.CP-02.circuit: there is no circuit 'carpark' (did you mean car/park?)",
    ]),
    ("name: Here", 'name: ""', ["1:14: site.name: is empty"]),
    ("host: 10.0.0.5", "host: 10.0.0.500", [
        "4:27: buses.net.tcp.host: '10.0.0.500' is neither an address nor a host name",
    ]),
    ("circuit: carpark\n    connectors:\n      - {id: 1, phases: [L2]", "circuit: carpark\n    auth: open\n    connectors:\n      - {id: 1, phases: [L2]", [
        "20:11: stations.CP-02.auth: takes none or {credential: NAME}, not 'open'",
    ]),
    ("circuit: carpark\n    connectors:\n      - {id: 1, phases: [L2]", "circuit: carpark\n    auth: {credential: ../key}\n    connectors:\n      - {id: 1, phases: [L2]", [
        ("20:24: stations.CP-02.auth.credential: takes a name of at most 64 letters from A to Z, "
         "digits and * _ = + | @ . -, that begins with a letter or digit, not '../key'"),
    ]),
]  # fmt: skip

FIT = [
    ("meter: main, w", 'meter: main, ratings: [{starts: "16:00", ends: "20:00", rating_a: 201}], w', [
        ("9:113: circuits.supply.ratings[0].rating_a: "
         "a rating at times is at most the circuit's own: its device stays as it is"),
    ]),
    ("timezone: Europe/London", "timezone: Europe/Londn", [
        "1:30: site.timezone: there is no time zone 'Europe/Londn' (did you mean Europe/London?)",
    ]),
    ("bus: plant", "bus: plnt", ["6:21: meters.main.bus: there is no bus 'plnt' (did you mean plant?)"]),
    ("eastron_sdm630_v2", "eastron_sdm630", [
        "6:46: meters.main.profile: there is no meter profile 'eastron_sdm630' (did you mean eastron_sdm630_v2?)",
    ]),
    ("parent: supply", "parent: suply", [
        "10:27: circuits.carpark.parent: there is no circuit 'suply' (did you mean supply?)",
    ]),
    ("meter: sub", "meter: zzz", ["10:70: circuits.carpark.meter: there is no meter 'zzz' (known here: main, sub)"]),
    ("circuit: supply, worst", "circuit: roof, worst", [
        "12:28: loads.chiller.circuit: there is no circuit 'roof' (known here: supply, carpark)",
    ]),
    ("circuit: carpark\n    connectors:\n      - {id: 1, phases: [L2]", "circuit: carprk\n    connectors:\n      - {id: 1, phases: [L2]", [
        "19:14: stations.CP-02.circuit: there is no circuit 'carprk' (did you mean carpark?)",
    ]),
    ("{id: supply,", "{id: supply, parent: carpark,", [
        ("9:26: circuits.supply.parent: circuits are fed in a circle: "
         "supply → carpark → supply; one of them must hang elsewhere"),
    ]),
    ("{id: supply,", "{id: supply, parent: supply,", ["9:26: circuits.supply.parent: supply cannot feed itself"]),
    ("meter: sub", "meter: main", ["10:70: circuits.carpark.meter: meter main measures circuit supply already"]),
    ("id: CP-02", "id: CP-01", ["18:9: stations.CP-01.id: a second station is called CP-01"]),
    ("{id: net,", "{id: plant,", [
        "4:10: buses.plant.id: a second bus is called plant",
        "7:20: meters.sub.bus: there is no bus 'net' (known here: plant)",
    ]),
    ("id: carpark, parent", "id: supply, parent", [
        "10:10: circuits.supply.id: a second circuit is called supply",
        "15:14: stations.CP-01.circuit: there is no circuit 'carpark' (known here: supply)",
        "19:14: stations.CP-02.circuit: there is no circuit 'carpark' (known here: supply)",
    ]),
    ("phases: [L2], max_a: 32, fallback_a: 0}", "phases: [L2], max_a: 32, fallback_a: 0}\n      - {id: 1, phases: [L1], max_a: 32, fallback_a: 0}", [
        "22:14: stations.CP-02.connectors.1.id: a second connector is called 1",
    ]),
    ("bus: net, unit: 1", "bus: plant, unit: 1", ["7:33: meters.sub.unit: meter main is unit 1 on bus plant already"]),
    ("loads:", "stop_input: {bus: plant, unit: 1, address: 0}\nloads:", [
        "11:32: stop_input.unit: meter main is unit 1 on serial line plant already",
    ]),
    ("meter: main,", "meter: main, trip_output: {bus: plant, unit: 1, address: 0},", [
        "9:92: circuits.supply.trip_output.unit: meter main is unit 1 on serial line plant already",
    ]),
    ("bus: plant, unit: 1", "bus: plant, unit: 0", [
        "6:34: meters.main.unit: a unit on a serial line is 1 to 247, not 0",
    ]),
    ("{id: net, tcp: {host: 10.0.0.5}}", "{id: net, serial: {port: /dev/serial/by-id/x, baud: 9600, format: 8N1}}", [
        "4:30: buses.net.serial.port: bus plant is on the same line; one bus takes all its meters",
    ]),
    ("{id: net, tcp: {host: 10.0.0.5}}", "{id: net, tcp: {host: localhost}}\n  - {id: here, tcp: {host: 127.0.0.1}}", [
        "5:28: buses.here.tcp.host: bus net is on the same line; one bus takes all its meters",
    ]),
    ("{id: net, tcp: {host: 10.0.0.5}}", "{id: net}", [
        "4:6: buses.net: takes serial: {port, baud, format} or tcp: {host, port}",
    ]),
    ("{id: net, tcp: {host: 10.0.0.5}}", "{id: net, tcp: {host: a}, serial: {port: b, baud: 9600, format: 8N1}}", [
        "4:6: buses.net: takes either serial or tcp, not both",
    ]),
    ("rating_a: 100", "rating_a: 0", ["10:45: circuits.carpark.rating_a: a circuit with a rating of 0 A on every phase carries nothing"]),
    ("rating_a: 100", "rating_a: [100, 0, 100]", [
        "17:25: stations.CP-01.connectors.1.phases: circuit carpark has no L2: its rating there, or above it, is 0",
        "21:25: stations.CP-02.connectors.1.phases: circuit carpark has no L2: its rating there, or above it, is 0",
    ]),
    ("worst_case_a: 20", "worst_case_a: [20, 0, 0]}\n  - {id: b, circuit: x, worst_case_a: 2", [
        "13:22: loads.b.circuit: there is no circuit 'x' (known here: supply, carpark)",
    ]),
    ("fallback_a: 6", "fallback_a: 5.5", [
        "17:62: stations.CP-01.connectors.1.fallback_a: 5.5 A is too little to charge with; take 0, or 6 and more",
    ]),
    ("fallback_a: 6", "fallback_a: 33", [
        "17:62: stations.CP-01.connectors.1.fallback_a: 33 A is above the connector's max_a of 32",
    ]),
    ("loads:", "listen: {ocpp: {port: 8080}}\nloads:", ["11:10: listen.api.port: port 8080 is taken by listen.ocpp already"]),
    ("loads:", "listen: {ocpp: {host: 0.0.0.0, port: 7}, metrics: {host: 10.0.0.1, port: 7}}\nloads:", [
        "11:74: listen.metrics.port: port 7 is taken by listen.ocpp already",
    ]),
    ("loads:", "control: {stale_worst_case_s: 4, renew_s: 31}\nloads:", [
        "11:31: control.stale_worst_case_s: must be more than stale_no_raises_s, which is 5",
        "11:43: control.renew_s: must be at most half of lease_s, which is 60",
    ]),
    ("unit: 1, profile: e", "unit: 1, interval_s: 5, profile: e", [
        "6:49: meters.main.interval_s: a meter read each 5 s is always stale: control.stale_no_raises_s is 5",
    ]),
    ("loads:", "stop_input: {bus: plan, unit: 1, address: 0}\nloads:", [
        "11:19: stop_input.bus: there is no bus 'plan' (did you mean plant?)",
    ]),
    ("loads:", "stop_input: {bus: plant, unit: 250, address: 0}\nloads:", [
        "11:32: stop_input.unit: a unit on a serial line is 1 to 247, not 250",
    ]),
    ("loads:", "stop_input: {bus: plant, unit: 9, address: 0, bit: 3}\nloads:", [
        "11:52: stop_input.bit: only a register has bits; this is a discrete_input",
    ]),
    ("loads:", "stop_input: {bus: plant, unit: 9, address: 0, kind: coil, bit: 16}\nloads:", [
        "11:64: stop_input.bit: takes 15 or less, not 16",
    ]),
    ("loads:", "stop_input: {bus: plant, unit: 9, address: 0, kind: input_register}\nloads:", [
        "11:14: stop_input.bit: of a register, name the bit: 0 to 15",
    ]),
    ("loads:", "authorize: {accept: list, tokens: [{id: ab}, {id: AB}]}\nloads:", [
        "11:51: authorize.tokens.AB.id: a second token is called ab",
    ]),
    ("loads:", "authorize: {accept: list, tokens: [{id: ab, valid_until: 2027-02-30}]}\nloads:", [
        "11:58: authorize.tokens.ab.valid_until: takes a day, such as 2027-01-31, not '2027-02-30'",
    ]),
    ("loads:", "authorize: {holders: [{id: a, id_tokens: [ab, c]}, {id: b, id_tokens: [d, AB]}]}\nloads:", [
        "11:75: authorize.holders.b.id_tokens[1]: is of holder a already",
    ]),
    ("loads:", "authorize: {holders: [{id: a, id_tokens: []}, {id: a, id_tokens: [42]}]}\nloads:", [
        "11:42: authorize.holders.a.id_tokens: is empty",
        "11:52: authorize.holders.a.id: a second holder is called a",
        "11:67: authorize.holders.a.id_tokens[0]: takes text, not 42 (put it in quotes)",
    ]),
    ("loads:", "authorize: {accept: lists}\nloads:", [
        "11:21: authorize.accept: takes all, list or station, not 'lists' (did you mean list?)",
    ]),
    ("loads:", "authorize: {tokens: [{id: 42}]}\nloads:", [
        "11:13: authorize.tokens: are not looked at with accept: all; write accept: list, or take them out",
        "11:27: authorize.tokens.42.id: takes text, not 42 (put it in quotes)",
    ]),
    ("meter: main,", "meter: main, trip_output: {bus: plan, unit: 1, address: 0},", [
        "9:79: circuits.supply.trip_output.bus: there is no bus 'plan' (did you mean plant?)",
    ]),
    ("meter: main,", "meter: main, trip_output: {bus: plant, unit: 0, address: 0},", [
        "9:92: circuits.supply.trip_output.unit: a unit on a serial line is 1 to 247, not 0",
    ]),
    ("meter: main,", "meter: main, trip_output: {bus: net, unit: 1, adress: 0},", [
        "9:74: circuits.supply.trip_output: address is missing",
        "9:93: circuits.supply.trip_output.adress: there is no such key (did you mean address?)",
    ]),
    ("meter: main,", "meter: main, trip_output: {bus: net, unit: 1, address: 0, kind: discrete_input},", [
        "9:111: circuits.supply.trip_output.kind: takes coil or holding_register, not 'discrete_input'",
    ]),
    ("meter: main,", "meter: main, trip_output: {bus: net, unit: 1, address: 0, bit: 3},", [
        "9:110: circuits.supply.trip_output.bit: only a register has bits; this is a coil",
    ]),
    ("meter: main,", "meter: main, trip_output: {bus: net, unit: 1, address: 0, kind: holding_register},", [
        "9:74: circuits.supply.trip_output.bit: of a register, name the bit: 0 to 15",
    ]),
    ("loads:", "webhooks: [{id: a, url: 'ftp://x/'}, {id: a, url: 'https://me:pw@x/'}]\nloads:", [
         "11:25: webhooks.a.url: takes an address of the form https://HOST/PATH, not 'ftp://x/'",
        "11:43: webhooks.a.id: a second webhook is called a",
        "11:51: webhooks.a.url: takes no user, password or fragment in the address",
    ]),
    ("\n  - {id: carpark,", "\n  - {id: side, parent: supply, rating_a: 50, device: mcb, worst_case_base_a: 0, trip_output: &trip {bus: net, unit: 9, address: 0}}\n  - {id: carpark, trip_output: *trip,", [
        "10:129: circuits.carpark.trip_output.address: this is the trip output of circuit side already",
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("was", "now", "told"), [*SHAPE, *FIT])
def test_a_mistake_is_told_where_it_stands(
    was: str, now: str, told: list[str], tmp_path: Path
) -> None:
    assert was in RIGHT

    assert mistakes_in(RIGHT.replace(was, now, 1), tmp_path) == told


# (the whole file, what is told)
NOT_YAML = [
    ("", ["1:1: the file is empty; begin with site.example.yaml"]),
    ("# nothing yet\n", ["1:1: the file is empty; begin with site.example.yaml"]),
    ("- a\n", ["1:1: takes keys and values, not a list"]),
    ("site\n", ["1:1: takes keys and values, not 'site'"]),
    ("null\n", ["1:1: no value is given"]),
    ("site:\n\tname: x\n\ttimezone: y\n", [
        "2:1: a tab indents this line; YAML takes spaces only",
        "3:1: a tab indents this line; YAML takes spaces only",
    ]),
    ("site: {name: x\nbuses: []\n", ["2:6: the { } from line 1 is not closed before this"]),
    ("buses: [1, 2\nsite: {}\n", ["2:5: the list from line 1 is not closed before this"]),
    ("site: {name: 'x}\nbuses: []\n", ["1:14: this quote is never closed"]),
    ("site:\n  name: x\n   timezone: y\n", [
        ("3:12: this colon is out of place: check the indentation here and above, "
         "and quote a text that holds a colon"),
    ]),
    ("buses:\n  - id: x\n    tcp: y\n   unit: 1\n", [
        "4:4: this does not line up with what it belongs to from line 2",
    ]),
    ("site: x\nbuses\nmeters: y\n", ["2:1: neither `key: value` nor `- item`; is a colon missing?"]),
    ("site: x\nbuses:\u00a0y\n", [
        "2:7: a no-break space stands here, as web pages have them; type a space",
    ]),
    ("site: @x\n", ["1:7: no value begins with a @; quote it"]),
    ("site: \t@x\n", ["1:7: a tab stands here; use spaces"]),
    ("site: 'it's'\n", ["1:11: text after the end of a value; quote the whole value, or begin a new line"]),
    ('port: "\\COM3"\n', ["1:9: a backslash in double quotes means something else; use single quotes"]),
    ("site: ]\n", ["1:7: a value is missing here, or a bracket is one too many"]),
    ("site: {}\n---\nsite: {}\n", ["2:1: a second document begins here; a site is one document"]),
    ("%YAML 1.1\n---\nsite: {}\n", ["2:1: this file is read as YAML 1.2: take the %YAML line out"]),
    ("site: {name: Caf\x85}\n", ["1:17: an invisible character U+0085 stands here; take it out"]),
    ("site: {\x07name: \x1bx}\n", [
        "1:8: an invisible character U+0007 stands here; take it out",
        "1:15: an invisible character U+001B stands here; take it out",
    ]),
    (b"site: {name: Caf\xe9}\n", ["1:17: the file is not UTF-8 (byte 0xe9 is none); save it as UTF-8"]),
    ("site: {}".encode("utf-16"), ["1:1: the file is not UTF-8 (it is UTF-16); save it as UTF-8"]),
    ("[" * 100_000, ["1:33: nested more than 32 deep"]),
    ("- " * 50_000, ["1:65: nested more than 32 deep"]),
    ("{a: " * 1_000, ["1:129: nested more than 32 deep"]),
]  # fmt: skip


@pytest.mark.parametrize(("content", "told"), NOT_YAML)
def test_what_is_no_site_file_is_told_so(
    content: str | bytes, told: list[str], tmp_path: Path
) -> None:
    assert mistakes_in(content, tmp_path) == told


# (a line put in front of the right file, what is told)
ODD_YAML = [
    ("site: !!python/object:os.system {}", "1:7: site: tags (!) mean nothing here; quote a value to make it text"),
    ("? [a]\n: 1", "1:3: a key must be a word; put a text that begins with {, [ or * in quotes"),
    ("<<: {a: 1}", "1:1: YAML 1.2 has no merge key (<<): write the keys out"),
    ("&a x: 1", "1:1: a key takes neither tag nor anchor"),
    ("x: *nothing", "1:4: x: *nothing repeats what nothing above calls &nothing"),
    ("x: *\ud7fc", "1:4: x: *'\\ud7fc' repeats what nothing above calls &'\\ud7fc'"),
    ("x: &all [*all]", "1:10: x[0]: *all stands inside the very thing it repeats"),
    ('"a\\nb": 1', "1:1: 'a\\nb': there is no such key"),
    ('x: "a\\0b"', "1:4: x: a text here has no line breaks and no invisible characters"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "told"), ODD_YAML)
def test_yaml_that_has_no_use_here_is_refused(line: str, told: str, tmp_path: Path) -> None:
    found = mistakes_in(f"{line}\n{RIGHT}", tmp_path)

    assert any(mistake.startswith(told) for mistake in found), found


def test_aliases_repeat_what_they_name(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(
        RIGHT.replace("phases: [L1, L2, L3]", "phases: &all [L1, L2, L3]").replace("[L2]", "*all")
    )

    first, second = read_site(file).site.connectors
    assert first.phases == second.phases


def test_aliases_that_multiply_are_refused_before_they_do(tmp_path: Path) -> None:
    lines = ["a0: &a0 [0, 0, 0, 0, 0, 0, 0, 0, 0, 0]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]

    (told,) = mistakes_in("\n".join(lines), tmp_path)

    assert told == "5:45: aliases (*) repeat more than 100,000 values"


def test_a_file_that_is_not_there_is_told_so(tmp_path: Path) -> None:
    for path, problem in (
        (tmp_path / "nowhere.yaml", "there is no such file"),
        (tmp_path, "this is a folder; name the file in it"),
    ):
        with pytest.raises(MistakesError) as caught:
            read_site(path)
        assert str(caught.value) == f"{path}: {problem}"


def test_what_would_be_waited_for_without_an_end_is_no_site_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", Path("/dev/zero")):
        with pytest.raises(MistakesError, match="this is no file, but a device, socket or pipe"):
            read_site(path)


def test_a_file_too_large_for_any_site_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text("# x\n" * 200_000)

    with pytest.raises(MistakesError, match="is larger than 512 KiB; no site needs as much"):
        read_site(file)


def test_a_byte_order_mark_moves_nothing(tmp_path: Path) -> None:
    content = RIGHT.replace("name: Here", "nme: Here")

    with_mark = mistakes_in(b"\xef\xbb\xbf" + content.encode(), tmp_path)

    assert with_mark == mistakes_in(content, tmp_path)


def test_windows_line_ends_move_nothing(tmp_path: Path) -> None:
    content = RIGHT.replace("device: mcb,", "device: mcp,")

    assert mistakes_in(content.replace("\n", "\r\n"), tmp_path) == mistakes_in(content, tmp_path)


def test_an_entry_that_is_not_there_is_named_by_its_place() -> None:
    root, _ = read_nodes("loads: [{id: chiller}]")

    assert name_route(root, ("loads", 0)) == "loads.chiller"
    assert name_route(root, ("loads", 1)) == "loads[1]"


def test_every_mistake_is_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    content = RIGHT
    for was, now in (
        ("Europe/London", "Europe/Londn"),
        ("voltage_v: 230", "voltage_v: .inf"),
        ("bus: plant, unit: 1", "buss: plant, unit: one"),
        ("eastron_sdm630_v2", "eastron"),
        ("parent: supply, rating_a: 100", "parent: suply, rating_a: wide, rating_a: 100"),
        ("circuit: carpark", "circuit: carprk"),
        ("phases: [L2], max_a: 32, fallback_a: 0", "phases: [L2], max_a: x, fallback_a: 2"),
    ):
        assert was in content
        content = content.replace(was, now, 1)

    # Wrong in shape and wrong in what it refers to: neither hides the other.
    assert mistakes_in(content, tmp_path) == [
        "1:30: site.timezone: there is no time zone 'Europe/Londn' (did you mean Europe/London?)",
        "1:55: site.voltage_v: .inf is no number that can be used",
        "6:6: meters.main: bus is missing",
        "6:16: meters.main.buss: there is no such key (did you mean bus?)",
        "6:35: meters.main.unit: takes a whole number, not 'one'",
        "6:49: meters.main.profile: there is no meter profile 'eastron' (did you mean eastron_sdm630_v2?)",
        "10:27: circuits.carpark.parent: there is no circuit 'suply' (did you mean supply?)",
        (
            "10:44: circuits.carpark.rating_a: "
            "takes one number for every phase, or three: [L1, L2, L3], not 'wide'"
        ),
        "10:50: circuits.carpark.rating_a: this key stands twice, first on line 10",
        "15:14: stations.CP-01.circuit: there is no circuit 'carprk' (did you mean carpark?)",
        "21:38: stations.CP-02.connectors.1.max_a: takes a number, not 'x'",
        "21:53: stations.CP-02.connectors.1.fallback_a: 2 A is too little to charge with; take 0, or 6 and more",
    ]
