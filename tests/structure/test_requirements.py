"""What holds for every run (tests/conftest.py): a required program's absence fails; modules are compiled once."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.conftest import REQUIRE, fail_if_required, keep_bytecode, required_program

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("reason", "required", "named"),
    [
        ("no browser: chromium is absent", "nginx,chromium", "chromium"),
        ("no browser: /usr/bin/chromium is absent", "chromium", "chromium"),
        ("Chromium is not installed", "chromium", "chromium"),
        ("livekit-server is not on PATH", "nginx,chromium", None),
        ("no redis-server on PATH", "redis", None),
        ("no browser: chromium is absent", "", None),
    ],
)
def test_the_program_that_a_reason_names(reason: str, required: str, named: str | None) -> None:
    assert required_program(reason, required) == named


def skipped(reason: str) -> pytest.TestReport:
    return pytest.TestReport(
        nodeid="tests/test_x.py::test_x",
        location=("tests/test_x.py", 1, "test_x"),
        keywords={},
        outcome="skipped",
        longrepr=("tests/test_x.py", 1, f"Skipped: {reason}"),
        when="setup",
    )


def test_a_skip_for_lack_of_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REQUIRE, "chromium")
    report = skipped("chromium is absent")
    fail_if_required(report)
    assert report.failed
    assert "chromium is absent" in str(report.longrepr)


def test_other_skips_stay_skips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REQUIRE, "chromium")
    report = skipped("livekit-server is not on PATH")
    fail_if_required(report)
    assert report.skipped


def test_child_processes_keep_what_they_compile(tmp_path: Path) -> None:
    environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    keep_bytecode(tmp_path / "compiled", environ)
    (tmp_path / "lib.py").touch()
    subprocess.run([sys.executable, "-c", "import lib"], cwd=tmp_path, env=environ, check=True)
    assert [path.name.split(".")[0] for path in (tmp_path / "compiled").rglob("lib.*.pyc")] == ["lib"]
