"""`attach(session, ctx)`: one line that streams an existing AgentSession's conversation to the hub.

The shell around `streaming_hub_client.bridge`: listens to the session, asks the bridge for events, filters and redacts
them, and hands them to the poster. A callback here never blocks (the poster only queues) and never raises.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any, Protocol

from livekit.agents import AgentSession, JobContext, get_job_context
from livekit.agents.voice import agent_activity, room_io

from streaming_hub_client import bridge
from streaming_hub_client.conversation import Conversation, Event, Item
from streaming_hub_client.ending import (
    PARTICIPANT_LOST,
    ROOM_DISCONNECTED,
    known_end,
    livekit_name,
    why_closed,
    why_left,
)
from streaming_hub_client.fitting import fit
from streaming_hub_client.poster import Poster
from streaming_hub_client.results import Results
from streaming_hub_client.words import SpokenWords

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine

    from livekit import rtc

log = logging.getLogger(__name__)

FLUSH_SECONDS = 3.0
TOOLS = "tool_execution_updated"

_LOST = {PARTICIPANT_LOST, livekit_name(None)}
"""Causes given for a user that an agent without its room cannot see."""


class Sink(Protocol):
    """Where events go: `streaming_hub_client.poster.Poster`, or anything with these methods."""

    def post(self, event: Event) -> None:
        """Queue one event; never blocks, never raises."""

    def flush(self, timeout: float, /) -> bool:
        """Wait until what was taken is sent, for at most `timeout` seconds; return whether it is."""

    def close(self, timeout: float, /) -> bool:
        """Flush and end."""


class _Shared:
    """The process's poster: one thread and one connection, however many sessions run."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._poster: Sink | None = None

    def get(self) -> Sink:
        with self._lock:
            if self._poster is None:
                self._poster = Poster.from_env()
            return self._poster


_shared = _Shared()


def shared_poster() -> Sink:
    """Return the process's poster, made from STREAM_URL and STREAM_PUBLISH_KEY on first use."""
    return _shared.get()


