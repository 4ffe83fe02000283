"""Watches one room as a hidden participant: every agent in it becomes a `Watched`.

The participant subscribes to no audio, has no right to publish anything, and asks nothing: LiveKit's agents broadcast
their answers to the whole room. It joins with `kind: agent`, because a hidden participant of any other kind keeps the
room, and the agent in it, open until it leaves (livekit-server 1.13.5).

May touch: one room of LiveKit's.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import Counter
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from livekit import rtc
from streaming_hub_client.ending import livekit_name, why_closed, why_left

from .watched import HOLD_SECONDS, SETTLE_SECONDS, Watched

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from streaming_hub_client.conversation import Event

log = logging.getLogger(__name__)

SESSION_MESSAGES = "lk.agent.session"
TRANSCRIPTION = "lk.transcription"
STATE = "lk.agent.state"
NAME = "lk.agent.name"
FINAL = "lk.transcription_final"
SEGMENT = "lk.segment_id"
JOB_OF_IDENTITY = "agent-"
"""livekit-server calls an agent's participant `agent-` and the job's id, unless the agent chooses a name."""
PEOPLE = frozenset(
    getattr(rtc.ParticipantKind, f"PARTICIPANT_KIND_{name}") for name in ("STANDARD", "SIP", "CONNECTOR")
)
ALONE_SECONDS = 1.5
"""Seconds in which a person who left may come back; an agent's session survives that, too."""
READ_SECONDS = 10.0
MAX_MESSAGE = 1024 * 1024
"""Maximum bytes of a session message; LiveKit's have a few hundred."""
MAX_WORDS = 32_768
"""Maximum characters of a text stream; an event has at most 64 KiB."""
MAX_STREAMS = 32
"""Maximum open text streams of one participant: each one costs time with every message of any room."""
CLOSED = frozenset({rtc.DisconnectReason.ROOM_CLOSED, rtc.DisconnectReason.ROOM_DELETED})
AGENT_LEFT = "agent_left"
AGENT_LOST = "worker_lost"
WATCHER_LOST = "watcher_lost"
_UNKNOWN = datetime.max.replace(tzinfo=UTC)
LOST = frozenset(
    {
        rtc.DisconnectReason.STATE_MISMATCH,
        rtc.DisconnectReason.CONNECTION_TIMEOUT,
        rtc.DisconnectReason.SIGNAL_CLOSE,
    }
)


