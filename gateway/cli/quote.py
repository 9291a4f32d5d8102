"""`headroom quote`: asks whether the building can serve a vehicle, and says the answer in words."""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

from gateway.adapters.status_socket import Question, StatusUnavailableError
from gateway.cli.asking import DaemonRefusesError, answer_of
from gateway.cli.failing import fail
from gateway.cli.state_folder import state_option
from gateway.domain.errors import HeadroomError
from gateway.domain.needs import Criticality, Objective
from gateway.front_desk import QUOTE, SITE
from gateway.planning.quote_words import clock_said

TOKEN_VARIABLE = "HEADROOM_TOKEN"  # noqa: S105 - the name of a variable
PATIENCE_S = {SITE: 10.0, QUOTE: 30.0}
"""What is critical may wait for its turn, and is thought over then."""
API = "/api/v1"
QUANTITY = re.compile(r"(\d+(?:\.\d+)?)\s*(k?)(w|wh)", re.IGNORECASE)
SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|h)")
SPANS_S = {"s": 1.0, "min": 60.0, "h": 3_600.0}
CHARGE = re.compile(r"(\d+(?:\.\d+)?)\s*%?\s*:\s*(\d+(?:\.\d+)?)\s*%?")
SHARE = re.compile(r"(\d*\.?\d+)\s*(%?)")
CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")

OPTION_OF = {
    "energy_wh": "--energy",
    "soc": "--soc",
    "soc/now_pct": "--soc",
    "soc/target_pct": "--soc",
    "soc/battery_wh": "--battery",
    "min_energy_wh": "--min-energy",
    "arrive_at": "--arrive",
    "depart_at": "--depart",
    "arrive_slack_s": "--arrive-slack",
    "depart_slack_s": "--depart-slack",
    "objective": "--objective",
    "criticality": "--criticality",
    "confidence": "--confidence",
    "connector": "--connector",
    "circuit": "--circuit",
    "max_power_w": "--max-power",
    "phases": "--phases",
    "fixed": "--fixed",
    "id_token": "--id-token",
    "reference": "--reference",
    "replaces": "--replaces",
}
"""By the API's name of a field, within another behind its name and a stroke."""

UNITS = {"wh": "Wh", "w": "W", "s": "s", "pct": "%"}
POINTER = re.compile(r"/([a-z_/]+)(?=: )")
FIELD = re.compile(r"\b[a-z]+_[a-z_]+\b")

Words = dict[str, Any]
Ask = Callable[[str, Words], Words]
"""Asks the daemon for `site` or `quote`, with words."""


class NotAnsweredError(HeadroomError):
    """The API refuses, or cannot be asked; the message says why."""


class Quantity(click.ParamType[int]):
    """A number with its unit, such as 30kWh or 11 kW; in Wh or W."""

    def __init__(self, unit: str) -> None:
        """`unit` is Wh or W."""
        self.name = f"k{unit}"
        self._unit = unit

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return the number without a prefix."""
        found = QUANTITY.fullmatch(str(value).strip())
        if found is None or found[3].lower() != self._unit.lower():
            advice = f"such as 30k{self._unit}, or 7.5k{self._unit} with a point"
            self.fail(f"{value!r} is no number above 0 with its unit, {advice}", param, ctx)
        return round(float(found[1]) * (1_000 if found[2] else 1))


class Span(click.ParamType[float]):
    """A length of time with its unit, such as 15min; in seconds."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds."""
        found = SPAN.fullmatch(str(value).strip())
        if found is None:
            self.fail(f"{value!r} is no time with its unit, such as 15min, 30s or 1h", param, ctx)
        return float(found[1]) * SPANS_S[found[2]]


class Charge(click.ParamType[tuple[float, float]]):
    """What is in a battery and what is to be in it, in percent, such as 20:80."""

    name = "now:target"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, float]:
        """Return both."""
        found = CHARGE.fullmatch(str(value).strip())
        if found is None:
            self.fail(f"{value!r} is not now and then in percent, such as 20:80", param, ctx)
        return float(found[1]), float(found[2])


class Share(click.ParamType[float]):
    """How sure something is to be: 0.9, or 90%."""

    name = "share"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return it as a part of 1."""
        found = SHARE.fullmatch(str(value).strip())
        ratio = None if found is None else float(found[1]) / (100.0 if found[2] else 1.0)
        if ratio is None or not 0.0 < ratio < 1.0:
            self.fail(f"{value!r} is not between 0 and 1, such as 0.9 or 90%", param, ctx)
        return ratio


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Whom to ask: an API with a token, or the daemon of a state folder on this machine."""

    url: str | None
    token: str | None
    state: Path | None


