"""What is kept of a site file comes back word for word, or not at all."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.last_good import (
    FILE_NAME,
    LastGood,
    LastGoodError,
    keep_last_good,
    read_last_good,
)

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def a_site(text: str, source: str = "/etc/headroom/site.yaml") -> LastGood:
    return LastGood(text=text, source=Path(source), kept_at=NOON)


def test_nothing_is_kept_at_first(tmp_path: Path) -> None:
    assert read_last_good(tmp_path) is None


@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=60), name=st.text("aé\n '"))
def test_what_is_kept_comes_back(
    tmp_path_factory: pytest.TempPathFactory, text: str, name: str
) -> None:
    folder = tmp_path_factory.mktemp("state")
    site = a_site(text, f"/etc/{name}/site.yaml")

    keep_last_good(folder, site)

    kept = read_last_good(folder)
    assert kept is not None
    assert kept.text == (text if text.endswith("\n") else f"{text}\n")
    assert (kept.source, kept.kept_at) == (site.source, site.kept_at)


@given(place_ratio=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_one_flipped_bit_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, place_ratio: float, bit: int
) -> None:
    folder = tmp_path_factory.mktemp("state")
    keep_last_good(folder, a_site("circuits: [{id: supply, rating_a: 100}]\n"))
    path = folder / FILE_NAME
    content = bytearray(path.read_bytes())
    content[int(place_ratio * len(content))] ^= 1 << bit
    path.write_bytes(content)

    with pytest.raises(LastGoodError, match=r"last-good\.yaml is damaged"):
        read_last_good(folder)


@pytest.mark.parametrize("content", [b"", b"\n", b"rating_a: 100\n", b"# kept by headroom: {}\n"])
def test_what_headroom_did_not_write_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)

    with pytest.raises(LastGoodError, match="damaged"):
        read_last_good(tmp_path)


def test_what_is_kept_already_is_not_written_again(tmp_path: Path) -> None:
    keep_last_good(tmp_path, a_site("one: 1\n"))
    before = (tmp_path / FILE_NAME).stat()
    keep_last_good(tmp_path, a_site("one: 1\n"))
    assert (tmp_path / FILE_NAME).stat() == before

    keep_last_good(tmp_path, a_site("two: 2\n"))

    kept = read_last_good(tmp_path)
    assert kept is not None
    assert kept.text == "two: 2\n"
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_a_folder_that_takes_nothing_leaves_the_old_one_in_place(tmp_path: Path) -> None:
    keep_last_good(tmp_path, a_site("one: 1\n"))
    (tmp_path / "last-good.new").mkdir()

    with pytest.raises(LastGoodError, match="cannot be written"):
        keep_last_good(tmp_path, a_site("two: 2\n"))

    kept = read_last_good(tmp_path)
    assert kept is not None
    assert kept.text == "one: 1\n"
