"""What is known of makes that do not do as the text says."""

from dataclasses import dataclass
from typing import Final

from gateway.domain.electric import STEP_MA


@dataclass(frozen=True, slots=True, kw_only=True)
class Quirks:
    """How a station differs from the text; the defaults are the text.

    `only_level_zero`: no other stack level works. `has_relative`, `has_absolute`: which kinds
    of profile it keeps. `has_tx_profile`: whether it takes a `TxProfile` at all.
    `shortest_sample_s`: below this meter values do not come, or the station suffers.
    """

    only_level_zero: bool = False
    has_relative: bool = True
    has_absolute: bool = True
    has_tx_profile: bool = True
    step_ma: int = STEP_MA
    shortest_sample_s: int = 1
    max_measurands: int = 8


PLAIN: Final = Quirks()

# How vendor and model, read together in lower case, begin. Not what is anywhere in them: many
# a model is called a wallbox.
_KNOWN: Final = {
    "abb": Quirks(only_level_zero=True, max_measurands=4),
    "easee": Quirks(has_relative=False, shortest_sample_s=30),
    "growatt": Quirks(max_measurands=5),
    "necharge": Quirks(step_ma=1_000),
    "timxon": Quirks(has_absolute=False, has_tx_profile=False),
    "wall box chargers": Quirks(only_level_zero=True, has_absolute=False),
    "wallbox": Quirks(only_level_zero=True, has_absolute=False),
}


def find_quirks(vendor: str, model: str) -> Quirks:
    """Return what is known of a make and model, or that nothing is."""
    words = f"{vendor} {model}".lower().split()
    for known, quirks in _KNOWN.items():
        beginning = known.split()
        if words[: len(beginning)] == beginning:
            return quirks
    return PLAIN
