"""What the YAML parser stumbled over, in the words of someone at a cabinet."""

import re

from ruamel.yaml.error import MarkedYAMLError

from gateway.settings.mistakes import Finding, Place

_NO_BREAK_SPACE = "\u00a0"
_TAB_INDENT = re.compile(r"^ *\t[\t ]*(?=[^\s#])", re.MULTILINE)


def find_tabs(text: str) -> tuple[Finding, ...]:
    """Return a mistake for every line that is indented with tabs."""
    return tuple(
        Finding(
            problem="a tab indents this line; YAML takes spaces only",
            place=Place(
                line=text.count("\n", 0, found.start()) + 1, column=found[0].index("\t") + 1
            ),
        )
        for found in _TAB_INDENT.finditer(text)
    )


def explain_syntax(error: MarkedYAMLError, text: str) -> Finding:
    """Return where the parser gave up on `text`, and why in plain words.

    A quote or a bracket that is never closed is shown where it opens: the parser finds out much
    later.
    """
    problem = str(error.problem or "")
    context = str(error.context or "")
    mark = error.problem_mark or error.context_mark
    opening = error.context_mark
    opened = "" if opening is None else f" from line {opening.line + 1}"
    if "unexpected end of stream" in problem and "quoted" in context:
        mark, words = opening or mark, "this quote is never closed"
    elif "expected ':'" in problem:
        mark, words = opening or mark, "neither `key: value` nor `- item`; is a colon missing?"
    elif "mapping values are not allowed" in problem:
        words = (
            "this colon is out of place: check the indentation here and above, "
            "and quote a text that holds a colon"
        )
    elif "expected ',' or" in problem or "expected the node content" in problem:
        bracket = "list" if "sequence" in context else "{ }" if "mapping" in context else ""
        words = (
            f"the {bracket}{opened} is not closed before this"
            if bracket
            else "a value is missing here, or a bracket is one too many"
        )
    elif "found '<scalar>'" in problem:
        words = "text after the end of a value; quote the whole value, or begin a new line"
    elif "expected <block end>" in problem or "expected '<document start>'" in problem:
        words = f"this does not line up with what it belongs to{opened}"
    elif r"'\t' that cannot start any token" in problem:
        words = "a tab stands here; use spaces"
    elif "cannot start any token" in problem:
        character = problem.partition("'")[2].partition("'")[0]
        words = f"no value begins with a {character}; quote it"
    elif "unknown escape" in problem:
        words = "a backslash in double quotes means something else; use single quotes"
    else:
        words = f"YAML: {problem or context}"
    line, column = (1, 1) if mark is None else (mark.line + 1, mark.column + 1)
    odd = text.split("\n")[line - 1].find(_NO_BREAK_SPACE)
    if odd >= 0:  # It looks like a space and is none to YAML, so that the line seems right.
        column, words = (
            odd + 1,
            "a no-break space stands here, as web pages have them; type a space",
        )
    return Finding(problem=words, place=Place(line=line, column=column))
