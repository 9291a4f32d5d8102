"""How much is written to the flash memory in a day: 200 series at 1 Hz, and a busy site's ledger.

The figure is what reaches the device: sectors written to a loop device with ext4, its journal and
metadata among them, where one may be mounted; else what the kernel counts for the process
(write_bytes), which leaves those out. The file system is flushed once a simulated minute, which
is oftener than by itself; so nothing is left out that a day would write.

The ledger's load is 54 connectors, busy day and night: twelve changes of limit an hour each, half
of them raises that are made durable one by one, and four vehicles a day each; all else in batches.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import sin
from pathlib import Path
from random import Random
from typing import Final

from gateway.adapters.history_blocks import SECONDS
from gateway.adapters.history_file import HistoryFile, Minute
from gateway.adapters.ledger_db import BATCH_S
from gateway.adapters.ledger_file import Batch, LedgerFile
from gateway.domain.ids import ConnectorRef, StationId, TransactionId
from gateway.domain.memory import ConnectorMemory, RememberedLimit, TransactionMemory

MINUTES: Final = 240
DAY_MINUTES: Final = 1_440
SERIES: Final = 200
CONNECTORS: Final = 54
RAISES_AN_HOUR: Final = 6
CHANGES_AN_HOUR: Final = 12
VEHICLES_A_DAY: Final = 4
DEVICE_MB: Final = 512
SECTOR_BYTES: Final = 512  # Of /sys/block/*/stat, whatever the device's own are.
BEGINS_AT: Final = datetime(2026, 1, 5, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """Where files are written, and how what is written is counted."""

    folder: Path
    how: str
    loop: str | None

    def flush(self) -> None:
        """Have everything reach the device."""
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.sync()
        finally:
            os.close(descriptor)

    def written_bytes(self) -> int:
        """Return what has been written since the device is there."""
        if self.loop is not None:
            stat = Path(f"/sys/block/{self.loop}/stat").read_text(encoding="ascii").split()
            return int(stat[6]) * SECTOR_BYTES
        lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))


@contextmanager
def a_device() -> Iterator[Device]:
    """Make an ext4 on a loop device, or do without."""
    folder = Path(tempfile.mkdtemp())
    image, mounted = folder / "image", folder / "mounted"
    mounted.mkdir()
    is_mounted = False
    try:
        with image.open("wb") as file:
            file.truncate(DEVICE_MB * 2**20)
        loop = None
        with suppress(OSError, subprocess.CalledProcessError, StopIteration):
            _run("mkfs.ext4", "-q", "-F", str(image))
            _run("mount", "-o", "loop", str(image), str(mounted))
            is_mounted = True
            device = mounted.stat().st_dev
            loop = next(
                path.parent.name
                for path in Path("/sys/block").glob("loop*/dev")
                if path.read_text(encoding="ascii").strip()
                == f"{os.major(device)}:{os.minor(device)}"
            )
        how = "sectors of a loop device with ext4" if loop else "write_bytes of the process"
        yield Device(folder=mounted, how=how, loop=loop)
    finally:
        if is_mounted:
            _run("umount", "-l", str(mounted))
        shutil.rmtree(folder, ignore_errors=True)


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


def history_minute(number: int, rng: Random, levels: list[float]) -> Minute:
    """Return a minute of currents that wander, with the noise of a meter."""
    columns = []
    for at in range(SERIES):
        column = []
        for second in range(SECONDS):
            if rng.random() < 0.01:
                levels[at] = max(0.0, levels[at] + rng.uniform(-3.0, 3.0))
            column.append(levels[at] + sin(second / 7) * 0.1 + rng.gauss(0.0, 0.05))
        columns.append(column)
    names = tuple(f"circuit/{at}/L1/current_a" for at in range(SERIES))
    first = int(BEGINS_AT.timestamp()) // SECONDS
    return Minute(number=first + number, names=names, columns=columns)


def _connector(rng: Random) -> ConnectorMemory:
    station = StationId(f"CP-{rng.randrange(CONNECTORS):02}")
    limits = tuple(
        RememberedLimit(limit_ma=100 * rng.randrange(60, 320)) for _ in range(rng.choice((1, 2)))
    )
    return ConnectorMemory(
        connector=ConnectorRef(station, 1),
        limits=limits,
        max_ma=32_000,
        fallback_ma=6_000,
        is_plugged=True,
    )


def _of(*records: ConnectorMemory | TransactionMemory) -> Batch:
    batch = Batch()
    for record in records:
        if isinstance(record, TransactionMemory):
            batch.put_transaction(record)
        else:
            batch.put_record(record)
    return batch


def ledger_commits(rng: Random, number: int) -> list[Batch]:
    """Return the commits of a minute."""

    def some(an_hour: float) -> int:
        expected = CONNECTORS * an_hour / 60
        return int(expected) + (rng.random() < expected % 1)

    commits = [_of(_connector(rng)) for _ in range(some(RAISES_AN_HOUR))]
    for _ in range(int(60 / BATCH_S)):
        changed = some((CHANGES_AN_HOUR - RAISES_AN_HOUR) * BATCH_S / 60)
        commits.append(_of(*(_connector(rng) for _ in range(changed))))
    for at in range(some(VEHICLES_A_DAY / 24)):
        for is_over in (False, True):
            transaction = TransactionMemory(
                station=StationId(f"CP-{rng.randrange(CONNECTORS):02}"),
                transaction=TransactionId(f"{number}-{at}"),
                connector_number=1,
                given_number=number,
                id_token="0123456789ABCDEF",  # noqa: S106 - the number of a card
                began_at=BEGINS_AT,
                meter_start_wh=1_000.0,
                is_over=is_over,
            )
            commits.append(_of(transaction))
    rng.shuffle(commits)
    return [commit for commit in commits if len(commit)]


def measure() -> dict[str, object]:
    """Return gigabytes a day of the history, of the ledger, and of both."""
    with a_device() as device:
        rng, levels = Random(1), [Random(at).uniform(0.0, 60.0) for at in range(SERIES)]
        history = HistoryFile(device.folder)
        ledger = LedgerFile(device.folder, site="Flash", now_at=lambda: BEGINS_AT)
        ledger.load()
        written = {"history": 0, "ledger": 0}
        commits = 0
        device.flush()
        for number in range(MINUTES):
            before = device.written_bytes()
            now_at = BEGINS_AT + timedelta(minutes=number)
            history.write(history_minute(number, rng, levels), now_at)
            device.flush()
            between = device.written_bytes()
            for batch in ledger_commits(rng, number):
                ledger.write(batch)
                commits += 1
            device.flush()
            written["history"] += between - before
            written["ledger"] += device.written_bytes() - between
        history.close()
        ledger.close()
        days = MINUTES / DAY_MINUTES
        a_day = {name: round(size / days / 1e9, 3) for name, size in written.items()}
        return {
            "series": SERIES,
            "gigabytes_a_day": {**a_day, "both": round(sum(a_day.values()), 3)},
            "must": 0.3,
            "ledger_commits_a_day": round(commits / days),
            "measured_by": device.how,
        }
