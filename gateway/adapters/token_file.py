"""Tokens in the state folder: who has one, what it allows, and a hash to know it by."""

import hashlib
import hmac
import os
import secrets
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from gateway.domain.access import Access, Role
from gateway.domain.errors import HeadroomError
from gateway.domain.needs import Criticality

TOKENS_NAME: Final = "tokens.json"
PREFIX: Final = "hr"
ID_BYTES: Final = 6
SECRET_BYTES: Final = 32


class TokenFileError(HeadroomError):
    """The tokens cannot be read or written; the message says why and what to do."""


class TokenRow(msgspec.Struct, frozen=True, kw_only=True):
    """A token as it is kept: never itself, only the hash of its secret."""

    id: str
    secret_sha256: str
    name: str
    role: Role
    criticality: Criticality
    quota_per_min: int
    made_at: datetime

    @property
    def access(self) -> Access:
        """Return what the token allows."""
        return Access(
            name=self.name,
            role=self.role,
            criticality=self.criticality,
            quota_per_min_count=self.quota_per_min,
        )


class _Tokens(msgspec.Struct, frozen=True, kw_only=True):
    version: int = 1
    tokens: tuple[TokenRow, ...] = ()


def read_tokens(folder: Path) -> tuple[TokenRow, ...]:
    """Return the tokens of a state folder; none where no file is.

    Raises:
        TokenFileError: the file cannot be read.
    """
    path = folder / TOKENS_NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Tokens).tokens
    except FileNotFoundError:
        return ()
    except (OSError, msgspec.MsgspecError) as error:
        message = f"{path} cannot be read: {error}; put it right, or remove it and make tokens anew"
        raise TokenFileError(message) from error


def make_token(folder: Path, access: Access, *, now_at: datetime) -> str:
    """Return a new token of a state folder; a token of the same name is replaced.

    It is shown this once: only its hash is kept.

    Raises:
        TokenFileError: the file cannot be read or written.
    """
    # Random enough that a plain hash hides it: there is nothing to guess.
    token_id, secret = secrets.token_hex(ID_BYTES), secrets.token_urlsafe(SECRET_BYTES)
    row = TokenRow(
        id=token_id,
        secret_sha256=_hash(secret),
        name=access.name,
        role=access.role,
        criticality=access.criticality,
        quota_per_min=access.quota_per_min_count,
        made_at=now_at,
    )
    others = tuple(other for other in read_tokens(folder) if other.name != access.name)
    _write(folder, (*others, row))
    return f"{PREFIX}_{token_id}_{secret}"


def revoke_token(folder: Path, name: str) -> bool:
    """Take the token of that name back; return whether there was one.

    Raises:
        TokenFileError: the file cannot be read or written.
    """
    rows = read_tokens(folder)
    kept = tuple(row for row in rows if row.name != name)
    if len(kept) < len(rows):
        _write(folder, kept)
    return len(kept) < len(rows)


def _write(folder: Path, rows: tuple[TokenRow, ...]) -> None:
    path = folder / TOKENS_NAME
    part = path.with_suffix(".part")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as writing:
            writing.write(msgspec.json.format(msgspec.json.encode(_Tokens(tokens=rows)), indent=2))
            writing.flush()
            os.fsync(writing.fileno())
        part.replace(path)
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}; run it as the user of the daemon"
        raise TokenFileError(message) from error


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


class TokenRegister:
    """Knows tokens by their words; a file that was changed is read again."""

    def __init__(self, folder: Path, *, on_problem: Callable[[str | None], None]) -> None:
        """Read nothing yet. `on_problem` is told what is wrong with the file, None once it is well."""
        self._folder = folder
        self._on_problem = on_problem
        self._read: tuple[int, int] | None = None
        self._rows: dict[str, TokenRow] = {}

    def find(self, token: str) -> Access | None:
        """Return what a token allows, None if it is nobody's."""
        self._refresh()
        prefix, _, rest = token.partition("_")
        token_id, _, secret = rest.partition("_")
        row = self._rows.get(token_id)
        expected = "" if row is None else row.secret_sha256
        # Compared whole, however much of it is right, and whether there is such a token or not.
        is_right = hmac.compare_digest(_hash(secret), expected)
        return row.access if row is not None and prefix == PREFIX and is_right else None

    def _refresh(self) -> None:
        try:
            status = (self._folder / TOKENS_NAME).stat()
            stamp = (status.st_mtime_ns, status.st_ino)
        except OSError:
            stamp = None
        if stamp == self._read:
            return
        try:
            rows = () if stamp is None else read_tokens(self._folder)
        except TokenFileError as error:
            # Those known before go on: a slip of the pen locks nobody out.
            self._on_problem(str(error))
        else:
            self._rows = {row.id: row for row in rows}
            self._on_problem(None)
        self._read = stamp
