"""A database with its write-ahead log, read into memory: where nothing at all can be written."""

import sqlite3
import struct
from pathlib import Path
from typing import Final

HEADER: Final = struct.Struct(">8I")
FRAME: Final = struct.Struct(">6I")
LITTLE_ENDIAN_SUMS: Final = 0x377F0682  # SQLite's file format, section 4.1; the odd one is big.
LEGACY: Final = b"\x01\x01"  # Bytes 18 and 19 of a database that has no log beside it.
WORDS: Final = 0xFFFFFFFF

Sums = tuple[int, int]


def open_image(path: Path) -> sqlite3.Connection:
    """Return a copy in memory of the database at `path`, as it was last committed.

    Nothing is written, and no lock is taken: nobody may write it meanwhile.

    Raises:
        sqlite3.Error: it is no database.
        OSError: it cannot be read.
    """
    image = bytearray(path.read_bytes())
    log = path.with_name(f"{path.name}-wal")
    if log.exists():
        _apply(image, log.read_bytes())
    image[18:20] = LEGACY
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        connection.deserialize(bytes(image))
    except BaseException:
        connection.close()
        raise
    return connection


def _apply(image: bytearray, log: bytes) -> None:
    """Put into the image the pages of every whole transaction of the log."""
    if len(log) < HEADER.size:
        return
    magic, _, page_bytes, _, *salts, first, second = HEADER.unpack_from(log)
    order = "<" if magic == LITTLE_ENDIAN_SUMS else ">"
    sums = _summed(log[: HEADER.size - 8], (0, 0), order)
    if magic | 1 != LITTLE_ENDIAN_SUMS | 1 or sums != (first, second) or not page_bytes:
        return
    pending: dict[int, bytes] = {}
    for at in range(HEADER.size, len(log) - FRAME.size - page_bytes + 1, FRAME.size + page_bytes):
        number, pages_after, *frame_salts, first, second = FRAME.unpack_from(log, at)
        page = log[at + FRAME.size : at + FRAME.size + page_bytes]
        sums = _summed(log[at : at + 8] + page, sums, order)
        if frame_salts != salts or sums != (first, second):
            return  # What follows is of before the log was begun anew, or was never whole.
        pending[number] = page
        if pages_after:
            size = pages_after * page_bytes
            del image[size:]
            image.extend(bytes(size - len(image)))
            for known, data in pending.items():
                image[(known - 1) * page_bytes : known * page_bytes] = data
            pending.clear()


def _summed(data: bytes, sums: Sums, order: str) -> Sums:
    """Return the checksum of a log further by `data`."""
    first, second = sums
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for at in range(0, len(words), 2):
        first = (first + words[at] + second) & WORDS
        second = (second + words[at + 1] + first) & WORDS
    return first, second
