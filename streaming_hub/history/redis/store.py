"""The history's interface over Redis, with the newest entries in memory in front of it.

What is stored reaches `bounds` and memory by the follower alone, in the order of the numbers, whichever node stored it;
`append` only returns numbers. Until `following` is set, `append` reads on by itself, as for a node without clients.

Keys, all with the hash tag `{PREFIX}`: `meta` (hash), `log` (stream of events), `ids` (sorted set of event_ids by
number), `gone` (list of ranges of erased numbers), `notes` (stream of what nodes tell each other), `nodes`, `configs`,
`acts` and `reports` (who is there, with which settings, what they have acted on and seen), `lease:*`, `agent`,
`secret`, `limit:*`. Only commands that Redis 7.0 has.

Threads: calls to the server hold no lock; `lock` guards what is in memory and is held for moments.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec
from redis.exceptions import ResponseError

from streaming_hub.cluster.server import Away, Refusing, Script, Server, unavailable
from streaming_hub.errors import StorageError, Unavailable
from streaming_hub.events.stored import Entry, encode
from streaming_hub.history.bounds import MOST_GAPS, Bounds
from streaming_hub.history.memory import new_epoch
from streaming_hub.history.page import Appended, Page
from streaming_hub.history.redis import notes, wire
from streaming_hub.history.window import MOST_SCANNED, Window, belongs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from streaming_hub.cluster.server import Line
    from streaming_hub.events.interest import Interest
    from streaming_hub.events.posted import Event
    from streaming_hub.history.page import Limit
    from streaming_hub.history.redis.wire import Meta

log = logging.getLogger(__name__)

RECENT_BYTES: Final = 32 * 1024 * 1024
START_SECONDS: Final = 30.0
"""How long a server that is away is waited for at the start."""
PATIENCE: Final = 4.0
"""How long publishing waits for nodes that have not compared what they have seen."""
SYNC_SECONDS: Final = 2.0
"""How long a publish waits for a replica with `sync`."""
FIRST_READ: Final = 64
MOST_READ: Final = 1024
"""Entries that are asked for at a time; how many follows from how large they are."""
COMPARING = "it was restarted or lost data, and the nodes compare what they have seen"

_APPEND = Script("streaming_hub.history.redis", "append.lua")
_FORGET = Script("streaming_hub.history.redis", "forget.lua")
_SETTLE = Script("streaming_hub.history.redis", "settle.lua")


class RedisHistory:
    """See `streaming_hub.history.History`.

    Args:
        server: where it lies.
        max_events: how many of the newest events are kept.
        max_age: how long an event is kept, in seconds.
        node: this node's name.
        sync: whether an event counts as stored only when a replica has it.
        wait: seconds; see `START_SECONDS`.

    Attributes:
        following: whether a follower brings what is stored.
        lock: guards what is in memory; the hub puts its own here.
        peers: the nodes that are there, as far as this one knows.
        refusing: why the server refuses to write, though it can be read; or None.
        era: how often an epoch has begun.
        last_note: the number of the note by which the other nodes hear of the last erasure.

    Raises:
        StorageError: the server cannot be used, or is still away.
    """

    on_disk = False
    shared = True

    def __init__(
        self,
        server: Server,
        *,
        max_events: int,
        max_age: float,
        node: str,
        sync: bool = False,
        wait: float = START_SECONDS,
    ) -> None:
        self.server = server
        self.node = node
        self.following = False
        self.lock: Any = threading.RLock()
        self.peers: frozenset[str] = frozenset()
        self.refusing: str | None = None
        self.era = 0
        self.last_note = 0
        self._max_events = max_events
        self._max_age = max_age
        self._sync = sync
        self._meta, self._log = server.key("meta"), server.key("log")
        self._ids, self._notes, self._reports = server.key("ids"), server.key("notes"), server.key("reports")
        self._gone = server.key("gone")
        self._rewrite = False
        self._first: tuple[int, float] | None = None
        """The first event when the server was last asked for it, and when that was stored."""
        self.bounds = Bounds("", head=0, oldest=1, max_events=max_events)
        self._window = Window(start=0, max_bytes=RECENT_BYTES)
        line = self._first_line(time.monotonic() + wait)
        try:
            self.adopt(self.settle(line), self.gone(line))
        except Away as error:
            raise StorageError(f"{server.shown} is away: {error}.") from error
        finally:
            line.close()

    @property
    def away(self) -> str | None:
        """Why the history cannot be read or written at the moment; None where it can."""
        return self.server.away or self.refusing

    @property
    def first_row(self) -> int:
        """The lowest sequence number that is stored."""
        return self.bounds.oldest

    def append(self, events: Sequence[Event], now: float) -> Appended:
        """Store the events that are new; what returns is what this call stored."""
        epoch = self.bounds.epoch
        if not events:
            return Appended([], [])
        arguments: list[Any] = [self.bounds.max_events]
        for event in events:
            arguments += wire.packed(event, now)
        answer = self._write(_APPEND, epoch, arguments, wait_for_replica=self._sync)
        numbers = answer[5:]
        new = [
            encode(epoch, number, event, now)
            for number, event in zip(numbers, events, strict=True)
            if number > 0
        ]
        if not self.following:
            self.catch_up()
        return Appended([abs(number) for number in numbers], new)

    def recent(self, after: int, interest: Interest, limit: Limit) -> Page | None:
        """Return what follows a position, when memory has all of it."""
        if after < self._window.start:
            return None
        return self._window.since(after, interest, limit, self.bounds.head, MOST_SCANNED)

    def since(self, after: int, interest: Interest, limit: Limit) -> Page:
        """Return what follows a position, from the server."""
        # What is stored while this reads is left to the next page.
        head = self.bounds.head
        chosen: list[Entry] = []
        size = 0
        reached = max(after, self.bounds.oldest - 1)
        for page in self._forwards(reached, head, limit):
            for entry in page:
                if not interest.matches(entry):
                    continue
                if chosen and (len(chosen) >= limit.events or size + len(entry.frame) > limit.size):
                    return Page(chosen, chosen[-1].seq)
                chosen.append(entry)
                size += len(entry.frame)
        return Page(chosen, head)

    def before(self, seq: int, interest: Interest, limit: Limit) -> list[Entry]:
        """Return the last matching entries below a sequence number, from the server."""
        chosen: list[Entry] = []
        size = 0
        for entry in self._backwards(seq, limit):
            if not interest.matches(entry):
                continue
            size += len(entry.frame)
            if chosen and (len(chosen) >= limit.events or size > limit.size):
                break
            chosen.append(entry)
        chosen.reverse()
        return chosen

    def position_before(self, seq: int, interest: Interest, count: int) -> int | None:
        """Return the position before the last matching events."""
        with self.lock:
            recent, start = list(self._window.last(seq, interest, count)), self._window.start
        if len(recent) == count:
            return recent[-1] - 1
        first: int | None = recent[-1] if recent else None
        left = count - len(recent)
        for entry in self._backwards(min(seq, start + 1), None):
            if interest.matches(entry):
                first = entry.seq
                left -= 1
                if not left:
                    break
        return None if first is None else first - 1

    def erase(self, *, span: tuple[int, int], room: str | None = None, session_id: str | None = None) -> int:
        """Remove a room's or a session's events."""
        numbers = [
            entry.seq
            for page in self._forwards(max(span[0], 1) - 1, span[1], None)
            for entry in page
            if belongs(entry, room, session_id)
        ]
        if not numbers:
            return 0
        note = notes.encode(notes.Erased(numbers, room, session_id))
        answer = self._write(_FORGET, self.bounds.epoch, [0, note, notes.KEPT, MOST_GAPS, *numbers])
        removed = sorted(map(int, answer[6:]))
        self.last_note = int(answer[5])
        self._rewrite = True
        with self.lock:
            self.forget(removed)
            self._note(answer)
        return len(removed)

    def forget(self, numbers: Sequence[int]) -> None:
        """Note that these were erased, by any node."""
        gone = set(numbers)
        if gone:
            self._window.remove(lambda entry: entry.seq in gone, (min(gone), max(gone)))
            self.bounds.note_erased(sorted(gone))

    def distrust(self) -> None:
        """Forget what is in memory, with `lock` held: some of it may be erased."""
        self.bounds.erasures += 1
        self._window = Window(start=self.bounds.head, max_bytes=RECENT_BYTES)

    def trim(self, now: float) -> bool:
        """Forget what is too old; any node may do it."""
        since = now - self._max_age
        if self._keeps_all(since):
            return False
        try:
            below = self._first_to_keep(since)
            if not below:
                return False
            answer = self._write(_FORGET, self.bounds.epoch, [below, "", notes.KEPT, MOST_GAPS])
        except Unavailable:
            # The follower reports it, once.
            return False
        with self.lock:
            self._note(answer)
        return False

    def checkpoint(self) -> None:
        """Have the server rewrite its append-only file if something was erased: the old file still has it."""
        if not self._rewrite:
            return
        with self.server.line() as line:
            if b"aof_enabled:1" in line.call("INFO", "persistence"):
                try:
                    line.call("BGREWRITEAOF")
                except ResponseError as error:
                    # One is running, or this user may not start one: later, or by an operator.
                    log.warning(
                        "%s: its append-only file still contains erased events: %s", self.server.shown, error
                    )
                    return
        self._rewrite = False

    def close(self) -> None:
        """Hang up."""
        self.server.close()

    def settle(self, line: Line) -> Meta:
        """Compare what this node has seen with what the server has, and wait until all nodes have.

        Raises:
            Away: the server became so.
            StorageError: its format is another one.
        """
        pause = 0.01
        while True:
            bounds = self.bounds
            answer = _SETTLE.run(
                line,
                [self._meta, self._reports, self.server.key("nodes"), self._log],
                [
                    line.identity.run,
                    self.node,
                    wire.FORMAT,
                    round(PATIENCE * 1000),
                    new_epoch(),
                    self.era,
                    bounds.epoch,
                    bounds.head,
                    *sorted(self.peers - {self.node}),
                ],
            )
            kind = answer[0]
            if kind == b"format":
                raise StorageError(
                    f"{self.server.shown} contains a history of format {answer[1].decode()}; this version writes "
                    f"{wire.FORMAT}. Run nodes of one version, or choose another STREAM_REDIS_PREFIX."
                )
            if kind == b"settled":
                found = wire.meta([line.identity.run.encode(), *answer[1:8]])
                assert found is not None  # noqa: S101 - a settled history has an epoch
                return found
            time.sleep(pause)
            pause = min(pause * 2, 0.1)

    def gone(self, line: Line) -> list[tuple[int, int]]:
        """Read the ranges of erased numbers."""
        pairs = (pair.split() for pair in line.call("LRANGE", self._gone, 0, -1))
        return [(int(first), int(last)) for first, last in pairs]

    def adopt(self, meta: Meta, gone: Sequence[tuple[int, int]]) -> int | None:
        """Stand where the server stands, with `lock` held.

        Args:
            meta: where it stands.
            gone: the ranges of erased numbers.

        Returns:
            The last number that survived of what this node knew, where the epoch is another one; None where it is not.
        """
        known = self.bounds
        self.era = meta.era
        self._first = None
        if meta.epoch == known.epoch:
            self.note(meta)
            return None
        self.bounds = Bounds(
            meta.epoch,
            head=meta.head,
            oldest=meta.oldest,
            max_events=self._max_events,
            erased=meta.erased,
            gone=gone,
        )
        self.bounds.carried = meta.carried
        self._window = Window(start=meta.head, max_bytes=RECENT_BYTES)
        self._advance(self.bounds.floor())
        return min(meta.carried.get(known.epoch, 0), meta.head)

    def note(self, meta: Meta) -> None:
        """Take over what the server says of the oldest number and of what was erased."""
        if meta.erased is not None:
            self.bounds.erased = meta.erased
        self._advance(min(meta.oldest, self.bounds.head + 1))

    def take_in(self, entries: Sequence[Entry], oldest: int) -> bool:
        """Take in what follows the head, with `lock` held.

        Args:
            entries: what the server has above the head, in order.
            oldest: the first number that it has; read after the entries.

        Returns:
            Whether it follows without a gap: not where events above the head were dropped from the window unread.
        """
        follows = self.bounds.head + 1
        whole = oldest <= follows or (bool(entries) and entries[0].seq == follows)
        if not whole:
            # Everything below the oldest is gone; readers that missed some of it get its number.
            self.bounds.head = max(self.bounds.head, oldest - 1)
            self._window = Window(start=self.bounds.head, max_bytes=RECENT_BYTES)
            entries = [entry for entry in entries if entry.seq > self.bounds.head]
        if entries:
            self.bounds.head = entries[-1].seq
            self._window.append(entries)
        self._advance(min(oldest, self.bounds.head + 1))
        return whole

    def catch_up(self) -> None:
        """Read all that the server has above the head.

        Raises:
            Unavailable: it is away.
        """
        with self.server.line() as line:
            while True:
                meta, found = self.read(line, self.bounds.head, MOST_READ)
                with self.lock:
                    self.take_in(found, meta.oldest)
                    if not found:
                        # The last ones were erased before they could be read.
                        self.bounds.head = max(self.bounds.head, meta.head)
                    self.note(meta)
                if not found:
                    return

    def read(
        self, line: Line, after: int, count: int, *, upto: int | None = None, backwards: bool = False
    ) -> tuple[Meta, list[Entry]]:
        """Read entries above a number (below `upto + 1`), and what the server says of the history.

        Not by MULTI, which a server without memory refuses. Asked before and after instead: `head` is from before the
        entries were read, all else from after it. The scripts keep `oldest` at the first entry; where the log begins
        later, something else has deleted events, and readers have to learn that they are gone.

        Raises:
            Away: the server is away, or has another history than this node knows.
        """
        low, high = f"({max(after, 0)}-{_LAST}", "+" if upto is None else f"{max(upto, 0)}-{_LAST}"
        span = ("XREVRANGE", self._log, high, low) if backwards else ("XRANGE", self._log, low, high)
        first = ("XRANGE", self._log, "-", "+", "COUNT", 1)
        before, found, begins, behind = line.calls(
            [self.ask_meta(), (*span, "COUNT", count), first, self.ask_meta()]
        )
        head, meta = self.known(line, before).head, self.known(line, behind)
        oldest = max(meta.oldest, wire.number(begins[0][0]) if begins else head + 1)
        return msgspec.structs.replace(meta, head=head, oldest=oldest), wire.entries(meta.epoch, found)

    def ask_meta(self) -> tuple[Any, ...]:
        """Return the command that asks for what `known` reads."""
        return ("HMGET", self._meta, *wire.META)

    def known(self, line: Line, values: list[bytes | None]) -> Meta:
        """Read what the server says of the history.

        Raises:
            Away: it is not the one that this node knows; `settle` comes first.
        """
        meta = wire.meta(values)
        if meta is None or meta.epoch != self.bounds.epoch or meta.run != line.identity.run:
            line.close()
            raise Away(COMPARING)
        return meta

    def _first_line(self, until: float) -> Line:
        told = False
        while True:
            try:
                line = self.server.connect()
            except Away as error:
                if time.monotonic() >= until:
                    raise StorageError(
                        f"{self.server.shown} is away: {error}. Start it, or correct STREAM_HISTORY."
                    ) from error
                if not told:
                    told = True
                    log.warning("%s is away: %s; waiting for it", self.server.shown, error)
                time.sleep(0.5)
                continue
            if self._sync and not line.identity.replicas:
                line.close()
                raise StorageError(
                    f"STREAM_HISTORY_SYNC=full needs a replica, and {self.server.shown} has none. Connect one, or set "
                    "it to normal."
                )
            return line

    def _write(
        self, script: Script, epoch: str, arguments: list[Any], *, wait_for_replica: bool = False
    ) -> list[Any]:
        try:
            with self.server.line() as line:
                answer: list[Any] = script.run(
                    line,
                    [self._meta, self._log, self._ids, self._notes, self._gone],
                    [line.identity.run, epoch, *arguments],
                )
                if answer[0] != b"ok":
                    # It may be this connection alone that knows the server by another identity.
                    line.close()
                elif wait_for_replica:
                    self._wait_for_replica(line)
        except Unavailable as error:
            if isinstance(error.__cause__, Refusing):
                self.refusing = str(error.__cause__)
            raise
        if answer[0] != b"ok":
            raise unavailable(COMPARING)
        self.refusing = None
        return answer

    def _wait_for_replica(self, line: Line) -> None:
        # The small write makes WAIT count for events that an earlier try has stored.
        wait = (
            ("WAITAOF", 0, 1, round(SYNC_SECONDS * 1000))
            if line.identity.wait_aof
            else ("WAIT", 1, round(SYNC_SECONDS * 1000))
        )
        answer = line.calls([("HINCRBY", self._meta, "syncs", 1), wait])[1]
        if (answer[1] if isinstance(answer, list) else answer) < 1:
            raise Unavailable(
                f"No replica of Redis had the event within {SYNC_SECONDS:g} s (STREAM_HISTORY_SYNC=full). It is "
                "stored; send it again with its event_id to make sure.",
                retry_after=2,
            )

    def _note(self, answer: list[Any]) -> None:
        """Take over what a script answered."""
        erased = wire.erased(answer[3], answer[4])
        if erased is not None:
            self.bounds.erased = erased
        # Of what this node has not read yet, the follower finds out.
        self._advance(min(int(answer[2]), self.bounds.head + 1))

    def _advance(self, oldest: int) -> None:
        if oldest > self.bounds.oldest:
            self.bounds.oldest = oldest
            self._window.trim(oldest)

    def _keeps_all(self, since: float) -> bool:
        """Return whether nothing is too old or too much, as far as this node knows without asking."""
        bounds, first = self.bounds, self._first
        return first is not None and bounds.floor() <= bounds.oldest <= first[0] and first[1] >= since

    def _first_to_keep(self, since: float) -> int:
        """Return the first number that was stored at or after a time, or 0 where nothing is too old."""
        bounds = self.bounds
        below = bounds.floor() if bounds.floor() > bounds.oldest else 0
        for page in self._forwards(bounds.oldest - 1, bounds.head, None, first=1):
            for entry in page:
                if entry.at >= since:
                    self._first = (entry.seq, entry.at)
                    return below
                below = max(below, entry.seq + 1)
        return max(below, bounds.head + 1) if below else 0

    def _forwards(
        self, after: int, upto: int, limit: Limit | None, *, first: int = FIRST_READ
    ) -> Iterator[list[Entry]]:
        """Yield pages of the server's entries up to a number; it ends where the window has moved past it."""
        count = first
        while after < upto:
            found = self._page(after, count, upto=upto)
            if found:
                yield found
            if len(found) < count:
                return
            after = found[-1].seq
            count = _next_count(found, limit)

    def _backwards(self, below: int, limit: Limit | None) -> Iterator[Entry]:
        """Yield the server's entries below a number, the newest first."""
        count = FIRST_READ
        upto = min(below - 1, self.bounds.head)
        while upto >= self.bounds.oldest:
            found = self._page(self.bounds.oldest - 1, count, upto=upto, backwards=True)
            yield from found
            if len(found) < count:
                return
            upto = found[-1].seq - 1
            count = _next_count(found, limit)

    def _page(self, after: int, count: int, *, upto: int, backwards: bool = False) -> list[Entry]:
        with self.server.line() as line:
            meta, found = self.read(line, after, count, upto=upto, backwards=backwards)
        with self.lock:
            # A reader below it learns what it missed before it gets this page.
            self._advance(min(meta.oldest, self.bounds.head + 1))
        return found


_LAST: Final = 18446744073709551615
"""The second part of an id of a stream is at most this."""


def _next_count(found: list[Entry], limit: Limit | None) -> int:
    size = sum(len(entry.frame) for entry in found) // len(found)
    wanted = 512 * 1024 if limit is None else limit.size * 2
    return max(8, min(MOST_READ, wanted // max(size, 1)))
