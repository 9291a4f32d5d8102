"""Connectors that can serve nobody for now, and until when nothing is promised on them."""

from dataclasses import dataclass
from datetime import tzinfo

from gateway.planning.quote_words import clock_said

BACK_WITHIN_S = 900.0
"""How soon what is away is taken to be back: what begins later is promised on it all the same.

Most stations dial again within seconds or minutes of a lost connection, some only after 6 to 19; a
reboot takes a minute or two. And who is told a quarter of an hour ahead can still go elsewhere.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Away:
    """What is away (`what`, such as "CP-01/1"), how (`how`, such as "faulted"), since when (epoch s).

    `began_at_s` is since when it has been of no use, in whatever ways.
    """

    what: str
    how: str
    since_at_s: float
    began_at_s: float

    def spoils(self, begins_at_s: float, now_s: float) -> bool:
        """Return whether nothing that begins then can be counted on."""
        return begins_at_s < now_s + BACK_WITHIN_S

    def back_ratio(self, by_at_s: float, now_s: float) -> float:
        """Return how surely it is back by an epoch second.

        All that is known is for how long it has been away: it is as likely as not to be so for as long
        again, and for any part or multiple of that by the same rule.
        """
        waits_s, lasted_s = max(0.0, by_at_s - now_s), max(0.0, now_s - self.began_at_s)
        return waits_s / (lasted_s + waits_s) if waits_s else 0.0

    def said(self, now_s: float, zone: tzinfo) -> str:
        """Return what is away since when, in a clause."""
        return f"{self.what} has been {self.how} since {clock_said(self.since_at_s, now_s, zone)}"

    def was_said(self, until_at_s: float, now_s: float, zone: tzinfo) -> str:
        """Return what was away from when to when, in a clause; it may be so still."""
        since, until = (clock_said(at_s, now_s, zone) for at_s in (self.since_at_s, until_at_s))
        return f"{self.what} was {self.how} from {since} to {until}"
