"""Tokens: shown once, kept as hashes, known at once, and a spoilt file locks nobody out."""

import json
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.adapters.token_file import (
    TOKENS_NAME,
    TokenFileError,
    TokenRegister,
    make_token,
    read_tokens,
    revoke_token,
)
from gateway.domain.access import Access, Role
from gateway.domain.needs import Criticality

NOW = datetime(2026, 1, 5, 8, tzinfo=UTC)
DRONES = Access(
    name="drones",
    role=Role.VEHICLE_OPERATOR,
    criticality=Criticality.CRITICAL,
    quota_per_min_count=120,
)


def register(folder: Path) -> tuple[TokenRegister, list[str | None]]:
    told: list[str | None] = []
    return TokenRegister(folder, on_problem=told.append), told


def test_a_token_opens_what_it_was_made_for_and_no_other_does(tmp_path: Path) -> None:
    known, _ = register(tmp_path)
    assert known.find("hr_anything_atall") is None
    token = make_token(tmp_path, DRONES, now_at=NOW)

    assert known.find(token) == DRONES
    head, _, secret = token.rpartition("_")
    for wrong in ("", head, f"{head}_", token[:-1], token + "=", f"x{token}", f"hr__{secret}", "ü"):
        assert known.find(wrong) is None


def test_what_is_written_opens_nothing(tmp_path: Path) -> None:
    token = make_token(tmp_path, DRONES, now_at=NOW)
    path = tmp_path / TOKENS_NAME
    text = path.read_text(encoding="utf-8")

    assert token.rpartition("_")[2] not in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (row,) = json.loads(text)["tokens"]
    known, _ = register(tmp_path)
    assert known.find(f"hr_{row['id']}_{row['secret_sha256']}") is None


def test_a_new_token_takes_the_place_of_the_one_of_its_name(tmp_path: Path) -> None:
    known, _ = register(tmp_path)
    first, second = (make_token(tmp_path, DRONES, now_at=NOW) for _ in range(2))

    assert [known.find(first), known.find(second)] == [None, DRONES]
    assert revoke_token(tmp_path, "drones")
    assert not revoke_token(tmp_path, "drones")
    assert known.find(second) is None
    assert read_tokens(tmp_path) == ()


def test_a_spoilt_file_is_told_and_those_known_before_go_on(tmp_path: Path) -> None:
    known, told = register(tmp_path)
    token = make_token(tmp_path, DRONES, now_at=NOW)
    assert known.find(token) == DRONES
    path = tmp_path / TOKENS_NAME
    good = path.read_bytes()
    path.write_bytes(good[:-20])

    assert known.find(token) == DRONES
    assert "put it right" in (told[-1] or "")
    with pytest.raises(TokenFileError, match="cannot be read"):
        make_token(tmp_path, DRONES, now_at=NOW)
    path.unlink()
    assert known.find(token) is None
    assert told[-1] is None
