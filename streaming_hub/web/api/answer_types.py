"""The types of responses: the views fill them, /openapi.json is made from them.

They are plain dicts at run time, so they cost nothing; mypy checks the views against them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, TypedDict

from msgspec import Meta

from streaming_hub.agents.states import State
from streaming_hub.events.types.snapshot import RoomSummary
from streaming_hub.web.api.watcher_answer import WatcherAnswer  # noqa: TC001 - msgspec resolves it

Mode = Annotated[str, Meta(extra_json_schema={"enum": ["livekit", "rehearsal"]})]
AgentState = Annotated[State, Meta(description="`running` while a session is live.")]
Summaries = list[RoomSummary]


class Published(TypedDict):
    """One event was accepted and stored."""

    status: Literal["ok"]
    id: Annotated[str, Meta(description="Its id, `<epoch>-<seq>`.")]
    duplicate: NotRequired[
        Annotated[bool, Meta(description="`true` if its `event_id` was known: nothing was sent again.")]
    ]
    clients_notified: Annotated[int, Meta(description="Open streams that may see it; 0 for a duplicate.")]


class BatchPublished(TypedDict):
    """A batch was accepted and stored."""

    status: Literal["ok"]
    ids: Annotated[list[str], Meta(description="The ids in posted order.")]
    duplicates: Annotated[int, Meta(description="How many of them were known.")]
    clients_notified: Annotated[
        int, Meta(description="Open streams that may see at least one of the new ones.")
    ]


class Lease(TypedDict):
    """Leases were renewed."""

    status: Literal["ok"]
    ended: Annotated[list[str], Meta(description="Those of the sessions that have already ended.")]


class Auto(TypedDict):
    """The mode that a start would choose."""

    mode: Mode
    why: str


class AgentAnswer(TypedDict):
    """The agent process."""

    status: Annotated[State, Meta(description="The same as `state`.")]
    state: AgentState
    pid: Annotated[int | None, Meta(description="Process id; null if there is no process.")]
    mode: Annotated[Mode | None, Meta(description="Of the current or the last process.")]
    room: Annotated[str | None, Meta(description="The room it was started for, if any.")]
    uptime: Annotated[float, Meta(description="Seconds since the process was started; 0 if there is none.")]
    restarts: Annotated[int, Meta(description="Automatic restarts since the last start.")]
    sessions: Annotated[int, Meta(description="Live sessions.")]
    last_error: Annotated[str | None, Meta(description="Why it last failed since the last start.")]
    trouble: Annotated[
        str | None, Meta(description="Why the running agent gets no new rooms now; else null.")
    ]
    node: Annotated[str | None, Meta(description="The node that runs it; null if there is no process.")]
    log: NotRequired[
        Annotated[
            list[str],
            Meta(
                description="Its last log lines since the last start, without secrets. In the status, and in the "
                "response to a failed start."
            ),
        ]
    ]
    why: NotRequired[
        Annotated[
            str,
            Meta(description="After a start: why this mode, or that another one is already running."),
        ]
    ]
    already_running: NotRequired[
        Annotated[bool, Meta(description="After a start: `true` if it was already running.")]
    ]
    watcher: NotRequired[
        Annotated[WatcherAnswer | None, Meta(description="In the status; null without STREAM_WATCH.")]
    ]
    auto: NotRequired[Annotated[Auto, Meta(description="In the status: the mode that a start would choose.")]]


class EventsPage(TypedDict):
    """A page of stored events."""

    events: Annotated[
        list[Any],
        Meta(
            description="Oldest first, each as posted, with its `id`.",
            extra_json_schema={"items": {"$ref": "#/components/schemas/StoredEvent"}},
        ),
    ]
    next: Annotated[
        str, Meta(description="Send it as `after` for the next page, or as `last_event_id` to a stream.")
    ]
    previous: Annotated[
        str | None, Meta(description="Send it as `before` for the previous page; null if there is none.")
    ]
    more: Annotated[bool, Meta(description="Whether there is more after `next`.")]
    warnings: NotRequired[
        Annotated[list[str], Meta(description="A sentence for each filter value that looks like a mistake.")]
    ]


class RoomList(TypedDict):
    """All rooms with stored events, the newest event's room first."""

    rooms: Summaries


class Erased(TypedDict):
    """The result of an erasure."""

    status: Literal["ok"]
    erased: Annotated[int, Meta(description="How many.")]


