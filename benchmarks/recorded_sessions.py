"""What policies give of the offline optimum on recorded sessions, by truth and by what was stated.

A month of the recordings (June 2019; every month of them with HEADROOM_BENCH=long, which takes
hours) under one limit on the power of all. `headroom` plans anew every five minutes.
"""

import os
import sys
from typing import Final

from benchmarks._data import folder
from gateway.adapters.session_csv import read_sessions
from gateway.planning.recorded import Policy, offline_optimum_wh, replay

LIMITS_KW: Final = {"caltech": (10, 20, 30, 40, 50), "jpl": (40, 60, 80, 110)}
MUST: Final = (0.985, 0.985, 0.99, 0.995, 0.997)
MAX_W: Final = 6_656.0  # 32 A at 208 V, as at these car parks.
SIMPLE: Final = (Policy.FCFS, Policy.RR, Policy.EDF, Policy.LLF)


def measure() -> dict[str, object]:
    """Return per car park and limit the share of the optimum that each policy gives."""
    where = folder()
    if where is None:
        return {"left_out": "no recordings: name their folder in HEADROOM_DATA"}
    month = None if os.environ.get("HEADROOM_BENCH") == "long" else 6
    figures: dict[str, object] = {"month": "May to August" if month is None else "June"}
    for place, limits_kw in LIMITS_KW.items():
        (file,) = where.glob(f"ev-sessions/{place}_*.csv.gz")
        sessions = read_sessions(file, max_w=MAX_W, month=month).sessions
        for limit_kw, must in zip(limits_kw, MUST, strict=False):
            print(f"  {place}, {limit_kw} kW", file=sys.stderr, flush=True)
            limit_w = limit_kw * 1_000.0
            optimum_wh = offline_optimum_wh(sessions, limit_w=limit_w)
            row: dict[str, float] = {"must": must}
            for policy in (*SIMPLE, Policy.HEADROOM):
                given_wh = replay(sessions, limit_w=limit_w, policy=policy).energy_wh
                row[policy] = round(given_wh / optimum_wh, 4)
            for policy in (Policy.LLF, Policy.HEADROOM):
                given = replay(sessions, limit_w=limit_w, policy=policy, is_stated=True)
                row[f"{policy}, as stated"] = round(given.energy_wh / optimum_wh, 4)
            figures[f"{place} {limit_kw} kW"] = row
    return figures