@click.command("quote")
@click.option("--energy", type=Quantity("Wh"), help="What it needs, such as 30kWh [default: all].")
@click.option("--soc", type=Charge(), help="In its place: percent now and wanted, such as 20:80.")
@click.option("--battery", type=Quantity("Wh"), help="With --soc: what the battery holds in all.")
@click.option("--min-energy", type=Quantity("Wh"), help="The least it can live with.")
@click.option("--arrive", help="When it comes: 07:30, or 2026-03-01T07:30 [default: now].")
@click.option("--depart", help="When it leaves: 09:00, or 2026-03-01T09:00.")
@click.option("--arrive-slack", type=Span(), help="How much later it may come, such as 15min.")
@click.option("--depart-slack", type=Span(), help="How much earlier it may leave.")
@click.option(
    "--objective",
    type=click.Choice([str(o) for o in Objective]),
    help="To be done soonest, to have the most, or to have it by the departure [default].",
)
@click.option(
    "--criticality",
    type=click.Choice([str(c) for c in Criticality]),
    help="How badly it needs it; who needs it less gives way [default: normal].",
)
@click.option(
    "--confidence", type=Share(), help="How sure it must be, such as 0.95 [default: 0.9]."
)
@click.option("--connector", help="Such as CP-01/1 [default: whichever is best].")
@click.option("--circuit", help="A circuit to draw from plainly, in the place of a connector.")
@click.option("--max-power", type=Quantity("W"), help="The most it takes, such as 11kW.")
@click.option("--phases", type=click.IntRange(1, 3), help="How many phases it charges on.")
@click.option(
    "--fixed", is_flag=True, help="What it is promised must not be moved in time for others."
)
@click.option("--id-token", help="What the vehicle will show to the station.")
@click.option("--reference", help="A name of your own for it.")
@click.option("--replaces", help="A reservation in whose place it is, by its id.")
@click.option(
    "--url", help="Ask this API, such as http://10.0.0.2:8080, in the place of a daemon here."
)
@click.option(
    "--token", envvar=TOKEN_VARIABLE, help=f"The token for it [default: ${TOKEN_VARIABLE}]."
)
@state_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def quote_command(
    *,
    arrive: str | None,
    depart: str | None,
    url: str | None,
    token: str | None,
    state: Path | None,
    as_json: bool,
    **wanted: str | float | tuple[float, float] | None,
) -> None:
    """Ask whether a vehicle can be served, before it comes. Nothing is promised by asking.

    Times are by the building's clock: it comes at the next such time, and leaves at the next one after
    that; where that is another day it says so.

    \b
    headroom quote --energy 30kWh --arrive 07:30 --depart 09:00
    headroom quote --energy 5kWh --connector CP-03/1 --confidence 0.95
    headroom quote --soc 20:80 --battery 60kWh --depart 17:00 --depart-slack 15min --fixed

    Exits with 1 when nobody answers, or the question cannot be answered as it was asked.
    """  # noqa: D301 - click's own mark
    try:
        ask = _asker(Where(url=url, token=token, state=state))
        site = ask(SITE, {})
        zone = ZoneInfo(site["timezone"])
        now = datetime.fromisoformat(site["now"]).astimezone(zone)
        words = words_of(wanted, arrive=arrive, depart=depart, now=now)
        answer = ask(QUOTE, words)
    except (StatusUnavailableError, DaemonRefusesError, NotAnsweredError) as error:
        fail(by_options(str(error)), as_json=as_json)
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    if stay := over_midnight(words, depart, now):
        click.echo(stay, err=True)
    click.echo(answer["reason"])
    for other in others_of(answer["offers"], now):
        click.echo(f"  or {other}")


def over_midnight(words: Words, depart: str | None, now: datetime) -> str:
    """Return from when to when a vehicle is taken to stay if its time of day was another day's, in a sentence."""
    if depart is None or CLOCK.fullmatch(depart) is None:
        return ""
    comes_at = datetime.fromisoformat(words["arrive_at"]) if "arrive_at" in words else now
    goes_at = datetime.fromisoformat(words["depart_at"])
    if comes_at.astimezone(now.tzinfo).date() == goes_at.date():
        return ""
    # With the day of both: neither is said to be of today.
    comes, goes = (clock_said(at.timestamp(), 0.0, now.tzinfo or UTC) for at in (comes_at, goes_at))
    return f"It comes {comes} and leaves {goes}."


def others_of(offers: Sequence[Words], now: datetime) -> list[str]:
    """Return what is offered besides the first, in words, and for how long what keeps it from more.

    What reads the same is said once. `now` is by the building's clock.
    """
    said: dict[str, str] = {}
    for offer in offers:
        gives = offer["why"].removeprefix(f"{offer['way']}: ")
        said.setdefault(gives, offer["why"] + _bound_by(offer["binding"], now))
    return list(said.values())[1:]


def _bound_by(bindings: Sequence[Words], now: datetime) -> str:
    """Return what leaves a connector less than it could give for the longest time, if anything does."""
    spans = [
        tuple([datetime.fromisoformat(binding[end]) for end in ("from_at", "until_at")])
        for binding in bindings
    ]
    if not spans:
        return ""
    (begins_at, ends_at), binding = max(
        zip(spans, bindings, strict=True), key=lambda each: each[0][1] - each[0][0]
    )
    begins, ends = [
        clock_said(at.timestamp(), now.timestamp(), now.tzinfo or UTC)
        for at in (begins_at, ends_at)
    ]
    left_a = binding["limit_ma"] / 1_000
    return f" (circuit {binding['circuit']} leaves {left_a:.1f} A on {binding['phase']} from {begins} to {ends})"


