"""Recorded buildings and sessions, where somebody has them: they are not part of the project."""

import csv
import gzip
import os
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
FOLDER: Final = "HEADROOM_DATA"
"""The environment variable that names the folder they are in; `../shared/data` without it."""


def folder() -> Path | None:
    """Return the folder of the recordings, None where there is none."""
    path = Path(os.environ.get(FOLDER, "../shared/data"))
    return path if path.is_dir() else None


def hourly_loads_kwh(file: Path) -> Floats:
    """Return a year of a building, hour by hour; a gap is NaN."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        rows = csv.reader(lines)
        next(rows)
        return np.array([float(row[1]) if row[1] else np.nan for row in rows])
