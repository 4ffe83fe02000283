"""What tools return on a real AgentSession: data stays data, a handoff is a handoff."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import enum
import json
from typing import Any

import pydantic
import pytest
from livekit.agents import Agent, RunContext, ToolError, function_tool, llm
from livekit.agents.voice import tool_executor
from streaming_hub_client.data import UNREADABLE
from streaming_hub_client.fitting import MAX_BYTES

from tests.packages.python.talks import Talk, typed
from tests.stubs.models import Said


class Size(enum.Enum):
    LARGE = "large"


@dataclasses.dataclass
class Pizza:
    name: str
    size: Size
    secret: str = dataclasses.field(default="x", repr=False)


class Order(pydantic.BaseModel):
    number: int
    items: list[str]


class Basket:
    def __init__(self) -> None:
        self.total = 12.5
        self._cache = object()


class Clerk(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="x", id="clerk")


async def tool_talk(result: Any, *, arguments: str = "{}") -> Talk:
    """Hold a conversation in which a tool named `look` returns (or raises) the result."""

    @function_tool(raw_schema={"name": "look", "description": "look", "parameters": {"type": "object"}})
    async def look(raw_arguments: dict[str, Any], context: RunContext[Any]) -> Any:
        if isinstance(result, Exception):
            raise result
        if callable(result):
            return await result(context)
        return result

    talk = await typed(
        Said(calls=[("look", arguments)]), "There.", agent=Agent(instructions="x", tools=[look])
    )
    await talk.session.run(user_input="look")
    await talk.session.aclose()
    return talk


def output(result: Any) -> Any:
    (finished,) = asyncio.run(tool_talk(result)).of_type("tool_call_finished")
    json.dumps(finished, allow_nan=False).encode()
    return finished["output"]


@pytest.mark.parametrize(
    ("result", "told"),
    [
        ("sunny", "sunny"),
        (None, None),
        (True, True),
        (7, 7),
        ({"city": "Paris", "open": None, 1: "one"}, {"city": "Paris", "open": None, "1": "one"}),
        (["a", ("b", 2.5)], ["a", ["b", 2.5]]),
        (Pizza("Margherita", Size.LARGE), {"name": "Margherita", "size": "large"}),
        ([Order(number=7, items=["a"])], [{"number": 7, "items": ["a"]}]),
        (datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.UTC), "2026-01-02T03:04:00+00:00"),
        (b"\x00\xff", "AP8="),
        ({"b", "a"}, ["a", "b"]),
        (float("nan"), "NaN"),
        (Basket(), {"total": 12.5}),
        (llm.ToolResult({"sent": True}, reply_required=False), {"sent": True}),
    ],
)
def test_what_a_tool_returned_is_data(result: Any, told: Any) -> None:
    assert output(result) == told


def test_a_tool_that_fails_gives_its_error_as_text() -> None:
    (finished,) = asyncio.run(tool_talk(ToolError("no such city"))).of_type("tool_call_finished")
    assert (finished["status"], finished["output"]) == ("error", "no such city")


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda agent: agent, None),
        (lambda agent: (agent, "Passing you on."), "Passing you on."),
        (lambda agent: ({"queue": 3}, agent), {"queue": 3}),
        (lambda agent: [agent, llm.ToolResult({"queue": 3}, reply_required=False)], {"queue": 3}),
        (lambda agent: (agent, "a", "b"), ["a", "b"]),
    ],
)
def test_an_agent_that_a_tool_returns_is_a_handoff(make: Any, told: Any) -> None:
    done = asyncio.run(tool_talk(make(Clerk())))
    (finished,) = done.of_type("tool_call_finished")
    assert (finished["output"], finished["handoff"]) == (told, "clerk")
    assert [event["new_agent"] for event in done.of_type("handoff")] == ["clerk"]
    assert "Agent" not in json.dumps(finished)


def test_two_agents_are_no_handoff() -> None:
    done = asyncio.run(tool_talk((Clerk(), Clerk())))
    (finished,) = done.of_type("tool_call_finished")
    assert finished["output"] == "the tool returned more than one agent"
    assert (done.of_type("handoff"), finished.get("handoff")) == ([], None)


def test_progress_is_data_and_the_result_that_follows_it_too() -> None:
    async def work(context: RunContext[Any]) -> Any:
        await context.update({"stage": 1, "left": ["a"]})
        await context.update("[still] looking")
        return {"found": 3}

    done = asyncio.run(tool_talk(work))
    assert [event["message"] for event in done.of_type("tool_call_updated")] == [
        {"stage": 1, "left": ["a"]},
        "[still] looking",
    ]
    assert done.of_type("tool_call_finished")[0]["output"] == {"found": 3}


def test_long_arguments_and_outputs_are_cut_and_say_so() -> None:
    done = asyncio.run(tool_talk("ö" * 63_000, arguments=json.dumps({"query": "a" * 75_000, "limit": 3})))
    (started,), (finished,) = done.of_type("tool_call_started"), done.of_type("tool_call_finished")
    assert started["arguments"]["limit"] == 3
    assert started["arguments"]["query"].startswith("aaa")
    assert started["truncated"] == {"arguments": 75_000 + len('{"query":"","limit":3}')}
    assert finished["output"].startswith("ööö")
    assert finished["truncated"] == {"output": 126_000}
    for event in (started, finished):
        size = len(json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode())
        assert MAX_BYTES * 6 // 7 < size <= MAX_BYTES
    assert finished["status"] == "done"


def test_surrogates_in_arguments_and_names_are_repaired() -> None:
    done = asyncio.run(tool_talk({"\ud800key": "\ud83d\ude00 \udc00"}, arguments='{"q\\ud800": "\\ud83d"}'))
    (started,), (finished,) = done.of_type("tool_call_started"), done.of_type("tool_call_finished")
    assert started["arguments"] == {"q\ufffd": "\ufffd"}
    assert finished["output"] == {"\ufffdkey": "😀 \ufffd"}


def test_livekit_still_has_its_table_of_running_tools() -> None:
    assert "exe_task" in tool_executor._RunningTask.__dataclass_fields__
    assert hasattr(tool_executor._RunningTasks, "get")


def test_without_that_table_the_text_of_the_event_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool_executor, "_RunningTasks", type(tool_executor._RunningTasks)())
    monkeypatch.setattr("streaming_hub_client.results.tool_executor", object())
    assert output(7) == "7"


class Unreadable:
    """A value whose `str()` and `repr()` raise."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __str__(self) -> str:
        raise self._error

    __repr__ = __str__


