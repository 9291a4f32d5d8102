"""The log reaches its reader, and a reader that stops reading delays nobody."""

import json
import subprocess
import sys
import textwrap


def run_logging(code: str) -> subprocess.Popen[str]:
    program = "import logging, sys\nfrom gateway.adapters.log_output import logging_to\n"
    return subprocess.Popen(
        [sys.executable, "-c", program + textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_lines_say_their_level_where_it_matters() -> None:
    _, err = run_logging(
        """
        with logging_to(sys.stderr, environment={"JOURNAL_STREAM": "8:1"}):
            logging.getLogger("a").info("it runs")
            logging.getLogger("a").warning("a meter is %s", "lost")
            logging.getLogger("a").debug("nobody needs this")
            logging.getLogger("websockets.server").info("nor this")
        """
    ).communicate(timeout=30)

    assert err.splitlines() == ["it runs", "WARNING: a meter is lost"]


def test_outside_the_journal_lines_have_a_time() -> None:
    _, err = run_logging(
        """
        with logging_to(sys.stderr, environment={}):
            logging.getLogger("a").info("it runs")
        """
    ).communicate(timeout=30)

    time, _, rest = err.strip().partition(" ")
    assert (len(time.split(":")), rest) == (3, "it runs")


def test_json_is_one_object_a_line_whatever_is_said() -> None:
    _, err = run_logging(
        """
        with logging_to(sys.stderr, as_json=True):
            logging.getLogger("a").error("two\\nlines %r", b"\\xff")
        """
    ).communicate(timeout=30)

    (line,) = err.splitlines()
    said = json.loads(line)
    assert (said["level"], said["message"]) == ("error", "two\nlines b'\\xff'")


def test_a_reader_that_stops_reading_holds_up_nobody() -> None:
    # Nobody reads standard error: the pipe is full after 64 KiB.
    process = run_logging(
        """
        with logging_to(sys.stderr):
            for n in range(50_000):
                logging.getLogger("a").info("line %d of many", n)
            print("done", flush=True)
        """
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "done\n"
    finally:
        process.kill()
        process.communicate()
