"""Each suite's time against its budget: the whole must stay under 15 minutes on two cores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

BUDGET_SECONDS = {"core": 190, "cli": 220, "plugins": 220, "workspace": 270}
"""Together 15 minutes; two quiet cores take half (``docs/explanation/measured.md``)."""
HERE = Path(__file__).parent

spent: Counter[str] = Counter()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    suite = Path(report.nodeid.split("::", 1)[0]).parts[1:2]
    spent["/".join(suite)] += report.duration


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A whole over 15 minutes fails the run, as a test would; a single suite over its budget is only named."""
    if sum(spent.values()) > sum(BUDGET_SECONDS.values()):
        session.exitstatus = max(session.exitstatus, pytest.ExitCode.TESTS_FAILED)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.section("time of each suite")
    for line in lines():
        terminalreporter.write_line(line)


def lines() -> Iterator[str]:
    for suite, seconds in BUDGET_SECONDS.items():
        over = "  OVER ITS BUDGET: make its slowest tests quicker" if spent[suite] > seconds else ""
        yield f"{suite:10} {spent[suite]:6.0f} s of {seconds} s{over}"
    whole, most = sum(spent.values()), sum(BUDGET_SECONDS.values())
    yield f"{'together':10} {whole:6.0f} s of {most} s{'  TOO LONG: the run fails' if whole > most else ''}"


def pytest_configure(config: pytest.Config) -> None:
    """A new folder of tests needs a budget of its own."""
    suites = {folder.name for folder in HERE.iterdir() if any(folder.glob("test_*.py"))}
    if unbudgeted := suites - set(BUDGET_SECONDS):
        raise pytest.UsageError(f"tests/conftest.py has no budget for {', '.join(sorted(unbudgeted))}")
