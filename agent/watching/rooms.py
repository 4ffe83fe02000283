"""Decides which rooms the watcher is in, from the hub's stream and livekit-server's API.

    participant_joined (LiveKit's webhook)  the room may have an agent and people now
    ListRooms                               at the start; every 5 s while no webhook arrives
    ListParticipants                        before joining: the watcher never joins a room without a person, because
                                            that would open it, and dispatch an agent that greets an empty room
    session_started                         an agent's `attach` reports it: its room is left alone

May touch: the hub by the client package, livekit-server's API.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from fnmatch import fnmatchcase
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import aiohttp
from livekit import api, rtc
from livekit.protocol.models import ParticipantInfo
from streaming_hub_client import Gap, afollow

from .room import RoomWatcher, job_of
from .watched import SOURCE

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from streaming_hub_client.conversation import Event

    from .settings import Settings

log = logging.getLogger(__name__)

QUIET_SECONDS = 60.0
"""Seconds without a webhook after which livekit-server is asked for its open rooms."""
POLL_SECONDS = 5.0
TRIES = 5
TRY_SECONDS = 0.5
"""Seconds between tries: a person who has just joined may not be listed yet."""
JOIN_AGAIN_SECONDS = 1.0
TOKEN_SECONDS = 600
EMPTY_SECONDS = 5
PAST_SECONDS = 15.0
"""Age in seconds at which a `participant_joined` no longer counts: the person may have left since."""
REPLAYED = 1000
WEBHOOKS = frozenset({"room_started", "room_finished", "participant_joined", "participant_left"})
TYPES = (*sorted(WEBHOOKS), "session_started", "session_ended")
UPLOADED = "upload:"
"""Prefix of the `event_id` of events made from uploads, which give way to the watcher's."""
_PEOPLE = frozenset({ParticipantInfo.STANDARD, ParticipantInfo.SIP, ParticipantInfo.CONNECTOR})


