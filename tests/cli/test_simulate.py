"""`headroom simulate` on a file of sessions."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

from gateway.cli import main

HEADROOM = Path(sys.executable).with_name("headroom")
HEAD = "arrival,departure,requested_energy (kWh),delivered_energy (kWh),station_id,estimated_departure\n"
ROWS = (
    "2019-05-01 08:00:00-07:00,2019-05-01 12:00:00-07:00,20,12,A,2019-05-01 13:00:00-07:00\n"
    "2019-05-01 08:30:00-07:00,2019-05-01 10:00:00-07:00,20,8,B,\n"
    "2019-06-01 08:30:00-07:00,2019-06-01 10:00:00-07:00,20,8,B,\n"
)


def write(folder: Path, text: str) -> Path:
    file = folder / "sessions.csv"
    file.write_text(text, encoding="utf-8")
    return file


def test_every_policy_is_compared_with_the_most_there_was(tmp_path: Path) -> None:
    file = write(tmp_path, HEAD + ROWS)
    done = CliRunner().invoke(
        main, ["simulate", "--sessions", str(file), "--limit", "6kW", "--month", "5", "--json"]
    )
    figures = json.loads(done.stdout)

    assert done.exit_code == 0
    assert (figures["sessions"], figures["asked_kwh"]) == (2, 20.0)
    assert set(figures["policies"]) == {"fcfs", "rr", "edf", "llf", "greedy", "headroom"}
    assert all(0.5 < row["of_optimum"] <= 1.001 for row in figures["policies"].values())


@pytest.mark.parametrize("goes_by", [[], ["--stated"]])
def test_every_policy_keeps_the_steps_that_are_asked_for(
    tmp_path: Path, goes_by: list[str]
) -> None:
    file = write(tmp_path, HEAD + ROWS)
    asked = ["simulate", "--sessions", str(file), "--limit", "6kW", *goes_by]
    in_steps = ["--min-current", "6A", "--step", "1A"]
    done = CliRunner().invoke(main, [*asked, *in_steps, "--json"])
    told = CliRunner().invoke(main, [*asked, *in_steps])
    figures = json.loads(done.stdout)

    assert (figures["min_current_a"], figures["step_a"]) == (6.0, 1.0)
    assert all(row["least_a"] >= 6.0 for row in figures["policies"].values())
    # 6 kW are 28.8 A: whole amperes are 5.824 kW.
    assert {row["peak_kw"] for row in figures["policies"].values()} == {5.82}
    assert "from 6 A on, in steps of 1 A: the most knows neither." in told.stdout


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["--min-current", "6kW"], "'6kW' is no current, such as 6A"),
        (["--step", "0A"], "'0A' is no current, such as 6A"),
        (["--step", "0.1mA"], "is not made of steps of 0 mA"),
        (["--min-current", "6A", "--step", "4A"], "6000 mA is not made of steps of 4000 mA"),
        (["--min-current", "30A"], "nobody gets anything"),
        (["--min-current", "6A", "--max-power", "1kW"], "nobody gets anything"),
    ],
)
def test_steps_that_cannot_be_kept_are_said(tmp_path: Path, asked: list[str], said: str) -> None:
    file = write(tmp_path, HEAD + ROWS)
    done = CliRunner().invoke(
        main, ["simulate", "--sessions", str(file), "--limit", "6kW", "--policy", "llf", *asked]
    )

    assert done.exit_code == 2
    assert said in done.stderr


def test_promises_are_counted_and_the_plot_shows_every_policy(tmp_path: Path) -> None:
    file, plot = write(tmp_path, HEAD + ROWS), tmp_path / "plot.svg"
    done = CliRunner().invoke(
        main,
        ["simulate", "--sessions", str(file), "--limit", "7kW", "--svg", str(plot), "--json"],
    )
    rows = json.loads(done.stdout)["policies"]
    drawn = ET.fromstring(plot.read_text(encoding="utf-8"))  # noqa: S314 - our own file
    words = " ".join(drawn.itertext())

    assert done.exit_code == 0
    assert (rows["headroom"]["promised"], rows["headroom"]["kept"]) == (3, 3)
    assert rows["fcfs"]["promised"] is None
    assert len(drawn.findall("{http://www.w3.org/2000/svg}polyline")) == len(rows)
    assert all(policy in words for policy in rows)
    assert "headroom promised 3 of them all they wanted and kept 3." in words
    for line in drawn.findall("{http://www.w3.org/2000/svg}polyline"):
        points = [float(point.split(",")[1]) for point in line.attrib["points"].split()]
        limit_y = float(
            next(e for e in drawn.iter() if "stroke-dasharray" in e.attrib).attrib["y1"]
        )
        assert min(points) >= limit_y - 0.1


def test_a_plot_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    file, plot = write(tmp_path, HEAD + ROWS), str(tmp_path / "no" / "plot.svg")
    done = CliRunner().invoke(
        main,
        ["simulate", "--sessions", str(file), "--limit", "7kW", "--policy", "llf", "--svg", plot],
    )

    assert done.exit_code == 1
    assert "No such file or directory" in done.stderr


def test_nothing_but_json_is_printed(tmp_path: Path) -> None:
    file = write(tmp_path, HEAD + ROWS)
    done = subprocess.run(
        [HEADROOM, "simulate", "--sessions", file, "--limit", "6kW", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert json.loads(done.stdout)["sessions"] == 3


def test_people_get_a_table(tmp_path: Path) -> None:
    file = write(tmp_path, HEAD + ROWS)
    done = CliRunner().invoke(
        main, ["simulate", "--sessions", str(file), "--limit", "6kW", "--policy", "llf"]
    )

    assert "3 sessions took 28.0 kWh" in done.stdout
    assert "llf" in done.stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "there is no session in it"),
        ("arrival,departure\nx,y\n", ":2: arrival: Invalid isoformat string: 'x'"),
        ("a,b\n1,2\n", "Error: "),
        ("a,b\n1,2\n", "there is no column arrival (there are: a, b)"),
        (HEAD + "2019-05-01 08:00:00-07:00\n", ":2: the row is too short: it has no departure"),
        (HEAD + "\n\n2019-05-01 08:00:00-07:00\n", ":4: the row is too short"),
        (HEAD + ROWS.replace("12:00:00", "07:00:00"), ":2: it departs before it arrives"),
        (HEAD + ROWS.replace(",12,", ",twelve,"), "could not convert string to float: 'twelve'"),
        (HEAD + "x" * 200_000 + "\n", "this is no CSV file: field larger than field limit"),
    ],
)
def test_what_is_no_file_of_sessions_says_why(tmp_path: Path, text: str, said: str) -> None:
    file = write(tmp_path, text)
    done = CliRunner().invoke(main, ["simulate", "--sessions", str(file), "--limit", "6kW"])

    assert done.exit_code == 2
    assert said in done.stderr


def test_a_limit_that_is_none_and_a_file_that_is_not_there_are_said() -> None:
    no_limit = CliRunner().invoke(main, ["simulate", "--sessions", "x.csv", "--limit", "twenty"])
    no_file = CliRunner().invoke(main, ["simulate", "--sessions", "x.csv", "--limit", "6kW"])

    assert "'twenty' is no power, such as 20kW" in no_limit.stderr
    assert (no_file.exit_code, no_file.stderr) == (2, "Error: x.csv: No such file or directory\n")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("2019-05-01 08:00:00-07:00,2019-05-01 12:00:00-07:00,20,nan,A,", "nan kWh is no energy"),
        ("2019-05-01 08:00:00-07:00,2019-05-01 12:00:00-07:00,-2,5,A,", "-2 kWh is no energy"),
        ("2019-05-01 08:00:00,2019-05-01 12:00:00-07:00,20,5,A,", "has no offset from UTC"),
    ],
)
def test_a_value_that_is_none_is_told_with_its_line(tmp_path: Path, row: str, said: str) -> None:
    file = write(tmp_path, f"{HEAD}{ROWS}{row}\n")

    done = CliRunner().invoke(main, ["simulate", "--sessions", str(file), "--limit", "6kW"])

    assert done.exit_code == 2
    assert f"{file}:5: " in done.stderr
    assert said in done.stderr


@pytest.mark.parametrize(
    ("row", "limit"),
    [
        ("2019-05-01 08:00:00-07:00,2019-05-01 08:00:01-07:00,20,5,A,", "6kW"),
        ("2019-05-01 08:00:00-07:00,2019-05-01 12:00:00-07:00,20,0,A,", "6kW"),
        ("2019-05-01 08:00:00-07:00,2019-05-01 12:00:00-07:00,20,5,A,", "0.0001kW"),
    ],
)
def test_where_nobody_gets_anything_that_is_said(tmp_path: Path, row: str, limit: str) -> None:
    file = write(tmp_path, f"{HEAD}{row}\n")

    done = CliRunner().invoke(main, ["simulate", "--sessions", str(file), "--limit", limit])

    assert done.exit_code == 2
    assert "nobody gets anything" in done.stderr


def test_what_drivers_did_not_state_is_as_it_came(tmp_path: Path) -> None:
    row = "2019-05-01 08:00:00-07:00,2019-05-01 12:00:00-07:00,0,5,A,"
    file = write(tmp_path, f"{HEAD}{row}\n")
    asked = ["simulate", "--sessions", str(file), "--limit", "6kW", "--stated", "--policy", "edf"]

    done = CliRunner().invoke(main, [*asked, "--json"])

    assert json.loads(done.stdout)["policies"]["edf"]["energy_kwh"] == pytest.approx(5.0, abs=0.1)


def test_a_compressed_file_that_is_damaged_is_said_to_be(tmp_path: Path) -> None:
    file = tmp_path / "sessions.csv.gz"
    file.write_bytes(gzip.compress((HEAD + ROWS).encode())[:-20])

    done = CliRunner().invoke(main, ["simulate", "--sessions", str(file), "--limit", "6kW"])

    assert done.exit_code == 2
    assert "the compressed file is damaged" in done.stderr


def test_a_file_that_a_spreadsheet_has_marked_is_read(tmp_path: Path) -> None:
    file = write(tmp_path, f"\ufeff{HEAD}{ROWS}")

    done = CliRunner().invoke(main, ["simulate", "--sessions", str(file), "--limit", "6kW"])

    assert (done.exit_code, done.stderr) == (0, "")


def test_what_is_in_other_letters_is_said_to_be(tmp_path: Path) -> None:
    file = tmp_path / "sessions.csv"
    file.write_bytes(f"{HEAD}{ROWS}".replace(",A,", ",Ä,").encode("latin-1"))

    done = CliRunner().invoke(main, ["simulate", "--sessions", str(file), "--limit", "6kW"])

    assert (done.exit_code, done.stderr) == (2, f"Error: {file}: this is no CSV file in UTF-8\n")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "sessions.csv"
    os.mkfifo(pipe)

    done = subprocess.run(
        [HEADROOM, "simulate", "--sessions", pipe, "--limit", "6kW"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert done.returncode == 2
    assert done.stderr == f"Error: {pipe}: this is no file, but a device, socket or pipe\n"
