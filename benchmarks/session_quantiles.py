"""Whether bounds on departures and energies, learnt online, hold as often as they say.

Recorded sessions of two car parks in order; only those whose driver stated anything. At each
arrival the bound is asked of what had departed by then. Once all drivers of a car park are one
class, and once they are classes by the length of the stay they state (to 2 h, 5 h, longer).
"""

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Final

from benchmarks._data import folder
from gateway.adapters.session_csv import read_sessions
from gateway.planning.recorded import RecordedSession
from gateway.planning.sessions import (
    LEVELS,
    Ground,
    SessionBook,
    learn,
    stays_until_s,
    takes_at_most_wh,
)

MAX_W: Final = 6_656.0
HOUR_S: Final = 3_600.0
MUST: Final = "kept within 0.03 of what is said"


def measure() -> dict[str, object]:
    """Return by car park and classes: said, kept, and how much of what was stated is given up."""
    where = folder()
    if where is None:
        return {"left_out": "no recordings: name their folder in HEADROOM_DATA"}
    figures: dict[str, object] = {"must": MUST}
    for place in ("caltech", "jpl"):
        (file,) = where.glob(f"ev-sessions/{place}_*.csv.gz")
        # Without a statement the file's own departure stands there: nobody said it.
        sessions = [session for session in read_sessions(file, max_w=MAX_W) if session.is_stated]
        early = [session.depart_s < session.stated_depart_s for session in sessions]
        figures[place] = {
            "sessions": len(sessions),
            "kept_at_its_word": round(1 - fmean(early), 3),
            "one_class": _scored(sessions, lambda _: "all"),
            "classes_by_stay": _scored(sessions, lambda session: session.user_class),
        }
    return figures


def _scored(
    sessions: Sequence[RecordedSession], class_of: Callable[[RecordedSession], str]
) -> dict[str, object]:
    events = [(session.arrive_s, False, at) for at, session in enumerate(sessions)]
    events += [(session.depart_s, True, at) for at, session in enumerate(sessions)]
    book = SessionBook()
    kept: dict[float, list[tuple[bool, float, bool, float]]] = {level: [] for level in LEVELS}
    by_word = 0
    for _, is_departure, at in sorted(events):
        one = sessions[at]
        if is_departure:
            book = learn(
                book,
                class_of(one),
                departs_s=one.depart_s - one.stated_depart_s,
                takes_ratio=one.energy_wh / one.stated_energy_wh,
            )
            continue
        for level in LEVELS:
            until = stays_until_s(book, class_of(one), one.stated_depart_s, level)
            takes = takes_at_most_wh(book, class_of(one), one.stated_energy_wh, level)
            if until.ground is Ground.WORD:
                by_word += level == LEVELS[0]
                continue
            # Who says it leaves before it came is taken to be there no time at all.
            usable_s = max(one.arrive_s, until.value)
            given_up_h = max(0.0, one.stated_depart_s - usable_s) / HOUR_S
            kept[level].append(
                (
                    one.depart_s >= usable_s,
                    given_up_h,
                    one.energy_wh <= takes.value,
                    takes.value / one.stated_energy_wh,
                )
            )
    return {"left_out_as_too_few_known": by_word} | {
        str(level): {
            "departures_kept": round(fmean(row[0] for row in rows), 3),
            "haircut_h": round(fmean(row[1] for row in rows), 2),
            "energies_kept": round(fmean(row[2] for row in rows), 3),
            "reserved_of_stated": round(fmean(row[3] for row in rows), 3),
        }
        for level, rows in kept.items()
    }
