"""What the views work with, put together once per application. The only place where the parts meet."""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from streaming_hub.access import Authenticator
from streaming_hub.access.address import TrustedProxies
from streaming_hub.access.limits import Limits
from streaming_hub.agents import Supervisor
from streaming_hub.agents.environ import agent_environ, spool_folder
from streaming_hub.agents.recall import Recall
from streaming_hub.archive.feed import Archive, url_of
from streaming_hub.errors import SettingsError
from streaming_hub.events import posted
from streaming_hub.events.redaction import Redaction
from streaming_hub.history import open_history
from streaming_hub.history.housekeeper import Housekeeper, at_once
from streaming_hub.intake import Intake
from streaming_hub.livekit.server_api import Service
from streaming_hub.livekit.tokens import Minter
from streaming_hub.logs import Gate
from streaming_hub.metrics import Metrics
from streaming_hub.outlets.webhooks import feed as webhooks
from streaming_hub.outlets.webhooks.addresses import Forbidden, check_url
from streaming_hub.rooms.current import RoomStates
from streaming_hub.stream.hub import Hub
from streaming_hub.stream.latency import Latency

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from streaming_hub.settings import Settings
    from streaming_hub.stream.writer import Writer

Read = TypeVar("Read")

DRAIN_BUDGET: Final = 8.5
"""Seconds for the agent's end and the streams' goodbyes together; what follows takes less than 1.5 s."""
LOOK_UPS: Final = 2
"""Replays whose beginning is looked for at the same time: a long one's takes a tenth of a second of a processor, and
hundreds together kept whoever else reads from the disk waiting for ten."""
AGENT_BUDGET: Final = 4.0
"""Seconds that the agent has for its last words when the server stops; then it is killed."""
REFUSALS_TOLD_PER_SECOND: Final = 20
"""Lines that the audit gets of refused requests: anybody can send those, and a flood must not fill a disk."""


