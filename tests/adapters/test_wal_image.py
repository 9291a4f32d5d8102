"""A database is read as it was last committed, from its files alone."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.wal_image import open_image

VALUES = st.integers(-(2**40), 2**40)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 40), VALUES),
        st.tuples(st.just("drop"), st.integers(0, 40), VALUES),
        st.tuples(st.just("checkpoint"), st.just(0), st.just(0)),
        st.tuples(st.just("roll back"), st.just(0), VALUES),
    ),
    max_size=30,
)


def rows(connection: sqlite3.Connection) -> list[tuple[int, int]]:
    return connection.execute("SELECT id, value FROM things ORDER BY id").fetchall()


@pytest.mark.parametrize("page_bytes", [1_024, 4_096])
def test_an_image_is_what_sqlite_reads(tmp_path: Path, page_bytes: int) -> None:
    @given(steps=STEPS, cut_ratio=st.floats(0, 1), is_cut=st.booleans())
    def check(steps: list[tuple[str, int, int]], cut_ratio: float, *, is_cut: bool) -> None:
        path, copy = tmp_path / "a.db", tmp_path / "copy.db"
        for old in tmp_path.iterdir():
            old.unlink()
        with closing(sqlite3.connect(path, isolation_level=None)) as writing:
            writing.execute(f"PRAGMA page_size = {page_bytes}")
            writing.execute("PRAGMA journal_mode = WAL")
            writing.execute("CREATE TABLE things (id INTEGER PRIMARY KEY, value, filler BLOB)")
            for step, key, value in steps:
                match step:
                    case "put":
                        writing.execute(
                            "INSERT OR REPLACE INTO things VALUES (?, ?, zeroblob(?))",
                            (key, value, 40 * key),
                        )
                    case "drop":
                        writing.execute("DELETE FROM things WHERE id >= ?", (key,))
                    case "checkpoint":
                        writing.execute("PRAGMA wal_checkpoint(RESTART)")
                    case _:
                        writing.execute("BEGIN")
                        writing.execute("UPDATE things SET value = ?", (value,))
                        writing.execute("ROLLBACK")
            # As a power cut leaves them: the log perhaps not to its end.
            shutil.copy(path, copy)
            log = path.with_name("a.db-wal").read_bytes()
        if is_cut:
            log = log[: int(len(log) * cut_ratio)]
        copy.with_name("copy.db-wal").write_bytes(log)

        with closing(open_image(copy)) as image:
            assert image.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            found = rows(image) if has_table(image) else None
        with closing(sqlite3.connect(copy)) as reading:
            assert found == (rows(reading) if has_table(reading) else None)

    check()


def has_table(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("SELECT 1 FROM sqlite_schema").fetchone())


def test_what_is_no_database_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"no database at all" * 100)

    with closing(open_image(path)) as image, pytest.raises(sqlite3.DatabaseError):
        image.execute("SELECT * FROM sqlite_schema")
