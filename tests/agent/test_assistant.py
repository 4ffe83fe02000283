"""The assistant's instructions and its tool."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
from livekit.agents import AgentSession

from agent.assistant import INSTRUCTIONS, Assistant
from agent.rehearsal.models import ScriptedLLM
from agent.rehearsal.script import QUESTION, TOOL, TOOL_ARGUMENTS


def ask(question: str) -> list[object]:
    async def run() -> list[object]:
        async with AgentSession(llm=ScriptedLLM()) as session:
            await session.start(Assistant())
            result: Any = await session.run(user_input=question)
            return [event.item for event in result.events if hasattr(event, "item")]

    return asyncio.run(run())


def test_it_has_instructions_for_speech() -> None:
    assert Assistant().instructions == INSTRUCTIONS
    assert "spoken" in INSTRUCTIONS


def test_the_setting_replaces_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_INSTRUCTIONS", "You are a parrot.")
    assert Assistant().instructions == "You are a parrot."


def test_the_tool_is_offered_with_its_description() -> None:
    assert [tool.id for tool in Assistant().tools] == [TOOL]


def test_the_question_calls_the_tool_and_the_answer_says_what_it_gave() -> None:
    call, output, answer = ask(QUESTION)[-3:]
    assert (call.name, json.loads(call.arguments)) == (TOOL, TOOL_ARGUMENTS)  # type: ignore[attr-defined]
    assert re.fullmatch(r"\w+, \d\d \w+ \d{4}, \d\d:\d\d", output.output)  # type: ignore[attr-defined]
    assert output.output in answer.text_content  # type: ignore[attr-defined]


@pytest.mark.parametrize("zone", ["Europe/Atlantis", "../etc/passwd", ""])
def test_an_unknown_time_zone_is_reported_to_the_model(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TOOL_ARGUMENTS, "time_zone", zone)
    output = ask(QUESTION)[-2]
    assert output.is_error  # type: ignore[attr-defined]
    assert f"unknown time zone {zone!r}" in output.output  # type: ignore[attr-defined]
