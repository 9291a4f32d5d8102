"""What is told to who follows along: something of interest has changed."""

from dataclasses import dataclass, field
from datetime import datetime

NoticeValue = str | int | float | bool | None | list["NoticeValue"] | dict[str, "NoticeValue"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A change: what kind, of what, and the figures; the last of a kind and subject counts.

    `holder` is whose it is, None for what anybody may know. Numbers go up by one.
    """

    number: int
    at: datetime
    kind: str
    subject: str
    holder: str | None = None
    data: dict[str, NoticeValue] = field(default_factory=dict)
