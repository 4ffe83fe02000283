"""examples/own_agent: short, importable, and registered with LiveKit. tests/livekit runs it in a room."""

from __future__ import annotations

import importlib.util
import inspect

from livekit.agents import AgentServer

from tests.kit.process import ROOT

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
