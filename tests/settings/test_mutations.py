"""Whatever becomes of a site file, it is read or told to be wrong; nothing else ever comes out."""

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.settings import MistakesError, Settings, read_site

EXAMPLE = Path(__file__).resolve().parents[2] / "config" / "site.example.yaml"
TEXT = "\n".join(
    line
    for line in EXAMPLE.read_text(encoding="utf-8").splitlines()
    if line.strip() and not line.strip().startswith("#")
)
LINES = tuple(TEXT.splitlines())

HOSTILE = [
    *("", " ", "\t", "\n", "\r", ":", "- ", "[", "]", "{", "}", "'", '"', "#", "&a ", "*a", "!!x "),
    *("|", ">", "%", "@", "`", "? ", "<<: ", "---\n", "...\n", "\\", "\0", "\x1b[31m", "\x85"),
    *(
        "\ufeff",
        "\u202e",
        "\ud800",
        "é",
        "null",
        "~",
        "true",
        "no",
        ".nan",
        "-.inf",
        "1e999",
        "0x1",
    ),
    *("-1", "0", "1e3", "10" * 3_000, "[" * 200, "{a: " * 50, "- " * 60, "2026-01-01", "12:30:00"),
    *("id", "CP-01", "supply", "L1", "!!python/object/apply:os.system ['true']", "&a [*a, *a]"),
]
texts = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=12))


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """Return the example with some of its text cut out, doubled, moved or overwritten."""
    text = TEXT
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 30)))
        put = draw(st.one_of(texts, st.just(text[start:end] * 2), st.sampled_from(LINES)))
        text = text[:start] + put + text[end:]
    content = text.encode("utf-8", "surrogatepass")
    if draw(st.booleans()):
        return content
    at = draw(st.integers(0, len(content)))
    return content[:at] + draw(st.binary(max_size=6)) + content[at:]


@st.composite
def exchanges(draw: st.DrawFn) -> bytes:
    """Return the example with lines exchanged, left out, repeated or indented anew."""
    lines = list(LINES)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(lines) - 1))
        line = lines[at]
        key, colon, _ = line.partition(":")
        lines[at : at + 1] = draw(
            st.sampled_from(
                [
                    [],
                    [line, line],
                    [f" {line}"],
                    [line[1:]],
                    [lines[-1 - at]],
                    [f"{key}{colon} {draw(texts)}"],
                    [f"{key}x{colon}", f"  {line}"],
                ]
            )
        )
        lines = lines or [""]
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def read(content: bytes, folder: Path) -> Settings | MistakesError:
    file = folder / "site.yaml"
    file.write_bytes(content)
    try:
        return read_site(file)
    except MistakesError as error:
        return error


# The folder is written anew by every example.
@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.one_of(mutations(), exchanges()))
def test_no_file_brings_anything_but_settings_or_its_mistakes(
    content: bytes, tmp_path: Path
) -> None:
    outcome = read(content, tmp_path)

    if isinstance(outcome, Settings):
        assert outcome.site.circuits
        return
    lines = content.decode("utf-8", "replace").split("\n")
    assert outcome.mistakes
    for mistake in outcome.mistakes:
        assert mistake.place is not None
        assert 1 <= mistake.place.line <= len(lines) + content.count(b"\r")
        assert mistake.place.column >= 1
        # It goes to a terminal, and is in our words.
        assert "Input should" not in mistake.problem
        assert mistake.describe("site.yaml").isprintable()


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.one_of(st.binary(max_size=80), st.text(max_size=80).map(str.encode)))
def test_no_rubbish_brings_anything_but_its_mistakes(content: bytes, tmp_path: Path) -> None:
    assert isinstance(read(content, tmp_path), MistakesError)


def test_the_unchanged_text_is_right(tmp_path: Path) -> None:
    assert isinstance(read(TEXT.encode(), tmp_path), Settings)