class Attachment:
    """What `attach` returns.

    Attributes:
        words: The text output for the agent's words. `attach` puts it in place for sessions that are started
            with a room; with audio outputs of your own, pass it to your `TranscriptSynchronizer` as
            `next_in_chain_text`.
    """

    def __init__(self, memory: Conversation, poster: Sink, choose: Callable[[Event], Event | None]) -> None:
        self.words = SpokenWords(self._on_words)
        self._memory = memory
        self._name, self._runs = memory.session_id, 1
        self._results = Results(self._tool_ended)
        self._on_tool: Callable[[Any], None] = lambda _: None
        self._poster = poster
        self._choose = choose
        self._identify: Callable[[], str | None] = lambda: None
        self._playing: Callable[[], str | None] = lambda: None

    @property
    def session_id(self) -> str:
        """The session's id in its events; a session that is started again has a new one."""
        return self._memory.session_id

    def listen(self, session: AgentSession[Any]) -> None:
        """Subscribe to every event in the bridge's table."""
        self._identify = lambda: _linked_identity(session)
        self._playing = lambda: session.current_speech.id if session.current_speech is not None else None
        for name in bridge.TABLE:
            callback = self._callback(session, name)
            session.on(name, callback)  # type: ignore[arg-type]  # the table's keys are the names
            if name == TOOLS:
                self._on_tool = callback

    def begin_again(self) -> None:
        """Stream what follows as another session if this one has ended: `session.start` was called again.

        The new session's id is the first one with `-2`, `-3`... at its end.
        """
        old = self._memory
        if old.ended:
            self._runs += 1
            name = f"{self._name}-{self._runs}"
            self._memory = Conversation(name, old.room, user=old.user, agent=old.agent, about=old.about)

    def ending(self, reason: str | None) -> None:
        """Set the reason of the session's end, for ends that LiveKit's close reason does not explain.

        Args:
            reason: What `session_ended` will give as its reason; None: what LiveKit says.
        """
        self._memory.end_reason = reason

    def watch(self, room: rtc.Room) -> None:
        """Note why a room's session ends: LiveKit closes it as `user_initiated` for a lost room as well."""

        def left(participant: rtc.RemoteParticipant) -> None:
            # a user who leaves before anything has happened is not known from an event
            self._memory.user = self._identify() or self._memory.user
            if participant.identity == self._memory.user:
                self.ending(why_left(participant.disconnect_reason))
                self._memory.disconnect_reason = livekit_name(participant.disconnect_reason)

        def came(participant: rtc.RemoteParticipant) -> None:
            if participant.identity == self._memory.user:
                self.ending(None)
                self._memory.disconnect_reason = None

        def reconnecting() -> None:
            told = "the connection to the room is lost; LiveKit tries to get it back"
            self.post("error", source="room", message=told, recoverable=True)

        def lost(reason: rtc.DisconnectReason.ValueType) -> None:
            known, cause = self._memory.end_reason, why_closed(reason)
            # an agent that loses the room loses its user too, often for no reason given
            if known is None or (cause == ROOM_DISCONNECTED and known in _LOST):
                self.ending(cause)
                self._memory.disconnect_reason = livekit_name(reason)

        room.on("participant_disconnected", left)
        room.on("participant_connected", came)
        room.on("reconnecting", reconnecting)
        room.on("disconnected", lost)

    def post(self, kind: str, **fields: Any) -> None:
        """Send an event of your own, with the session's room, id and clock.

        Args:
            kind: The event's type.
            **fields: What it says; must be JSON.
        """
        self._send([self._memory.event(kind, time.time(), **fields)])

    def flush(self, timeout: float) -> bool:
        """Wait until what happened so far is sent; blocks, so call it off the event loop.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            Whether everything was sent.
        """
        return self._poster.flush(timeout)

    def _callback(self, session: AgentSession[Any], name: str) -> Callable[[Any], None]:
        def callback(payload: Any) -> None:
            try:
                if name == "agent_state_changed" and payload.old_state == "initializing":
                    self.begin_again()
                self._memory.user = self._identify() or self._memory.user
                self._memory.playing = self._playing()
                self._memory.made_by = _speech_at_work()
                # Private; without it the speech that a close cuts off counts as interrupted by the user.
                self._memory.closing = bool(getattr(session, "_closing", False))
                self._memory.end_reason = known_end() or self._memory.end_reason
                if self._memory.awaits_words_of_several and getattr(payload, "item_id", None) is not None:
                    self._memory.order = _items(session)
                if name == TOOLS:
                    self._memory.result = self._results.note(session, payload.update)
                self._send(bridge.translate(self._memory, name, payload))
                self._release_soon()
            except Exception:
                log.exception("unexpected error: could not stream the session event %s", name)
                self._count_dropped(f"the session event {name} could not be streamed")

        return callback

    def _release_soon(self) -> None:
        """Send a final that is held for its message even if LiveKit adds none, which it does at once."""
        if self._memory.held is None:
            return
        try:
            asyncio.get_running_loop().call_soon(self._release)
        except RuntimeError:  # the application emits by itself, outside the loop
            self._release()

    def _release(self) -> None:
        self._send(bridge.release(self._memory))

    def _tool_ended(self, ended: Any) -> None:
        self._on_tool(ended)

    def _count_dropped(self, reason: str) -> None:
        """Say that an event is missing, unless the session has told its end."""
        if not self._memory.ended:
            dropped = self._memory.event(
                "events_dropped", self._memory.last_timestamp or time.time(), count=1, reason=reason
            )
            self._post(fit(dropped))

    def _on_words(self, text: str) -> None:
        try:
            self._memory.playing = self._playing()
            self._send(bridge.agent_words(self._memory, text, time.time()))
        except Exception:
            log.exception("unexpected error: could not stream the agent's words")

    def _send(self, events: list[Event]) -> None:
        for event in events:
            try:
                chosen = self._choose(event)
                fitted = None if chosen is None else fit(chosen)
            except Exception:
                log.exception("redact failed; an event of type %r is not sent", event["type"])
                fitted = fit(
                    self._memory.event(
                        "events_dropped", event["timestamp"], count=1, reason="an event could not be redacted"
                    )
                )
            if fitted is not None:
                self._post(fitted)

    def _post(self, event: Event) -> None:
        try:
            self._poster.post(event)
        except Exception:  # a poster of the application's own
            log.exception("unexpected error: the poster failed; an event of type %r is lost", event["type"])


