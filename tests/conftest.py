"""Settings every test runs under."""

import os
from collections.abc import Generator

import pytest
from hypothesis import settings

# Some hundred processes are started in all: each would compile anew what the one before it has.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

IN_CI = os.environ.get("CI") == "true"

# No deadlines: how long an example takes depends on the machine and says nothing of the rule.
settings.register_profile("dev", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if IN_CI else "dev")


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Make a failure of a skip: what is not run in CI is not known to hold."""
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped where CI=true lets nothing be skipped: {report.longrepr}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_if_skipped(report)
    return report
