"""The log, written by a thread of its own: no slow reader delays control."""

import contextlib
import json
import logging
import logging.handlers
import os
import queue
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TextIO

WAITING_LINES = 10_000
LAST_WORDS_S = 2.0
TALKATIVE = ("asyncio", "websockets")
"""Libraries that log every frame or connection: what matters of it, the drivers say."""


class _DroppingHandler(logging.handlers.QueueHandler):
    """Puts records in the queue, or drops them when nobody has read for long."""

    def enqueue(self, record: logging.LogRecord) -> None:
        """Never wait: whoever reads the log may have stopped, and control must not."""
        with contextlib.suppress(queue.Full):
            self.queue.put_nowait(record)


class _LineFormatter(logging.Formatter):
    """Time, level and message on one line; the level is left out where it says nothing."""

    def __init__(self, *, has_time: bool) -> None:
        super().__init__("%(asctime)s %(message)s" if has_time else "%(message)s", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """Return the line."""
        if record.levelno > logging.INFO:
            record.message = f"{record.levelname}: {record.message}"
        return super().formatMessage(record)


class _JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        said = {"at": at, "level": record.levelname.lower(), "message": record.getMessage()}
        return json.dumps(said, ensure_ascii=False)


@contextmanager
def logging_to(
    stream: TextIO,
    *,
    level: int = logging.INFO,
    as_json: bool = False,
    environment: Mapping[str, str] = os.environ,
) -> Iterator[None]:
    """Write what is logged from `level` up to `stream`, a line each, until the block ends."""
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    writing = logging.StreamHandler(stream)
    # The journal has the time already (systemd.exec(5), JOURNAL_STREAM).
    has_time = "JOURNAL_STREAM" not in environment
    writing.setFormatter(_JsonFormatter() if as_json else _LineFormatter(has_time=has_time))
    lines: queue.Queue[logging.LogRecord | None] = queue.Queue(maxsize=WAITING_LINES)

    def write() -> None:
        while (record := lines.get()) is not None:
            writing.handle(record)

    writer = threading.Thread(target=write, name="log", daemon=True)
    handler = _DroppingHandler(lines)
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(level)
    writer.start()
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
        with contextlib.suppress(queue.Full):
            lines.put_nowait(None)
        writer.join(LAST_WORDS_S)
