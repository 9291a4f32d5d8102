"""What policies give of the offline optimum on recorded sessions, by truth and by what was stated.

Under one limit on the power of all. By truth a month of the recordings (June 2019; all of them with
HEADROOM_BENCH=long, which takes a quarter of an hour): `headroom` plans anew every five minutes. By what drivers
stated, every month by itself and from nothing learnt: the one number there is to choose, how surely
who is overdue stays on, was chosen on May alone, so June to August judge it.
"""

import os
import sys
from typing import Final

from benchmarks._data import folder
from gateway.adapters.session_csv import read_sessions
from gateway.planning.recorded import Policy, RecordedSession, offline_optimum_wh, replay

LIMITS_KW: Final = {"caltech": (10, 20, 30, 40, 50), "jpl": (40, 60, 80, 110)}
MUST: Final = (0.985, 0.985, 0.99, 0.995, 0.997)
MAX_W: Final = 6_656.0  # 32 A at 208 V, as at these car parks.
SIMPLE: Final = (Policy.FCFS, Policy.RR, Policy.EDF, Policy.LLF)
MONTHS: Final = {"May": 5, "June": 6, "July": 7, "August": 8}
BY_TRUTH: Final = ("June",)


def measure() -> dict[str, object]:
    """Return per car park and limit the share of the optimum that each policy gives."""
    where = folder()
    if where is None:
        return {"left_out": "no recordings: name their folder in HEADROOM_DATA"}
    by_truth = tuple(MONTHS) if os.environ.get("HEADROOM_BENCH") == "long" else BY_TRUTH
    figures: dict[str, object] = {"chosen_on": "May", "judged_on": "June to August"}
    for place, limits_kw in LIMITS_KW.items():
        (file,) = where.glob(f"ev-sessions/{place}_*.csv.gz")
        for limit_kw, must in zip(limits_kw, MUST, strict=False):
            row: dict[str, object] = {"must": must}
            for name, month in MONTHS.items():
                print(f"  {place}, {limit_kw} kW, {name}", file=sys.stderr, flush=True)
                sessions = read_sessions(file, max_w=MAX_W, month=month)
                row[name] = _shares(sessions, limit_kw * 1_000.0, is_truth=name in by_truth)
            figures[f"{place} {limit_kw} kW"] = row
    return figures


def _shares(
    sessions: tuple[RecordedSession, ...], limit_w: float, *, is_truth: bool
) -> dict[str, float]:
    optimum_wh = offline_optimum_wh(sessions, limit_w=limit_w)
    shares: dict[str, float] = {}
    for policy in (*SIMPLE, Policy.HEADROOM) if is_truth else ():
        given_wh = replay(sessions, limit_w=limit_w, policy=policy).energy_wh
        shares[policy] = round(given_wh / optimum_wh, 4)
    for policy in (Policy.LLF, Policy.HEADROOM):
        given = replay(sessions, limit_w=limit_w, policy=policy, is_stated=True)
        shares[f"{policy}, as stated"] = round(given.energy_wh / optimum_wh, 4)
    return shares
