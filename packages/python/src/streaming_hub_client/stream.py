"""The state of a hub's stream: positions, gaps, pauses, silence, refusals. Pure: time and chance are arguments.

`connections` is the I/O shell: it connects, passes the bytes to `Stream.receive`, and waits for as long as
`Stream.pause` returns. The hub's docs/reference/http.md and docs/reference/events.md have the rules, which packages/js
follows as well.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from streaming_hub_client.authorization import bearer
from streaming_hub_client.retry import is_from_hub, json_object
from streaming_hub_client.sse import Parser

Secret = str | Callable[[], str | None] | None
"""A credential, or a function that is called for one before every connection."""

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
LONGEST_WAIT = 24 * 3600.0
"""Seconds; the longest wait that a server may ask for."""
HEARTBEATS = (0.1, 3600.0)
"""Seconds; the hub's shortest and longest heartbeat."""
SILENCE = 2.5
"""Heartbeats without a byte after which a connection counts as dead."""
HEARTBEAT = 15.0
"""Seconds, until the hub sends its own value."""
WORKED = 10.0
"""Seconds; a connection that lived this long worked, even if it received nothing."""
MOST_READ = 64 * 1024
"""Bytes to read of a response that is not a stream."""

_ID = re.compile(r"(.+)-([0-9]{1,15})", re.DOTALL)
_PASSING = frozenset({408, 425, 429})


class Gap(NamedTuple):
    """Stands in the stream where events are missing.

    Attributes:
        missed: How many; None if unknown.
        reason: The hub's word for it, such as `expired`.
    """

    missed: int | None
    reason: str


class Refused(Exception):
    """The hub refuses this client, and retrying would not help.

    Attributes:
        status: The HTTP status.
        detail: Why, in a sentence.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.detail = detail


class Trouble(Exception):
    """There is temporarily no stream; the message says why."""


class Item(NamedTuple):
    """One result of the stream: an event or gap for the reader, or (`value` None) only a new state.

    Attributes:
        value: The event or gap.
        position: The stream's position after it; None if it does not change.
        status: The stream's status after it; see `Reading`.
    """

    value: dict[str, Any] | Gap | None
    position: str | None
    status: str


class Reading:
    """The state of a stream as its reader sees it, after the last item it got.

    Attributes:
        position: Pass it as `since` to resume after that item; None before the first connection.
        status: `connecting`; `catching-up` until the newest event at the time of the connection has been reached, then
            `live`; `gap`: catching up after a `Gap`; `refused`; `closed`.
        missed: Number of events missed in all gaps so far; None once a gap's size was unknown.
        reason: The newest gap's reason; None while nothing is missing.
    """

    def __init__(self, position: str | None) -> None:
        self.position = position
        self.status = "connecting"
        self.missed: int | None = 0
        self.reason: str | None = None
        self._waiting: deque[Item] = deque()

    def _take_next(self) -> dict[str, Any] | Gap | None:
        """Return the next event or gap, or None if nothing is waiting."""
        while self._waiting:
            value, position, self.status = self._waiting.popleft()
            self.position = position or self.position
            if isinstance(value, Gap):
                known = self.missed is not None and value.missed is not None
                self.missed = (self.missed or 0) + (value.missed or 0) if known else None
                self.reason = value.reason
            if value is not None:
                return value
        return None


@dataclass(frozen=True)
class Query:
    """The stream's URL and parameters.

    Attributes:
        url: The stream's URL.
        filters: Query parameters, one per value.
        replay: Number of past events to begin with; None for none.
        snapshot: Whether to begin with the rooms' state.
    """

    url: str
    filters: tuple[tuple[str, str], ...] = ()
    replay: int | None = None
    snapshot: bool = False


def query_of(
    url: str,
    *,
    filters: Mapping[str, str | Iterable[str] | None],
    replay: int | None,
    snapshot: bool,
) -> Query:
    """Check the caller's arguments.

    Raises:
        ValueError: The URL or a filter cannot be used.
    """
    pairs = []
    for parameter, given in filters.items():
        name = "types" if parameter == "type" else parameter
        if given is None:
            continue
        values = [given] if isinstance(given, str) or not isinstance(given, Iterable) else list(given)
        if not values:
            raise ValueError(f"{name}: an empty list matches nothing; leave it out to get everything")
        for one in values:
            if not isinstance(one, str):
                raise ValueError(f"{name}: {one!r} is not a string")  # noqa: TRY004 - as for other values
        pairs += [(parameter, one) for one in values]
    return Query(hub_address(url, "/api/stream"), tuple(pairs), replay, snapshot)


def hub_address(url: str, path: str) -> str:
    """Return the URL of an endpoint. A URL without a path, or with `/`, is the hub's; any other is the endpoint's own.

    Raises:
        ValueError: It is not an http(s) URL, or contains a user name.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"url: {url!r} is not an address such as http://localhost:5000")
    if parts.username is not None or parts.password is not None:
        raise ValueError("url: contains a user name or password; pass a key as `key`")
    return urlunsplit(parts._replace(path=path if parts.path in ("", "/") else parts.path, fragment=""))


