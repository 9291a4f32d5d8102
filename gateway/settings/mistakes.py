"""What is wrong with a site file, where it stands, and what would be right."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gateway.domain.errors import HeadroomError

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9.]+,[0-9]+")
_NUMBER_WITH_UNIT = re.compile(r"[+-]?[0-9]+([.,][0-9]+)?\s*[A-Za-zµΩ%]+")

Route = tuple[str | int, ...]
"""The way from the top of the file to a setting: keys, and positions in lists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where something begins; lines and columns count from 1, in characters."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something wrong, by the way to it; its place and its name for people are still to be found.

    `at` says what is wrong: the value there, or the key itself. `place` is given where the way
    does not lead there.
    """

    route: Route = ()
    problem: str
    at: Literal["value", "key"] = "value"
    place: Place | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One thing that is wrong, or (as a warning) that is probably not meant.

    `place` is None where none in the file is meant (there is no file). `path` names the setting
    for people: `stations.CP-01.connectors.1.max_a`; it is empty where the file cannot be read
    that far.
    """

    place: Place | None
    path: str
    problem: str

    def describe(self, file: str) -> str:
        """Return the one line for people and editors: `file:line:column: path: what is wrong`."""
        where = "" if self.place is None else f":{self.place.line}:{self.place.column}"
        subject = f"{self.path}: " if self.path else ""
        return f"{file}{where}: {subject}{self.problem}"


class SettingsRefusedError(HeadroomError):
    """A site file cannot be used; the message says why, for a person, line by line."""


class MistakesError(SettingsRefusedError):
    """A site file has mistakes: all of them are in it, in the order of the file.

    `text` is the file as far as it could be read, for showing the lines in question.
    """

    def __init__(self, path: Path, mistakes: Iterable[Mistake], text: str = "") -> None:
        """Take every mistake of the file at `path`."""
        self.path = path
        self.mistakes = tuple(sorted(mistakes, key=in_file_order))
        self.text = text
        super().__init__("\n".join(mistake.describe(str(path)) for mistake in self.mistakes))


def as_number(value: object) -> str:
    """Return a bracket with how a text that looks like a number is written as one, else nothing."""
    if not isinstance(value, str):
        return ""
    if _NUMBER.fullmatch(value):
        return " (take the quotes away)"
    if _DECIMAL_COMMA.fullmatch(value):
        return " (decimals take a point: 30.5; nothing stands between thousands)"
    if _NUMBER_WITH_UNIT.fullmatch(value):
        return " (a number alone: its unit is in the key)"
    return ""


def shown(value: object) -> str:
    """Return a value as people would point at it; what is long is cut."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case int() | float():
            return f"{value}"
        case str():
            longest = 40
            return repr(value if len(value) <= longest else f"{value[: longest - 1]}…")
        case tuple():
            return "a list"
        case _:
            return "keys and values"


def in_file_order(mistake: Mistake) -> tuple[int, int]:
    """Return what sorts mistakes as a reader meets them; what is not in the file comes first."""
    return (0, 0) if mistake.place is None else (mistake.place.line, mistake.place.column)
