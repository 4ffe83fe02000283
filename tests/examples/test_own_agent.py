"""examples/own_agent: short, importable, and registered with LiveKit. tests/livekit runs it in a room."""

from __future__ import annotations

import importlib.util
import inspect
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import requests
from livekit.agents import AgentServer

from tests.kit.process import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kit.hub import Hub

FILE = ROOT / "examples" / "own_agent" / "pizza.py"


def test_it_is_short_and_livekit_can_load_it() -> None:
    assert len(FILE.read_text(encoding="utf-8").splitlines()) < 40
    spec = importlib.util.spec_from_file_location("pizza", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert isinstance(module.server, AgentServer)
    lines = [line.strip() for line in inspect.getsource(module.entrypoint).splitlines()]
    attached = [number for number, line in enumerate(lines) if line.startswith("attach(session, ctx)")]
    started = [number for number, line in enumerate(lines) if line.startswith("await session.start(")]
    assert len(attached) == len(started) == 1
    assert attached < started


def test_the_agent_of_the_guide_needs_no_keys(hub: Hub, tmp_path: Path) -> None:
    """docs/guides/own-agent.md, run as it stands there."""
    guide = (ROOT / "docs" / "guides" / "own-agent.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(\"\"\"An agent without keys.*?)```", guide, re.DOTALL)
    (tmp_path / "parrot.py").write_text(program)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LIVEKIT_", "OPENAI_", "STREAM_"))}
    ran = subprocess.run(
        [sys.executable, "parrot.py"],
        cwd=tmp_path,
        env={**kept, "STREAM_URL": hub.url},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    stored = requests.get(f"{hub.url}/api/events?room=parrot&limit=100", timeout=20).json()["events"]
    said = [(event["role"], event["text"]) for event in stored if event["type"] == "transcript"]
    assert said == [
        ("user", "Hello?"),
        ("agent", "You said: Hello?"),
        ("user", "Is anybody there?"),
        ("agent", "You said: Is anybody there?"),
    ]
    assert stored[0]["type"] == "session_started"
    assert any(event["type"] == "session_ended" for event in stored)
