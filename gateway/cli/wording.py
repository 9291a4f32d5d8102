"""Small words the commands share."""


def counted(count: int, noun: str) -> str:
    """Return so many of something: `1 station`, `2 stations`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
