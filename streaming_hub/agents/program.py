"""How the agent's programs are started, and whether what they need is installed. Looks for modules; imports none of them."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Final

from streaming_hub import resources

NEEDED: Final = (
    "streaming_hub_client",
    "livekit.agents",
    "livekit.plugins.openai",
    "livekit.plugins.silero",
)
"""What the extra `agent` brings."""


def command(module: str = "worker") -> tuple[str, ...]:
    """Return the command line of one of the agent's modules, for this Python.

    The working directory is not searched for it (`-P`): a project there may have an `agent` of its own.
    """
    return sys.executable, "-P", "-m", f"{resources.agent_package()}.{module}"


def what_is_missing() -> str | None:
    """Return a sentence that says how to install what the agent needs; None where nothing is missing."""
    missing = [name for name in (resources.agent_package(), *NEEDED) if not _is_installed(name)]
    if not missing:
        return None
    return (
        "The agent needs packages that are not installed: install `livekit-streaming-hub[agent]` "
        f"(not found: {', '.join(missing)})."
    )


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # a parent of it is missing
        return False
