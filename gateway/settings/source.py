"""The text of a site file, or why there is none."""

import codecs
import re
from pathlib import Path

from gateway.settings.mistakes import Finding, Place

MAX_FILE_BYTES = 512 * 1_024  # A site of 1,000 stations takes about 110,000.
MAX_UNPRINTABLE_COUNT = 10

# YAML 1.2.2, 5.1 allows these; of the line breaks only those an editor counts as such.
_UNPRINTABLE = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)


def read_text(path: Path) -> tuple[str | None, tuple[Finding, ...]]:
    """Return the text of the file at `path`, and what is wrong with it as text.

    None: it cannot be read, is too large or is no text. A byte order mark is taken off.
    """
    try:
        # Whatever else it is might be waited for without an end (a FIFO, a terminal).
        if path.exists() and not (path.is_file() or path.is_dir()):
            return None, (Finding(problem="this is no file, but a device, socket or pipe"),)
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return None, (Finding(problem="there is no such file"),)
    except IsADirectoryError:
        return None, (Finding(problem="this is a folder; name the file in it"),)
    except PermissionError:
        return None, (Finding(problem="this user may not read the file"),)
    except (OSError, ValueError) as error:
        return None, (Finding(problem=f"cannot be read: {error}"),)
    if len(content) > MAX_FILE_BYTES:
        problem = f"is larger than {MAX_FILE_BYTES // 1_024} KiB; no site needs as much"
        return None, (Finding(problem=problem),)
    return _decode(content)


def _decode(content: bytes) -> tuple[str | None, tuple[Finding, ...]]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8-sig")
        wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        saved = "it is UTF-16" if wide else f"byte 0x{content[error.start]:02x} is none"
        problem = f"the file is not UTF-8 ({saved}); save it as UTF-8"
        return None, (Finding(problem=problem, place=_place_after(before)),)
    unprintable = [
        Finding(
            problem=f"an invisible character U+{ord(found[0]):04X} stands here; take it out",
            place=_place_after(text[: found.start()]),
        )
        for _, found in zip(range(MAX_UNPRINTABLE_COUNT), _UNPRINTABLE.finditer(text), strict=False)
    ]
    return None if unprintable else text, tuple(unprintable)


def _place_after(before: str) -> Place:
    lines = re.split(r"\r\n|\r|\n", before)
    return Place(line=len(lines), column=len(lines[-1]) + 1)
