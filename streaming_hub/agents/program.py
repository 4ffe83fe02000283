"""How the agent's programs are started, and whether what they need is installed. Imports nothing of it."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, distribution
from typing import Final

from streaming_hub import resources

NEEDED: Final = (
    "livekit-agents",
    "livekit-plugins-openai",
    "livekit-plugins-silero",
    "livekit-streaming-hub-client",
    "numpy",
)
"""What the extra `agent` brings."""


def command(module: str = "worker") -> tuple[str, ...]:
    """Return the command line of one of the agent's modules, for this Python.

    The working directory is not searched for it (`-P`): a project there may have an `agent` of its own.
    """
    return sys.executable, "-P", "-m", f"{resources.agent_package()}.{module}"


def what_is_missing() -> str | None:
    """Return a sentence that says how to install what the agent needs; None where nothing is missing."""
    missing = [name for name in NEEDED if not _is_installed(name)]
    if not missing:
        return None
    return (
        "The agent needs packages that are not installed: install `livekit-streaming-hub[agent]` "
        f"(not found: {', '.join(missing)})."
    )


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True
