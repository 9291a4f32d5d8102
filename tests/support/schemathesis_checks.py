"""What schemathesis asks of an answer besides its own checks; it loads this file by itself."""

import re
from typing import Any

import schemathesis
from schemathesis import Case, CheckContext, Response

CONTRADICTION = re.compile(r"(/needs/\d+)?(/min_energy_wh)?")
"""Where a body is said to be wrong whose fields are right, each by itself."""


@schemathesis.check
def what_fits_is_wrong_in_no_field(
    _context: CheckContext, answer: Response, case: Case[Any]
) -> None:
    """See that a schema tells all that a field must be: only fields together may be wrong then."""
    if answer.status_code != 422 or case.meta is None or not case.meta.generation.mode.is_positive:
        return
    for fault in answer.json().get("errors", ()):
        assert CONTRADICTION.fullmatch(fault["pointer"]), f"it fits its schema: {fault}"
