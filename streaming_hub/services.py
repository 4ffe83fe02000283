"""The parts of a hub, built once per application. The only module that puts them together."""

from __future__ import annotations

import logging
import os
import platform
import re
import secrets
import tempfile
import threading
import time
from collections import Counter
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from streaming_hub import archive
from streaming_hub.access import Authenticator
from streaming_hub.access.address import TrustedProxies
from streaming_hub.access.limits import Limits
from streaming_hub.agents import Supervisor, hub_agent, program
from streaming_hub.agents.environ import agent_environ, spool_folder, watcher_environ
from streaming_hub.agents.hub_agent import HubAgent
from streaming_hub.agents.recall import Recall
from streaming_hub.agents.watcher import POLICY as WATCHER_POLICY
from streaming_hub.agents.watcher import Watcher
from streaming_hub.archive.feed import Archive, url_of
from streaming_hub.archive.uploads.spool import Spool
from streaming_hub.cluster.secret import shared_secret
from streaming_hub.errors import SettingsError, Unavailable
from streaming_hub.events import posted
from streaming_hub.events.redaction import Redaction
from streaming_hub.foreign_file import refuse_foreign
from streaming_hub.history import open_history
from streaming_hub.history.housekeeper import Housekeeper, at_once
from streaming_hub.intake import Intake
from streaming_hub.livekit.server_api import Service
from streaming_hub.livekit.tokens import Minter
from streaming_hub.livekit.webhooks import WATCHER
from streaming_hub.logs import Gate
from streaming_hub.outlets import webhooks as outlets
from streaming_hub.outlets.webhooks import feed as webhooks
from streaming_hub.outlets.webhooks.addresses import Forbidden, check_url
from streaming_hub.private_folder import private_folder
from streaming_hub.rooms.current import RoomStates
from streaming_hub.sidecar.wire import Refusal
from streaming_hub.stream.erasing import hide_words
from streaming_hub.stream.hub import Hub
from streaming_hub.stream.latency import Latency
from streaming_hub.wording import listing, not_set

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from streaming_hub.cluster.server import Server
    from streaming_hub.history.redis.store import RedisHistory
    from streaming_hub.metrics import Metrics
    from streaming_hub.nodes import Nodes
    from streaming_hub.settings import RateLimit, Settings
    from streaming_hub.stream.writer import Writer

log = logging.getLogger(__name__)

Read = TypeVar("Read")

DRAIN_BUDGET: Final = 8.5
"""Seconds to stop the agent and say goodbye to the streams; the rest takes less than 1.5 s."""
LOOK_UPS: Final = 2
"""Replays whose beginning is looked up at the same time: a long one takes a tenth of a second of CPU, and hundreds
together delayed all other reads from the disk by ten seconds."""
AGENT_BUDGET: Final = 4.0
"""Seconds that the agent has for its last words when the server stops; then it is killed."""
AUDIO: Final = "audio"
UPLOADS: Final = "uploads"
"""The directories for audio and for uploads, beside the archive's file."""
REFUSALS_LOGGED_PER_SECOND: Final = 20
"""Refused requests in the audit log per second: anyone can send them, and a flood must not fill the disk."""


