"""The assistant: its instructions and its tools.

The same class runs in LiveKit's rooms (`agent.rooms`) and in the rehearsal.
"""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from livekit.agents import Agent, RunContext, ToolError, function_tool

INSTRUCTIONS = (
    "You are a friendly voice assistant. Your words are spoken aloud: answer in one to three short sentences,"
    " without lists, markup or emoji. Use your tools where they help, and say so when you do not know."
)
GREETING = "Greet the user in one short sentence and offer your help."


class Assistant(Agent):
    """The agent: instructions and tools."""

    def __init__(self) -> None:
        super().__init__(instructions=os.environ.get("AGENT_INSTRUCTIONS") or INSTRUCTIONS)

    async def on_enter(self) -> None:
        """Greet; LiveKit calls it when the session begins."""
        self.session.generate_reply(instructions=GREETING)

    @function_tool
    async def current_time(self, _context: RunContext[Any], time_zone: str = "UTC") -> str:
        """Tell the date and the time in a time zone.

        Args:
            time_zone: An IANA name, such as Europe/Paris.
        """
        try:
            now = datetime.now(ZoneInfo(time_zone))
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ToolError(f"unknown time zone {time_zone!r}; use a name such as Europe/Paris") from error
        return now.strftime("%A, %d %B %Y, %H:%M")