@dataclass
class Stream:
    """The state of one stream over all its connections.

    Attributes:
        query: The stream's URL and parameters.
        resume: The position that the next connection resumes after; empty to begin with the next event.
        silence: Seconds without a byte after which the connection counts as dead.
        error: Why the current connection has to be closed; None while it may stay open.
        is_open: Whether the current connection's response is a stream.
        warnings: The hub's warnings about filters that look like mistakes.
    """

    query: Query
    resume: str = ""
    silence: float = SILENCE * HEARTBEAT
    error: Trouble | Refused | None = None
    is_open: bool = False
    warnings: tuple[str, ...] = ()
    ticket_is_fixed: bool = False
    _least: float = 0.0
    _failures: int = 0
    _wants_snapshot: bool = False
    _has_worked: bool = False
    _cursor: str | None = None
    _head: str | None = None
    _in_gap: bool = False
    _parser: Parser = field(default_factory=Parser)

    def __post_init__(self) -> None:
        self._wants_snapshot = self.query.snapshot

    def connect(self, key: str | None, ticket: str | None) -> tuple[str, dict[str, str]]:
        """Begin a connection and return its URL and headers."""
        self.silence = SILENCE * HEARTBEAT
        self.error = None
        self.is_open = False
        self._has_worked = False
        self._cursor = None
        self._parser = Parser()
        parts = urlsplit(self.query.url)
        asked = [*parse_qsl(parts.query, keep_blank_values=True), *self.query.filters]
        if ticket:
            asked.append(("ticket", ticket))
        if self.resume:
            asked.append(("last_event_id", self.resume))
        elif self.query.replay:
            asked.append(("replay", str(self.query.replay)))
        if self._wants_snapshot:
            asked.append(("snapshot", "1"))
        headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
        if key:
            headers["Authorization"] = bearer(key)
        # Also sent in the query, because a header cannot contain every text.
        if self.resume.isascii() and self.resume.isprintable() and self.resume == self.resume.strip() != "":
            headers["Last-Event-ID"] = self.resume
        return urlunsplit(parts._replace(query=urlencode(asked, errors="replace"))), headers

    def opened(self) -> None:
        """Record that the response is a stream."""
        self.is_open = True
        self._least = 0.0

    def receive(self, chunk: bytes) -> list[Item]:
        """Process received bytes and return their items. If `error` is set afterwards, close the connection."""
        try:
            messages = self._parser.feed(chunk)
        except ValueError as error:
            self.error = Trouble(str(error))
            return []
        items: list[Item] = []
        for message in messages:
            if message.data is None:
                self._move_to(message.id, items)
            elif message.type == "message":
                self._take(message.data, message.id, items)
            if self.error is not None:
                break
        if self._parser.retry_ms is not None:
            self._least = max(self._least, self._parser.retry_ms / 1000)
        return items

    def has_worked(self, lived: float) -> bool:
        """Return whether the current connection delivered anything or lasted long; `lived` is in seconds."""
        return self._has_worked or lived > WORKED

    def pause(self, *, lived: float, asked: float, chance: float) -> float:
        """Return the seconds to wait before the next connection.

        Args:
            lived: Seconds from the connection's beginning to its end.
            asked: Minimum wait in seconds that its response asked for (`retry.retry_after`).
            chance: A random number from 0 to below 1.
        """
        if self.has_worked(lived):
            self._failures = 0
        floor = min(max(asked, self._least), LONGEST_WAIT)
        half = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self._failures, 10)) / 2
        self._failures += 1
        # Add jitter to the server's wait, which is the same for all its clients.
        return max(floor, half) + chance * half

    def _move_to(self, event_id: str, items: list[Item]) -> None:
        # With an empty id, the next connection would start at the newest event and miss the ones before.
        if event_id:
            self._cursor = None
            self.resume = event_id
            items.append(Item(None, event_id, self._reach(event_id)))

    def _take(self, data: str, event_id: str, items: list[Item]) -> None:
        event = _event_of(data)
        if event is None:
            self.error = Trouble(f"The stream sent something that is not an event: {data[:80]}")
            return
        kind = event["type"]
        if kind == "connected":
            if heartbeat := _number(event.get("heartbeat"), HEARTBEATS[1]):
                self.silence = SILENCE * max(heartbeat, HEARTBEATS[0])
            self._cursor = _text(event.get("cursor"))
            self._head = _text(event.get("head"))
            self.warnings = _warnings(event)
            status = self._reach(self._cursor)
            if self.resume:
                # A reset may follow. If the connection breaks first, the next one has to ask for it again.
                items.append(Item(None, None, status))
            else:
                self.resume = self._cursor
                items.append(Item(None, self.resume or None, status))
        elif kind == "goodbye":
            self._least = max(self._least, _number(event.get("retry_ms"), LONGEST_WAIT * 1000) / 1000)
            self.error = self._farewell(str(event.get("reason")))
        elif kind == "snapshot":
            items.append(Item(event, self.resume or None, self._reach(self._cursor or self.resume)))
        elif kind == "stream_reset":
            self.resume = self._cursor or _before(event.get("oldest")) or self.resume
            self._cursor = None
            missed = event.get("missed")
            known = isinstance(missed, int) and not isinstance(missed, bool) and missed >= 0
            gap = Gap(missed if known else None, str(event.get("reason")))
            self._in_gap = True
            items.append(Item(gap, self.resume or None, "gap"))
        else:
            self._has_worked = True
            self._wants_snapshot = False
            self._cursor = None
            self.resume = event_id or self.resume
            status = self._reach(self.resume)
            items.append(Item(None if kind == "heartbeat" else event, self.resume or None, status))

    def _reach(self, position: str) -> str:
        """Return the stream's status at a position."""
        if _has_reached(position, self._head):
            self._in_gap = False
            return "live"
        return "gap" if self._in_gap else "catching-up"

    def _farewell(self, reason: str) -> Trouble | Refused:
        if reason == "ticket_expired" and self.ticket_is_fixed:
            return Refused(401, "The ticket has expired: pass `ticket` as a function that gets a new one.")
        return Trouble(f"The hub ended the stream: {reason}.")


