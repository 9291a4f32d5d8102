"""How long a connection may be quiet before it is asked, not counted on, and given up."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long nothing may come on a connection.

    A connection that died unheard looks like a quiet one. So a quiet one is pinged each
    `ask_after_s`. When nothing came for `silent_after_s` its station is out of reach, for it
    may not hear us. The connection is kept all the same until `drop_after_s`: slow links
    recover, and some stations take many minutes to dial again.

    Time is counted in looks of `look_each_s`, so that a stall of ours makes nobody silent.
    """

    look_each_s: float = 2.0
    ask_after_s: float = 10.0
    silent_after_s: float = 20.0
    drop_after_s: float = 90.0

    def is_due(self, look_count: int) -> bool:
        """Return whether to ping after so many looks at which nothing had come."""
        return look_count % max(1, round(self.ask_after_s / self.look_each_s)) == 0

    def is_silent(self, look_count: int) -> bool:
        """Return whether the station is out of reach after so many looks."""
        return look_count * self.look_each_s >= self.silent_after_s

    def is_over(self, look_count: int) -> bool:
        """Return whether the connection is to be given up after so many looks."""
        return look_count * self.look_each_s >= self.drop_after_s
