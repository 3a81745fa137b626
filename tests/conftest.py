"""Each suite's time against its budget, and the whole against 15 minutes on two cores."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

WHOLE_SECONDS = 900
"""From start to end, however many processes share the tests."""
BUDGET_SECONDS = {"core": 260, "cli": 320, "plugins": 320, "workspace": 460}
"""Of tests, all processes together: what they take on two cores (``docs/explanation/measured.md``), and some room."""
HERE = Path(__file__).parent

if "PYTEST_XDIST_WORKER" in os.environ:
    # A thread each, also for what tests start: threads of two processes that share two cores wait for one another.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As a shell starts what it puts into the background: what the tests start and interrupt would ignore Ctrl-C too.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes to draw says something of the machine, which others share, and nothing of what is tested.
settings.register_profile("shared", suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")

spent: Counter[str] = Counter()
began = time.monotonic()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    suite = Path(report.nodeid.split("::", 1)[0]).parts[1:2]
    spent["/".join(suite)] += report.duration


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A whole over 15 minutes fails the run, as a test would; a single suite over its budget is only named."""
    if time.monotonic() - began > WHOLE_SECONDS:
        session.exitstatus = max(session.exitstatus, pytest.ExitCode.TESTS_FAILED)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.section("time of each suite")
    for line in lines():
        terminalreporter.write_line(line)


def lines() -> Iterator[str]:
    for suite, seconds in BUDGET_SECONDS.items():
        over = "  OVER ITS BUDGET: make its slowest tests quicker" if spent[suite] > seconds else ""
        yield f"{suite:10} {spent[suite]:6.0f} s of {seconds} s{over}"
    whole = time.monotonic() - began
    late = "  TOO LONG: the run fails" if whole > WHOLE_SECONDS else ""
    yield f"{'start to end':12} {whole:4.0f} s of {WHOLE_SECONDS} s{late}"


def pytest_configure(config: pytest.Config) -> None:
    """A new folder of tests needs a budget of its own."""
    suites = {folder.name for folder in HERE.iterdir() if any(folder.glob("test_*.py"))}
    if unbudgeted := suites - set(BUDGET_SECONDS):
        raise pytest.UsageError(f"tests/conftest.py has no budget for {', '.join(sorted(unbudgeted))}")
