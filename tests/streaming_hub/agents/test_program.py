"""How the agent is found under either of its names, and what is said where its packages are not installed."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from typing import TYPE_CHECKING

import pytest

from streaming_hub import resources
from streaming_hub.agents import program
from streaming_hub.settings import Settings
from streaming_hub.web import create_app

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def without_livekit(monkeypatch: pytest.MonkeyPatch) -> None:
    def distribution(name: str) -> None:
        if name == "livekit-agents":
            raise PackageNotFoundError(name)

    monkeypatch.setattr(program, "distribution", distribution)


def test_it_runs_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert program.command() == (sys.executable, "-P", "-m", "agent.worker")
    (tmp_path / "streaming_hub_agent").mkdir()
    monkeypatch.setattr(resources, "_BESIDE", tmp_path)
    assert program.command("other")[-1] == "streaming_hub_agent.other"


def test_the_working_directory_is_not_searched(tmp_path: Path) -> None:
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent" / "__init__.py").write_text("print('the wrong one')")
    command = [*program.command()[:-2], "-c", "import agent.control; print(agent.control.__name__)"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.strip() == "agent.control"


def test_nothing_is_missing_here() -> None:
    assert program.what_is_missing() is None


@pytest.mark.usefixtures("without_livekit")
def test_a_start_without_the_extra_says_what_to_install() -> None:
    client = create_app(Settings(history="memory://")).test_client()
    answer = client.post("/api/agent/start")
    assert answer.status_code == 503
    assert "livekit-streaming-hub[agent]" in answer.json["detail"]
    assert "(not found: livekit-agents)" in answer.json["detail"]
    status = client.get("/api/agent/status").json
    assert status["state"] == "stopped"
    assert "livekit-streaming-hub[agent]" in status["auto"]["why"]


@pytest.mark.usefixtures("without_livekit")
def test_another_agent_needs_no_extra() -> None:
    app = create_app(Settings(history="memory://"), agent_command=[sys.executable, "-c", "pass"])
    client = app.test_client()
    assert client.post("/api/agent/start").status_code == 200
    client.post("/api/agent/stop")
