"""What the plant saw, in the one JSON schema of `demo`, `replay` and the simulation."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The plant's judgement."""
