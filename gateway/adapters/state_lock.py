"""Keeps a state folder for one daemon: a lock the kernel takes back however the process ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.domain.errors import HeadroomError

LOCKS = Path("/proc/locks")


class StateFolderError(HeadroomError):
    """The state folder cannot be had; the message says why, and what to do."""


@contextmanager
def holding_state(folder: Path) -> Iterator[None]:
    """Keep `folder` for this process until the block ends; make it if it is not there.

    Two daemons on one site would each grant what is left to both. Nothing is written: a full
    disk, or one that has become read-only, keeps no building at its fallbacks.

    Raises:
        StateFolderError: another process has it, or it can be neither made nor opened.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Children begin without it (PEP 446): none of them can outlive us and keep the lock.
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise _unusable(folder, error) from error
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StateFolderError(_in_use(folder)) from error
        except OSError as error:
            raise _unusable(folder, error) from error
        yield
    finally:
        os.close(held)


def holder_of(folder: Path) -> int | None:
    """Return the process that holds `folder`; None if there is none, or it cannot be told."""
    try:
        status = folder.stat()
        lines = LOCKS.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    # proc_locks(5): number, FLOCK, kind, WRITE, process, major:minor:inode, ...; a lock that is
    # waited for has -> after the number. Some file systems show another device than stat(2) does.
    held = [fields for line in lines if (fields := line.split())[1:4:2] == ["FLOCK", "WRITE"]]
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
    here = [fields for fields in held if fields[5].rpartition(":")[2] == str(status.st_ino)]
    exact = [fields for fields in here if fields[5].rpartition(":")[0] == device]
    found = exact or here
    process = int(found[0][4]) if len(found) == 1 else 0
    # Zero or less: it is in another namespace of processes.
    return process if process > 0 else None


def _in_use(folder: Path) -> str:
    process = holder_of(folder)
    who = "another process" if process is None else f"process {process}"
    how = "systemctl stop headroom" + ("" if process is None else f", or kill {process}")
    return (
        f"another Headroom runs with the state folder {folder} ({who}): stop it ({how}),"
        " or give this one a folder of its own with --state"
    )


def _unusable(folder: Path, error: OSError) -> StateFolderError:
    return StateFolderError(
        f"the state folder {folder} cannot be used: {error.strerror}; give the user that runs"
        " Headroom the right to it, or name another folder with --state"
    )
