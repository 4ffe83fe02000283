"""`packages/js`: its own tests, run by Node. Those that need packages from npm have the marker `npm`."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.packages.node import PACKAGE, install, node

TESTS = PACKAGE / "test"
WITH_NPM = {"package.test.js", "react.test.js", "webhook.test.js"}
ALL = {file.name for file in TESTS.glob("*.test.js")}


def run(file: str, seconds: float = 110, **environment: str) -> None:
    """Run one of Node's test files.

    Raises:
        AssertionError: one of its tests failed; the message is its report.
    """
    ran = subprocess.run(
        [node(), "--test", "--test-reporter=spec", str(TESTS / file)],
        cwd=PACKAGE,
        env={**os.environ, "HUB_PYTHON": sys.executable, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=seconds,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize("file", sorted(ALL - WITH_NPM))
def test_with_node_alone(file: str) -> None:
    run(file)


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_a_client_that_is_cut_off_a_hundred_times_has_every_event_once() -> None:
    run("hub.test.js", 590, HUB_CUTS="100")


@pytest.fixture(scope="session")
def development_packages() -> None:
    """Install what package-lock.json names, unless it is there."""
    install()


@pytest.mark.npm
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("development_packages")
@pytest.mark.parametrize("file", sorted(WITH_NPM))
def test_with_packages_from_npm(file: str) -> None:
    run(file, 280)


def test_the_lock_file_names_no_registry() -> None:
    text = (PACKAGE / "package-lock.json").read_text(encoding="utf-8")
    assert '"resolved"' not in text
    assert "localhost" not in text
