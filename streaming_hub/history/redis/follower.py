"""Brings to this node what any node stored: one connection, one blocking read.

    read on -> the listener takes in -> read on ...          whatever is stored, in the order of the numbers
    no answer -> away: calls fail at once -> connect -> settle -> back

The only place that looks for a server that is away, so that a thousand requests do not. Runs in a thread of its own (a
greenlet under gevent).
"""

from __future__ import annotations

import logging
import random
import threading
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

from streaming_hub.cluster.server import Away, Refusing, Script
from streaming_hub.errors import StorageError, Unavailable
from streaming_hub.history.redis import notes, wire

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streaming_hub.cluster.server import Line
    from streaming_hub.events.stored import Entry
    from streaming_hub.history.redis.notes import Note
    from streaming_hub.history.redis.store import RedisHistory
    from streaming_hub.history.redis.wire import Meta

log = logging.getLogger(__name__)

BLOCK: Final = 1.0
"""Seconds that a read waits for something new. A server that does not answer is noticed after this and its timeout."""
MOST_READ: Final = 256
CHECK: Final = 1.0
"""Seconds between two checks at what the server says of the history; much shorter than the store's `PATIENCE`."""
SIGN: Final = 1.0
"""Seconds between two signs of life."""
SILENCE: Final = 5.0
"""Seconds without a sign after which a node is not counted any more."""
SHORTEST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 0.5
"""Seconds between two attempts to connect."""
ERASE_SECONDS: Final = 5.0
"""How long an erasure waits for the other nodes."""

_PRESENCE = Script("streaming_hub.cluster", "presence.lua")
_NOTE = Script("streaming_hub.history.redis", "note.lua")


class Listener(Protocol):
    """Passes on what is stored: the hub."""

    def arrived(self, entries: Sequence[Entry], meta: Meta | None) -> None:
        """Take in what follows the head.

        Args:
            entries: none means that all up to `meta.head` are erased.
            meta: read after them; None where they follow the head without a hole.
        """

    def new_epoch(self, meta: Meta, gone: Sequence[tuple[int, int]]) -> None:
        """Note that the history lost events, or that another node began an epoch.

        Args:
            meta: where it stands now.
            gone: the ranges of erased numbers.
        """

    def back(self) -> None:
        """Note that the server is back."""

    def noted(self, note: Note) -> None:
        """Apply a note from another node."""

    def notes_missed(self) -> None:
        """Note that notes were lost unread: anything in memory may have been erased."""