def is_stream(status: int, content_type: str) -> bool:
    """Return whether a response is a stream of events."""
    return status == 200 and content_type.partition(";")[0].strip().lower() == "text/event-stream"


def failure(
    status: int, headers: Mapping[str, str], body: bytes, *, url: str, key_kept: bool
) -> Trouble | Refused:
    """Return what a response that is not a stream means.

    Args:
        status: The HTTP status.
        headers: Names in any case.
        body: The start of the body.
        url: Its URL; the message leaves out the query, which may contain a ticket.
        key_kept: Whether a key was held back after a redirect to another origin.
    """
    place = urlunsplit(urlsplit(url)._replace(query="", fragment=""))
    said = json_object(body)
    detail = said.get("detail") if is_from_hub(status, headers.get("Content-Type", ""), said) else None
    if detail is None:
        server = headers.get("Server")
        detail = f"{place} answered {status}, and not as a hub does" + (
            f" (Server: {server})." if server else "."
        )
        if "airtunes" in (server or "").lower():
            detail += " It is AirPlay: use http://127.0.0.1 instead of localhost."
    if key_kept:
        detail += f" The key was not sent: {place} has another origin than the hub's address."
    if 400 <= status < 500 and status not in _PASSING:
        return Refused(status, detail)
    return Trouble(detail)


def redirected(url: str, headers: dict[str, str], location: str) -> str:
    """Return the URL that a redirect leads to; remove the key from the headers if that has another origin.

    Raises:
        Trouble: The location is not a URL.
    """
    try:
        target = urljoin(url, location)
        is_foreign = origin(target) != origin(url)
    except ValueError as error:
        raise Trouble(f"redirected to {location[:200]!r}, which is not an address") from error
    if is_foreign:
        headers.pop("Authorization", None)
    return target


def origin(url: str) -> tuple[str, str, int | None]:
    """Return scheme, host and port (RFC 6454)."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _event_of(data: str) -> dict[str, Any] | None:
    try:
        event = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and isinstance(event.get("type"), str) else None


def _number(value: Any, most: float) -> float:
    """Return a positive number, at most `most`; 0 for anything else."""
    positive = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
    return min(value, most) if positive else 0.0


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _warnings(connected: dict[str, Any]) -> tuple[str, ...]:
    said = connected.get("warnings")
    ignored = connected.get("ignored")
    found = [one for one in said if isinstance(one, str)] if isinstance(said, list) else []
    if isinstance(ignored, list) and ignored:
        found.append(f"Unknown parameters are ignored: {', '.join(map(str, ignored))}.")
    return tuple(found)


def _has_reached(position: str, goal: Any) -> bool:
    """Return whether a position has reached another; True if they are of different histories, which do not compare."""
    at = _ID.fullmatch(position)
    to = _ID.fullmatch(goal) if isinstance(goal, str) else None
    return at is None or to is None or at[1] != to[1] or int(at[2]) >= int(to[2])


def _before(event_id: Any) -> str | None:
    found = _ID.fullmatch(event_id) if isinstance(event_id, str) else None
    return f"{found[1]}-{int(found[2]) - 1}" if found else None
