"""The process that plans: problems come in on standard input, plans go out on standard output.

It imports nothing of the daemon, so that it is small and soon there, and keeps nothing between
problems, so that it may be killed at any moment. It ends when its input does.
"""

import os
import sys
from contextlib import suppress
from typing import BinaryIO

from gateway.planning.improve import plan
from gateway.services.planner_words import LENGTH, asked_of, framed

NICENESS = 10  # Control goes first on a small machine.


def answer_all(questions: BinaryIO, answers: BinaryIO) -> None:
    """Answer every problem with a plan, until there are no more."""
    while header := questions.read(LENGTH.size):
        (length,) = LENGTH.unpack(header)
        asked = asked_of(questions.read(length))
        answers.write(framed(plan(asked.problem, time_limit_s=asked.time_limit_s)))
        answers.flush()


def main() -> int:
    """Answer on what standard output was; whatever a library prints goes to standard error."""
    with suppress(OSError):  # A sandbox may forbid it; it plans all the same.
        os.nice(NICENESS)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    answer_all(sys.stdin.buffer, answers)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
