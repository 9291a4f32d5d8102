"""A disk that can be filled, made read-only and emptied again: a small file system in memory."""

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

SIZE_KB = 8 * 1_024


@dataclass(frozen=True, kw_only=True)
class SmallDisk:
    """A folder on a file system of its own."""

    folder: Path

    def fill(self) -> None:
        """Leave no byte free."""
        with (self.folder / "filler").open("ab") as filler, suppress(OSError):
            for size in (65_536, 4_096, 1):
                with suppress(OSError):
                    while True:
                        os.write(filler.fileno(), bytes(size))

    def empty(self) -> None:
        """Make room again."""
        (self.folder / "filler").unlink(missing_ok=True)

    def set_read_only(self, is_read_only: bool) -> None:
        """Take no writing, as a file system does that has found an error in itself."""
        mode = "ro" if is_read_only else "rw"
        _run("mount", "-o", f"remount,{mode}", str(self.folder))


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


def can_mount(folder: Path) -> bool:
    """Return whether a file system may be mounted here: it takes a privilege."""
    try:
        with small_disk(folder):
            return True
    except PermissionError:
        return False


@contextmanager
def small_disk(folder: Path) -> Iterator[SmallDisk]:
    """Mount the disk at `folder`.

    Raises:
        PermissionError: that takes a privilege which we do not have.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _run("mount", "-t", "tmpfs", "-o", f"size={SIZE_KB}k,mode=700", "tmpfs", str(folder))
    except (OSError, subprocess.CalledProcessError) as error:
        raise PermissionError(errno.EPERM, "may not mount") from error
    try:
        yield SmallDisk(folder=folder)
    finally:
        _run("umount", "-l", str(folder))
