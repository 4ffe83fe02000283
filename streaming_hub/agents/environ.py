"""The agent process's environment variables, and the spool directory for events that it cannot deliver at once."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from streaming_hub.private_folder import private_folder

if TYPE_CHECKING:
    from streaming_hub.settings import Settings


def agent_environ(settings: Settings, *, url: str, key: str, spool: Path) -> dict[str, str]:
    """Return the variables that the agent process gets.

    Args:
        settings: what the operator chose for the agent, LiveKit and the model APIs.
        url: where the agent reaches the hub.
        key: the agent's own key to publish with.
        spool: where it keeps what it cannot deliver at once.
    """
    known = {
        "STREAM_URL": url,
        "STREAM_PUBLISH_KEY": key,
        "AGENT_SPOOL_DIR": str(spool),
        "AGENT_SUPERVISED": "1",
        "LIVEKIT_URL": settings.livekit_url,
        "LIVEKIT_API_KEY": settings.livekit_api_key,
        "LIVEKIT_API_SECRET": settings.livekit_api_secret,
        "OPENAI_API_KEY": settings.openai_api_key,
        "OPENAI_BASE_URL": settings.openai_base_url,
        **settings.agent,
    }
    return {name: value for name, value in known.items() if value}


def watcher_environ(settings: Settings, *, url: str, key: str, spool: Path, identity: str) -> dict[str, str]:
    """Return the variables that the watcher process gets.

    Args:
        settings: what the operator chose.
        url: where the watcher reaches the hub.
        key: its own key to publish and subscribe with.
        spool: where it keeps what it cannot deliver at once.
        identity: its participants' in LiveKit's rooms.
    """
    known = {
        "STREAM_URL": url,
        "STREAM_PUBLISH_KEY": key,
        "STREAM_WATCH": ",".join(settings.watch),
        "AGENT_SPOOL_DIR": str(spool),
        "WATCHER_IDENTITY": identity,
        "LIVEKIT_URL": settings.livekit_url,
        "LIVEKIT_API_KEY": settings.livekit_api_key,
        "LIVEKIT_API_SECRET": settings.livekit_api_secret,
    }
    return {name: value for name, value in known.items() if value}


def spool_folder(history: str) -> Path:
    """Return the spool's directory: beside the history's file, or a private one in the directory for temporary files.

    Args:
        history: the history's URL, as in STREAM_HISTORY.

    Raises:
        OSError: no private directory can be made.
    """
    kind, _, path = history.partition(":///")
    if kind == "sqlite":
        return Path(path).absolute().parent / "spool"
    return private_folder(Path(tempfile.gettempdir()) / f"streaming-hub-spool-{os.getuid()}")
