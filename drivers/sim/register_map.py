"""The registers of a simulated meter, packed from the same table a gateway reads it by.

Only the table is shared: how a value becomes words is written here anew, so that a slip in one
end's codec is seen at the other.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

import drivers

PROFILES = Path(drivers.__file__).parent / "modbus" / "profiles"
UNKNOWN_S64 = -0x8000000000000000

ILLEGAL_FUNCTION = 1
ILLEGAL_ADDRESS = 2


class UnservableMeterError(Exception):
    """The plant cannot be this meter; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    address: int
    kind: str
    scale: float


class RegisterMap:
    """Where a meter keeps which value, and how it answers a request for registers."""

    def __init__(self, profile: str) -> None:
        """Read the table of a profile.

        Raises:
            UnservableMeterError: its words are not written as the plant can write them.
        """
        path = PROFILES / f"{profile}.yaml"
        table: dict[str, Any] = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
        places = {
            name: _Place(
                address=row["address"], kind=row["type"], scale=float(row.get("scale", 1.0))
            )
            for tier in table["registers"].values()
            for name, row in tier.items()
        }
        kinds = {place.kind for place in places.values()}
        if "sunspec" in table or table["word_order"] != "ABCD" or not kinds <= {"f32", "s64"}:
            message = f"the simulated building has no meter of the profile {profile}"
            raise UnservableMeterError(message)
        self._function_code: int = table["function_code"]
        self._places: Mapping[str, _Place] = places
        self._stretches = [(s["first"], s["first"] + s["count"]) for s in table["stretches"]]
        self._max_count: int = table["max_count"]

    def answer(self, pdu: bytes, values: Mapping[str, float | None]) -> bytes:
        """Return the response PDU to a request PDU; a value not named, or None, is unknown."""
        code = pdu[0]
        if code != self._function_code:
            return bytes([code | 0x80, ILLEGAL_FUNCTION])
        first, count = struct.unpack(">HH", pdu[1:5])
        end = first + count
        if not 0 < count <= self._max_count or not any(
            begins <= first and end <= ends for begins, ends in self._stretches
        ):
            return bytes([code | 0x80, ILLEGAL_ADDRESS])
        payload = bytearray(2 * count)
        for name, place in self._places.items():
            words = _pack(place, values.get(name))
            if first <= place.address and place.address + len(words) // 2 <= end:
                start = 2 * (place.address - first)
                payload[start : start + len(words)] = words
        return bytes([code, len(payload)]) + payload


def _pack(place: _Place, value: float | None) -> bytes:
    if place.kind == "f32":
        return struct.pack(">f", nan if value is None else value / place.scale)
    return struct.pack(">q", UNKNOWN_S64 if value is None else int(value / place.scale))
