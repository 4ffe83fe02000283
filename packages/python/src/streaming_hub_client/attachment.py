"""`attach(session, ctx)`: one line that streams an existing AgentSession's conversation to the hub.

The shell around `streaming_hub_client.bridge`: listens to the session, has the bridge translate its events, filters
and redacts them, and passes them to the poster. Callbacks never block (the poster only queues) and never raise.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import os
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any, Protocol

from livekit import rtc
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

log = logging.getLogger(__name__)

FLUSH_SECONDS = 3.0
TOOLS = "tool_execution_updated"

_LOST = {PARTICIPANT_LOST, livekit_name(None)}
"""Reasons reported for the user's departure when it is the agent that lost the room."""


class Sink(Protocol):
    """Where events go: `streaming_hub_client.poster.Poster`, or anything with these methods."""

    def post(self, event: Event) -> None:
        """Queue one event; never blocks, never raises."""

    def flush(self, timeout: float, /) -> bool:
        """Wait until all events are sent, for at most `timeout` seconds; return whether they are."""

    def close(self, timeout: float, /) -> bool:
        """Flush, then stop."""


_posters: dict[tuple[int, str | None, str | None], Sink] = {}
_making = threading.Lock()


def shared_poster(url: str | None = None, key: str | None = None) -> Sink:
    """Return the process's poster for a hub, created on first use.

    All sessions share it, so the process needs one connection however many sessions run.

    Args:
        url: The hub; STREAM_URL by default.
        key: Its publish key; STREAM_PUBLISH_KEY by default.
    """
    with _making:
        # The pid, because a forked process inherits its parent's posters but not their threads.
        which = (os.getpid(), url, key)
        if which not in _posters:
            _posters[which] = Poster.from_env(url, key)
        return _posters[which]


class Attachment:
    """What `attach` returns.

    Attributes:
        words: The text output for the agent's words. `attach` installs it in sessions that are started with a room;
            with audio outputs of your own, pass it to your `TranscriptSynchronizer` as `next_in_chain_text`.
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
        """The session's id in its events; restarting the session changes it."""
        return self._memory.session_id

    def ending(self, reason: str | None) -> None:
        """Set the `reason` of `session_ended`, for ends that LiveKit's close reason does not explain.

        Args:
            reason: The reason; None restores LiveKit's own.
        """
        self._memory.end_reason = reason

    def post(self, kind: str, **fields: Any) -> None:
        """Send a custom event with the session's room and id and the current time.

        Args:
            kind: The event's type.
            **fields: Its other fields. Any values are allowed; `data.plain` converts them to JSON data.
        """
        self._send([self._memory.event(kind, time.time(), **fields)])

    def flush(self, seconds: float) -> bool:
        """Wait until everything posted so far is sent. Blocks: in an event loop, call it with `asyncio.to_thread`.

        Args:
            seconds: Longest wait.

        Returns:
            Whether everything was sent.
        """
        return self._poster.flush(seconds)

    def _listen(self, session: AgentSession[Any]) -> None:
        """Subscribe to every event in the bridge's table."""
        self._identify = lambda: _linked_identity(session)
        self._playing = lambda: session.current_speech.id if session.current_speech is not None else None
        for name in bridge.TABLE:
            callback = self._callback(session, name)
            session.on(name, callback)  # type: ignore[arg-type]  # the table's keys are the names
            if name == TOOLS:
                self._on_tool = callback

    def _begin_again(self) -> None:
        """Start a new session in the events if the last one has ended, because `session.start` was called again.

        The new id is the original one with `-2`, `-3`... appended.
        """
        old = self._memory
        if old.ended:
            self._runs += 1
            name = f"{self._name}-{self._runs}"
            self._memory = Conversation(name, old.room, user=old.user, agent=old.agent, about=old.about)

    def _watch(self, room: rtc.Room) -> None:
        """Record why the session ends, since LiveKit reports `user_initiated` even when the room was lost."""

        def left(participant: rtc.RemoteParticipant) -> None:
            # The user may leave before the first event, which would have set it.
            self._memory.user = self._identify() or self._memory.user
            if participant.identity == self._memory.user:
                self.ending(why_left(participant.disconnect_reason))
                self._memory.disconnect_reason = livekit_name(participant.disconnect_reason)

        def came(participant: rtc.RemoteParticipant) -> None:
            if participant.identity == self._memory.user:
                self.ending(None)
                self._memory.disconnect_reason = None

        def reconnecting() -> None:
            message = "the connection to the room is lost; LiveKit is reconnecting"
            self.post("error", source="room", message=message, recoverable=True)

        def lost(reason: rtc.DisconnectReason.ValueType) -> None:
            known, cause = self._memory.end_reason, why_closed(reason)
            # An agent that loses the room sees its user leave as well, often without a reason.
            if known is None or (cause == ROOM_DISCONNECTED and known in _LOST):
                self.ending(cause)
                self._memory.disconnect_reason = livekit_name(reason)

        room.on("participant_disconnected", left)
        room.on("participant_connected", came)
        room.on("reconnecting", reconnecting)
        room.on("disconnected", lost)

    def _callback(self, session: AgentSession[Any], name: str) -> Callable[[Any], None]:
        def callback(payload: Any) -> None:
            try:
                if name == "agent_state_changed" and payload.old_state == "initializing":
                    self._begin_again()
                self._memory.user = self._identify() or self._memory.user
                self._memory.playing = self._playing()
                self._memory.made_by = _speech_at_work()
                self._memory.hook_runs = _hook_runs(session)
                # Private in LiveKit. Without it, speech cut off by a close would count as interrupted by the user.
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
        """Send a held final even if no message follows: LiveKit adds the message immediately or not at all."""
        if self._memory.held is None:
            return
        try:
            asyncio.get_running_loop().call_soon(self._release)
        except RuntimeError:  # The application emits events itself, outside an event loop.
            self._release()

    def _release(self) -> None:
        self._send(bridge.release(self._memory))

    def _tool_ended(self, ended: Any) -> None:
        self._on_tool(ended)

    def _count_dropped(self, reason: str) -> None:
        """Report a missing event, unless the session has ended."""
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
                log.exception("redact failed; an event of type %r was not sent", event["type"])
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
        except Exception:  # The poster may be the application's own.
            log.exception("unexpected error: the poster failed; an event of type %r is lost", event["type"])


