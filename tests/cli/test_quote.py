"""`headroom quote` against a running API: whatever that can be told can be said."""

import json
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.api.models import QuoteRequest, StateOfChargeBody
from gateway.cli import main
from gateway.cli.quote import OPTION_OF, by_options, others_of, quote_command, words_of
from gateway.domain.needs import Criticality, Need, Objective, StateOfCharge
from tests.support.api_desk import Desk, api_desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with api_desk(tmp_path) as running:
        yield running


def ask(desk: Desk, *words: str) -> Result:
    token = desk.token("vans", criticality=Criticality.CRITICAL)
    where = ("--url", f"http://127.0.0.1:{desk.port}", "--token", token)
    return CliRunner().invoke(main, ["quote", *where, *words])


def need(desk: Desk, line: str) -> Need:
    """Return what the building has understood of a question."""
    done = ask(desk, *line.split())
    assert done.exit_code == 0, done.output
    return list(desk.booking._quoting.shelf._still._of["vans"].values())[-1].need


def test_everything_said_of_a_vehicle_is_understood(desk: Desk) -> None:
    said = need(
        desk,
        "--soc 20:80 --battery 40kWh --min-energy 5kWh --arrive 09:00 --depart 17:00"
        " --arrive-slack 15min --depart-slack 0.5h --objective most_energy --criticality critical"
        " --confidence 0.95 --connector CP-02/1 --max-power 11kW --phases 3 --fixed"
        " --id-token 04A1 --reference order-12",
    )
    assert said == Need(
        arrive_at=datetime(2026, 1, 5, 9, tzinfo=UTC),
        depart_at=datetime(2026, 1, 5, 17, tzinfo=UTC),
        energy_wh=None,
        soc=StateOfCharge(now_pct=20.0, target_pct=80.0, battery_wh=40_000),
        min_energy_wh=5_000,
        arrive_slack_s=900.0,
        depart_slack_s=1_800.0,
        objective=Objective.MOST_ENERGY,
        criticality=Criticality.CRITICAL,
        max_power_w=11_000,
        phase_count=3,
        confidence_ratio=0.95,
        is_fixed=True,
        connector=said.connector,
        id_token="04A1",
        reference="order-12",
    )
    assert str(said.connector) == "CP-02/1"
    plain = need(desk, "--energy 5kWh --circuit carpark --max-power 8kW")
    assert (plain.energy_wh, plain.circuit, plain.is_fixed) == (5_000, "carpark", False)


def test_there_is_a_word_for_every_field_of_the_api() -> None:
    given: dict[str, Any] = dict.fromkeys(
        ("energy", "battery", "min_energy", "arrive_slack", "depart_slack", "objective"), 1
    )
    given |= dict.fromkeys(("criticality", "confidence", "connector", "circuit", "max_power"), 1)
    given |= dict.fromkeys(("phases", "fixed", "id_token", "reference", "replaces"), 1)
    now = datetime(2026, 1, 5, 8, tzinfo=UTC)
    words = words_of({**given, "soc": (20, 80)}, arrive="09:00", depart="17:00", now=now)

    assert set(words) == set(QuoteRequest.model_fields)


def test_every_field_of_the_api_has_its_option() -> None:
    of_battery = {f"soc/{name}" for name in StateOfChargeBody.model_fields}
    known = {opt for param in quote_command.params for opt in param.opts}

    assert set(OPTION_OF) == set(QuoteRequest.model_fields) | of_battery
    assert set(OPTION_OF.values()) <= known


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("--energy 0kWh", "--energy (in Wh): takes more than 0"),
        (
            "--soc 20:180 --battery 60kWh",
            "--soc (in %): takes 100 or less",
        ),
        ("--soc 20:80 --battery 0kWh", "--battery (in Wh): takes more than 0"),
        (
            "--energy 5kWh --min-energy 6kWh",
            "--min-energy (in Wh): is above --energy: it can be at most the same",
        ),
        (
            "--energy 5kWh --connector CP-01/1 --circuit carpark",
            "give a connector or a circuit, not both",
        ),
        (
            "--energy 5kWh --arrive 2026-01-06T10:00 --depart 2026-01-06T09:00",
            "it leaves before it arrives: give a --depart after --arrive",
        ),
    ],
)
def test_what_is_wrong_is_said_in_the_words_of_the_command(
    desk: Desk, line: str, complaint: str
) -> None:
    done = ask(desk, *line.split(), "--json")
    assert (done.exit_code, json.loads(done.stdout)) == (1, {"error": complaint})
    assert done.stderr == f"Error: {complaint}\n"


