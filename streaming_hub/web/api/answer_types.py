"""What the endpoints answer, as types: the views fill them, /openapi.json is made from them.

They are plain dicts at run time, so they cost nothing; mypy keeps the views to them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, TypedDict

from msgspec import Meta

from streaming_hub.agents.states import State
from streaming_hub.events.types.snapshot import RoomSummary

Mode = Annotated[str, Meta(extra_json_schema={"enum": ["livekit", "rehearsal"]})]
AgentState = Annotated[State, Meta(description="`running` while a session is live.")]
Summaries = list[RoomSummary]


class Published(TypedDict):
    """One event was taken: it is stored and on its way."""

    status: Literal["ok"]
    id: Annotated[str, Meta(description="Its id, `<epoch>-<seq>`.")]
    duplicate: NotRequired[
        Annotated[bool, Meta(description="`true` where its `event_id` was known: nothing was sent again.")]
    ]
    clients_notified: Annotated[int, Meta(description="Open streams that may see it; 0 for a duplicate.")]


class BatchPublished(TypedDict):
    """A batch was taken as a whole."""

    status: Literal["ok"]
    ids: Annotated[list[str], Meta(description="The ids in posted order.")]
    duplicates: Annotated[int, Meta(description="How many of them were known.")]
    clients_notified: Annotated[
        int, Meta(description="Open streams that may see at least one of the new ones.")
    ]


class Lease(TypedDict):
    """Leases were renewed."""

    status: Literal["ok"]
    ended: Annotated[list[str], Meta(description="Those of the sessions that have ended already.")]


class Auto(TypedDict):
    """Which mode a start would choose."""

    mode: Mode
    why: str


class AgentAnswer(TypedDict):
    """The agent process."""

    status: Annotated[State, Meta(description="The same as `state`.")]
    state: AgentState
    pid: Annotated[int | None, Meta(description="The process; null where there is none.")]
    mode: Annotated[Mode | None, Meta(description="Of the present or the last process.")]
    room: Annotated[str | None, Meta(description="The room it was started for, if any.")]
    uptime: Annotated[
        float, Meta(description="Seconds since the process was started; 0 where there is none.")
    ]
    restarts: Annotated[
        int, Meta(description="How often it was started again by itself since the last start.")
    ]
    sessions: Annotated[int, Meta(description="Live sessions.")]
    last_error: Annotated[str | None, Meta(description="Why it last failed since the last start.")]
    trouble: Annotated[
        str | None, Meta(description="Why it gets no new rooms for now, though it runs; null where it does.")
    ]
    log: NotRequired[
        Annotated[
            list[str],
            Meta(
                description="Its last log lines since the last start, without secrets. In the status, and in the "
                "answer to a start that has failed."
            ),
        ]
    ]
    why: NotRequired[
        Annotated[
            str,
            Meta(description="Of a start: why this mode, or that another one runs already."),
        ]
    ]
    already_running: NotRequired[Annotated[bool, Meta(description="Of a start: `true` where it ran before.")]]
    auto: NotRequired[Annotated[Auto, Meta(description="Of the status: which mode a start would choose.")]]


class EventsPage(TypedDict):
    """A page of stored events."""

    events: Annotated[
        list[Any],
        Meta(
            description="Oldest first, each as it was posted, with its `id`.",
            extra_json_schema={"items": {"$ref": "#/components/schemas/StoredEvent"}},
        ),
    ]
    next: Annotated[
        str, Meta(description="Send it as `after` for the next page, or as `last_event_id` to a stream.")
    ]
    previous: Annotated[
        str | None, Meta(description="Send it as `before` for the page before; null where none is.")
    ]
    more: Annotated[bool, Meta(description="Whether there is more after `next`.")]
    warnings: NotRequired[
        Annotated[list[str], Meta(description="Sentences about filters whose values look like mistakes.")]
    ]


class RoomList(TypedDict):
    """All rooms with stored events, the newest event's room first."""

    rooms: Summaries


class Erased(TypedDict):
    """Events were erased for good."""

    status: Literal["ok"]
    erased: Annotated[int, Meta(description="How many.")]


class Ticket(TypedDict):
    """A credential that may stand in a URL, for streams only."""

    ticket: str
    expires_in: Annotated[float, Meta(description="Seconds; at most 600.")]


class Token(TypedDict):
    """What LiveKit's clients need to join."""

    server_url: str
    participant_token: str


class WebhookTaken(TypedDict):
    """What became of a webhook."""

    status: Annotated[Literal["ok", "ignored"], Meta(description="`ignored`: none of the hub's business.")]
    id: NotRequired[Annotated[str, Meta(description="The stored event's id.")]]
    duplicate: NotRequired[Annotated[bool, Meta(description="`true` where LiveKit had sent it before.")]]
    event: NotRequired[Annotated[str, Meta(description="Of an ignored one: LiveKit's name of it.")]]


class Health(TypedDict):
    """How the server is."""

    status: Literal["ok", "draining"]
    version: str
    clients: Annotated[int, Meta(description="Open streams.")]
    uptime: Annotated[float, Meta(description="Seconds since the start.")]


class Problem(TypedDict):
    """An error (RFC 9457)."""

    type: Literal["about:blank"]
    title: str
    status: int
    detail: Annotated[str, Meta(description="What is wrong, and what to do.")]
    field: NotRequired[Annotated[str, Meta(description="The field or query value that is wrong.")]]
