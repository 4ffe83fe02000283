"""The agent process's environment. Covers streaming_hub.services, too, which puts it together."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from streaming_hub.agents.environ import agent_environ, spool_folder
from streaming_hub.services import Services
from streaming_hub.settings import Settings

if TYPE_CHECKING:
    import pytest


def test_agent_gets_its_settings_and_no_other_credentials() -> None:
    settings = Settings(
        livekit_url="ws://h",
        openai_api_key="k",
        publish_keys=("p",),
        jwt_secret="j" * 32,
        agent={"AGENT_NAME": "a"},
    )
    told = agent_environ(settings, url="http://127.0.0.1:1", key="own", spool=Path("/spool"))
    assert told == {
        "STREAM_URL": "http://127.0.0.1:1",
        "STREAM_PUBLISH_KEY": "own",
        "AGENT_SPOOL_DIR": "/spool",
        "AGENT_SUPERVISED": "1",
        "LIVEKIT_URL": "ws://h",
        "OPENAI_API_KEY": "k",
        "AGENT_NAME": "a",
    }


def test_spool_lies_beside_the_history(tmp_path: Path) -> None:
    assert spool_folder(f"sqlite:///{tmp_path}/events.db") == tmp_path / "spool"


def test_agent_of_a_hub_without_a_disk_spools_into_such_a_folder_and_keeps_it_when_restarted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    trap = tmp_path / f"streaming-hub-spool-{os.getuid()}"
    trap.mkdir()
    trap.chmod(0o755)
    parts = Services(Settings(history="memory://"))
    taken = {parts.agent_environ()["AGENT_SPOOL_DIR"] for _ in range(2)}
    parts.stop()
    assert len(taken) == 1
    assert taken != {str(trap)}
