"""`headroom read` against libmodbus, and against everything that is not a meter."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from tests.support import meter_images

Serve = Callable[..., str]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["read", *arguments])


def where(transport: str, place: str) -> list[str]:
    return ["--tcp", f"127.0.0.1:{place}"] if transport == "tcp" else ["--rtu", f"{place}:115200"]


@pytest.mark.parametrize("transport", ["tcp", "rtu"])
@pytest.mark.parametrize(
    ("profile", "image", "values"),
    [
        ("eastron_sdm630_v2", meter_images.SDM630, meter_images.SDM630_VALUES),
        ("schneider_iem3000", meter_images.IEM3000, meter_images.IEM3000_VALUES),
        ("sunspec_201_204", meter_images.sunspec(), meter_images.SUNSPEC_VALUES),
    ],
)
def test_json_holds_every_value_with_unit_and_quality(
    profile: str, image: str, values: dict[str, float | None], transport: str, serve: Serve
) -> None:
    place = where(transport, serve(transport, 3, image=image))

    result = run(profile, *place, "--unit", "3", "--json")

    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)["values"]
    for name, value in values.items():
        assert set(printed[name]) == {"value", "unit", "quality"}
        if value is None:
            assert printed[name]["value"] is None
            assert printed[name]["quality"] == "sentinel"
        else:
            assert printed[name]["value"] == pytest.approx(value, rel=1e-6)
            assert printed[name]["quality"] == "good"
    assert printed["current_l1"]["unit"] == "A"


def test_a_person_gets_a_table(serve: Serve) -> None:
    place = where("tcp", serve("tcp", 1, image=meter_images.SDM630))

    result = run("eastron_sdm630_v2", *place)

    assert result.exit_code == 0
    (row,) = [line for line in result.stdout.splitlines() if "power_active_l3" in line]
    assert row.split() == ["power_active_l3", "-1,666.5", "W", "good"]


def test_a_meter_without_a_value_of_use_is_a_failure(serve: Serve) -> None:
    rows = [row.split() for row in meter_images.SDM630.split("\n") if row]
    nan = [[*row[:2], *(["7FC0", "0000"] * len(row))[: len(row) - 2]] for row in rows]
    place = where("tcp", serve("tcp", 1, image="\n".join(" ".join(row) for row in nan) + "\n"))

    told = run("eastron_sdm630_v2", *place, "--json")
    shown = run("eastron_sdm630_v2", *place)

    assert (told.exit_code, shown.exit_code) == (1, 1)
    document = json.loads(told.stdout)
    assert {value["quality"] for value in document["values"].values()} == {"sentinel"}
    assert "no value of it can be used" in document["error"]
    assert document["error"] in shown.stderr
    assert "current_l1" in shown.stdout


def test_parity_means_nothing_to_a_pseudo_terminal(serve: Serve) -> None:
    device = serve("rtu", 1, image=meter_images.IEM3000)

    result = run("schneider_iem3000", "--rtu", f"{device}:19200:8E1", "--json")

    assert result.exit_code == 0
    assert json.loads(result.stdout)["values"]["current_l3"]["value"] == 7.25


class _NotAMeter(BaseHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def http_port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), _NotAMeter) as server, ExitStack() as stack:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        stack.callback(thread.join)
        stack.callback(server.shutdown)
        yield server.server_port


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--rtu", "{folder}/ttyUSB0"], "does not exist: is the adapter plugged in"),
        (["--rtu", "/dev/null"], "/dev/null is no serial port"),
        (["--rtu", "{device}", "--unit", "9"], "nobody answers as unit 9: check the unit number"),
        (["--tcp", "127.0.0.1:1"], "refuses the connection: is Modbus TCP switched on there"),
        (["--tcp", "no-such-host.invalid"], "no such host"),
        (["--tcp", "127.0.0.1:{http}"], "that this is a Modbus TCP port"),
    ],
)
def test_a_meter_that_cannot_be_read_says_what_to_check(
    arguments: list[str], why: str, serve: Serve, http_port: int, tmp_path: Path
) -> None:
    device = serve("rtu", 1)
    filled = [a.format(folder=tmp_path, device=device, http=http_port) for a in arguments]

    result = run("eastron_sdm630_v2", *filled, "--json")

    assert result.exit_code == 1
    assert why in result.stderr
    assert why in json.loads(result.stdout)["error"]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["eastron_sdm630", "--tcp", "127.0.0.1"], "did you mean eastron_sdm630_v2?"),
        (["eastron_sdm630_v2"], "give either --tcp HOST:PORT or --rtu"),
        (["eastron_sdm630_v2", "--tcp", "h", "--rtu", "p"], "give either --tcp"),
        (["eastron_sdm630_v2", "--tcp", "h:99999"], "is no HOST:PORT"),
        (["eastron_sdm630_v2", "--tcp", "h", "--unit", "300"], "300 is not in the range"),
        (["eastron_sdm630_v2", "--rtu", "p:9600:9X1"], "'9X1' is no serial format"),
        (["eastron_sdm630_v2", "--rtu", "p:9600:7E1"], "'7E1' is no serial format"),
        (["eastron_sdm630_v2", "--rtu", "p:12"], "12 is no baud rate"),
    ],
)
def test_a_question_that_makes_no_sense_is_bad_usage(arguments: list[str], why: str) -> None:
    result = run(*arguments)

    assert result.exit_code == 2
    assert why in result.stderr


def test_a_path_with_colons_is_a_path() -> None:
    result = run(
        "eastron_sdm630_v2", "--rtu", "/dev/serial/by-path/pci-0000:00:14.0-usb-0:2:1.0-port0"
    )

    assert result.exit_code == 1
    assert "usb-0:2:1.0-port0 does not exist" in result.stderr


def test_the_installed_command_does_the_same(serve: Serve) -> None:
    headroom = Path(sys.executable).with_name("headroom")
    place = where("tcp", serve("tcp", 1, image=meter_images.SDM630))

    done = subprocess.run(
        [headroom, "read", "eastron_sdm630_v2", *place, "--json"],
        capture_output=True,
        check=True,
        text=True,
    )

    assert done.stderr == ""
    assert json.loads(done.stdout)["values"]["current_l1"]["value"] == 12.5