class Ticket(TypedDict):
    """A credential for URLs, for streams only."""

    ticket: str
    expires_in: Annotated[float, Meta(description="Seconds; at most 600.")]


class Token(TypedDict):
    """What LiveKit's clients need to join."""

    server_url: str
    participant_token: str


class WebhookTaken(TypedDict):
    """The result of a webhook."""

    status: Annotated[
        Literal["ok", "ignored"], Meta(description="`ignored`: not about rooms or participants.")
    ]
    id: NotRequired[Annotated[str, Meta(description="The stored event's id.")]]
    duplicate: NotRequired[Annotated[bool, Meta(description="`true` if LiveKit had sent it before.")]]
    event: NotRequired[Annotated[str, Meta(description="If ignored: LiveKit's name of the event.")]]


class Percentiles(TypedDict):
    """Values of one kind, in seconds; percentiles by nearest rank."""

    count: int
    p50: float
    p90: float
    p95: float
    p99: float
    max: float


class Person(TypedDict):
    """A participant of a session."""

    identity: str
    role: str | None


class Match(TypedDict):
    """An utterance that a search found."""

    text: str
    role: str | None
    at: float
    turn_id: str | None


class ArchivedSession(TypedDict):
    """A session and its figures (docs/reference/archive.md). Missing values are null. Times: seconds since 1970."""

    session_id: str
    room: str | None
    agent: Annotated[str | None, Meta(description="`agent_name` of its `session_started`.")]
    state: Literal["live", "ended"]
    started: float
    ended: float | None
    duration: Annotated[float, Meta(description="Seconds; if live, up to its newest event.")]
    reason: str | None
    participants: list[Person]
    turns: int
    first_response: Annotated[
        float | None, Meta(description="Seconds from its start to the agent's first sound.")
    ]
    user_talk: float
    agent_talk: float
    overlap: float
    silence: float
    user_words: int
    agent_words: int
    interruptions: int
    false_interruptions: int
    tool_calls: Annotated[int | None, Meta(description="Operators only.")]
    tool_failures: Annotated[int | None, Meta(description="Operators only.")]
    errors: Annotated[int | None, Meta(description="Operators only.")]
    latency: Annotated[Percentiles | None, Meta(description="LiveKit's `e2e_latency`. Operators only.")]
    heard_latency: Annotated[
        Percentiles | None, Meta(description="From the end of the user's speech to the agent's first sound.")
    ]
    usage: Annotated[list[Any] | None, Meta(description="The newest `model_usage`. Operators only.")]
    missing_events: Annotated[
        int | None,
        Meta(description="Sequence numbers skipped while it was live: an upper bound; null if unknown."),
    ]
    incomplete: bool
    recorded: Annotated[bool, Meta(description="Whether its raw events are archived.")]
    audio: Annotated[
        bool | None,
        Meta(description="Whether its audio is stored (`GET /api/sessions/ID/audio`); null for viewers."),
    ]
    recording_start: Annotated[
        float | None,
        Meta(description="When the audio begins, seconds since 1970; null without audio, and for viewers."),
    ]
    matches: NotRequired[Annotated[list[Match], Meta(description="With `q`: the first three utterances.")]]


class ArchivedTurn(TypedDict):
    """One turn of a session. The latencies, except `heard_latency`, are LiveKit's, in seconds."""

    turn_id: str
    index: int
    started: float
    user_text: str | None
    agent_text: str | None
    user_started: float | None
    user_stopped: float | None
    agent_started: float | None
    agent_stopped: float | None
    interrupted: bool
    heard_latency: float | None
    e2e_latency: float | None
    transcription_delay: float | None
    end_of_turn_delay: float | None
    llm_node_ttft: float | None
    tts_node_ttfb: float | None
    playback_latency: float | None
    tools: Annotated[list[str | None], Meta(description="Ids of the calls of this turn.")]


class ArchivedLine(TypedDict):
    """A final transcript; `started` and `stopped` are of its speech."""

    at: float
    role: str | None
    participant: str | None
    turn_id: str | None
    text: str | None
    interrupted: bool
    started: float | None
    stopped: float | None


class ArchivedTool(TypedDict):
    """A tool call; `status` is null while it has not finished."""

    call_id: str | None
    turn_id: str | None
    name: str | None
    arguments: Any
    output: Any
    status: str | None
    started: float | None
    duration: float | None


class ArchivedError(TypedDict):
    """An `error` event."""

    at: float
    turn_id: str | None
    source: str | None
    message: str | None
    recoverable: bool | None


