"""Who may come in: the station id in the path, the version offered, and Basic credentials."""

import base64
import binascii
import hmac
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from gateway.domain.charging import OcppVersion
from gateway.domain.ids import StationId

MAX_IDENTITY_LENGTH: Final = 48  # OCPP 2.0.1 part 4 §3.1.1; 1.6 says 20 and is not held to it.
MAX_FAILURES_A_MINUTE: Final = 5
MAX_WATCHED_PEERS: Final = 1024
UNGUESSABLE_BYTES: Final = 16
"""A key of so many is found by nobody, however often they may try (OCPP asks for no fewer)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turned:
    """A handshake that is turned away: the HTTP status and what the station's log should say."""

    status: int
    reason: str


def read_station(path: str) -> StationId | None:
    """Return the station id a request path names, None if it names none."""
    segments = path.partition("?")[0].removeprefix("/")
    if not segments or "/" in segments:
        return None
    try:
        identity = unquote_to_bytes(segments).decode("utf-8")
    except UnicodeDecodeError:
        return None
    if not 0 < len(identity) <= MAX_IDENTITY_LENGTH or not identity.isprintable():
        return None
    return StationId(identity)


def choose_version(offers: Iterable[str], supported: Iterable[OcppVersion]) -> OcppVersion | None:
    """Return the first version of `supported` that a header of `offers` lists, else None."""
    offered = {name.strip() for header in offers for name in header.split(",")}
    return next((version for version in supported if version in offered), None)


def is_key_right(header: str | None, station: StationId, key: bytes) -> bool:
    """Return whether a Basic authorization names the station and knows its key.

    Stations send the key as its raw bytes or as hexadecimal text, whichever way it was
    configured; the time taken does not tell which part was wrong.
    """
    name, password = _read_basic(header)
    expected = [key, key.hex().encode()]
    try:
        expected.append(bytes.fromhex(key.decode("ascii")))
    except ValueError:
        expected.append(key)
    is_name_right = hmac.compare_digest(name, station.encode())
    is_right = False
    for candidate in expected:
        is_right |= hmac.compare_digest(password, candidate)
    is_right |= hmac.compare_digest(password.lower(), key.hex().encode())
    return is_name_right and is_right and len(password) > 0


def _read_basic(header: str | None) -> tuple[bytes, bytes]:
    scheme, _, encoded = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return b"", b""
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b"", b""
    name, _, password = decoded.partition(b":")
    return name, password


class Doorkeeper:
    """Checks credentials, and stops listening to a peer that keeps getting them wrong.

    A right key opens all the same, so that nobody behind the same address shuts its station out;
    but where it is so short that it can be guessed, a hit is not told from a guess.
    """

    def __init__(self, credentials: Mapping[StationId, bytes | None]) -> None:
        """Read `credentials` at every handshake: it may change while stations are connected.

        A station that is not in it is unknown; one whose key is None needs none.
        """
        self._credentials = credentials
        self._failures: OrderedDict[tuple[str, StationId], deque[float]] = OrderedDict()

    def is_adopted(self, station: StationId) -> bool:
        """Return whether the station is one of ours."""
        return station in self._credentials

    def turn_away(
        self, station: StationId, *, peer: str, authorization: str | None, now_s: float
    ) -> Turned | None:
        """Return why an adopted station may not come in, None if it may."""
        key = self._credentials[station]
        if key is None:
            return None
        failures = self._failures.get((peer, station), deque())
        while failures and now_s - failures[0] > 60:
            failures.popleft()
        is_closed = len(failures) >= MAX_FAILURES_A_MINUTE
        is_right = is_key_right(authorization, station, key)
        if is_closed and not (is_right and len(key) >= UNGUESSABLE_BYTES):
            return Turned(status=429, reason="too many wrong credentials, wait a minute")
        if is_right:
            self._failures.pop((peer, station), None)
            return None
        failures.append(now_s)
        self._failures[peer, station] = failures
        self._failures.move_to_end((peer, station))
        if len(self._failures) > MAX_WATCHED_PEERS:
            self._failures.popitem(last=False)
        return Turned(status=401, reason=f"{'wrong' if authorization else 'no'} credentials")
