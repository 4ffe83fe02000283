"""The endpoints that start, stop and watch the agent process."""

from __future__ import annotations

from typing import Final

from streaming_hub.errors import Unavailable
from streaming_hub.web.api.agent import StartRequest
from streaming_hub.web.api.answer_types import AgentAnswer
from streaming_hub.web.openapi.endpoint import Endpoint, json, ok

GROUP: Final = "Agent"

_RUNNING: Final = {
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
}
_STOPPED: Final = {
    **_RUNNING,
    "status": "stopped",
    "state": "stopped",
    "pid": None,
    "uptime": 0.0,
    "sessions": 0,
}
_WHY: Final = "LIVEKIT_URL is not set."

ENDPOINTS: Final = (
    Endpoint(
        method="POST",
        path="/api/agent/start",
        group=GROUP,
        summary="Start the agent",
        text="`auto` takes `livekit` where LIVEKIT_URL and a model key are set, else `rehearsal`: the same agent on "
        "recorded speech and scripted models. A second start answers the running one.",
        body=(json(StartRequest, {"mode": "rehearsal", "wait": 10}),),
        answers=ok(
            AgentAnswer,
            {**_RUNNING, "status": "starting", "state": "starting", "sessions": 0, "why": _WHY},
            "It starts, or ran already.",
        ),
        errors=(Unavailable,),
    ),
    Endpoint(
        method="POST",
        path="/api/agent/stop",
        group=GROUP,
        summary="Stop the agent",
        text="It ends its sessions and posts its last events, within 10 seconds. No body is needed.",
        answers=ok(AgentAnswer, _STOPPED, "There is no agent now."),
    ),
    Endpoint(
        method="GET",
        path="/api/agent/status",
        group=GROUP,
        summary="The agent's state",
        answers=ok(
            AgentAnswer,
            {
                **_RUNNING,
                "log": ["INFO livekit.agents: starting worker"],
                "auto": {"mode": "rehearsal", "why": _WHY},
            },
            "Its state.",
        ),
    ),
)
