"""Rules for all tests: how many run at once, their order, how properties are searched, and what must not be skipped.

`HUB_TESTS_REQUIRE=chromium,nginx` turns a skip whose reason names one of these programs into a failure, so that a
run that counts (.ci/run) cannot pass because something was not installed.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis.internal.conjecture import providers
from hypothesis.internal.detection import is_hypothesis_test

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, MutableMapping

    from tests.kit.hub import Hub

HERE = Path(__file__).parent
LONGEST = {
    HERE / "agent/test_rehearsal.py",
    HERE / "agent/test_rooms.py",
    HERE / "browser/test_whole_path.py",
    HERE / "packages/test_js.py",
    HERE / "streaming_hub/archive/test_feed.py",
    HERE / "streaming_hub/test_nodes.py",
    HERE / "streaming_hub/web/api/test_uploads.py",
}
REQUIRE = "HUB_TESTS_REQUIRE"
SEARCH = "search"
SEARCH_TIMEOUT = 1800
"""Seconds for one property test of `-m search`, in place of pytest's own timeout."""

# The default run tries the same examples every time, on every machine. `-m search` looks for new ones and keeps what
# failed in .hypothesis/, to be tried first the next time. No deadline: a busy machine is no failure.
settings.register_profile("fixed", deadline=None, derandomize=True, database=None)
settings.register_profile(SEARCH, deadline=None, max_examples=2000, print_blob=True)


def pytest_configure(config: pytest.Config) -> None:
    """Keep compiled modules; choose how property tests draw examples, before test modules read the settings."""
    if sys.dont_write_bytecode:
        keep_bytecode(config.rootpath / ".pytest_cache" / "bytecode", os.environ)
        sys.dont_write_bytecode, sys.pycache_prefix = False, os.environ["PYTHONPYCACHEPREFIX"]
    searching = config.option.markexpr == SEARCH
    settings.load_profile(SEARCH if searching else "fixed")
    if not searching:
        # Hypothesis also draws constants it finds in the modules loaded so far. Which ones are loaded depends on what
        # else runs in this process, so even a fixed seed would give other examples. There is no setting for it.
        nothing = providers.Constants()
        providers._get_local_constants = lambda: nothing


def keep_bytecode(folder: Path, environ: MutableMapping[str, str]) -> None:
    """Let child processes write their compiled modules, to a folder beside the sources' own.

    Container images often set PYTHONDONTWRITEBYTECODE. Hundreds of processes would then each compile the hub and its
    libraries, which takes several times as long as to start.
    """
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    environ["PYTHONPYCACHEPREFIX"] = str(folder)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark the property tests, so that `-m search` runs them alone."""
    if isinstance(item, pytest.Function) and is_hypothesis_test(item.obj):
        item.add_marker(SEARCH)
        if item.config.option.markexpr == SEARCH:
            item.add_marker(pytest.mark.timeout(SEARCH_TIMEOUT))


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


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Run the whole suite by one worker more than there are cores, since most tests wait as much as they compute.

    Named files, and tests that load the machine themselves, run one after the other.
    """
    shared = {*config.getini("addopts"), "page", SEARCH}
    alone = config.option.file_or_dir or config.option.markexpr not in shared
    return 0 if alone else (os.cpu_count() or 1) + 1


@pytest.fixture
def hubs() -> Iterator[list[Hub]]:
    """The hubs that a test starts: whatever it puts in here ends with it."""
    started: list[Hub] = []
    yield started
    for hub in started:
        hub.kill()  # what it has started ends with it


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take half a minute of real time, so that no worker is left with one at the end."""
    items.sort(key=lambda item: item.path not in LONGEST)


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