def test_a_name_of_the_site_is_taken_for_no_option() -> None:
    said = "there is no connector CP-99/soc: name one as STATION/NUMBER; known here: the_dock/1"
    assert by_options("there is no circuit a/b: known here: c") == (
        "there is no circuit a/b: known here: c"
    )
    assert by_options(said).endswith("known here: the_dock/1")


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("--soc 20:80", "give both, or neither"),
        ("--battery 60kWh", "give both, or neither"),
        ("--soc 80 --battery 60kWh", "such as 20:80"),
        ("--arrive-slack 15", "such as 15min"),
        ("--energy 30,5kWh", "such as 30kWh, or 7.5kWh with a point"),
        ("--arrive 25:00", "Invalid value for '--arrive': '25:00' is no time"),
        ("--depart noon", "Invalid value for '--depart': 'noon' is no time"),
        ("--confidence 90", "'90' is not between 0 and 1, such as 0.9 or 90%"),
        ("--confidence sure", "such as 0.9 or 90%"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_it_is_asked(
    desk: Desk, line: str, advice: str
) -> None:
    done = ask(desk, *line.split())
    assert (done.exit_code, advice in " ".join(done.stderr.split())) == (2, True), done.output


def test_what_is_offered_twice_under_two_names_is_said_once() -> None:
    same, later = "5.0 kWh on CP-02/1 from 10:30 to 11:07", "5.0 kWh on CP-01/1 from 12:00 to 12:30"
    binding = [bound("12:00", "12:04", 6_000), bound("12:04", "12:30", 9_500)]
    offers: list[dict[str, Any]] = [
        {"way": "earliest finish", "why": f"earliest finish: {same}", "binding": []},
        {"way": "another start", "why": f"another start: {same}", "binding": binding},
        {"way": "another connector", "why": f"another connector: {later}", "binding": binding},
        {"way": "longest at full power", "why": "longest at full power: 2", "binding": []},
    ]
    now = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
    assert others_of(offers, now) == [
        f"another connector: {later} (circuit carpark leaves 9.5 A on L2 from 12:04 to 12:30)",
        "longest at full power: 2",
    ]
    assert others_of(offers[:1], now) == []


def bound(begins: str, ends: str, limit_ma: int) -> dict[str, Any]:
    day = "2026-03-02T{}:00Z"
    span = {"from_at": day.format(begins), "until_at": day.format(ends)}
    return {"circuit": "carpark", "phase": "L2", "limit_ma": limit_ma} | span


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("--arrive 09:00 --depart 07:30", "It comes Mon 09:00 and leaves Tue 07:30.\n"),
        ("--depart 07:30", "It comes Mon 08:00 and leaves Tue 07:30.\n"),
        ("--arrive 09:00 --depart 17:30", ""),
        ("--arrive 2026-01-05T09:00 --depart 2026-01-06T07:30", ""),
    ],
)
def test_a_departure_that_is_taken_for_another_day_s_is_told(
    desk: Desk, line: str, told: str
) -> None:
    assert ask(desk, "--energy", "5kWh", *line.split()).stderr == told


def test_how_sure_it_must_be_may_be_said_in_percent(desk: Desk) -> None:
    assert need(desk, "--energy 5kWh --confidence 95%").confidence_ratio == 0.95
    assert need(desk, "--energy 5kWh --confidence .8").confidence_ratio == 0.8


def test_who_cannot_be_asked_is_told_with_what_to_do(desk: Desk) -> None:
    def told(url: str, token: str) -> str:
        done = CliRunner().invoke(main, ["quote", "--url", url, "--token", token])
        assert done.exit_code == 1
        return done.stderr

    here, token = f"http://127.0.0.1:{desk.port}", desk.token("vans")
    assert "`headroom token` on that machine makes one" in told(here, "hr_of_nobody")
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as other:
        answering = threading.Thread(target=other.handle_request)
        answering.start()
        elsewhere = told(f"http://127.0.0.1:{other.server_port}", token)
        answering.join()
    assert "and is no Headroom API: is it the port of listen.api?" in elsewhere
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
    assert f"{nobody} does not answer (Connection refused): is the daemon" in told(nobody, token)
    # The address may be that of the API as its own documents write it.
    done = CliRunner().invoke(main, ["quote", "--url", f"{here}/api/v1/", "--token", token])
    assert done.exit_code == 0, done.output
