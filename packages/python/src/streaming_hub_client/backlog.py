"""Events waiting to be posted, in order: the oldest on disk, the newest in memory.

    append -> [ memory ] -> spill -> [ spool files: adopted ones, our own ] -> peek and drop

Events without room are counted, and the count becomes an `events_dropped` event in their place. `append` and `lose`
are called from the session's callbacks: they take `_gate`, which is never held during I/O. Disk work holds `_disk`,
which is always taken before `_gate`.

May touch: the spool directory, locks. Knows nothing of HTTP.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import deque
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from streaming_hub_client.spool import Spool, batch_of, left_in

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_MAX_NAME_CHARACTERS = 256

log = logging.getLogger(__name__)


class Entry(NamedTuple):
    """An encoded event in memory, and the number of session events it stands for."""

    line: bytes
    events: int = 1


class Loss:
    """Consecutive dropped events that have not been reported yet."""

    def __init__(self, room: str | None, session_id: str | None) -> None:
        self.count = 0
        self.reason = ""
        self.room = room
        self.session_id = session_id

    def add(self, count: int, reason: str, room: str | None, session_id: str | None) -> None:
        """Count more dropped events; keep the latest reason, and the room and session only if all events share them."""
        self.count += count
        self.reason = reason
        self.room = room if room == self.room else None
        self.session_id = session_id if session_id == self.session_id else None


def dropped_record(
    count: int,
    event_id: str,
    now: float,
    *,
    reason: str,
    room: str | None = None,
    session_id: str | None = None,
) -> bytes:
    """Encode an `events_dropped` event.

    Args:
        count: How many events are missing.
        event_id: A UUID.
        now: Seconds since 1970.
        reason: Why they are missing, as text.
        room: The room they all belong to, if known.
        session_id: The session they all belong to, if known.
    """
    event: dict[str, Any] = {"type": "events_dropped", "count": count, "reason": reason}
    event |= {
        name: value for name, value in (("room", room), ("session_id", session_id)) if value is not None
    }
    return msgspec.json.encode(event | {"event_id": event_id, "timestamp": now})


class Backlog:
    """The queue of pending events. Thread-safe.

    Args:
        max_events: Maximum number of events in memory.
        max_bytes: Maximum bytes in memory.
        spool_dir: Directory for the spool file; None to use memory only.
        max_spool_bytes: Maximum bytes on disk, in adopted files and our own together.
    """

    def __init__(
        self, *, max_events: int, max_bytes: int, spool_dir: Path | None, max_spool_bytes: int
    ) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._folder = spool_dir
        self._max_spool_bytes = max_spool_bytes
        self._gate = threading.Condition()
        self._disk = threading.Lock()
        self._memory: deque[Entry] = deque()
        self._bytes = 0
        self._loss: Loss | None = None
        self._arrived = 0
        self._left = 0
        self._closed = False
        self._own: Spool | None = None
        self._disk_trouble = ""
        self.dropped = 0
        self.last_drop = ""
        self._adopted = self._adopt() if spool_dir else []
        self._on_disk = bool(self._adopted)

    def append(self, line: bytes, event: dict[str, Any]) -> None:
        """Append an event, or count it as dropped if memory is full."""
        with self._gate:
            if self._closed:
                self._lose(1, "it was posted after the poster was closed", event)
            elif len(self._memory) >= self._max_events or self._bytes + len(line) > self._max_bytes:
                self._lose(1, "the hub was unreachable or slow, and the queue was full", event)
            else:
                self._seal_loss()
                self._push(Entry(line))
            self._gate.notify_all()

    def lose(self, count: int, reason: str, event: object) -> None:
        """Count events that can never be sent; an `events_dropped` event will report them."""
        with self._gate:
            self._lose(count, reason, event)
            self._gate.notify_all()

    @property
    def empty(self) -> bool:
        """Whether nothing is pending, in memory or on disk."""
        return not (self._memory or self._loss or self._on_disk)

    @property
    def arrived(self) -> int:
        """How many events have ever entered memory, for `spill`."""
        return self._arrived

    def wait_for_events(self, *, in_memory: bool = False) -> bool:
        """Wait for an event (with `in_memory`: in memory); return False once the backlog is closed."""
        with self._gate:
            self._gate.wait_for(
                lambda: self._closed or self._memory or self._loss or (self._on_disk and not in_memory)
            )
            return not self._closed

    def wait_until_empty(self, timeout_seconds: float) -> bool:
        """Wait until everything is delivered or the timeout expires; return whether everything is."""
        with self._gate:
            return self._gate.wait_for(lambda: self.empty, timeout_seconds)

    def peek(self, max_events: int, max_bytes: int) -> list[bytes]:
        """Return the oldest events that fit into one batch; they stay until `drop`."""
        with self._disk:
            for spool in self._files():
                if spool.empty:
                    continue
                try:
                    return spool.peek(max_events, max_bytes)
                except OSError as error:
                    self._set_aside(spool, error)
            with self._gate:
                self._on_disk = False
                self._gate.notify_all()
                if not self._memory:
                    self._seal_loss()
                return batch_of((entry.line for entry in self._memory), max_events, max_bytes)

    def drop(self, lines: Sequence[bytes]) -> None:
        """Remove the events that `peek` returned, even if they have been moved to disk since."""
        with self._disk:
            if self._closed:
                return
            rest = list(lines)
            for spool in self._files():
                try:
                    del rest[: spool.drop(rest)]
                except OSError as error:
                    self._set_aside(spool, error)
            self._remove_drained()
            with self._gate:
                self._pop(min(len(rest), len(self._memory)))
                self._on_disk = any(not spool.empty for spool in self._files())
                self._gate.notify_all()
            if self._own and self._own.unsaved:
                self._note_unsaved(self._own)

    def spill(self, mark: int) -> None:
        """Move events to disk that had arrived at `mark` and are still in memory."""
        with self._disk:
            if self._folder and not self._closed:
                self._spill(mark)

    def close(self) -> int:
        """Write pending events to disk and release the files; later events are counted as dropped.

        Returns:
            How many events are in no file and are lost with this process.
        """
        with self._disk:
            with self._gate:
                if self._closed:
                    return 0
                self._seal_loss()
                self._closed = True
                self._gate.notify_all()
            if self._folder and self._memory:
                self._spill(self._arrived)
            told = self._own.unsaved if self._own else 0
            unsaved = sum(entry.events for entry in self._memory)
            for spool in self._files():
                with suppress(OSError):  # Its events are already on disk.
                    spool.close()
            return max(0, unsaved - told)

    def _lose(self, count: int, reason: str, event: object) -> None:
        fields = event if isinstance(event, dict) else {}
        room, session_id = _name(fields.get("room")), _name(fields.get("session_id"))
        if self._loss is None:
            self._loss = Loss(room, session_id)
        # The encoder's message may quote text that cannot be encoded.
        self.last_drop = reason.encode(errors="replace").decode()
        self.dropped += count
        self._loss.add(count, self.last_drop, room, session_id)

    def _seal_loss(self) -> None:
        loss, self._loss = self._loss, None
        if loss:
            line = dropped_record(
                loss.count,
                str(uuid.uuid4()),
                time.time(),
                reason=loss.reason,
                room=loss.room,
                session_id=loss.session_id,
            )
            self._push(Entry(line, loss.count))

    def _push(self, entry: Entry) -> None:
        self._memory.append(entry)
        self._bytes += len(entry.line)
        self._arrived += 1

    def _pop(self, count: int) -> None:
        for _ in range(count):
            self._bytes -= len(self._memory.popleft().line)
        self._left += count

    def _files(self) -> list[Spool]:
        return [*self._adopted, self._own] if self._own else list(self._adopted)

    def _spill(self, mark: int) -> None:
        with self._gate:
            lines = [entry.line for entry in islice(self._memory, max(0, mark - self._left))]
        try:
            taken = self._write(lines) if lines else 0
            self._disk_trouble = ""
        except OSError as error:
            taken = 0
            self._report_disk(error)
        with self._gate:
            self._pop(taken)
            self._on_disk = self._on_disk or taken > 0
            if taken == len(lines) and not self._memory:
                self._seal_loss()
        if self._own and (taken < len(lines) or self._own.unsaved):
            self._note_unsaved(self._own)

    def _note_unsaved(self, spool: Spool) -> None:
        """Record on disk how many events are only in memory, for the process that adopts the file after a crash."""
        with self._gate:
            unsaved = sum(entry.events for entry in self._memory) + (self._loss.count if self._loss else 0)
        with suppress(OSError):  # Only the count is lost; writing events reports the failing disk.
            spool.note_unsaved(unsaved)

    def _write(self, lines: list[bytes]) -> int:
        if self._own is None and self._folder:
            self._own = Spool.create(self._folder, time.time_ns())
        if self._own is None:
            return 0
        return self._own.append(lines, self._max_spool_bytes - sum(spool.size for spool in self._adopted))

    def _adopt(self) -> list[Spool]:
        adopted = []
        for path in left_in(self._folder) if self._folder else []:
            try:
                spool = Spool.adopt(path, _lost_with_the_process)
            except OSError as error:
                _report_unreadable(path, error)
                continue
            if spool is not None and spool.empty:
                with suppress(OSError):  # one that cannot be removed does no harm
                    spool.close()
            elif spool is not None:
                log.info("sending the events that an earlier process left in %s (%d bytes)", path, spool.size)
                adopted.append(spool)
        return adopted

    def _remove_drained(self) -> None:
        while self._adopted and self._adopted[0].empty:
            spool = self._adopted.pop(0)
            with suppress(OSError):  # one that cannot be removed does no harm
                spool.close()

    def _set_aside(self, spool: Spool, error: OSError) -> None:
        _report_unreadable(spool.path, error)
        if spool is self._own:
            self._own = None
        else:
            self._adopted.remove(spool)
        with suppress(OSError):  # Its failure has been reported.
            spool.close()

    def _report_disk(self, error: OSError) -> None:
        if str(error) != self._disk_trouble:
            self._disk_trouble = str(error)
            log.error(
                "cannot write events to the spool directory %s: %s; keeping them in memory",
                self._folder,
                error,
            )


def _name(value: object) -> str | None:
    """Return a room or session name if the hub accepts it, or the hub would refuse the whole `events_dropped` event."""
    if isinstance(value, str) and len(value) <= _MAX_NAME_CHARACTERS and value.isprintable():
        return value
    return None


def _report_unreadable(path: Path, error: OSError) -> None:
    log.error("cannot use the spool file %s: %s; leaving it unchanged", path, error)


def _lost_with_the_process(count: int, event_id: str) -> bytes:
    reason = "an earlier agent process ended while its spool file was full"
    return dropped_record(count, event_id, time.time(), reason=reason)
