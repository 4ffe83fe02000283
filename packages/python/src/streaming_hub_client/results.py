"""What tools returned. LiveKit's tool events have only a result's `str()`, and are not sent at all if that raises.

Reads one private name of livekit-agents (1.8.9), the table of running tools. If a later version lacks it, the text in
LiveKit's own event is used; a test fails if the name disappears. No I/O.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from livekit.agents import Agent, llm
from livekit.agents.voice import events as lk
from livekit.agents.voice import tool_executor

from streaming_hub_client.data import text_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from livekit.agents import AgentSession

MAX_CALLS = 256
SEVERAL_AGENTS = "the tool returned more than one agent"
"""What LiveKit reports to the model in that case; no agent takes over."""


@dataclass(frozen=True)
class Returned:
    """A finished tool call's result.

    Attributes:
        output: What the tool returned, without the agent to hand over to.
        handoff: The id of that agent, if any.
    """

    output: Any
    handoff: str | None = None


class Results:
    """The results of one session's tool calls, by call id.

    Args:
        on_unreported: Called with the end of a call that LiveKit did not report because the `str()` of the result or
            error raised.
    """

    def __init__(self, on_unreported: Callable[[lk.ToolExecutionUpdatedEvent], None]) -> None:
        self._on_unreported = on_unreported
        self._running: dict[str, asyncio.Task[Any]] = {}

    def note(self, session: AgentSession[Any], update: Any) -> Returned | None:
        """Follow a tool's lifecycle.

        Args:
            session: The session that the tool runs in.
            update: The `update` of a `ToolExecutionUpdatedEvent`.

        Returns:
            The result when a call ends; None before that, if the call failed, or if the result is not known.
        """
        if update.type == "tool_call_started":
            self._start(session, update)
        elif update.type == "tool_call_ended":
            return self._end(update)
        return None

    def _start(self, session: AgentSession[Any], update: lk.ToolCallStarted) -> None:
        call_id = update.function_call.call_id
        tasks = getattr(tool_executor, "_RunningTasks", {}).get(session, {})
        task = getattr(tasks.get(call_id), "exe_task", None)
        if task is not None:
            while len(self._running) >= MAX_CALLS:
                del self._running[next(iter(self._running))]
            self._running[call_id] = task
            # LiveKit's own callback is added, and so runs, after this one.
            task.add_done_callback(lambda _: task.get_loop().call_soon(self._check_reported, call_id, task))

    def _check_reported(self, call_id: str, task: asyncio.Task[Any]) -> None:
        if self._running.get(call_id) is not task:
            return
        raised = None if task.cancelled() else task.exception() or task.result()
        status: Literal["done", "error", "cancelled"] = "cancelled" if task.cancelled() else "done"
        message = None
        if isinstance(raised, BaseException) and not isinstance(raised, llm.StopResponse):
            status, message = "error", text_of(raised)
        update = lk.ToolCallEnded(id=call_id, call_id=call_id, message=message, status=status)
        self._on_unreported(lk.ToolExecutionUpdatedEvent(update=update))

    def _end(self, update: lk.ToolCallEnded) -> Returned | None:
        task = self._running.pop(update.call_id, None)
        if task is None or update.status != "done" or not task.done() or task.cancelled() or task.exception():
            return None
        return split(task.result())


def split(value: Any) -> Returned | None:
    """Separate what a tool returned from the agent it hands over to, as LiveKit does; None for a failure."""
    if isinstance(value, BaseException):
        return None
    if isinstance(value, Agent):
        return Returned(None, value.id)
    handoff = None
    if isinstance(value, tuple | list | set | frozenset):
        agents = [item for item in value if isinstance(item, Agent)]
        if agents:
            rest = [item for item in value if not isinstance(item, Agent)]
            handoff, value = agents[0].id, rest[0] if len(rest) == 1 else rest or None
            if len(agents) > 1:
                return Returned(SEVERAL_AGENTS)
    if isinstance(value, llm.ToolResult):
        value = value.output
    return Returned(value, handoff)
