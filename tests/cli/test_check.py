"""`headroom check` as an installer sees it, and as a program reads it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.cli import main

CONFIG = Path(__file__).resolve().parents[2] / "config"

SITE = """\
site: {name: Dockside House, timezone: Europe/London, voltage_v: 230}
circuits:
  - {id: supply, rating_a: 100, device: mcb, worst_case_base_a: [40, 70, 70]}
  - {id: carpark, parent: supply, rating_a: [32, 0, 0], device: mcb, worst_case_base_a: 0}
loads:
  - {id: fan-1, circuit: supply, worst_case_a: 14, interlock: fans}
  - {id: fan-2, circuit: carpark, worst_case_a: 12, interlock: fans}
stations:
  - {id: A, circuit: supply, connectors: [{id: 1, phases: [L1, L2, L3], max_a: 16, fallback_a: 8}]}
  - {id: B, circuit: carpark, auth: none, connectors: [{id: 1, phases: [L1], max_a: 16, fallback_a: 6}]}
"""


def check(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["check", *arguments])


@pytest.fixture
def site(tmp_path: Path) -> Path:
    file = tmp_path / "site.yaml"
    file.write_text(SITE)
    return file


def test_a_good_site_is_accepted_with_its_sums(site: Path) -> None:
    done = check(str(site))

    assert done.exit_code == 0
    words = [line.split() for line in done.output.splitlines()]
    assert ["supply", "L1", "14.0", "40.0", "14.0", "68.0", "95.0", "27.0", "ok"] in words
    assert ["100", "A", "mcb", "L2", "8.0", "70.0", "14.0", "92.0", "95.0", "3.0", "ok"] in words
    assert ["carpark", "L1", "6.0", "0.0", "12.0", "18.0", "30.4", "12.4", "ok"] in words
    # What the circuit has no phase for is not shown as full.
    assert ["32/0/0", "A", "mcb"] in words
    assert "each station: adopted" in done.output
    assert "station A: there is no password in" in done.output
    assert done.output.endswith(
        "Accepted: silence fits every circuit; the tightest is supply L2 with 3.0 A to spare.\n"
    )


def test_a_first_start_that_a_full_circuit_does_not_bear_is_noted_and_refuses_nothing(
    site: Path,
) -> None:
    done = check(str(site))

    assert done.exit_code == 0
    noted = (
        "  carpark L1: B/1 16.0 A + 30.4 A in full use = 46.4 A on 32.0 A, which by its curve the"
        " device bears for 1.7 s\n"
    )
    assert noted in done.output
    assert "then no pause of others ends it" not in done.output
    (start,) = json.loads(check(str(site), "--json").output)["first_starts"]
    assert (start["circuit"], start["connector"], start["bears_s"]) == ("carpark", "B/1", 1.7)

    site.write_text(SITE.replace("worst_case_a: 12", "worst_case_a: 20"))
    assert "with the worst-case base alone it is 36.0 A: then no pause" in check(str(site)).output


def test_a_circuit_that_bears_every_first_start_is_not_noted(site: Path) -> None:
    site.write_text(SITE.replace("rating_a: [32, 0, 0]", "rating_a: [125, 0, 0]"))

    assert "never seen to obey" not in check(str(site)).output


def test_an_overloaded_site_is_refused_with_every_term_and_a_way_out(site: Path) -> None:
    site.write_text(SITE.replace("fallback_a: 8", "fallback_a: 16"))

    done = check(str(site))

    assert done.exit_code == 2
    assert (
        "supply L2: 5.0 A over the set-point of 95.0 A\n"
        "    fallbacks     16.0 A   1 × 16 (A/1)\n"
        "  + base          70.0 A   its worst_case_base_a, the circuits below included\n"
        "  + loads         14.0 A   fan-1 14 (largest of fans)\n"
        "  = worst case   100.0 A\n"
        "  Lower the fallbacks on L2 by 5.0 A in all, or show that the base is 5.0 A less.\n"
    ) in done.output
    assert (
        "With these fallbacks the proof holds:\n  A/1: fallback_a: 11   (now 16)\n" in done.output
    )
    assert done.output.endswith("Refused: in silence a circuit would be overloaded.\n")


def test_what_is_to_be_taken_away_is_rounded_up(site: Path) -> None:
    text = SITE.replace("fallback_a: 8", "fallback_a: 11")
    site.write_text(text.replace("[40, 70, 70]", "[40, 71.14, 70]"))
    advice = "Lower the fallbacks on L2 by 1.2 A in all, or show that the base is 1.2 A less."
    assert advice in check(str(site)).output

    site.write_text(text.replace("[40, 70, 70]", "[40, 69.94, 70]"))
    assert check(str(site)).exit_code == 0


def test_the_way_out_offered_is_one(site: Path) -> None:
    site.write_text(SITE.replace("fallback_a: 8", "fallback_a: 11"))

    assert check(str(site)).exit_code == 0


def test_fallbacks_told_in_watts_count_at_the_lowest_voltage_in_words(site: Path) -> None:
    in_watts = SITE.replace("id: A, circuit", "id: A, limits_in: watts, circuit")
    site.write_text(in_watts.replace("fallback_a: 8", "fallback_a: 10.5"))

    done = check(str(site))

    # 2,415 W are 10.5 A at 230 V and 11.7 A at 207 V; 11 A fit.
    assert done.exit_code == 2
    assert "    fallbacks     11.7 A   1 × 11.7 (A/1; 10.5 A told in watts)\n" in done.output
    assert "  A/1: fallback_a: 9.9   (now 10.5)\n" in done.output

    site.write_text(in_watts.replace("fallback_a: 8", "fallback_a: 9.9"))
    done = check(str(site))

    assert done.exit_code == 0
    assert (
        "Fallbacks told in watts count at the lowest voltage, where 6 A of 230 V are 6.7 A of 207 V:"
        " A.\n"
    ) in done.output


def test_where_no_fallback_helps_it_is_said(site: Path) -> None:
    site.write_text(SITE.replace("[40, 70, 70]", "[40, 90, 70]"))

    done = check(str(site))

    assert done.exit_code == 2
    assert "No fallback helps: base and loads alone are 9.0 A over." in done.output
    assert "With these fallbacks" not in done.output


def test_mistakes_are_shown_below_their_lines(site: Path) -> None:
    site.write_text(SITE.replace("device: mcb", "devise: mcb", 1))

    done = check(str(site))

    assert done.exit_code == 2
    line = "     3 │   - {id: supply, rating_a: 100, devise: mcb, worst_case_base_a: [40, 7\n"
    assert done.output == (
        f"{site}:3:6: circuits.supply: device is missing\n"
        f"{line}"
        "       │      ^\n"
        f"{site}:3:33: circuits.supply.devise: there is no such key (did you mean device?)\n"
        f"{line}"
        "       │                                 ^\n"
        "Refused: 2 mistakes.\n"
    )


def test_a_mistake_far_to_the_right_is_still_in_sight(site: Path) -> None:
    site.write_text(SITE.replace("fallback_a: 6", "fallback_a: 3"))

    output = check(str(site)).output.split("\n")

    assert output[0].startswith(f"{site}:10:101: stations.B.connectors.1.fallback_a: 3 A is too")
    assert output[1][output[2].index("^")] == "3"


def test_a_screenful_of_mistakes_is_enough(site: Path) -> None:
    site.write_text("".join(f"k{number}: 1\n" for number in range(80)))

    done = check(str(site))

    assert done.output.count("there is no such key") == 48  # Two are missing sections.
    assert "... and 32 more." in done.output
    assert done.output.endswith("Refused: 82 mistakes.\n")


def test_what_is_printed_holds_no_control_characters(site: Path) -> None:
    site.write_text('site: {name: "\\e[31m"}\n"\\e]0;x\\a": 1\n')

    done = check(str(site))

    assert done.exit_code == 2
    assert "\x1b" not in done.output
    assert "\x07" not in done.output


def test_programs_get_all_of_it(site: Path) -> None:
    done = check(str(site), "--json")

    document: Any = json.loads(done.output)
    assert done.exit_code == 0
    assert document["accepted"] is True
    assert document["mistakes"] == []
    assert document["proof"]["holds"] is True
    assert document["proof"]["lower_fallbacks"] == []
    (row,) = (
        row
        for row in document["proof"]["sums"]
        if (row["circuit"], row["phase"]) == ("supply", "L2")
    )
    assert row == {
        "circuit": "supply",
        "phase": "L2",
        "rating_a": 100.0,
        "set_point_a": 95.0,
        "fallback_a": 8.0,
        "base_a": 70.0,
        "load_a": 14.0,
        "worst_case_a": 92.0,
        "margin_a": 3.0,
        "holds": True,
        "declared_base_a": 70.0,
        "circuits_below_a": 0.0,
        "fallbacks": [{"connector": "A/1", "fallback_a": 8.0, "counted_a": 8.0}],
        "loads": [{"load": "fan-1", "interlock": "fans", "worst_case_a": 14.0, "off": ["fan-2"]}],
    }
    assert [(thing["kind"], thing["id"]) for thing in document["unproven"]] == [
        ("station", "A"),
        ("station", "B"),
    ]
    assert any("no password" in warning["problem"] for warning in document["warnings"])


def test_trip_outputs_are_listed_and_are_to_be_tried(site: Path) -> None:
    fitted = "worst_case_base_a: [40, 70, 70], trip_output: {bus: lan, unit: 9, address: 5}}"
    text = SITE.replace("worst_case_base_a: [40, 70, 70]}", fitted)
    site.write_text(f"buses: [{{id: lan, tcp: {{host: 10.0.0.5}}}}]\n{text}")

    shown, document = check(str(site)).output, json.loads(check(str(site), "--json").output)

    assert "  supply: coil 5 of unit 9 on bus lan\n" in shown
    assert document["unproven"][-1] == {
        "kind": "trip output",
        "id": "supply",
        "unproven": ["opens its circuit", "closes it again"],
    }


def test_programs_get_the_mistakes_too(site: Path) -> None:
    site.write_text(SITE.replace("rating_a: 100", "rating_a: .nan"))

    done = check(str(site), "--json")

    document: Any = json.loads(done.output)
    assert done.exit_code == 2
    assert (document["accepted"], document["proof"]) == (False, None)
    assert document["mistakes"] == [
        {
            "line": 3,
            "column": 28,
            "path": "circuits.supply.rating_a",
            "problem": ".nan is no number that can be used",
        }
    ]


def test_programs_get_the_refusal_and_its_remedy(site: Path) -> None:
    site.write_text(SITE.replace("fallback_a: 8", "fallback_a: 16"))

    document: Any = json.loads(check(str(site), "--json").output)

    assert (document["accepted"], document["proof"]["holds"]) == (False, False)
    assert document["proof"]["lower_fallbacks"] == [
        {"connector": "A/1", "from_a": 16.0, "to_a": 11.0}
    ]


def test_the_schema_is_printed_alone() -> None:
    done = check("--schema")

    assert done.exit_code == 0
    assert done.output == (CONFIG / "site.schema.json").read_text(encoding="utf-8")


def test_no_file_named_is_bad_usage() -> None:
    done = check()

    assert done.exit_code == 2
    assert "name the site file" in done.output


def test_the_command_runs_as_installed() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("headroom"), "check", CONFIG / "site.demo.yaml"],
        capture_output=True,
        check=False,
        text=True,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "Accepted" in done.stdout


@pytest.mark.parametrize("words", [("--help",), ("check", str(CONFIG / "site.demo.yaml"))])
def test_output_that_no_disk_takes_is_a_failure_in_words(words: tuple[str, ...]) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        done = subprocess.run(
            [Path(sys.executable).with_name("headroom"), *words],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            text=True,
        )

    said = "Error: the output cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, said)
