"""A token has a name that people and lists can read."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import main


@pytest.mark.parametrize("name", ["", "x" * 81, "vans\nscreen: viewer", "va\x07ns", " vans"])
def test_a_name_that_lists_cannot_show_is_refused(name: str, tmp_path: Path) -> None:
    words = ["token", "--role", "viewer", "--name", name, "--state", str(tmp_path)]
    done = CliRunner().invoke(main, words)

    assert done.exit_code == 2
    assert "80 characters at most" in done.output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["vans", "Bäckerei, 2. Stock", "x" * 80])
def test_any_other_name_is_taken(name: str, tmp_path: Path) -> None:
    words = ["token", "--role", "viewer", "--name", name, "--state", str(tmp_path)]
    assert CliRunner().invoke(main, words).exit_code == 0
    listed = CliRunner().invoke(main, ["token", "--list", "--state", str(tmp_path)])

    assert listed.output.startswith(f"{name}: viewer")
