"""The process that plans: questions come in on standard input, answers go out on standard output.

It imports nothing of the daemon, so that it is small and soon there, and keeps nothing between
questions, so that it may be killed at any moment. It ends when its input does.
"""

import os
import sys
from contextlib import suppress
from typing import BinaryIO, assert_never

from gateway.planning.improve import plan
from gateway.planning.rearranging import rearrange
from gateway.services.planner_words import (
    LENGTH,
    Answer,
    Question,
    ToPlan,
    ToRearrange,
    framed,
    question_in,
)

NICENESS = 10  # Control goes first on a small machine.


def answer_all(questions: BinaryIO, answers: BinaryIO) -> None:
    """Answer every question, until there are no more."""
    while header := questions.read(LENGTH.size):
        (length,) = LENGTH.unpack(header)
        answers.write(framed(_answer(question_in(questions.read(length)))))
        answers.flush()


def _answer(question: Question) -> Answer:
    match question:
        case ToPlan():
            return plan(question.problem, time_limit_s=question.time_limit_s)
        case ToRearrange():
            return rearrange(question.question)
        case _:
            assert_never(question)


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