def attach(
    session: AgentSession[Any],
    ctx: JobContext | None = None,
    *,
    room: str | None = None,
    session_id: str | None = None,
    poster: Sink | None = None,
    types: Collection[str] | None = None,
    interims: bool = True,
    redact: Callable[[Event], Event | None] | None = None,
) -> Attachment:
    """Stream a session's conversation to the hub. Call it before `session.start`.

    Args:
        session: The session; it may have any models, tools and agents.
        ctx: The job; by default the one this code runs in, if any.
        room: The room's name; by default the job's.
        session_id: By default a new UUID.
        poster: Where events go; by default the process's poster (STREAM_URL, STREAM_PUBLISH_KEY).
        types: Send only these event types; by default all.
        interims: Send words while they are spoken; False sends final transcripts only.
        redact: Called with each event; gives the event to send, changed or not, or None to send nothing. An
            exception in it keeps that event back, and an `events_dropped` counts it.

    Returns:
        The attachment: the words' text output, the session's id, and `post` for events of your own.
    """
    job = ctx if ctx is not None else get_job_context(required=False)
    memory = Conversation(
        session_id=session_id or uuid.uuid4().hex,
        room=room or (job.job.room.name if job is not None else "") or "default",
        agent=_agent_identity(job),
        about=_about(job),
    )
    choose = _chooser(types, redact, interims=interims)
    attachment = Attachment(memory, poster or shared_poster(), choose)
    attachment.listen(session)
    _wrap_start(session, attachment, tap=interims)
    if job is not None:
        job.add_shutdown_callback(_flusher(attachment))
        if not job.is_fake_job():
            attachment.watch(job.room)
    return attachment


def _chooser(
    types: Collection[str] | None, redact: Callable[[Event], Event | None] | None, *, interims: bool
) -> Callable[[Event], Event | None]:
    def choose(event: Event) -> Event | None:
        if types is not None and event["type"] not in types:
            return None
        if not interims and event.get("is_final") is False:
            return None
        return event if redact is None else redact(event)

    return choose


def _agent_identity(job: JobContext | None) -> str:
    if job is None or job.is_fake_job():  # a simulated job has no token to read it from
        return "agent"
    return job.local_participant_identity or "agent"


def _about(job: JobContext | None) -> dict[str, Any]:
    """Return what ties the session to LiveKit's job, and so to what the agent uploads itself."""
    if job is None or job.is_fake_job():
        return {}
    told = {"job_id": job.job.id, "room_sid": job.job.room.sid, "agent_name": job.job.agent_name}
    return {name: value for name, value in told.items() if value}


def _linked_identity(session: AgentSession[Any]) -> str | None:
    try:
        participant = session.room_io.linked_participant
    except RuntimeError:  # a session without a room
        return None
    return participant.identity if participant is not None else None


def _speech_at_work() -> str | None:
    """Return the id of the speech whose task this is, by a private variable of LiveKit's; None if that is unknown."""
    variable = getattr(agent_activity, "_SpeechHandleContextVar", None)
    speech = None if variable is None else variable.get(None)
    return None if speech is None else str(speech.id)


def _items(session: AgentSession[Any]) -> list[Item]:
    """Return a realtime model's items, oldest first: also speech that is not transcribed yet."""
    try:
        items = session.current_agent.realtime_llm_session.chat_ctx.items
        return [Item(item.id, item.type == "message" and item.role == "user") for item in items]
    except RuntimeError:  # no agent runs, or none with a realtime model
        return []


def _wrap_start(session: AgentSession[Any], attachment: Attachment, *, tap: bool) -> None:
    # Behind the room's synchronizer is the only place where words come paced with the audio, and it can be
    # set only through the options of `start`. Wrapping `start` keeps this one line for the user, and shows
    # that a session begins again before its first event.
    start = session.start

    async def start_streamed(agent: Any, *rest: Any, **options: Any) -> Any:
        attachment.begin_again()
        if tap and options.get("room") is not None:
            options = _with_words(options, attachment)
        return await start(agent, *rest, **options)

    session.start = start_streamed  # type: ignore[method-assign]  # same parameters, passed through


def _with_words(options: dict[str, Any], attachment: Attachment) -> dict[str, Any]:
    given = options.get("room_options")
    if given is None and ("room_input_options" in options or "room_output_options" in options):
        log.warning("agent words are not streamed: pass room_options instead of the deprecated options")
        return options
    room_options = copy.copy(given) if isinstance(given, room_io.RoomOptions) else room_io.RoomOptions()
    text = room_options.get_text_output_options()
    if text is None:  # the user has switched the room's text off, and with it the paced words
        return options
    text = copy.copy(text)
    attachment.words = text.next_in_chain = attachment.words.before(text.next_in_chain)
    room_options.text_output = text
    return {**options, "room_options": room_options}


def _flusher(attachment: Attachment) -> Callable[[str], Coroutine[None, None, None]]:
    async def flush_events(_reason: str) -> None:
        await asyncio.to_thread(attachment.flush, FLUSH_SECONDS)

    return flush_events
