"""One daemon has a state folder, until it is gone in whatever way."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.adapters.state_lock import StateFolderError, holder_of, holding_state

HOLD = """
import sys, time
from pathlib import Path
from gateway.adapters.state_lock import holding_state
with holding_state(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_is_held_by_one_process_until_that_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there yet"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(StateFolderError, match=rf"process {other.pid}\): stop it") as caught:
            holding_state(folder).__enter__()
        assert str(folder) in str(caught.value)

        other.kill()
        other.wait()
        with holding_state(folder):
            assert holder_of(folder) == os.getpid()
        assert holder_of(folder) is None
        assert list(folder.iterdir()) == []


def test_a_child_that_outlives_its_daemon_does_not_keep_the_folder(tmp_path: Path) -> None:
    with holding_state(tmp_path):
        child = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        with holding_state(tmp_path):
            assert child.poll() is None
    finally:
        child.kill()
        child.wait()


def test_a_folder_on_a_disk_that_became_read_only_is_held_all_the_same(tmp_path: Path) -> None:
    holding = """
        mount -t tmpfs none "$1" && mkdir "$1/state" && mount -o remount,ro "$1" &&
        exec "$2" -c "$3" "$1/state" </dev/null
    """
    done = subprocess.run(
        [
            "unshare",
            "--map-root-user",
            "--mount",
            "sh",
            "-ec",
            holding,
            "sh",
            tmp_path,
            sys.executable,
            HOLD,
        ],
        stdout=subprocess.PIPE,
        check=True,
    )
    assert done.stdout == b"held\n"


def test_a_folder_that_cannot_be_made_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StateFolderError, match=r"file/state cannot be used: .*--state"):
        holding_state(tmp_path / "file" / "state").__enter__()
