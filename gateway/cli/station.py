"""`headroom station`: have a station start, stop or restart, or say what its limits are."""

import json
from pathlib import Path
from typing import TypeVar

import click
import msgspec

from gateway.adapters.status_socket import STATION, Question, StatusUnavailableError
from gateway.cli.asking import DaemonRefusesError, answer_of
from gateway.cli.failing import failing
from gateway.cli.release import who_asks
from gateway.cli.state_folder import state_option
from gateway.cli.why import fetch_snapshot, find_connectors
from gateway.domain.charging import CompositePeriod
from gateway.domain.ids import StationId
from gateway.domain.spelling import suggest
from gateway.services.snapshot import Snapshot
from gateway.services.station_desk import Accepted, Schedule, StationRequest, Wish

PATIENCE_S = 20.0
"""Longer than a station may take to answer a call, which waits for its turn first."""

MORE = "That is more: it has not taken the last limit, or says what it could do. See what it draws."
LESS = "That is less: a limit of its own, or of somebody else, holds as well."

FAULTS = (StatusUnavailableError, DaemonRefusesError, LookupError)

AnswerT = TypeVar("AnswerT", Accepted, Schedule)

by_option = click.option(
    "--by", "by", help="Who asks, for the log [default: the user who types it]."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group("station")
def station_command() -> None:
    """Ask something of a charging station that is connected.

    Each exits with 1 when the station is not there, refuses, or does not answer in 10 s. What a
    station was asked to do is kept with who asked.
    """


@station_command.command("schedule")
@click.argument("connector")
@state_option
@json_option
def schedule_command(connector: str, *, state: Path | None, as_json: bool) -> None:
    """Show what a station says the limits of CONNECTOR add up to, and what it was told.

    \b
    headroom station schedule CP-03/1
    """  # noqa: D301 - click's own mark
    with failing(*FAULTS, as_json=as_json):
        request = _of_connector(fetch_snapshot(state), connector, Wish.SCHEDULE)
        found = _ask(state, request, who_asks(), Schedule)
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(found), indent=2))
        return
    for line in in_words(found):
        click.echo(line)


@station_command.command("start")
@click.argument("connector")
@click.option("--token", "id_token", required=True, help="The id token it is to charge for.")
@by_option
@state_option
@json_option
def start_command(
    connector: str, *, id_token: str, by: str | None, state: Path | None, as_json: bool
) -> None:
    """Have a station begin to charge at CONNECTOR, as if the token had been shown there.

    \b
    headroom station start CP-03/1 --token 04A2B3C4
    """  # noqa: D301 - click's own mark
    with failing(*FAULTS, as_json=as_json):
        request = _of_connector(fetch_snapshot(state), connector, Wish.START, id_token=id_token)
        done = _ask(state, request, by or who_asks(), Accepted)
    _say(done, f"{done.of}: accepted. It begins once a vehicle is plugged in.", as_json=as_json)


@station_command.command("stop")
@click.argument("connector")
@by_option
@state_option
@json_option
def stop_command(connector: str, *, by: str | None, state: Path | None, as_json: bool) -> None:
    """Have a station end the transaction that runs at CONNECTOR.

    \b
    headroom station stop CP-03/1
    """  # noqa: D301 - click's own mark
    with failing(*FAULTS, as_json=as_json):
        request = _of_connector(fetch_snapshot(state), connector, Wish.STOP)
        done = _ask(state, request, by or who_asks(), Accepted)
    _say(done, f"{done.of}: accepted. Transaction {done.transaction} ends.", as_json=as_json)


@station_command.command("reset")
@click.argument("station")
@click.option("--hard", "is_hard", is_flag=True, help="At once, whatever runs there.")
@by_option
@state_option
@json_option
def reset_command(
    station: str, *, is_hard: bool, by: str | None, state: Path | None, as_json: bool
) -> None:
    """Have STATION restart; it goes by its fallback until it is back and told anew.

    Without --hard a station of OCPP 1.6 ends what runs there first, and one of 2.0.1 restarts
    only once nothing does.

    \b
    headroom station reset CP-03
    headroom station reset CP-03 --hard
    """  # noqa: D301 - click's own mark
    with failing(*FAULTS, as_json=as_json):
        name = find_station(fetch_snapshot(state), station)
        request = StationRequest(wish=Wish.RESET, station=name, is_hard=is_hard)
        done = _ask(state, request, by or who_asks(), Accepted)
    when = "now" if is_hard else "once what runs there has ended"
    _say(done, f"{done.of}: accepted. It restarts {when}.", as_json=as_json)


def find_station(snapshot: Snapshot, name: str) -> StationId:
    """Return the station of that name, upper and lower case alike.

    Raises:
        LookupError: there is none; the message has the nearest name.
    """
    names = [view.id for view in snapshot.stations]
    for known in names:
        if known.casefold() == name.casefold():
            return StationId(known)
    if name in snapshot.pending:
        raise LookupError(f"{name} is not in the site file: it waits for adoption")
    raise LookupError(f"there is no station {name}{suggest(name, names)}")


def in_words(found: Schedule) -> list[str]:
    """Return what a station says of its limits and what it was told, for people."""
    said: list[str] = []
    before = ""
    for period in found.periods:
        limit = _limit(period)
        if limit != before:
            said.append(f"{limit} {f'from {period.start_s} s on' if said else 'now'}")
        before = limit
    fallback, holds_ma = "its fallback, which is not written yet,", found.fallback_ma
    if found.fallback_ma is not None:
        fallback = f"its fallback of {_amperes(found.fallback_ma)}"
    if found.told_ma is None:
        told = f"has told it nothing yet: {fallback} holds"
    elif found.lease_s == 0:
        told = f"told it {_amperes(found.told_ma)}; that is over, and {fallback} holds"
    else:
        told, holds_ma = f"told it {_amperes(found.told_ma)}", found.told_ma
        if found.lease_s is not None:
            told += f" for {found.lease_s:.0f} s more at most; {fallback} holds after that"
    lines = [
        f"{found.connector} says: {', then '.join(said) or 'nothing of a limit'}.",
        f"Headroom {told}.",
    ]
    now_ma = found.periods[0].current_ma if found.periods else None
    if now_ma is not None and holds_ma is not None and now_ma != holds_ma:
        lines.append(MORE if now_ma > holds_ma else LESS)
    return lines


def _limit(period: CompositePeriod) -> str:
    if period.current_ma is not None:
        return _amperes(period.current_ma)
    return f"{(period.power_w or 0) / 1_000:.1f} kW"


def _amperes(limit_ma: int) -> str:
    return f"{limit_ma / 1_000:.1f} A"


def _of_connector(
    snapshot: Snapshot, name: str, wish: Wish, *, id_token: str = ""
) -> StationRequest:
    """Return what is wanted of a connector.

    Raises:
        LookupError: there is none of that name.
    """
    (view,) = find_connectors(snapshot, name)
    station, _, number = view.connector.rpartition("/")
    return StationRequest(
        wish=wish, station=StationId(station), number=int(number), id_token=id_token
    )


def _ask(state: Path | None, request: StationRequest, by: str, shape: type[AnswerT]) -> AnswerT:
    question = Question(ask=STATION, by=by, words=msgspec.to_builtins(request))
    return answer_of(state, question, shape, patience_s=PATIENCE_S)


def _say(done: Accepted, words: str, *, as_json: bool) -> None:
    click.echo(json.dumps(msgspec.to_builtins(done)) if as_json else words)