class Services:
    """The parts of one hub.

    Args:
        settings: what the operator chose.
        clock: seconds since 1970.
        agent_command: what runs as the agent; the project's own worker by default.

    Attributes:
        url: where the agent process reaches the server; set when the port is known.
        max_clients: how many streams may be open; the descriptors may allow fewer than the setting.
        publishing: how long accepted publishing requests took, without the network.
        writer: who serves the streams, where the server hands them over.
        refusals: how many requests were refused, by status.
        refusals_told: which of them get a line in the audit.
        replay_look_ups: held while a replay's beginning is looked for.
        draining: whether the server is about to stop: new streams and foreign events are refused.

    Raises:
        SettingsError, StorageError: the server cannot start.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.time,
        agent_command: Sequence[str] | None = None,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.started_at = clock()
        self.url = f"http://127.0.0.1:{settings.port}"
        self.draining = False
        self.agent_key = secrets.token_urlsafe(24)
        self.authenticator = _authenticator(settings, self.agent_key)
        redact = Redaction(settings.redact) if settings.redact else None
        self.max_clients = settings.max_clients
        self.proxies = TrustedProxies(settings.trusted_proxies)
        self.limits = Limits(settings)
        self.refusals: Counter[int] = Counter()
        self.refusals_told = Gate(REFUSALS_TOLD_PER_SECOND, time.monotonic)
        self.publishing = Latency()
        self.writer: Writer | None = None
        self.history = open_history(settings, clock())
        self.hub = Hub(self.history, queue_size=settings.queue_size, clock=clock)
        self.replay_look_ups = threading.Semaphore(LOOK_UPS)
        self.offload: Callable[[Callable[[], Any]], Any] = at_once
        self.rooms = RoomStates(self.hub, self.read)
        self.minter = _minter(settings)
        self.recall = _recall(self)
        self.intake = Intake(self.hub, redact, self.recall)
        self.sessions = self.intake.sessions
        self.supervisor = _supervisor(self, agent_command)
        self.archive = _archive(self)
        self.webhooks = _webhooks(self)
        self.housekeeper = Housekeeper(self.history, self.hub.lock, clock)
        self.metrics = Metrics(self)
        self._stopped = threading.Event()

    @cached_property
    def spool_folder(self) -> Path:
        """Where the agent process keeps what it cannot deliver at once."""
        return spool_folder(self.settings.history)

    def agent_environ(self) -> dict[str, str]:
        """Return the environment of the agent process."""
        return agent_environ(self.settings, url=self.url, key=self.agent_key, spool=self.spool_folder)

    def start(self, offload: Callable[[Callable[[], Any]], Any]) -> None:
        """Begin what goes on beside the requests.

        Args:
            offload: runs a function that may wait for the disk off the thread that serves requests, and waits for it.
        """
        self.offload = offload
        self.begin()

    def begin(self) -> None:
        """Begin the housekeeping and the archive; a second call does nothing."""
        self.housekeeper.start(self.offload)
        if self.archive is not None:
            self.archive.start(self.read)
        if self.webhooks is not None:
            self.webhooks.start(self.read)

    def read(self, function: Callable[[], Read]) -> Read:
        """Read from the history, off the serving thread where that may wait for a disk."""
        return cast("Read", self.offload(function)) if self.history.on_disk else function()

    def stop(self, say_goodbye: Callable[[float], None] = lambda _seconds: None) -> None:
        """End in order, within 10 s: the agent with its last words, then the streams, then the history.

        Args:
            say_goodbye: ends the open streams, spread over so many seconds.
        """
        if self._stopped.is_set():
            return
        self._stopped.set()
        self.draining = True
        until = time.monotonic() + DRAIN_BUDGET
        if self.recall is not None:
            self.recall.stop()
        self.supervisor.close(AGENT_BUDGET)
        self.sessions.stop()
        say_goodbye(max(0.0, min(self.settings.drain, until - time.monotonic())))
        self.housekeeper.stop()
        if self.archive is not None:
            self.archive.stop()
        if self.webhooks is not None:
            self.webhooks.stop()
        self.history.close()

    def publish_process_state(self, change: dict[str, Any]) -> None:
        """Tell a change of the agent process on the stream, and the end of the sessions that went with it."""
        in_rooms = self.supervisor.status().mode == "livekit"
        trouble = change["reason"] is not None
        ends = self.sessions.process_changed(change["state"], in_rooms=in_rooms, trouble=trouble)
        self.sessions.tell([posted.make({"type": "agent_process", **change}), *ends])

    def publish_missing_agent(self, room: str, message: str) -> None:
        """Tell that a room did not get its agent back."""
        fields = {
            "type": "error",
            "source": "dispatch",
            "room": room,
            "message": message,
            "recoverable": True,
        }
        self.sessions.tell([posted.make(fields)])


def _authenticator(settings: Settings, agent_key: str) -> Authenticator:
    return Authenticator(
        publish_keys=settings.publish_keys,
        subscribe_keys=settings.subscribe_keys,
        operator_keys=settings.operator_keys,
        jwt_secret=settings.jwt_secret,
        livekit_api_key=settings.livekit_api_key,
        livekit_api_secret=settings.livekit_api_secret,
        agent_key=agent_key,
    )


def _minter(settings: Settings) -> Minter | None:
    if not (settings.livekit_url and settings.livekit_api_key and settings.livekit_api_secret):
        return None
    return Minter(settings.livekit_api_key, settings.livekit_api_secret, settings.agent.get("AGENT_NAME", ""))


def _archive(parts: Services) -> Archive | None:
    settings = parts.settings
    url = url_of(settings.archive, settings.history)
    if url is None:
        return None
    return Archive(
        url,
        max_age=settings.archive_max_age,
        recordings=settings.archive_recordings,
        history=parts.history,
        lock=parts.hub.lock,
        publish=parts.intake.take_own,
        answered_for=parts.sessions.answered_for,
        clock=parts.clock,
    )


def _webhooks(parts: Services) -> webhooks.Webhooks | None:
    settings = parts.settings
    if parts.archive is None:
        if settings.webhook_url is not None:
            raise SettingsError(
                "STREAM_WEBHOOK_URL needs an archive, beside which webhooks are kept: set STREAM_ARCHIVE to a database."
            )
        return None
    given = None
    if settings.webhook_url is not None:
        try:
            check_url(settings.webhook_url, allow_private=settings.webhook_allow_private)
        except Forbidden as error:
            raise SettingsError(f"STREAM_WEBHOOK_URL: {error}.") from error
        if settings.webhook_secret is None:
            raise SettingsError(
                "STREAM_WEBHOOK_URL needs STREAM_WEBHOOK_SECRET: whsec_ and base64 of 24 to 64 bytes."
            )
        given = {
            "url": settings.webhook_url,
            "secret": settings.webhook_secret,
            "types": list(settings.webhook_types),
        }
    config = {
        "retries": list(settings.webhook_retries),
        "disable_after": settings.webhook_disable_after,
        "allow_private": settings.webhook_allow_private,
        "given": given,
    }
    return webhooks.Webhooks(
        webhooks.url_of(parts.archive.url),
        config,
        history=parts.history,
        lock=parts.hub.lock,
        publish=parts.intake.take_own,
    )


def _recall(parts: Services) -> Recall | None:
    settings, minter = parts.settings, parts.minter
    if minter is None or settings.livekit_url is None:
        return None
    service = Service(settings.livekit_url, minter)
    return Recall(service, minter.agent_name, parts.publish_missing_agent, clock=parts.clock)


def _supervisor(parts: Services, command: Sequence[str] | None) -> Supervisor:
    given = {} if command is None else {"command": tuple(command)}
    return Supervisor(
        **given,  # type: ignore[arg-type] # one keyword, or none
        environ=lambda _mode, _room: parts.agent_environ(),
        on_state=parts.publish_process_state,
    )
