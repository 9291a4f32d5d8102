"""Something wrong with Headroom itself that wants a person."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """Something that wants a person.

    `name` is what it is about, the same each time (`configuration`, `ledger`); `text` is one
    sentence with what is wrong and what to do.
    """

    name: str
    text: str
    since_at: datetime
