"""Why everything stands still when it does: the stop input's own words."""

from enum import StrEnum


class StopCause(StrEnum):
    """What keeps every connector at 0 A."""

    ACTIVE = "active"  # The contact asks for it now.
    UNRELEASED = "unreleased"  # It did, and nobody has released it since.
    SILENT = "silent"  # It cannot be read, and might be asking.
