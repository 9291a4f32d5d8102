"""The key that links of sessions are made from: a file of random bytes in the state folder."""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

KEY_NAME: Final = "session.key"
KEY_BYTES: Final = 32


def session_key(folder: Path | None) -> bytes:
    """Return the key, made at the first start; so links hold over a restart.

    Without a folder, or where the file cannot be had, it is a new one each time.
    """
    key = secrets.token_bytes(KEY_BYTES)
    if folder is None:
        return key
    path = folder / KEY_NAME
    with suppress(OSError):
        known = _read(path)
        if known is not None:
            return known
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as writing:
            writing.write(key)
            writing.flush()
            os.fsync(writing.fileno())
        part.replace(path)
    return key


def _read(path: Path) -> bytes | None:
    try:
        known = path.read_bytes()
    except FileNotFoundError:
        return None
    return known if len(known) == KEY_BYTES else None