class Services:
    """The parts of one hub.

    Args:
        settings: what the operator chose.
        agent_command: what runs as the agent; the project's own worker by default.

    Attributes:
        agent_lacks: a sentence about what has to be installed before the agent can be started; None where nothing has.
        clock: seconds since 1970; nodes on one Redis share that one's.
        url: where the agent process reaches the server; set when the port is known.
        max_clients: how many streams may be open; the descriptors may allow fewer than the setting.
        publishing: how long accepted publishing requests took, without the network.
        writer: who serves the streams, where the server hands them over.
        redact: the operator's hook; None where there is none.
        refusals: how many requests were refused, by status.
        refusals_told: which of them get a line in the audit.
        replay_look_ups: held while a replay's beginning is looked for.
        audio: the directory for the audio of calls; None where it is not kept.
        watcher: runs the watcher process; None where no room is watched.
        uploads: what LiveKit's agents upload, until it is archived; None where none is taken.
        draining: whether the server is about to stop: new streams and foreign events are refused.

    Raises:
        SettingsError, StorageError: the server cannot start.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        agent_command: Sequence[str] | None = None,
    ) -> None:
        self.settings = settings
        self.url = f"http://127.0.0.1:{settings.port}"
        self.draining = False
        self.agent_key = secrets.token_urlsafe(24)
        self.watcher_key = secrets.token_urlsafe(24) if settings.watch else None
        self.redact = Redaction(settings.redact) if settings.redact else None
        self.max_clients = settings.max_clients
        self.proxies = TrustedProxies(settings.trusted_proxies)
        self.refusals: Counter[int] = Counter()
        self.refusals_logged = Gate(REFUSALS_LOGGED_PER_SECOND, time.monotonic)
        self._uploads_logged = Gate(1, time.monotonic)
        self.publishing = Latency()
        self.writer: Writer | None = None
        self.node = settings.node or _new_node()
        self.history = open_history(settings, time.time(), self.node)
        server = cast("RedisHistory", self.history).server if self.history.shared else None
        self.clock = clock = time.time if server is None else server.clock
        self.started_at = clock()
        self.limits = Limits(settings, server)
        self.authenticator = _authenticator(settings, self.agent_key, self.watcher_key, server)
        self.hub = Hub(self.history, queue_size=settings.queue_size, clock=clock)
        self.replay_look_ups = threading.Semaphore(LOOK_UPS)
        self.offload: Callable[[Callable[[], Any]], Any] = at_once
        self.rooms = RoomStates(self.hub, self.read)
        self.minter = _minter(settings)
        self.recall = _recall(self)
        self.intake = Intake(self.hub, self.redact, self.recall)
        self.sessions = self.intake.sessions
        self.supervisor = _supervisor(self, agent_command)
        self.uploads = _uploads(self)
        self.audio = _audio(self)
        self.agent_lacks = program.what_is_missing() if agent_command is None else None
        self.agent: Supervisor | HubAgent = self.supervisor
        self.watcher = _watcher(self)
        self.archive = _archive(self)
        self.webhooks = _webhooks(self)
        self.housekeeper = Housekeeper(self.history, self.hub.storing, clock)
        self.nodes = _nodes(self)
        self._stopped = threading.Event()

    @cached_property
    def spool_folder(self) -> Path:
        """Where the agent process keeps what it cannot deliver at once."""
        return spool_folder(self.settings.history)

    @cached_property
    def metrics(self) -> Metrics:
        """What Prometheus scrapes."""
        # Importing its library takes 15 ms, which the start need not wait for.
        from streaming_hub.metrics import Metrics  # noqa: PLC0415

        return Metrics(self)

    def agent_environ(self) -> dict[str, str]:
        """Return the environment of the agent process."""
        return agent_environ(self.settings, url=self.url, key=self.agent_key, spool=self.spool_folder)

    def start(self, offload: Callable[[Callable[[], Any]], Any]) -> None:
        """Start the background work.

        Args:
            offload: runs a function that may wait for the disk off the thread that serves requests, and waits for it.
        """
        self.offload = offload
        self.begin()

    def begin(self) -> None:
        """Begin the housekeeping and the archive; a second call does nothing."""
        self.housekeeper.start(self.read)
        if self.nodes is not None:
            self.nodes.start()
        if isinstance(self.agent, HubAgent):
            self.agent.begin()
        if self.watcher is not None:
            self.watcher.begin()
        if self.archive is not None:
            self.archive.start(self.read)
        if self.webhooks is not None:
            self.webhooks.start(self.read)

    def read(self, function: Callable[[], Read]) -> Read:
        """Read from the history, off the serving thread if that may wait for a disk."""
        return cast("Read", self.offload(function)) if self.history.on_disk else function()

    def reach_head(self) -> None:
        """Wait until what any node has acknowledged by now can be read here.

        Raises:
            Unavailable: the history is away.
        """
        if self.nodes is not None:
            self.nodes.reach_head()

    def hide_words(self, session_id: str) -> None:
        """Take what was said in a session out of the history and of what is kept for webhooks.

        Raises:
            Unavailable: one of them is away; to be repeated.
        """
        try:
            with nullcontext() if self.webhooks is None else self.webhooks.erasing(session_id=session_id):
                hide_words(self.hub, session_id, read=self.read, publish=self.intake.take)
        except Refusal as refusal:
            raise Unavailable(refusal.text) from refusal
        self.rooms.forget()
        self.read(self.history.checkpoint)
        if self.nodes is not None:
            self.nodes.wait_until_erased()

    def stop(self, say_goodbye: Callable[[float], None] = lambda _seconds: None) -> None:
        """Stop in order, within 10 s: the agent after its last words, then the streams, then the history.

        Args:
            say_goodbye: ends the open streams, spread over this many seconds.
        """
        if self._stopped.is_set():
            return
        self._stopped.set()
        self.draining = True
        until = time.monotonic() + DRAIN_BUDGET
        if self.recall is not None:
            self.recall.stop()
        watcher = threading.Thread(target=self._close_watcher, name="watcher-end")
        watcher.start()
        self.agent.close(AGENT_BUDGET)
        watcher.join()
        self.sessions.stop()
        say_goodbye(max(0.0, min(self.settings.drain, until - time.monotonic())))
        self.housekeeper.stop()
        if self.archive is not None:
            self.archive.stop()
        if self.webhooks is not None:
            self.webhooks.stop()
        if self.nodes is not None:
            self.nodes.stop()
        self.history.close()

    def _close_watcher(self) -> None:
        if self.watcher is not None:
            self.watcher.close()

    def log_upload_lost(self, error: OSError) -> None:
        """Log that an upload could not be written; the agent is not affected."""
        passes, held = self._uploads_logged.admit()
        if passes:
            others = f", and {held} others" if held else ""
            log.error("an agent's upload is lost%s: %s", others, error)

    def publish_process_state(self, change: dict[str, Any]) -> None:
        """Publish a change of the agent process, and the end of the sessions that died with it."""
        in_rooms = self.supervisor.status().mode == "livekit"
        trouble = change["reason"] is not None
        ends = self.sessions.process_changed(change["state"], in_rooms=in_rooms, trouble=trouble)
        self.sessions.publish([posted.make({"type": "agent_process", **change}), *ends])
        if isinstance(self.agent, HubAgent):
            self.agent.changed()

    def end_lost_sessions(self) -> None:
        """Tell the end of the sessions whose agent process went with its node."""
        self.sessions.publish(self.sessions.process_changed("failed", in_rooms=False, elsewhere=True))

    def publish_missing_agent(self, room: str, message: str) -> None:
        """Publish that a room did not get its agent back."""
        fields = {
            "type": "error",
            "source": "dispatch",
            "room": room,
            "message": message,
            "recoverable": True,
        }
        self.sessions.publish([posted.make(fields)])


def _authenticator(
    settings: Settings, agent_key: str, watcher_key: str | None, server: Server | None
) -> Authenticator:
    return Authenticator(
        publish_keys=settings.publish_keys,
        subscribe_keys=settings.subscribe_keys,
        operator_keys=settings.operator_keys,
        jwt_secret=settings.jwt_secret,
        livekit_api_key=settings.livekit_api_key,
        livekit_api_secret=settings.livekit_api_secret,
        agent_key=agent_key,
        watcher_key=watcher_key,
        # A ticket that one node has made opens a stream on every node.
        ticket_secret=None if server is None else shared_secret(server),
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
    _refuse_foreign(url, archive.KNOWN_BY)
    return Archive(
        url,
        max_age=settings.archive_max_age,
        recordings=settings.archive_recordings,
        history=parts.history,
        lock=parts.hub.lock,
        publish=parts.intake.take_own,
        publish_made=parts.intake.take,
        hide_words=parts.hide_words,
        answered_for=parts.sessions.answered_for,
        clock=parts.clock,
        uploads=parts.uploads,
        prompts=settings.observability_prompts,
        # What was said appears in many forms here, and the operator's hook only knows events.
        texts=settings.redact is None,
        watched=bool(settings.watch),
        audio=parts.audio,
        redact=parts.redact,
    )


def _webhooks(parts: Services) -> webhooks.Webhooks | None:
    settings = parts.settings
    if parts.archive is None:
        if settings.webhook_url is not None:
            raise SettingsError(
                "STREAM_WEBHOOK_URL needs an archive, beside which webhooks are stored: set STREAM_ARCHIVE."
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
        "max_age": settings.archive_max_age,
        "given": given,
    }
    url = webhooks.url_of(parts.archive.url)
    _refuse_foreign(url, outlets.KNOWN_BY)
    return webhooks.Webhooks(
        url,
        config,
        history=parts.history,
        lock=parts.hub.lock,
        publish=parts.intake.take_own,
    )


def _refuse_foreign(url: str, own: Mapping[str, Sequence[str]]) -> None:
    """Refuse an SQLite file that the hub did not make.

    Raises:
        StorageError: it did not.
    """
    kind, _, path = url.partition(":///")
    if kind == "sqlite":
        refuse_foreign(Path(path.partition("?")[0]), own, "STREAM_ARCHIVE")


def _uploads(parts: Services) -> Spool | None:
    settings = parts.settings
    url = url_of(settings.archive, settings.history)
    needed = {
        "LIVEKIT_API_KEY": settings.livekit_api_key,
        "LIVEKIT_API_SECRET": settings.livekit_api_secret,
    }
    unset = [name for name, value in needed.items() if not value]
    lacks = [not_set(unset)] if unset else []
    lacks += ["there is no archive (STREAM_ARCHIVE)"] if url is None else []
    if settings.observability and lacks:
        raise SettingsError(f"STREAM_OBSERVABILITY=on: uploads cannot be accepted, because {listing(lacks)}.")
    if url is None or lacks or settings.observability is False:
        if settings.observability_prompts:
            raise SettingsError(
                "STREAM_OBSERVABILITY_PROMPTS=on needs uploads, and these need an archive (STREAM_ARCHIVE), "
                "LIVEKIT_API_KEY and LIVEKIT_API_SECRET; STREAM_OBSERVABILITY must not be off."
            )
        return None
    kind, _, path = url.partition(":///")
    if kind != "sqlite":
        kind, _, path = settings.history.partition(":///")
    if kind == "sqlite":
        return Spool(Path(path.partition("?")[0]).absolute().with_name(UPLOADS))
    return Spool(private_folder(Path(tempfile.gettempdir()) / f"streaming-hub-{UPLOADS}-{os.getuid()}"))


def _audio(parts: Services) -> Path | None:
    settings = parts.settings
    if not settings.archive_audio:
        return None
    url = url_of(settings.archive, settings.history)
    if url is None or parts.uploads is None:
        raise SettingsError(
            "STREAM_ARCHIVE_AUDIO=on needs uploads, and these need an archive (STREAM_ARCHIVE), LIVEKIT_API_KEY and "
            "LIVEKIT_API_SECRET; STREAM_OBSERVABILITY must not be off."
        )
    if settings.archive_audio_dir is not None:
        return Path(settings.archive_audio_dir).absolute()
    kind, _, path = url.partition(":///")
    if kind != "sqlite":
        raise SettingsError(
            "STREAM_ARCHIVE_AUDIO=on with PostgreSQL needs STREAM_ARCHIVE_AUDIO_DIR, a directory that all nodes share."
        )
    return Path(path.partition("?")[0]).absolute().with_name(AUDIO)


def _new_node() -> str:
    """Return a name for this process that no other has, and that says which machine it is on."""
    host = re.sub(r"[^A-Za-z0-9_.-]", "-", platform.node())[:40]
    return f"{host or 'node'}-{secrets.token_hex(3)}"


def _nodes(parts: Services) -> Nodes | None:
    if not parts.history.shared:
        return None
    # Only then is redis-py needed.
    from streaming_hub.nodes import Nodes  # noqa: PLC0415

    settings = parts.settings
    nodes = Nodes(
        parts.hub,
        cast("RedisHistory", parts.history),
        parts.rooms,
        parts.sessions,
        config=(
            f"STREAM_HISTORY_MAX_EVENTS={settings.history_max_events} "
            f"STREAM_HISTORY_MAX_AGE={settings.history_max_age:g} STREAM_RATE_LIMIT={_shown(settings.rate_limit)}"
        ),
        node=parts.node,
    )
    if parts.archive is not None:
        writes = nodes.ownership("archive")
        parts.archive.share(owner=lambda: writes.held(time.monotonic()), claim=lambda: nodes.claim("archive"))
    if parts.webhooks is not None:
        delivers = nodes.ownership("webhooks")
        parts.webhooks.share(
            owner=lambda: delivers.held(time.monotonic()), claim=lambda: nodes.claim("webhooks")
        )
    if parts.watcher is not None:
        parts.watcher.lease = nodes.ownership("watcher")
    cluster = cast("RedisHistory", parts.history).server
    parts.agent = HubAgent(
        parts.supervisor,
        nodes.ownership("agent", hub_agent.TTL, hub_agent.MARGIN, wanted=False),
        cluster,
        node=parts.node,
        others=lambda: not nodes.alone(),
        taken_over=parts.end_lost_sessions,
    )
    return nodes


def _shown(rate: RateLimit | None) -> str:
    return "unset" if rate is None else f"{rate.count}/{rate.seconds}s"


def _recall(parts: Services) -> Recall | None:
    settings, minter = parts.settings, parts.minter
    if minter is None or settings.livekit_url is None:
        return None
    service = Service(settings.livekit_url, minter)
    return Recall(service, minter.agent_name, parts.publish_missing_agent, clock=parts.clock)


def _supervisor(parts: Services, command: Sequence[str] | None) -> Supervisor:
    return Supervisor(
        program.command() if command is None else tuple(command),
        environ=lambda _mode, _room: parts.agent_environ(),
        on_state=parts.publish_process_state,
    )


def _watcher(parts: Services) -> Watcher | None:
    settings = parts.settings
    if not settings.watch:
        return None
    needed = {
        "LIVEKIT_URL": settings.livekit_url,
        "LIVEKIT_API_KEY": settings.livekit_api_key,
        "LIVEKIT_API_SECRET": settings.livekit_api_secret,
    }
    missing = [name for name, value in needed.items() if not value]
    if missing:
        raise SettingsError(f"STREAM_WATCH needs LiveKit: {not_set(missing)}.")
    if (lacks := program.what_is_missing()) is not None:
        raise SettingsError(f"STREAM_WATCH: {lacks}")
    identity = f"{WATCHER}{secrets.token_hex(4)}"

    def environ(_mode: str, _room: str | None) -> dict[str, str]:
        return watcher_environ(
            settings, url=parts.url, key=parts.watcher_key or "", spool=parts.spool_folder, identity=identity
        )

    def changed(change: dict[str, Any]) -> None:
        log.info("watcher: %s", change["state"])

    supervisor = Supervisor(
        program.command("watcher"),
        environ=environ,
        on_state=changed,
        policy=WATCHER_POLICY,
        name="watcher",
    )
    return Watcher(supervisor)