class UnreadableError(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError

    __repr__ = __str__


class Odd(Exception):
    pass


@pytest.mark.parametrize("error", [ValueError(), Odd(), AssertionError()], ids=repr)
@pytest.mark.parametrize(
    "wrap", [lambda value: value, lambda value: {"order": value}, lambda value: [1, value]]
)
def test_a_result_that_cannot_be_read_is_told_as_such(error: BaseException, wrap: Any) -> None:
    done = asyncio.run(tool_talk(wrap(Unreadable(error))))
    (finished,) = done.of_type("tool_call_finished")
    told = UNREADABLE.format("Unreadable", type(error).__name__)
    assert (finished["status"], finished["name"], finished["output"]) == ("done", "look", wrap(told))
    assert (done.of_type("events_dropped"), done.of_type("session_ended") != []) == ([], True)


def test_an_error_that_cannot_be_read_is_told_as_such() -> None:
    done = asyncio.run(tool_talk(UnreadableError()))
    (finished,) = done.of_type("tool_call_finished")
    told = UNREADABLE.format("UnreadableError", "ZeroDivisionError")
    assert (finished["status"], finished["output"]) == ("error", told)


def test_the_end_of_a_call_is_told_once() -> None:
    async def slow(_context: Any) -> Any:
        await asyncio.sleep(0.01)
        return 5

    assert len(asyncio.run(tool_talk(slow)).of_type("tool_call_finished")) == 1
