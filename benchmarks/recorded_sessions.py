"""What policies give of the offline optimum on recorded sessions, by truth and by what was stated.

Under one limit on the power of all; both with any power at any time, as the literature has it, and
with the 6 A minimum and 1 A steps for every policy (the optimum knows neither). A month of the
recordings (June 2019; all of them with HEADROOM_BENCH=long, which takes hours beside other work):
`headroom` plans anew every five minutes, `greedy` without the linear program. By what drivers
stated, every month by itself and from nothing learnt: the one number there is to choose, how surely
who is overdue stays on, was chosen on May alone, so June to August judge it.
"""

import json
import os
import sys
from statistics import mean
from typing import Final

from benchmarks._data import folder
from gateway.adapters.session_csv import read_sessions
from gateway.planning.recorded import (
    ANY_POWER,
    Policy,
    RecordedSession,
    Steps,
    offline_optimum_wh,
    replay,
)

LIMITS_KW: Final = {"caltech": (10, 20, 30, 40, 50), "jpl": (40, 60, 80, 110)}
MUST: Final = (0.985, 0.985, 0.99, 0.995, 0.997)
MAX_W: Final = 6_656.0  # 32 A at 208 V, as at these car parks.
STEPS: Final = {
    "any power": ANY_POWER,
    "6 A and 1 A steps": Steps(min_ma=6_000, step_ma=1_000),
}
STATED: Final = (Policy.LLF, Policy.GREEDY, Policy.HEADROOM)
MONTHS: Final = {"May": 5, "June": 6, "July": 7, "August": 8}
USUALLY: Final = ("June",)


def measure() -> dict[str, object]:
    """Return per car park and limit the share of the optimum that each policy gives."""
    where = folder()
    if where is None:
        return {"left_out": "no recordings: name their folder in HEADROOM_DATA"}
    months = tuple(MONTHS) if os.environ.get("HEADROOM_BENCH") == "long" else USUALLY
    figures: dict[str, object] = {"chosen_on": "May", "judged_on": "June to August"}
    leads = {given: list[float]() for given in STEPS}
    for place, limits_kw in LIMITS_KW.items():
        (file,) = where.glob(f"ev-sessions/{place}_*.csv.gz")
        for limit_kw, must in zip(limits_kw, MUST, strict=False):
            row: dict[str, object] = {"must": must}
            for name in months:
                sessions = read_sessions(file, max_w=MAX_W, month=MONTHS[name])
                row[name] = shares = _shares(sessions, limit_kw * 1_000.0)
                for given, of in shares.items() if name != "May" else ():
                    lead = of[f"{Policy.HEADROOM}, as stated"] - of[f"{Policy.LLF}, as stated"]
                    leads[given].append(100 * lead)
                shown = json.dumps(row[name])
                print(f"  {place}, {limit_kw} kW, {name}: {shown}", file=sys.stderr, flush=True)
            figures[f"{place} {limit_kw} kW"] = row
    figures["more_than_llf_as_stated_points"] = {
        given: {"mean": round(mean(of), 2), "least": round(min(of), 2), "most": round(max(of), 2)}
        for given, of in leads.items()
    }
    return figures


def _shares(sessions: tuple[RecordedSession, ...], limit_w: float) -> dict[str, dict[str, float]]:
    optimum_wh = offline_optimum_wh(sessions, limit_w=limit_w)
    shares: dict[str, dict[str, float]] = {}
    for given, steps in STEPS.items():
        of_policies = shares[given] = dict[str, float]()
        for policy in Policy:
            result = replay(sessions, limit_w=limit_w, policy=policy, steps=steps)
            of_policies[policy] = round(result.energy_wh / optimum_wh, 4)
        for policy in STATED:
            result = replay(sessions, limit_w=limit_w, policy=policy, steps=steps, is_stated=True)
            of_policies[f"{policy}, as stated"] = round(result.energy_wh / optimum_wh, 4)
    return shares
