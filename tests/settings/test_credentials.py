"""Passwords are found beside the file, and a missing one never lets a station in."""

from pathlib import Path

import pytest

from gateway.domain.ids import StationId
from gateway.settings import Settings, read_site
from gateway.settings.credentials import read_credentials, read_hooks

SITE = """
site: {name: Here, timezone: Europe/London, voltage_v: 230}
circuits: [{id: a, rating_a: 63, device: mcb, worst_case_base_a: 0}]
stations:
  - {id: A, circuit: a, connectors: [{id: 1, phases: [L1], max_a: 16, fallback_a: 0}]}
  - {id: B, circuit: a, auth: none, connectors: [{id: 1, phases: [L1], max_a: 16, fallback_a: 0}]}
"""
A = StationId("A")
PASSWORD = b"0123456789abcdef"


@pytest.fixture
def site(tmp_path: Path) -> Settings:
    (tmp_path / "site.yaml").write_text(SITE)
    (tmp_path / "credentials").mkdir()
    return read_site(tmp_path / "site.yaml")


def put(folder: Path, content: bytes, mode: int = 0o600) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "A").write_bytes(content)
    (folder / "A").chmod(mode)


def test_a_password_is_read_beside_the_file_without_its_line_end(
    site: Settings, tmp_path: Path
) -> None:
    put(tmp_path / "credentials", PASSWORD + b"\r\n")

    found = read_credentials(site, environment={})

    assert found.keys == {"A": PASSWORD, "B": None}
    assert found.problems == {}


def test_the_folder_systemd_gives_comes_first(site: Settings, tmp_path: Path) -> None:
    put(tmp_path / "credentials", PASSWORD)
    put(tmp_path / "given", b"another password")

    found = read_credentials(site, environment={"CREDENTIALS_DIRECTORY": f"{tmp_path}/given"})

    assert found.keys[A] == b"another password"


def test_a_station_without_its_password_stays_outside(site: Settings, tmp_path: Path) -> None:
    found = read_credentials(site, environment={"CREDENTIALS_DIRECTORY": f"{tmp_path}/none"})

    # Not None, which would let it in unasked: not there at all.
    assert "A" not in found.keys
    assert found.problems == {
        "A": f"there is no password in {tmp_path}/none/A or {tmp_path}/none/station_A"
        f" or {tmp_path}/credentials/A"
    }


@pytest.mark.parametrize("content", [b"", b"\n", b"x" * 1_025])
def test_a_file_that_holds_no_password_lets_nobody_in(
    content: bytes, site: Settings, tmp_path: Path
) -> None:
    put(tmp_path / "credentials", content)

    found = read_credentials(site, environment={})

    assert "A" not in found.keys
    assert found.problems[A].endswith("credentials/A holds no password")


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        (PASSWORD, 0o644, "may be read by every user of this machine; take that right away"),
        (b"short", 0o600, "is shorter than the 16 characters it should have"),
    ],
)
def test_a_poor_password_is_used_and_said_to_be_poor(
    content: bytes, mode: int, said: str, site: Settings, tmp_path: Path
) -> None:
    put(tmp_path / "credentials", content, mode)

    found = read_credentials(site, environment={})

    assert found.keys[A] == content
    assert found.problems[A].endswith(said)


def test_a_folder_in_the_place_of_a_password_is_said(site: Settings, tmp_path: Path) -> None:
    (tmp_path / "credentials" / "A").mkdir()

    found = read_credentials(site, environment={})

    assert "A" not in found.keys
    assert "cannot be read (Is a directory)" in found.problems[A]


def test_a_password_of_a_folder_systemd_was_told_to_load_is_found(
    site: Settings, tmp_path: Path
) -> None:
    # systemd.exec(5): every file of a folder gets the credential's own name before it.
    put(tmp_path / "given", PASSWORD)
    (tmp_path / "given" / "A").rename(tmp_path / "given" / "station_A")

    found = read_credentials(site, environment={"CREDENTIALS_DIRECTORY": f"{tmp_path}/given"})

    assert found.keys[A] == PASSWORD
    assert found.problems == {}


def test_a_webhook_without_its_secret_is_left_out_and_told(tmp_path: Path) -> None:
    hooks = "\nwebhooks: [{id: A, url: 'https://x/'}, {id: b, url: 'https://y/', holder: vans}]\n"
    (tmp_path / "site.yaml").write_text(SITE + hooks)
    put(tmp_path / "credentials", PASSWORD)

    found, problems = read_hooks(read_site(tmp_path / "site.yaml"), environment={})

    assert [(hook.id, hook.url, hook.secret) for hook in found] == [("A", "https://x/", PASSWORD)]
    assert problems == {"b": f"there is no password in {tmp_path}/credentials/b"}
    assert "0123" not in repr(found)