class Follower:
    """See the module.

    Args:
        history: what is followed.
        listener: whom it is handed to.
        config: what must be equal on all nodes, as text; differences are logged.
    """

    def __init__(self, history: RedisHistory, listener: Listener, config: str) -> None:
        self._history = history
        self._server = history.server
        self._listener = listener
        self._config = config
        self._key = history.server.key
        self._log, self._notes = history.server.key("log"), history.server.key("notes")
        self._log_name, self._notes_name = self._log.encode(), self._notes.encode()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._sign_at = 0.0
        self._checked_at = float("-inf")
        self._counted = False
        self._note_at: int | None = None
        self._warned: set[str] = set()
        self._down_since: float | None = None
        self._cond = threading.Condition()
        self._reaching = 0
        """How many wait for the head; guarded by `_cond`."""

    def start(self) -> None:
        """Begin; a second call does nothing."""
        if self._thread is None:
            self._history.following = True
            self._thread = threading.Thread(target=self._run, name="history-follower", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End, and take this node off the list of those that are there."""
        self._stop.set()
        if self._thread is not None:
            try:
                with self._server.line() as line:
                    line.calls(
                        [
                            ("ZREM", self._key("nodes"), self._history.node),
                            ("HDEL", self._key("configs"), self._history.node),
                        ]
                    )
            except Unavailable as error:
                log.info("the other nodes will forget this one after %g s: %s", SILENCE, error.detail)

    def reach_head(self, timeout: float) -> None:
        """Wait until all that any node has stored by now has arrived here.

        Raises:
            Unavailable: the server is away, or it takes longer.
        """
        values = self._server.call("HMGET", self._key("meta"), "epoch", "head")
        epoch, head = (values[0] or b"").decode(), int(values[1] or 0)
        history = self._history

        def reached() -> bool:
            return history.bounds.epoch == epoch and history.bounds.head >= head

        with self._cond:
            # Before the first look at the bounds: what arrives after that look is announced.
            self._reaching += 1
            try:
                self._cond.wait_for(lambda: reached() or self._server.away is not None, timeout)
            finally:
                self._reaching -= 1
            if not reached():
                raise Unavailable("Redis is unreachable, or this node is far behind: retry.", retry_after=2)

    def announce(self, note: Note) -> int:
        """Tell the other nodes something; return the note's number.

        Raises:
            Unavailable: the server is away.
        """
        with self._server.line() as line:
            number: int = _NOTE.run(
                line, [self._key("meta"), self._key("notes")], [notes.encode(note), notes.KEPT]
            )
        return number

    def wait_for_nodes(self, number: int) -> None:
        """Wait until every node that is there has acted on a note.

        A node that falls silent meanwhile has not: it may only be slow, and still hold what the note is about.

        Raises:
            Unavailable: one of them does not, or the server is away.
        """
        until = time.monotonic() + ERASE_SECONDS
        expected: set[bytes] = set()
        while True:
            with self._server.line() as line:
                here, acts = line.calls(
                    [
                        ("ZRANGE", self._key("nodes"), 0, -1),
                        ("ZRANGEBYSCORE", self._key("acts"), number, "+inf"),
                    ]
                )
            expected.update(here)
            missing = expected.difference(acts)
            if not missing:
                return
            if time.monotonic() >= until:
                names = ", ".join(sorted(name.decode() for name in missing))
                raise Unavailable(
                    f"Erased from the history, but not confirmed by {names}: send it again.",
                    retry_after=5,
                )
            time.sleep(0.02)

    def _run(self) -> None:
        pause = SHORTEST_PAUSE
        while not self._stop.is_set():
            line = None
            try:
                line = self._server.connect()
                self._settle(line)
                self._back()
                pause = SHORTEST_PAUSE
                while not self._stop.is_set():
                    self._read_on(line)
            except (Away, StorageError) as error:
                self._lost(str(error))
            except Exception:
                log.exception("unexpected error: reading the history failed; continuing from the last number")
                self._lost("reading from it failed")
            finally:
                if line is not None:
                    line.close()
            self._stop.wait(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, LONGEST_PAUSE)

    def _settle(self, line: Line) -> None:
        """Compare with the server, and begin where it is if the history is another one."""
        self._checked_at = float("-inf")
        history = self._history
        meta = history.settle(line)
        if meta.epoch != history.bounds.epoch:
            lost = history.bounds.epoch
            log.warning(
                "the history lost events or was replaced: epoch %s (up to %d) is followed by %s (up to %d)",
                lost,
                history.bounds.head,
                meta.epoch,
                meta.head,
            )
            self._listener.new_epoch(meta, history.gone(line))
            self._note_at = None
        if self._note_at is None:
            last = line.call("HGET", self._key("meta"), "notes")
            self._note_at = int(last or 0)
        self._sign(line)

    def _read_on(self, line: Line) -> None:
        history = self._history
        found = line.call(
            *("XREAD", "COUNT", MOST_READ, "BLOCK", round(BLOCK * 1000), "STREAMS"),
            *(self._log, self._notes, f"{history.bounds.head}-0", f"{self._note_at}-0"),
        )
        by_stream: dict[bytes, Any] = dict(found or ())
        entries = wire.entries(history.bounds.epoch, by_stream.get(self._log_name))
        noted = by_stream.get(self._notes_name) or []
        meta = None
        if noted or not self._certainly_follow(entries):
            checked_at = time.monotonic()
            meta = wire.meta(line.call(*history.ask_meta()))
            if (
                meta is None
                or (meta.epoch, meta.run) != (history.bounds.epoch, line.identity.run)
                or meta.head < history.bounds.head
            ):
                # What was read may belong to another epoch.
                self._server.look_again(line)
                self._settle(line)
                return
            self._checked_at = checked_at
            if not entries and meta.head > history.bounds.head:
                # Stored since the read ended, or erased before it: one look at both says which.
                meta, entries = history.read(line, history.bounds.head, MOST_READ)
        self._listener.arrived(entries, meta)
        self._take_notes(line, noted)
        if self._reaching:
            with self._cond:
                self._cond.notify_all()
        if time.monotonic() < self._sign_at:
            return
        if self._server.look_again(line):
            self._settle(line)
        else:
            self._sign(line)

    def _certainly_follow(self, entries: Sequence[Entry]) -> bool:
        """Return whether entries follow the head without a hole, and belong to the epoch that this node knows.

        Another epoch gets its first event once every node that has given a sign of life has compared, or after
        `PATIENCE`; this node has not.
        """
        return (
            bool(entries)
            and self._counted
            and entries[0].seq == self._history.bounds.head + 1
            and entries[-1].seq - entries[0].seq == len(entries) - 1
            and time.monotonic() - self._checked_at < CHECK
        )

    def _take_notes(self, line: Line, found: list[Any]) -> None:
        if not found:
            return
        assert self._note_at is not None  # noqa: S101 - settled
        first, last = (wire.number(found[place][0]) for place in (0, -1))
        if first != self._note_at + 1:
            self._listener.notes_missed()
        self._note_at = last
        acted = False
        for _, fields in found:
            note = notes.decode(fields[1])
            self._listener.noted(note)
            acted = acted or isinstance(note, notes.Erased)
        if acted or first != last:
            line.call("ZADD", self._key("acts"), last, self._history.node)

    def _sign(self, line: Line) -> None:
        """Say that this node is there, and learn who else is."""
        self._sign_at = time.monotonic() + SIGN
        try:
            answer = _PRESENCE.run(
                line,
                [self._key("nodes"), self._key("configs")],
                [self._history.node, self._config, round(SILENCE * 1000)],
            )
        except Refusing as error:
            # It can be read still.
            self._counted = False
            self._history.refusing = str(error)
            return
        self._counted = True
        self._history.refusing = None
        configs = dict(zip(answer[::2], answer[1::2], strict=True))
        self._history.peers = frozenset(name.decode() for name in configs)
        for name, config in configs.items():
            if config and config.decode() != self._config and name.decode() not in self._warned:
                self._warned.add(name.decode())
                log.warning(
                    "node %s has other settings than this one: %s here, %s there. They must be the same on all nodes",
                    name.decode(),
                    self._config,
                    config.decode(),
                )

    def _lost(self, why: str) -> None:
        if self._stop.is_set():
            return
        if self._down_since is None:
            self._down_since = time.monotonic()
            shown, reason = self._server.shown, why.rstrip(".")
            log.warning(
                "%s. Streams stay open; publishing and reading return 503 until it is back",
                reason if reason.startswith(shown) else f"{shown} is away: {reason}",
            )
        self._server.note_away(why)
        with self._cond:
            self._cond.notify_all()

    def _back(self) -> None:
        self._server.note_back()
        if self._down_since is not None:
            log.warning("%s is back after %.1f s", self._server.shown, time.monotonic() - self._down_since)
            self._down_since = None
            self._listener.back()
