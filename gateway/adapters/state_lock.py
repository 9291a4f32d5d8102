"""Keeps a state folder for one daemon: a lock the kernel takes back however the process ends."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.domain.errors import HeadroomError

LOCK_NAME = "headroom.lock"
MAX_PID_BYTES = 20


class StateFolderError(HeadroomError):
    """The state folder cannot be had; the message says why, and what to do."""


@contextmanager
def holding_state(folder: Path) -> Iterator[None]:
    """Keep `folder` for this process until the block ends; make it if it is not there.

    Two daemons on one site would each grant what is left to both.

    Raises:
        StateFolderError: another process has it, or it cannot be written to.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Children begin without it (PEP 446): none of them can outlive us and keep the lock.
        lock = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise _unusable(folder, error) from error
    try:
        _lock(lock, folder)
        # The file stays when the lock goes: to take it away would pull it from under the next.
        yield
    finally:
        os.close(lock)


def _lock(lock: int, folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise _in_use(lock, folder) from error
    except OSError as error:
        raise _unusable(folder, error) from error
    # The lock holds without its number, which is for people: a full disk may refuse it.
    with contextlib.suppress(OSError):
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)


def _in_use(lock: int, folder: Path) -> StateFolderError:
    text = os.pread(lock, MAX_PID_BYTES, 0).strip()
    is_known = text.isdigit() and Path(f"/proc/{int(text)}").exists()
    who = f"process {int(text)}" if is_known else "another process"
    how = f"systemctl stop headroom, or kill {int(text)}" if is_known else "systemctl stop headroom"
    return StateFolderError(
        f"another Headroom runs with the state folder {folder} ({who}): stop it ({how}),"
        " or give this one a folder of its own with --state"
    )


def _unusable(folder: Path, error: OSError) -> StateFolderError:
    return StateFolderError(
        f"the state folder {folder} cannot be used: {error.strerror}; give the user that runs"
        " Headroom the right to write there, or name another folder with --state"
    )
