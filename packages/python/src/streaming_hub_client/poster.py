"""Posts a session's events to the hub; the session never waits for it.

`post` is called from session callbacks: it encodes the event, queues it and returns. One thread sends pending events
in order, in batches; a second one (only with a spool directory) moves to disk what the hub has not accepted within a
tenth of a second, so that neither an outage nor the death of this process loses it. Every event has an `event_id`, so
sending it twice is harmless, and a batch whose response was lost is sent again.

May touch: the network (one URL), threads, and through `streaming_hub_client.backlog` the spool directory.
"""

from __future__ import annotations

import atexit
import hashlib
import logging
import os
import random
import threading
import time
import uuid
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import msgspec
import requests

from streaming_hub_client.answers import BoundedAdapter, read_answer
from streaming_hub_client.authorization import bearer
from streaming_hub_client.backlog import Backlog
from streaming_hub_client.leases import Leases
from streaming_hub_client.retry import (
    ABOUT_THE_BODY,
    Outcome,
    Pace,
    Verdict,
    backoff,
    is_from_hub,
    json_object,
    judge,
    retry_after,
    takes,
)
from streaming_hub_client.route import route_to

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

MAX_EVENT_BYTES = 64 * 1024
MAX_BATCH_BYTES = 1024 * 1024
MAX_BATCH_EVENTS = 1000
DEFAULT_URL = "http://127.0.0.1:5000"
PUBLISH_PATH = "/api/agent/data"
LEASE_PATH = "/api/agent/lease"

# What the encoder raises on an unknown type, a lone surrogate, a cycle, or a dict modified by another thread.
_NOT_ENCODABLE = (TypeError, ValueError, RuntimeError, ArithmeticError, LookupError, AttributeError)

log = logging.getLogger(__name__)


def encode(event: dict[str, Any], now: float) -> bytes:
    """Return the event as one line of JSON; add `event_id` and `timestamp` if they are missing.

    Raises:
        TypeError: A value has no JSON form.
        ValueError: A string cannot be written as UTF-8.
        RecursionError: It contains itself.
    """
    whole = dict(event)
    if whole.get("event_id") in (None, ""):
        whole["event_id"] = str(uuid.uuid4())
    if whole.get("timestamp") is None:
        whole["timestamp"] = now
    return msgspec.json.encode(whole)