class SessionList(TypedDict):
    """A page of sessions."""

    sessions: list[ArchivedSession]
    next: Annotated[str | None, Meta(description="`cursor` of the next page; null on the last one.")]
    total: NotRequired[
        Annotated[int, Meta(description="With `total=1`: the number of sessions on all pages.")]
    ]


class ChatMessage(TypedDict):
    """A message, or a line of the transcript."""

    role: str | None
    text: str
    at: Annotated[float | None, Meta(description="Seconds since 1970.")]


class Reconciliation(TypedDict):
    """Differences between LiveKit's chat history and the transcript."""

    complete: Annotated[bool, Meta(description="Whether no message is missing.")]
    missing: list[ChatMessage]
    unexpected: Annotated[list[ChatMessage], Meta(description="Lines that are in no message.")]


class SessionDetail(TypedDict):
    """Everything about a session. For viewers, `tools` and `errors` are empty."""

    session: ArchivedSession
    turns: list[ArchivedTurn]
    transcript: list[ArchivedLine]
    tools: list[ArchivedTool]
    errors: list[ArchivedError]
    reconciliation: Annotated[
        Reconciliation | None,
        Meta(
            description="LiveKit's chat history compared with the transcript; null before its report, and for viewers."
        ),
    ]


class UploadsOff(TypedDict):
    """Uploads are off: this body makes LiveKit's SDK stop sending them."""

    msg: str


class Stage(TypedDict):
    """A stage of a turn, from a span of LiveKit's agent."""

    name: Annotated[str, Meta(description="LiveKit's name for the span.")]
    started: Annotated[float, Meta(description="Seconds since 1970.")]
    duration: Annotated[float, Meta(description="Seconds.")]
    model: str | None
    provider: str | None
    input_tokens: int | None
    output_tokens: int | None
    retries: int | None
    error: str | None
    prompt: NotRequired[
        Annotated[dict[str, Any], Meta(description="The model's input, with STREAM_OBSERVABILITY_PROMPTS.")]
    ]


class TraceTurn(TypedDict):
    """The stages of one turn, in order."""

    turn_id: str
    stages: list[Stage]


class Trace(TypedDict):
    """The spans that the agent uploaded."""

    turns: list[TraceTurn]
    other: Annotated[list[Stage], Meta(description="Stages outside of turns.")]
    dropped: Annotated[int, Meta(description="Number of spans beyond the limit of a session.")]


class LogLine(TypedDict):
    """One line of the agent's log."""

    at: Annotated[float, Meta(description="Seconds since 1970.")]
    level: Literal["trace", "debug", "info", "warning", "error", "critical"] | None
    logger: str
    message: str


class LogPage(TypedDict):
    """A page of the agent's log, oldest first."""

    lines: list[LogLine]
    next: Annotated[str | None, Meta(description="`cursor` of the next page; null on the last one.")]
    dropped: Annotated[int, Meta(description="Number of lines beyond the limit of a session.")]


class Bucket(TypedDict):
    """Figures of the sessions that began in one period; latencies over all their turns."""

    start: Annotated[int, Meta(description="Seconds since 1970, UTC.")]
    sessions: int
    minutes: float
    turns: int
    heard_latency: Percentiles | None
    latency: Percentiles | None
    transcription_delay: Percentiles | None
    end_of_turn_delay: Percentiles | None
    llm_node_ttft: Percentiles | None
    tts_node_ttfb: Percentiles | None
    interruptions: int
    tool_calls: int | None
    tool_failures: int | None
    errors: int | None


class Statistics(TypedDict):
    """Buckets in order, empty ones included."""

    buckets: list[Bucket]


class Me(TypedDict):
    """What the caller may do and see."""

    scopes: list[Annotated[str, Meta(extra_json_schema={"enum": ["operate", "publish", "subscribe"]})]]
    view: Literal["viewer", "operator"]
    rooms: Annotated[list[str] | None, Meta(description="The only rooms; null for all.")]


class WebhookHealth(TypedDict):
    """A webhook's health."""

    failing_since: Annotated[
        float | None, Meta(description="When it first failed after the last success, seconds since 1970.")
    ]
    pending: Annotated[int, Meta(description="Pending deliveries.")]
    success_rate: Annotated[
        float | None,
        Meta(description="Share of the last 100 attempted deliveries that were accepted; null without any."),
    ]
    oldest_pending: Annotated[
        float | None, Meta(description="Since when the oldest delivery has been pending, seconds since 1970.")
    ]
    next_try: Annotated[
        float | None,
        Meta(description="When the next attempt is due, seconds since 1970; null for now, or never."),
    ]