class Rooms:
    """See the module.

    Args:
        settings: Which rooms, and where the hub and LiveKit are.
        send: Called with each event; must not block.
        on_change: Called when the number of rooms or sessions, or the trouble, may have changed.

    Attributes:
        unknown: Counts what was left out of LiveKit's session messages, by name.
        trouble: Why rooms may be missed at present; empty if none are.
    """

    def __init__(
        self, settings: Settings, send: Callable[[Event], None], on_change: Callable[[], None]
    ) -> None:
        self.unknown: Counter[str] = Counter()
        self.trouble = ""
        self._settings = settings
        self._send = send
        self._on_change = on_change
        self._rooms: dict[str, RoomWatcher] = {}
        self._looking: dict[str, asyncio.Event] = {}
        self._attached: dict[tuple[str, str], str | None] = {}
        self._webhook_at = float("-inf")
        self._has_webhooks = False
        self._polls = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    @property
    def rooms(self) -> int:
        """The number of rooms it is in."""
        return len(self._rooms)

    @property
    def sessions(self) -> int:
        """The number of live sessions it reports."""
        return sum(watch.sessions for watch in self._rooms.values())

    async def run(self) -> None:
        """Watch until it is cancelled."""
        async with api.LiveKitAPI(
            self._settings.livekit_url, self._settings.api_key, self._settings.api_secret
        ) as server:
            self._server = server
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow())
                group.create_task(self._poll())

    async def stop(self, reason: str) -> None:
        """End all sessions, and leave all rooms."""
        self._stopping = True
        for watch in self._rooms.values():
            watch.end(reason)
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _follow(self) -> None:
        url, key = self._settings.hub_url, self._settings.hub_key
        async for event in afollow(url, key=key, types=TYPES, replay=REPLAYED):
            if isinstance(event, Gap):
                log.warning("missed some of the hub's events (%s); asking for the open rooms", event.reason)
                self._webhook_at = float("-inf")
            else:
                self._note(event)

    def _note(self, event: dict[str, Any]) -> None:
        kind, room = event["type"], event.get("room")
        if kind == "session_started":
            self._session_started(event)
        elif kind == "session_ended":
            self._attached.pop((str(room), str(event.get("session_id"))), None)
        else:
            self._webhook_at, self._has_webhooks = time.monotonic(), True
            past = time.time() - float(event.get("timestamp", 0.0)) > PAST_SECONDS
            if kind == "participant_joined" and isinstance(room, str) and not past:
                self._look_at(room)

    def _session_started(self, event: dict[str, Any]) -> None:
        room, session = str(event.get("room")), str(event.get("session_id"))
        watch = self._rooms.get(room)
        own = watch is not None and watch.owns(session)
        if own or event.get("source") == SOURCE or str(event.get("event_id", "")).startswith(UPLOADED):
            return
        job = event.get("job_id")
        self._attached[room, session] = job if isinstance(job, str) else None
        if watch is not None:
            watch.attached()

    def _reported(self, room: str, job: str | None) -> bool:
        """Return whether an agent posts by `attach`. A session without a job stands for all agents of its room."""
        return any(one is None or one == job for (place, _), one in self._attached.items() if place == room)

    async def _poll(self) -> None:
        first = True
        while True:
            quiet = time.monotonic() - self._webhook_at > QUIET_SECONDS
            if quiet and not self._polls and not first and not self._has_webhooks:
                log.info(
                    "no webhook from livekit-server: asking it for open rooms every %.0f s (to see "
                    "calls sooner, set `webhook.urls` in its configuration to POST /api/livekit/webhook)",
                    POLL_SECONDS,
                )
            self._polls = quiet
            if quiet or first:
                await self._list()
            first = False
            await asyncio.sleep(POLL_SECONDS)

    async def _list(self) -> None:
        try:
            answer = await self._server.room.list_rooms(api.ListRoomsRequest())
        except (api.TwirpError, aiohttp.ClientError, TimeoutError) as error:
            self._note_trouble(f"livekit-server does not list the open rooms: {_why(error)}")
            return
        self._note_trouble("")
        for room in answer.rooms:
            if room.name not in self._rooms:
                self._look_at(room.name)

    def _note_trouble(self, trouble: str) -> None:
        if trouble and not self.trouble:
            log.warning("%s", trouble)
        if trouble != self.trouble:
            self.trouble = trouble
            self._on_change()

    def _look_at(self, room: str) -> None:
        if self._stopping or not any(fnmatchcase(room, pattern) for pattern in self._settings.patterns):
            return
        again = self._looking.get(room)
        if again is not None:
            again.set()
            return
        self._looking[room] = asyncio.Event()
        self._spawn(self._attend(room, self._looking[room]))

    async def _attend(self, room: str, again: asyncio.Event) -> None:
        """Be in a room whenever there are people in it."""
        try:
            while True:
                again.clear()
                stayed = False
                for _ in range(TRIES):
                    if await self._is_for_us(room):
                        stayed = await self._stay(room)
                        break
                    with suppress(TimeoutError):  # look again all the same
                        await asyncio.wait_for(again.wait(), TRY_SECONDS)
                if self._stopping or not (again.is_set() or stayed):
                    return
        except Exception:
            log.exception("unexpected error: watching the room %r failed; continuing", room)
        finally:
            del self._looking[room]

    async def _is_for_us(self, room: str) -> bool:
        """Return whether there is a person, and not only agents that report themselves by `attach`."""
        try:
            answer = await self._server.room.list_participants(api.ListParticipantsRequest(room=room))
        except api.TwirpError as error:
            if error.code != api.TwirpErrorCode.NOT_FOUND:
                self._note_trouble(
                    f"livekit-server does not list the participants of the room {room!r}: {_why(error)}"
                )
            return False
        except (aiohttp.ClientError, TimeoutError) as error:
            self._note_trouble(f"livekit-server does not list the participants of the room {room!r}: {error}")
            return False
        here = [one for one in answer.participants if one.state != ParticipantInfo.DISCONNECTED]
        agents = [one for one in here if one.kind == ParticipantInfo.AGENT and not one.permission.hidden]
        if agents and all(self._reported(room, job_of(one.identity)) for one in agents):
            return False
        return any(one.kind in _PEOPLE for one in here)

    async def _stay(self, room: str) -> bool:
        """Watch a room until it is left; return whether people may still be there."""
        watch = RoomWatcher(room, self._post, lambda job: self._reported(room, job), self.unknown)
        self._rooms[room] = watch
        self._on_change()
        try:
            left = await watch.stay(self._settings.livekit_url, self._token(room))
        except (rtc.ConnectError, TimeoutError) as error:
            log.warning("the room %r cannot be watched now: %s", room, error)
            left = False
        finally:
            del self._rooms[room]
            self._on_change()
        if not left and not self._stopping:
            await asyncio.sleep(JOIN_AGAIN_SECONDS)
        return not left

    def _post(self, event: Event) -> None:
        self._send(event)
        if event["type"] in ("session_started", "session_ended"):
            self._on_change()

    def _token(self, room: str) -> str:
        grants = api.VideoGrants(
            room_join=True,
            room=room,
            hidden=True,
            can_publish=False,
            can_subscribe=False,
            can_publish_data=False,
        )
        token = api.AccessToken(self._settings.api_key, self._settings.api_secret)
        # `agent`: a hidden participant of another kind would keep the room open.
        token = token.with_identity(self._settings.identity).with_kind("agent").with_grants(grants)
        # The last person may leave while it joins, and the room is then opened again: for a moment, not for minutes.
        token = token.with_room_config(api.RoomConfiguration(empty_timeout=EMPTY_SECONDS))
        return token.with_ttl(timedelta(seconds=TOKEN_SECONDS)).to_jwt()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _why(error: Exception) -> str:
    if isinstance(error, api.TwirpError) and error.status == HTTPStatus.UNAUTHORIZED:
        return "it rejects LIVEKIT_API_KEY or LIVEKIT_API_SECRET"
    return str(error)