def attach(
    session: AgentSession[Any],
    ctx: JobContext | None = None,
    *,
    room: str | None = None,
    session_id: str | None = None,
    types: Collection[str] | None = None,
    interims: bool = True,
    redact: Callable[[Event], Event | None] | None = None,
    url: str | None = None,
    key: str | None = None,
    poster: Sink | None = None,
) -> Attachment:
    """Stream a session's conversation to the hub. Call it before `session.start`.

    Args:
        session: The session; it may have any models, tools and agents.
        ctx: The job context; by default the current one, if there is one.
        room: The room's name; by default the job's.
        session_id: The session's id; by default a new UUID.
        types: The event types to send; by default all.
        interims: Whether to send words as they are spoken; False sends only final transcripts.
        redact: Called with each event. Returns the event to send, changed or not, or None to send nothing. If it
            raises, the event is not sent, and an `events_dropped` event counts it.
        url: The hub; STREAM_URL by default.
        key: A publish key; STREAM_PUBLISH_KEY by default.
        poster: Receives the events instead of the hub, for example in tests. `url` and `key` are then ignored.

    Returns:
        The attachment, with the text output for the words, the session's id, and `post` for custom events. If the
        session is already attached to this hub, its existing attachment, after logging a warning.

    Raises:
        TypeError: `session` is not an AgentSession.
        ValueError: The hub's URL cannot be used.
    """
    if not isinstance(session, rtc.EventEmitter):
        raise TypeError(f"attach needs an AgentSession as its first argument, not {session!r:.200}")
    sink = poster or shared_poster(url, key)
    attached: list[Attachment] = session.__dict__.setdefault("_streaming_hub_attachments", [])
    for earlier in attached:
        if earlier._poster is sink:
            log.warning("the session is already attached to this hub; this call of attach has no effect")
            return earlier
    job = ctx if ctx is not None else get_job_context(required=False)
    memory = Conversation(
        session_id=session_id or uuid.uuid4().hex,
        room=room or (job.job.room.name if job is not None else "") or "default",
        agent=_agent_identity(job),
        about=_about(job),
    )
    choose = _chooser(types, redact, interims=interims)
    attachment = Attachment(memory, sink, choose)
    attached.append(attachment)
    attachment._listen(session)
    _wrap_start(session, attachment, tap=interims)
    if job is not None:
        job.add_shutdown_callback(_flusher(attachment))
        if not job.is_fake_job():
            attachment._watch(job.room)
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
    if job is None or job.is_fake_job():  # A simulated job has no token to read the identity from.
        return "agent"
    return job.local_participant_identity or "agent"


def _about(job: JobContext | None) -> dict[str, Any]:
    """Return the fields that link the session to LiveKit's job, and so to the agent's own uploads."""
    if job is None or job.is_fake_job():
        return {}
    ids = {"job_id": job.job.id, "room_sid": job.job.room.sid, "agent_name": job.job.agent_name}
    return {name: value for name, value in ids.items() if value}


def _linked_identity(session: AgentSession[Any]) -> str | None:
    try:
        participant = session.room_io.linked_participant
    except RuntimeError:  # a session without a room
        return None
    return participant.identity if participant is not None else None


def _speech_at_work() -> str | None:
    """Return the id of the speech that the current task works for, or None. Reads a private variable of LiveKit's."""
    variable = getattr(agent_activity, "_SpeechHandleContextVar", None)
    speech = None if variable is None else variable.get(None)
    return None if speech is None else str(speech.id)


def _hook_runs(session: AgentSession[Any]) -> bool:
    """Return whether `on_user_turn_completed` is running, by a private task of LiveKit's; False if that is unknown."""
    task = getattr(getattr(session, "_activity", None), "_user_turn_completed_atask", None)
    return task is not None and not task.done()


def _items(session: AgentSession[Any]) -> list[Item]:
    """Return a realtime model's items, oldest first, including speech that is not transcribed yet."""
    try:
        items = session.current_agent.realtime_llm_session.chat_ctx.items
        return [Item(item.id, item.type == "message" and item.role == "user") for item in items]
    except RuntimeError:  # No agent is running, or it has no realtime model.
        return []


def _wrap_start(session: AgentSession[Any], attachment: Attachment, *, tap: bool) -> None:
    # Words arrive in time with the audio only behind the room's synchronizer, which can be set only through the
    # options of `start`. Wrapping `start` keeps `attach` one line, and shows that a session starts again before its
    # first event.
    start = session.start

    async def start_streamed(agent: Any, *rest: Any, **options: Any) -> Any:
        attachment._begin_again()
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
    if text is None:  # The room's text output is off, so no words arrive in time with the audio.
        return options
    text = copy.copy(text)
    attachment.words = text.next_in_chain = attachment.words.before(text.next_in_chain)
    room_options.text_output = text
    return {**options, "room_options": room_options}


def _flusher(attachment: Attachment) -> Callable[[str], Coroutine[None, None, None]]:
    async def flush_events(_reason: str) -> None:
        await asyncio.to_thread(attachment.flush, FLUSH_SECONDS)

    return flush_events
