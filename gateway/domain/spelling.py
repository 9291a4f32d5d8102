"""What was probably meant by a name that nothing has."""

import difflib
from collections.abc import Iterable


def suggest(word: str, known: Iterable[str], *, limit: int = 12) -> str:
    """Return a bracket with the nearest known word, or else all of them if they are few."""
    words = list(dict.fromkeys(known))
    folded = {candidate.casefold(): candidate for candidate in words}
    near = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=0.55)
    # An installer who forgets the unit writes the beginning of the right key.
    near = near or [key for key in folded if key.startswith(f"{word.casefold()}_")][:1]
    if near:
        return f" (did you mean {folded[near[0]]}?)"
    if not words:
        return " (none is declared)"
    if len(words) <= limit:
        return f" (known here: {', '.join(words)})"
    return ""
