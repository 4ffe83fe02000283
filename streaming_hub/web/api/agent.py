"""`/api/agent/start`, `stop`, `status`: the agent process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from flask import Blueprint, Response

from streaming_hub.access import OPERATE, require_room
from streaming_hub.access.limits import Action
from streaming_hub.agents import State, SupervisorClosedError
from streaming_hub.agents.mode import choose_mode
from streaming_hub.errors import Unavailable
from streaming_hub.events.posted import NAME_PATTERN
from streaming_hub.web import answers, callers
from streaming_hub.web.about import AGENT, About, json, ok
from streaming_hub.web.api.answer_types import AgentAnswer
from streaming_hub.web.current import services
from streaming_hub.web.endpoint import endpoint

if TYPE_CHECKING:
    from streaming_hub.agents import AgentStatus
    from streaming_hub.web.api.watcher_answer import WatcherAnswer

blueprint = Blueprint("agent", __name__)

MAX_WAIT = 60


class StartRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The optional body of a start.

    Attributes:
        mode: `auto` means `livekit` if it is configured, else `rehearsal`.
        room: the room of the rehearsal; in `livekit` mode it has no effect: the agent serves every room.
        wait: seconds to wait until the agent is ready or has failed.
    """

    mode: Literal["auto", "livekit", "rehearsal"] = "auto"
    room: Annotated[str, msgspec.Meta(min_length=1, max_length=256, pattern=NAME_PATTERN)] | None = None
    wait: Annotated[float, msgspec.Meta(ge=0, le=MAX_WAIT)] = 0.0


def _example(**changes: Any) -> dict[str, Any]:
    running = {
        "status": "running",
        "state": "running",
        "pid": 29191,
        "mode": "rehearsal",
        "room": None,
        "uptime": 12.5,
        "restarts": 0,
        "sessions": 1,
        "last_error": None,
        "trouble": None,
        "node": "hub-1-9f3c1a",
    }
    return running | changes


_WHY: Final = "LIVEKIT_URL is not set."


@endpoint(
    blueprint,
    "POST",
    "/api/agent/start",
    scope=OPERATE,
    errors=(Unavailable,),
    about=lambda: About(
        group=AGENT,
        summary="Start the agent",
        text="`auto` means `livekit` if LIVEKIT_URL and a model key are set, else `rehearsal`: the same agent with "
        "recorded speech and scripted models. A second start returns the running agent.",
        body=(json(StartRequest, {"mode": "rehearsal", "wait": 10}),),
        answers=ok(
            AgentAnswer,
            _example(status="starting", state="starting", sessions=0, why=_WHY),
            "The agent is starting, or was already running.",
        ),
    ),
)
def start() -> Response:
    """Start the agent, unless it is running."""
    grant = callers.grant()
    callers.limit(Action.START, grant)
    parts = services()
    asked = answers.body(StartRequest)
    # An agent without a room of its own serves all of them.
    require_room(grant, asked.room)
    chosen, why = choose_mode(parts.settings) if asked.mode == "auto" else (asked.mode, "Requested.")
    if parts.draining:
        raise Unavailable("The server is stopping, so it starts no agent.")
    if parts.agent_lacks is not None:
        raise Unavailable(parts.agent_lacks)
    try:
        started = parts.agent.start(chosen, asked.room, asked.wait)
    except SupervisorClosedError as error:
        raise Unavailable(f"{error}.") from error
    found = started.status
    require_room(grant, found.room)
    callers.note(
        "start", mode=found.mode, room=found.room, pid=found.pid, already_running=started.already_running
    )
    body = _describe(found, why)
    if found.state is State.FAILED:
        body["log"] = found.log
    if started.already_running:
        body["already_running"] = True
        body["why"] = _why_not_so(found, chosen, asked.room) or why
    return answers.json(body)


@endpoint(
    blueprint,
    "POST",
    "/api/agent/stop",
    scope=OPERATE,
    about=lambda: About(
        group=AGENT,
        summary="Stop the agent",
        text="It ends its sessions and posts its last events, within 10 seconds. No body is needed.",
        answers=ok(
            AgentAnswer,
            _example(status="stopped", state="stopped", pid=None, uptime=0.0, sessions=0),
            "The agent has stopped.",
        ),
    ),
)
def stop() -> Response:
    """Stop the agent after its last words."""
    grant = callers.grant()
    agent = services().agent
    running = agent.status()
    require_room(grant, running.room)
    callers.note("stop", mode=running.mode, room=running.room, pid=running.pid)
    return answers.json(_describe(agent.stop(), None))


@endpoint(
    blueprint,
    "GET",
    "/api/agent/status",
    scope=OPERATE,
    about=lambda: About(
        group=AGENT,
        summary="The agent's state",
        answers=ok(
            AgentAnswer,
            _example(
                log=["INFO livekit.agents: starting worker"],
                auto={"mode": "rehearsal", "why": _WHY},
                watcher=None,
            ),
            "The state.",
        ),
    ),
)
def status() -> Response:
    """Return the agent's state, and the mode in which it would start."""
    grant = callers.grant()
    parts = services()
    found = parts.agent.status()
    body = _describe(found, None)
    # Its log may name other rooms.
    body["log"] = found.log if grant.allows_room(found.room) else []
    body["watcher"] = _watcher()
    mode, why = choose_mode(parts.settings)
    body["auto"] = {"mode": mode, "why": parts.agent_lacks or why}
    return answers.json(body)


def _watcher() -> WatcherAnswer | None:
    watcher = services().watcher
    if watcher is None:
        return None
    found = watcher.status()
    return {
        "state": found.state,
        "pid": found.pid,
        "rooms": watcher.counts.get("rooms", 0) if found.pid is not None else 0,
        "sessions": found.sessions,
        "restarts": found.restarts,
        "last_error": found.last_error,
        "trouble": found.trouble,
    }


def _why_not_so(found: AgentStatus, mode: str, room: str | None) -> str | None:
    """Say that the running agent is not the requested one, and what to do; None if it is."""
    if found.mode != mode:
        return f"It is already running in {found.mode} mode: stop it to start it in {mode} mode."
    if mode == "rehearsal" and room is not None and room != found.room:
        return f"It is already rehearsing in another room: stop it to start it in {room}."
    return None


def _describe(found: AgentStatus, why: str | None) -> AgentAnswer:
    body: AgentAnswer = {
        "status": found.state,
        "state": found.state,
        "pid": found.pid,
        "mode": found.mode,
        "room": found.room,
        "uptime": found.uptime,
        "restarts": found.restarts,
        "sessions": found.sessions,
        "last_error": found.last_error,
        "trouble": found.trouble,
        "node": found.node or (services().node if found.pid is not None else None),
    }
    if why is not None:
        body["why"] = why
    return body