class RoomWatcher:
    """One stay in a room.

    Args:
        name: The room's.
        send: Called with each event; must not block.
        reported: Returns whether an agent's `attach` reports it, given the agent's job.
        unknown: Counts what is left out of session messages.
    """

    def __init__(
        self,
        name: str,
        send: Callable[[Event], None],
        reported: Callable[[str | None], bool],
        unknown: Counter[str],
    ) -> None:
        self.name = name
        self._send = send
        self._reported = reported
        self._unknown = unknown
        self._room = rtc.Room(loop=asyncio.get_running_loop())
        self._sid = ""
        self._agents: dict[str, Watched] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._messages: asyncio.Queue[tuple[rtc.ByteStreamReader, str]] = asyncio.Queue()
        self._open: Counter[str] = Counter()
        self._done = asyncio.Event()
        self._alone: asyncio.TimerHandle | None = None
        self._left_by: int | None = None
        self._ended: str | None = None
        self._held: set[str] = set()

    @property
    def sessions(self) -> int:
        """The number of live sessions it reports."""
        return sum(watched.live for watched in self._agents.values())

    def owns(self, session_id: str) -> bool:
        """Return whether a session is one of this room's own."""
        return any(watched.session_id == session_id for watched in self._agents.values())

    async def stay(self, url: str, token: str) -> bool:
        """Join, publish what happens, and leave within two seconds of the last person.

        Returns:
            True if it left by itself; False if the room was closed or the connection was lost.

        Raises:
            rtc.ConnectError: It cannot join.
        """
        self._listen()
        await self._room.connect(url, token, rtc.RoomOptions(auto_subscribe=False))
        try:
            self._sid = await asyncio.wait_for(self._room.sid, READ_SECONDS)
            self._spawn(self._read_messages())
            for participant in list(self._room.remote_participants.values()):
                self._came(participant)
            if self._people():
                await self._done.wait()
        finally:
            await self._leave()
        return self._ended is None

    def attached(self) -> None:
        """End the sessions whose agents' `attach` reports them, and leave if there are no others."""
        for watched in list(self._agents.values()):
            if self._reported(job_of(watched.agent)):
                del self._agents[watched.agent]
                self._publish(partial(watched.replaced, time.time()))
        self._leave_if_idle()

    def _leave_if_idle(self) -> None:
        """Leave if there are agents and all of them report themselves."""
        here = self._agents_here()
        if here and all(self._reported(job_of(one.identity)) for one in here):
            self._done.set()

    def end(self, reason: str) -> None:
        """End all sessions, and leave."""
        self._close_all(reason)
        self._done.set()

    def _close_all(self, reason: str, named: str | None = None) -> None:
        for watched in self._agents.values():
            self._publish(partial(watched.close, reason, time.time(), named))
        self._agents.clear()

    def _listen(self) -> None:
        room = self._room
        room.on("participant_connected", self._came)
        room.on("participant_disconnected", self._went)
        room.on("participant_attributes_changed", self._attributes)
        room.on("disconnected", self._disconnected)
        room.register_byte_stream_handler(SESSION_MESSAGES, self._message_begins)
        room.register_text_stream_handler(TRANSCRIPTION, self._words_begin)

    async def _leave(self) -> None:
        if self._alone is not None:
            self._alone.cancel()
        if self._ended is None:
            self._close_all(why_left(self._left_by), _named(self._left_by))
        else:
            self._close_all(self._ended)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._room.disconnect()

    def _people(self) -> list[rtc.RemoteParticipant]:
        """Return the people by the time they joined: agents listen to the first."""
        people = [one for one in self._room.remote_participants.values() if _is_person(one)]
        return sorted(people, key=lambda one: one.joined_at or _UNKNOWN)

    def _agents_here(self) -> list[rtc.RemoteParticipant]:
        return [one for one in self._room.remote_participants.values() if _is_agent(one)]

    def _came(self, participant: rtc.RemoteParticipant) -> None:
        if _is_agent(participant):
            self._agent_came(participant)
        elif _is_person(participant):
            self._left_by = None
            if len(self._people()) == 1:
                for watched in self._agents.values():
                    watched.linked(participant.identity)
            if self._alone is not None:
                self._alone.cancel()
                self._alone = None

    def _agent_came(self, participant: rtc.RemoteParticipant) -> None:
        job = job_of(participant.identity)
        if participant.identity in self._agents:
            return
        if self._reported(job):
            self._leave_if_idle()
            return
        about = {"job_id": job, "room_sid": self._sid, "agent_name": participant.attributes.get(NAME)}
        watched = Watched(
            uuid.uuid4().hex,
            self.name,
            participant.identity,
            {name: value for name, value in about.items() if value},
            unknown=self._unknown,
            state=participant.attributes.get(STATE),
        )
        if people := self._people():
            watched.linked(people[0].identity)
        self._agents[participant.identity] = watched

    def _went(self, participant: rtc.RemoteParticipant) -> None:
        now = time.time()
        if _is_agent(participant):
            watched = self._agents.pop(participant.identity, None)
            if watched is not None:
                reason, named = self._why_agent_left(participant.disconnect_reason)
                self._publish(partial(watched.close, reason, now, named))
        elif not self._people():
            self._left_by = participant.disconnect_reason
            loop = asyncio.get_running_loop()
            self._alone = loop.call_later(ALONE_SECONDS, self._done.set)

    def _why_agent_left(self, reason: int | None) -> tuple[str, str | None]:
        if not self._people():  # the agent follows its user
            return why_left(self._left_by), _named(self._left_by)
        if reason in LOST:
            return AGENT_LOST, livekit_name(reason)
        if reason == rtc.DisconnectReason.CLIENT_INITIATED:
            return AGENT_LEFT, None
        return livekit_name(reason), livekit_name(reason)

    def _attributes(self, changed: dict[str, str], participant: rtc.Participant) -> None:
        watched = self._agents.get(participant.identity)
        if watched is not None and changed.get(STATE):
            self._take(watched, partial(watched.state, changed[STATE], time.time()))
            if watched.waits:
                asyncio.get_running_loop().call_later(SETTLE_SECONDS, self._settle, watched)

    def _disconnected(self, reason: rtc.DisconnectReason.ValueType) -> None:
        if not self._done.is_set():
            self._ended = (why_closed(reason) if reason in CLOSED else None) or WATCHER_LOST
            self._done.set()

    def _is_agents(self, identity: str) -> bool:
        return any(one.identity == identity for one in self._agents_here())

    def _message_begins(self, reader: rtc.ByteStreamReader, identity: str) -> None:
        # Messages are read one by one, so one that a person does not finish would hold up the agent's.
        if self._is_agents(identity):
            self._messages.put_nowait((reader, identity))
        else:
            reader.close()

    def _words_begin(self, reader: rtc.TextStreamReader, identity: str) -> None:
        if self._open[identity] < MAX_STREAMS:
            # Counted here: several may begin before the first task runs.
            self._open[identity] += 1
            self._spawn(self._read_words(reader, identity))
        else:
            log.info("a transcription in the room %r is left out: %d others are open", self.name, MAX_STREAMS)
            reader.close()

    async def _read_messages(self) -> None:
        # One after the other: two streams may end in another order than that in which they were sent.
        while True:
            reader, identity = await self._messages.get()
            try:
                data = await asyncio.wait_for(_whole(reader), READ_SECONDS)
            except (rtc.StreamError, TimeoutError) as error:
                log.info("a session message in the room %r was cut off: %r", self.name, error)
                continue
            finally:
                reader.close()
            watched = self._agents.get(identity)
            if watched is not None:
                self._take(watched, partial(watched.message, data, time.time()))

    async def _read_words(self, reader: rtc.TextStreamReader, identity: str) -> None:
        stream, is_agents, text = reader.info.stream_id, self._is_agents(identity), ""
        try:
            async for piece in reader:
                if len(text) + len(piece) > MAX_WORDS:
                    continue
                text += piece
                watched = self._agents.get(identity)
                if watched is not None:
                    self._take(watched, partial(watched.words, stream, piece, time.time()))
        except rtc.StreamError as error:
            log.debug("a transcription in the room %r was cut off: %s", self.name, error)
            if not is_agents:
                return
        finally:
            self._open[identity] -= 1
        now = time.time()
        if is_agents:
            watched = self._agents.get(identity)
            if watched is not None:
                self._take(watched, partial(watched.words_ended, stream, now))
            return
        attributes = reader.info.attributes or {}
        for watched in list(self._agents.values()):
            final, segment = attributes.get(FINAL) == "true", attributes.get(SEGMENT, "")
            self._take(watched, partial(watched.heard, identity, segment, text, now, is_final=final))

    def _take(self, watched: Watched, make: Callable[[], list[Event]]) -> None:
        self._publish(make)
        if watched.begun is not None and watched.session_id not in self._held:
            self._held.add(watched.session_id)
            asyncio.get_running_loop().call_later(HOLD_SECONDS, self._publish, watched.release)

    def _publish(self, make: Callable[[], list[Event]]) -> None:
        try:
            for event in make():
                self._send(event)
        except Exception:
            log.exception("unexpected error: could not publish events of the room %r", self.name)

    def _settle(self, watched: Watched) -> None:
        if not watched.over:
            self._publish(watched.settle)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _whole(reader: rtc.ByteStreamReader) -> bytes:
    data = b""
    async for piece in reader:
        data += piece
        if len(data) > MAX_MESSAGE:
            raise rtc.StreamError(f"more than {MAX_MESSAGE} bytes")
    return data


def _is_agent(participant: rtc.Participant) -> bool:
    return participant.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT


def _is_person(participant: rtc.Participant) -> bool:
    return participant.kind in PEOPLE


def job_of(identity: str) -> str | None:
    """Return the job of an agent's participant; None if its name does not contain one."""
    name = identity.removeprefix(JOB_OF_IDENTITY)
    return name if name != identity and name.startswith("AJ_") else None


def _named(reason: int | None) -> str | None:
    return None if reason is None else livekit_name(reason)