class WebhookEndpoint(TypedDict):
    """An endpoint that events are sent to."""

    id: str
    url: str
    types: list[str]
    rooms: list[str] | None
    view: Literal["operator", "viewer"]
    interims: bool
    description: str | None
    enabled: bool
    reason: Annotated[
        str | None,
        Meta(
            description="Why it is disabled: `gone` (410), `no_success` or `operator`; null while it is enabled."
        ),
    ]
    missed: Annotated[
        int,
        Meta(description="Skipped events: too many were pending, or the history had dropped them."),
    ]
    health: WebhookHealth


class MadeWebhook(WebhookEndpoint):
    """A new webhook with its secret, which is not shown again."""

    secret: str


class ChangedWebhook(WebhookEndpoint):
    """A changed webhook; with its secret if that is new."""

    secret: NotRequired[str]


class WebhookList(TypedDict):
    """The webhooks that the caller may see."""

    webhooks: list[WebhookEndpoint]


class WebhookTest(TypedDict):
    """The outcome of a request."""

    status: Annotated[int | None, Meta(description="The receiver's status; null without a response.")]
    answer: Annotated[str, Meta(description="The first 1 KiB of the response.")]
    duration: Annotated[float, Meta(description="Seconds.")]
    error: Annotated[str | None, Meta(description="What went wrong, if there is no complete response.")]


class WebhookAttempt(WebhookTest):
    """One attempt of a delivery."""

    at: Annotated[float, Meta(description="Seconds since 1970.")]


class WebhookDeliveryState(TypedDict):
    """An event on its way to a webhook, without its attempts."""

    id: str
    event_id: Annotated[str, Meta(description="The hub's `id` of the event, and the `webhook-id`.")]
    type: str
    room: str | None
    state: Literal["pending", "delivered", "failed", "skipped"]
    next_try: Annotated[
        float | None,
        Meta(
            description="When the next attempt for its room is due, seconds since 1970; null for now, or never."
        ),
    ]


class WebhookDelivery(WebhookDeliveryState):
    """An event on its way to a webhook."""

    attempts: list[WebhookAttempt]


class WebhookRequest(TypedDict):
    """A request as it was sent."""

    url: str
    headers: Annotated[dict[str, str], Meta(description="Those that the hub sets, including the signature.")]


class WebhookAttemptRequest(WebhookAttempt):
    """An attempt of a delivery, with what was sent."""

    request: Annotated[
        WebhookRequest | None, Meta(description="Null for attempts made before the hub recorded it.")
    ]


class WebhookDeliveryRequests(WebhookDeliveryState):
    """A delivery, and what was sent."""

    attempts: list[WebhookAttemptRequest]
    body: Annotated[
        str | None,
        Meta(
            description="The body of each request, byte for byte; null once neither log nor history has it."
        ),
    ]


class WebhookDeliveries(TypedDict):
    """A page of a webhook's log, newest first."""

    deliveries: list[WebhookDelivery]
    next: Annotated[str | None, Meta(description="`cursor` of the next page; null on the last one.")]


class Replayed(TypedDict):
    """The number of events that are sent again."""

    replayed: int
    missed: Annotated[int, Meta(description="Events that are no longer stored.")]


class Health(TypedDict):
    """The state of the server."""

    status: Literal["ok", "draining"]
    version: str
    clients: Annotated[int, Meta(description="Open streams.")]
    archive: Annotated[
        Literal["ok", "away", "off"],
        Meta(description="`away` while its database cannot be written; everything else works."),
    ]
    history: Annotated[
        Literal["ok", "away"],
        Meta(
            description="`away` while Redis is unreachable, and after a failed write until one succeeds. Streams stay."
        ),
    ]
    node: Annotated[
        str,
        Meta(
            description="The process that responds; has a new name at each start unless STREAM_NODE is set."
        ),
    ]
    reason: NotRequired[Annotated[str, Meta(description="Why the history is away.")]]
    uptime: Annotated[float, Meta(description="Seconds since the start.")]


class Problem(TypedDict):
    """An error (RFC 9457)."""

    type: Literal["about:blank"]
    title: str
    status: int
    detail: Annotated[str, Meta(description="What is wrong, and what to do.")]
    field: NotRequired[Annotated[str, Meta(description="The field or query value that is wrong.")]]