def words_of(
    wanted: Mapping[str, Any], *, arrive: str | None, depart: str | None, now: datetime
) -> Words:
    """Return the request, in the words of the API; `now` is by the building's clock."""
    arrive_at = None if arrive is None else instant_of(arrive, after=now, option="--arrive")
    after = arrive_at or now
    depart_at = None if depart is None else instant_of(depart, after=after, option="--depart")
    soc, battery_wh = wanted["soc"], wanted["battery"]
    if (soc is None) != (battery_wh is None):
        raise click.UsageError("--soc and --battery tell of one another: give both, or neither")
    now_pct, target_pct = soc or (None, None)
    of_battery = {"now_pct": now_pct, "target_pct": target_pct, "battery_wh": battery_wh}
    words = {
        "arrive_at": None if arrive_at is None else arrive_at.isoformat(),
        "depart_at": None if depart_at is None else depart_at.isoformat(),
        "energy_wh": wanted["energy"],
        "soc": None if soc is None else of_battery,
        "min_energy_wh": wanted["min_energy"],
        "arrive_slack_s": wanted["arrive_slack"],
        "depart_slack_s": wanted["depart_slack"],
        "objective": wanted["objective"],
        "criticality": wanted["criticality"],
        "confidence": wanted["confidence"],
        "connector": wanted["connector"],
        "circuit": wanted["circuit"],
        "max_power_w": wanted["max_power"],
        "phases": wanted["phases"],
        "fixed": wanted["fixed"] or None,
        "id_token": wanted["id_token"],
        "reference": wanted["reference"],
        "replaces": wanted["replaces"],
    }
    return {name: value for name, value in words.items() if value is not None}


def by_options(complaint: str) -> str:
    """Return a complaint about a request with options in the place of the API's names."""

    def at_option(found: re.Match[str]) -> str:
        field = found[1]
        if field not in OPTION_OF:
            return found[0]
        unit = UNITS.get(field.rpartition("_")[2])
        return OPTION_OF[field] + (f" (in {unit})" if unit else "")

    complaint = complaint.removeprefix("put right what is named, and send it again: ")
    complaint = POINTER.sub(at_option, complaint.replace("the body: ", ""))
    return FIELD.sub(lambda found: OPTION_OF.get(found[0], found[0]), complaint)


def instant_of(said: str, *, after: datetime, option: str) -> datetime:
    """Return an instant as a person says it: a time of day is the next one after `after`.

    `option` is where it was said.

    Raises:
        click.BadParameter: it is neither a time of day nor a date with one.
    """
    found = CLOCK.fullmatch(said)
    if found is not None:
        at = after.replace(hour=int(found[1]), minute=int(found[2]), second=0, microsecond=0)
        return at if at >= after else at + timedelta(days=1)
    try:
        at = datetime.fromisoformat(said)
    except ValueError as error:
        raise click.BadParameter(
            f"{said!r} is no time, such as 07:30 or 2026-03-01T07:30", param_hint=f"'{option}'"
        ) from error
    return at.replace(tzinfo=after.tzinfo) if at.tzinfo is None else at


def _asker(where: Where) -> Ask:
    if where.url is None:
        return lambda ask, words: answer_of(
            where.state, Question(ask=ask, words=words), Words, patience_s=PATIENCE_S[ask]
        )
    if where.token is None:
        raise NotAnsweredError(f"give --token with --url, or set ${TOKEN_VARIABLE}")
    base, token = where.url.rstrip("/").removesuffix(API), where.token
    return lambda ask, words: _ask_api(base, token, ask, words)


def _ask_api(base: str, token: str, ask: str, words: Words) -> Words:
    if not base.startswith(("http://", "https://")):
        raise NotAnsweredError(f"{base} is no address of an API, such as http://10.0.0.2:8080")
    body = None if ask == SITE else json.dumps(words).encode()
    asked = urllib.request.Request(  # noqa: S310 - the scheme is looked at above
        f"{base}{API}/{'site' if ask == SITE else 'quotes'}",
        data=body,
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(asked, timeout=PATIENCE_S[ask]) as answer:  # noqa: S310 - the same
            return dict(json.load(answer))
    except urllib.error.HTTPError as error:
        raise NotAnsweredError(_detail(error, base)) from error
    except urllib.error.URLError as error:
        why = getattr(error.reason, "strerror", None) or error.reason
        advice = "is the daemon running there, and listen.api open to this machine?"
        raise NotAnsweredError(f"{base} does not answer ({why}): {advice}") from error
    except (OSError, ValueError) as error:
        raise NotAnsweredError(f"{base} is no Headroom API: {error}") from error


def _detail(error: urllib.error.HTTPError, base: str) -> str:
    """Return what a problem document says."""
    with error:
        try:
            said = json.load(error)
            if error.code == HTTPStatus.UNAUTHORIZED:
                return "the token is not known there: `headroom token` on that machine makes one"
            return str(said["detail"])
        except (ValueError, KeyError, TypeError):
            answer = f"{base} answers {error.code} {error.reason}"
            return f"{answer} and is no Headroom API: is it the port of listen.api?"
