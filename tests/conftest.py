"""Rules for all tests: their order, and what must not be skipped where somebody said that it is there.

`HUB_TESTS_REQUIRE=chromium,nginx` turns a skip whose reason names one of these programs into a failure, so that a
run that counts (.ci/run) cannot pass because something was not installed.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

BROWSER = Path(__file__).parent / "browser"
REQUIRE = "HUB_TESTS_REQUIRE"


def required_program(reason: str, required: str) -> str | None:
    """Return the first required program that a skip's reason names.

    Args:
        reason: what the test said when it was skipped.
        required: program names separated by commas.
    """
    for name in (part.strip() for part in required.split(",")):
        if name and re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", reason, re.IGNORECASE):
            return name
    return None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the browser's tests last: until it is closed, Playwright keeps an event loop running in this thread.

    A test that comes later and calls `asyncio.run` would fail.
    """
    items.sort(key=lambda item: BROWSER in item.path.parents)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    fail_if_required(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    fail_if_required(report)
    return report


def fail_if_required(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Make a failure of a skip for lack of something that HUB_TESTS_REQUIRE names."""
    if not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
    name = required_program(reason, os.environ.get(REQUIRE, ""))
    if name is not None:
        report.outcome = "failed"
        report.longrepr = f"{REQUIRE} says that {name} is there, but: {reason}"