class Poster:
    """Sends events to the hub in the background.

    Args:
        url: Address of the hub, `http://host:port`.
        key: A publish key, if the hub requires one.
        spool_dir: Directory for events that wait while the hub is unreachable, including those an earlier process left;
            None to use memory only.
        max_queue: Maximum number of events in memory.
        max_queue_bytes: Maximum bytes in memory.
        max_spool_bytes: Maximum bytes on disk.
        supervised: Whether the hub started this process and notices its end by itself.
        pace: Delays and timeouts.
        chance: Source of random numbers from 0 to 1.

    Raises:
        ValueError: The URL is not an HTTP URL, or the key contains a control character.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        spool_dir: Path | None = None,
        max_queue: int = 10_000,
        max_queue_bytes: int = 16 * 1024 * 1024,
        max_spool_bytes: int = 64 * 1024 * 1024,
        supervised: bool = False,
        pace: Pace | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._shown = _checked(url, has_key=bool(key))
        self._url = url.rstrip("/") + PUBLISH_PATH
        self._lease_url = url.rstrip("/") + LEASE_PATH
        self._leases = Leases(supervised=supervised)
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": bearer(key)} if key else {})
        self._route = route_to(self._url)
        self._request: requests.PreparedRequest | None = None
        self._pace = pace or Pace()
        self._chance = chance
        self._backlog = Backlog(
            max_events=max_queue,
            max_bytes=max_queue_bytes,
            spool_dir=spool_dir,
            max_spool_bytes=max_spool_bytes,
        )
        self._failures = 0
        self._trouble = ""
        self._batch_limit = MAX_BATCH_EVENTS
        self._reported = 0
        self._deadline: float | None = None
        self._hurry = threading.Event()
        self._closed = threading.Event()
        threading.Thread(target=self._send_all, name="poster", daemon=True).start()
        threading.Thread(target=self._renew_leases, name="poster-lease", daemon=True).start()
        if spool_dir:
            threading.Thread(target=self._spill_late, name="poster-spool", daemon=True).start()
        atexit.register(self.close, 1.0)

    @classmethod
    def from_env(cls, url: str | None = None, key: str | None = None) -> Self:
        """Create a poster from STREAM_URL, STREAM_PUBLISH_KEY, AGENT_SPOOL_DIR and (set by the hub) AGENT_SUPERVISED.

        Args:
            url: A hub in place of STREAM_URL. Its events wait in a directory of their own below AGENT_SPOOL_DIR, so
                that no process sends them to another hub.
            key: A publish key to use instead of STREAM_PUBLISH_KEY.

        Raises:
            ValueError: The URL or the key cannot be used, or one of the variables has quotes around its value.
        """
        usual, folder = _variable("STREAM_URL") or DEFAULT_URL, _variable("AGENT_SPOOL_DIR")
        spool_dir = Path(folder) if folder else None
        if spool_dir and url and url != usual:
            spool_dir /= hashlib.sha256(url.encode()).hexdigest()[:16]
        return cls(
            url or usual,
            _variable("STREAM_PUBLISH_KEY") if key is None else key,
            spool_dir=spool_dir,
            supervised=bool(os.environ.get("AGENT_SUPERVISED")),
        )

    def post(self, event: dict[str, Any]) -> None:
        """Queue an event. Never blocks, never raises; thread-safe.

        Args:
            event: As in the hub's docs/reference/events.md; `event_id` and `timestamp` (seconds since 1970) are added
                if missing. The event is encoded immediately, so the caller may change it afterwards.
        """
        try:
            line = encode(self._leases.note(event), time.time())
        except _NOT_ENCODABLE as error:
            self._backlog.lose(1, f"an event cannot be written as JSON: {error}", event)
            return
        if len(line) > MAX_EVENT_BYTES:
            self._backlog.lose(1, f"an event has {len(line)} bytes, the limit is {MAX_EVENT_BYTES}", event)
            return
        self._backlog.append(line, event)

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until the hub has accepted everything or the timeout expires; return whether it has."""
        self._hurry.set()
        return self._backlog.wait_until_empty(timeout_seconds)

    def close(self, timeout_seconds: float) -> bool:
        """Send pending events until the timeout, then stop; the rest stays in the spool for the next process.

        Blocks: in an event loop, call it with `asyncio.to_thread`.

        Returns:
            Whether the hub has accepted everything.
        """
        if self._closed.is_set():
            return self._backlog.empty
        atexit.unregister(self.close)
        self._deadline = time.monotonic() + timeout_seconds
        delivered = self.flush(timeout_seconds)
        self._closed.set()
        lost = self._backlog.close()
        self._hurry.set()
        self._report_drops()
        if lost:
            log.error(
                "%d events were lost: the hub at %s did not accept them, and there is no spool",
                lost,
                self._shown,
            )
        elif not delivered:
            log.warning(
                "the hub at %s is unreachable; pending events stay in the spool directory", self._shown
            )
        return delivered

    def _send_all(self) -> None:
        # No session: its cookies, hooks and redirects are not needed and cost an eighth of the CPU. `_route` holds the
        # settings that a session would read from the environment.
        with closing(BoundedAdapter()) as connection:
            while self._backlog.wait_for_events():
                try:
                    self._send_next(connection)
                except Exception:
                    log.exception("unexpected error: sending events to %s failed; continuing", self._shown)
                    self._pause(self._pace.longest_delay)

    def _send_next(self, connection: BoundedAdapter) -> None:
        self._report_drops()
        batch = self._backlog.peek(self._batch_limit, MAX_BATCH_BYTES)
        if not batch:
            return
        outcome = self._attempt(connection, batch)
        if outcome.verdict is Verdict.ACCEPTED:
            self._backlog.drop(batch)
            self._batch_limit = min(self._batch_limit * 2, MAX_BATCH_EVENTS)
            if self._failures:
                log.info("the hub at %s accepts events again", self._shown)
            self._failures = 0
            self._trouble = ""
        elif outcome.verdict is Verdict.BAD:
            self._narrow_down(batch, outcome.detail)
        else:
            if outcome.smaller:
                # Only the hub's own response drops events, but a smaller batch may get past whatever refused this one.
                self._batch_limit = max(1, len(batch) // 2)
            self._wait_after(outcome)

    def _attempt(self, connection: BoundedAdapter, batch: list[bytes]) -> Outcome:
        try:
            response, content = self._send(connection, self._prepared(b"[" + b",".join(batch) + b"]"))
        except OSError as error:  # Includes requests' own errors, and a missing certificate bundle.
            return Outcome(Verdict.LATER, f"{type(error).__name__}: {error}")
        status, headers = response.status_code, response.headers
        said = json_object(content)
        wait = retry_after(headers.get("Retry-After"), time.time())
        # An old spool file may contain blank lines.
        events = sum(1 for line in batch if line.strip())
        strange = 200 <= status < 300 and not takes(said, events)
        if strange or not is_from_hub(status, headers.get("Content-Type", ""), said):
            return Outcome(
                Verdict.LATER, _stranger(response, content), wait, smaller=status in ABOUT_THE_BODY
            )
        return Outcome(judge(status, said.get("field")), f"status {status}: {_start_of(content)}", wait)

    def _send(
        self, connection: BoundedAdapter, request: requests.PreparedRequest
    ) -> tuple[requests.Response, bytes]:
        timeouts = (self._pace.connect_timeout, self._pace.answer_timeout)
        proxies, verify = self._route
        response = connection.send(request, timeout=timeouts, verify=verify, proxies=proxies)
        # Read the body here, where connection errors are handled, and so that the connection can be reused.
        return response, read_answer(response, self._pace.answer_timeout)

    def _prepared(self, body: bytes) -> requests.PreparedRequest:
        # Only the body changes; preparing the rest takes a fifth of a POST's CPU.
        if self._request is None:
            self._request = requests.Request("POST", self._url, self._headers).prepare()
        self._request.prepare_body(body, None)
        return self._request

    def _narrow_down(self, batch: list[bytes], detail: str) -> None:
        """Halve the batch until only the refused event is left, then count that event as dropped."""
        if len(batch) > 1:
            self._batch_limit = len(batch) // 2
            return
        event = json_object(batch[0])
        kind, name = event.get("type"), event.get("event_id")
        log.error("the hub refuses event %s of type %r, %d bytes: %s", name, kind, len(batch[0]), detail)
        if kind != "events_dropped":
            # Before the drop: a momentarily empty queue would end a flush too early.
            self._backlog.lose(1, f"the hub refused an event of type {kind!r}", event)
        self._backlog.drop(batch)

    def _wait_after(self, outcome: Outcome) -> None:
        delay = backoff(
            self._failures, self._chance(), first=self._pace.first_delay, longest=self._pace.longest_delay
        )
        if outcome.verdict is Verdict.KEY_REFUSED:
            delay = self._pace.key_delay
            log.error(
                "the hub at %s refuses our key (%s); set STREAM_PUBLISH_KEY to one of its "
                "STREAM_PUBLISH_KEYS. Events are kept; next attempt in %.0f s",
                self._shown,
                outcome.detail,
                delay,
            )
        elif self._trouble != (trouble := outcome.detail.partition(":")[0]):
            self._trouble = trouble
            log.warning(
                "cannot deliver events to %s (%s); keeping them and trying again", self._shown, outcome.detail
            )
        self._failures += 1
        self._pause(max(delay, outcome.retry_after))

    def _pause(self, seconds: float) -> None:
        if self._deadline is not None:
            seconds = min(seconds, max(0.05, self._deadline - time.monotonic()))
        if not self._closed.is_set():
            self._hurry.wait(seconds)
            self._hurry.clear()

    def _spill_late(self) -> None:
        while self._backlog.wait_for_events(in_memory=True):
            mark = self._backlog.arrived
            if self._closed.wait(self._pace.spill_after):
                return
            self._backlog.spill(mark)

    def _renew_leases(self) -> None:
        with closing(BoundedAdapter()) as connection:
            while not self._closed.wait(self._pace.renew_leases):
                renewal = self._leases.renewal()
                # Whatever fails a renewal also fails the events, and is logged there.
                with suppress(OSError):
                    if renewal is not None:
                        request = requests.Request("POST", self._lease_url, self._headers, json=renewal)
                        self._send(connection, request.prepare())

    def _report_drops(self) -> None:
        dropped = self._backlog.dropped
        if dropped != self._reported:
            self._reported = dropped
            log.error("%d events dropped so far; the latest because %s", dropped, self._backlog.last_drop)


def _checked(url: str, *, has_key: bool) -> str:
    """Return a hub's URL as shown in messages, without a password.

    Raises:
        ValueError: It is not an HTTP URL, or it has a user name, which would replace the key.
    """
    try:
        parts = urlsplit(url)
        shown = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        usable = bool(parts.hostname and parts.hostname.encode("idna")) and not (
            parts.query or parts.fragment
        )
        requests.Request("POST", shown).prepare()
    except ValueError:
        shown, usable = url.rpartition("@")[2], False
    if not url.lower().startswith(("http://", "https://")) or not usable:
        raise ValueError(
            f"the hub's URL is {shown[:200]!r}; it must be one like http://HOST:PORT (STREAM_URL)"
        )
    if parts.username is not None and has_key:
        raise ValueError(
            "the hub's URL (STREAM_URL) contains a user name, which would be sent in place of the key"
            " (STREAM_PUBLISH_KEY); leave one of them out"
        )
    return shown.rstrip("/")


def _variable(name: str) -> str | None:
    """Return an environment variable, or None if unset or empty; refuse a quoted value, which is always a mistake."""
    value = os.environ.get(name, "").strip() or None
    if value is not None and len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        raise ValueError(
            f"{name} has quotes around its value; write it without them (`docker --env-file` passes them on)"
        )
    return value


def _stranger(response: requests.Response, content: bytes) -> str:
    """Describe a response that is not the hub's, so that the user can see what sent it."""
    server, location = response.headers.get("Server"), response.headers.get("Location")
    by = f" from {server[:100]!r}" if server else ""
    to = f", a redirect to {location[:200]!r}" if location else ""
    return (
        f"status {response.status_code}{by}{to}, which is not a response of the hub;"
        f" something else is at STREAM_URL or in between: {_start_of(content)!r}"
    )


def _start_of(content: bytes) -> str:
    return content[:300].decode(errors="replace")
