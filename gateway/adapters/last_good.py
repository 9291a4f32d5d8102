"""The last site file that ran control, kept word for word in the state folder."""

import hashlib
import json
import os
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NoReturn

from gateway.domain.errors import HeadroomError

FILE_NAME = "last-good.yaml"
_SEAL = re.compile(rb'# kept by headroom: (\{"at": .*\})\n')


class LastGoodError(HeadroomError):
    """The kept site file is damaged, or cannot be read or written; the message says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastGood:
    """A site file that has run control: its text, where it was read from, and when it was kept."""

    text: str
    source: Path
    kept_at: datetime


def read_last_good(folder: Path) -> LastGood | None:
    """Return the site file kept in `folder`; None if none was kept yet.

    Raises:
        LastGoodError: there is one, and not one letter of it can be trusted.
    """
    path = folder / FILE_NAME
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LastGoodError(f"{path} cannot be read: {error.strerror}") from error
    text, last_break, seal_line = content.removesuffix(b"\n").rpartition(b"\n")
    text += last_break
    found = _SEAL.fullmatch(seal_line + b"\n")
    if found is None:
        _refuse(path)
    try:
        seal = json.loads(found[1])
        if seal["sha256"] != _digest(text, seal["at"], seal["source"]):
            _refuse(path)
        return LastGood(
            text=text.decode("utf-8"),
            source=Path(seal["source"]),
            kept_at=datetime.fromisoformat(seal["at"]),
        )
    except (KeyError, TypeError, ValueError):
        _refuse(path)


def _refuse(path: Path) -> NoReturn:
    # A flipped bit can make 100 A of 900 A: no guess is made at what it said.
    raise LastGoodError(f"{path} is damaged: it is not as Headroom wrote it")


def keep_last_good(folder: Path, kept: LastGood) -> None:
    """Keep a site file in the place of the one before, whole or not at all; may wait for the disk.

    Nothing is written when it is the one that is kept already.

    Raises:
        LastGoodError: it cannot be written; the one before is still there.
    """
    path = folder / FILE_NAME
    text = kept.text if kept.text.endswith("\n") else f"{kept.text}\n"
    if _is_kept(folder, text, kept.source):
        return
    content = text.encode()
    at, source = kept.kept_at.isoformat(timespec="seconds"), str(kept.source)
    seal = {"at": at, "source": source, "sha256": _digest(content, at, source)}
    new = path.with_suffix(".new")
    try:
        with new.open("wb") as file:
            file.write(content)
            file.write(f"# kept by headroom: {json.dumps(seal)}\n".encode())
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        _sync_folder(folder)
    except OSError as error:
        raise LastGoodError(f"{path} cannot be written: {error.strerror}") from error


def _digest(text: bytes, at: str, source: str) -> str:
    return hashlib.sha256(b"\0".join([text, at.encode(), source.encode()])).hexdigest()


def _is_kept(folder: Path, text: str, source: Path) -> bool:
    try:
        kept = read_last_good(folder)
    except LastGoodError:
        return False
    return kept is not None and (kept.text, kept.source) == (text, source)


def _sync_folder(folder: Path) -> None:
    """Make a new name in a folder last over a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
