"""One file of events that wait for a hub that is away.

Events lie in it as JSON lines, in order, appended at the end. The first line is a header of fixed width that
is overwritten in place: how far the file is done, and how many later events found no room in it. The owner
holds an flock on the file for as long as it lives, so a file whose lock is free belongs to a dead or closed
process and may be adopted. What was appended survives the death of the process at any moment; a power cut is
not covered (no fsync).

May touch: files in one folder. Knows nothing of HTTP, threads or time.
"""

from __future__ import annotations

import fcntl
import logging
import os
import uuid
from typing import TYPE_CHECKING, NamedTuple, Self

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

HEADER_BYTES = 64
SUFFIX = ".jsonl"
_COPY_BYTES = 1 << 20
_LOST_NAMESPACE = uuid.UUID("5d6a3f0e-8a0b-4a49-9d0e-6e2c1c1f7b52")

log = logging.getLogger(__name__)


class Header(NamedTuple):
    """What the first line says.

    Attributes:
        done: Position in bytes from the start of the file; lines before it were delivered.
        unsaved: Number of events after the last line that could not be written.
    """

    done: int = HEADER_BYTES
    unsaved: int = 0

    def encode(self) -> bytes:
        """Return the line, always `HEADER_BYTES` long."""
        return (
            f'{{"done":{self.done:14d},"unsaved":{self.unsaved:14d}}}'.ljust(HEADER_BYTES - 1).encode()
            + b"\n"
        )

    @classmethod
    def decode(cls, line: bytes) -> Header:
        """Read the line; a damaged one means "from the start", because repeats do no harm."""
        try:
            fields = msgspec.json.decode(line, type=dict[str, int])
        except (msgspec.DecodeError, UnicodeDecodeError):
            return cls()
        return cls(max(fields.get("done", 0), HEADER_BYTES), max(fields.get("unsaved", 0), 0))


def fit(lines: Iterable[bytes], max_events: int, max_bytes: int) -> list[bytes]:
    """Return the first lines that fit into one JSON array of `max_bytes`; the first one always does."""
    chosen: list[bytes] = []
    size = len("[]") - len(",")
    for line in lines:
        size += len(line) + 1
        if chosen and (len(chosen) == max_events or size > max_bytes):
            break
        chosen.append(line)
    return chosen


class Spool:
    """An open, locked spool file.

    Use `create` or `adopt`. Not safe for several threads; the caller holds a lock.
    """

    def __init__(self, descriptor: int, path: Path, header: Header, tail: int) -> None:
        self._descriptor = descriptor
        self.path = path
        self._header = header
        self._tail = tail

    @classmethod
    def create(cls, folder: Path, started: int) -> Self:
        """Make a file of one's own.

        Args:
            folder: Where; made if missing, readable by its owner alone.
            started: Time in nanoseconds since 1970; files are adopted in this order.

        Raises:
            OSError: The folder cannot be made or written to.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            path = folder / f"{started:020d}-{os.getpid()}-{uuid.uuid4().hex[:8]}{SUFFIX}"
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            # Between open and lock another process may take the empty file for a dead one's: then try again.
            if _lock(descriptor, path):
                spool = cls(descriptor, path, Header(), HEADER_BYTES)
                spool._write_header(Header())
                return spool
            os.close(descriptor)

    @classmethod
    def adopt(cls, path: Path, lost_record: Callable[[int, str], bytes]) -> Self | None:
        """Take over a file that a dead process left.

        Args:
            path: The file.
            lost_record: Makes the line that tells of events the dead process had no room for, from their
                number and an event id that is the same at every attempt.

        Returns:
            The spool, or None where its owner lives or it has vanished.

        Raises:
            OSError: The file cannot be read or written.
        """
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            if not _lock(descriptor, path):
                os.close(descriptor)
                return None
            path.with_suffix(".new").unlink(missing_ok=True)
            spool = cls(descriptor, path, Header(), HEADER_BYTES)
            spool._recover(lost_record)
        except OSError:
            os.close(descriptor)
            raise
        return spool

    @property
    def empty(self) -> bool:
        """Whether every line was delivered."""
        return self._header.done >= self._tail

    @property
    def size(self) -> int:
        """Size of the file in bytes, delivered lines included."""
        return self._tail

    @property
    def unsaved(self) -> int:
        """Number of later events that found no room."""
        return self._header.unsaved

    def append(self, lines: Sequence[bytes], max_size: int) -> int:
        """Add as many of the lines as fit into `max_size` bytes of file, in order.

        Returns:
            How many were added.

        Raises:
            OSError: The disk is full or broken; the file is as it was.
        """
        if self._tail + sum(map(len, lines)) + len(lines) > max_size and self._header.done > self._tail // 2:
            self._compact()
        room = max_size - self._tail
        taken = 0
        for line in lines:
            room -= len(line) + 1
            if room < 0:
                break
            taken += 1
        block = b"".join(line + b"\n" for line in lines[:taken])
        try:
            _write_at(self._descriptor, block, self._tail)
        except OSError:
            os.ftruncate(self._descriptor, self._tail)
            raise
        self._tail += len(block)
        return taken

    def peek(self, max_events: int, max_bytes: int) -> list[bytes]:
        """Return the oldest lines that fit into one batch, without removing them.

        Raises:
            OSError: The file cannot be read.
        """
        wanted = max_bytes
        while True:
            block = os.pread(self._descriptor, min(wanted, self._tail - self._header.done), self._header.done)
            *lines, rest = block.split(b"\n")
            if lines or not rest or len(block) < wanted:
                return fit(lines, max_events, max_bytes)
            wanted *= 2

    def drop(self, lines: Sequence[bytes]) -> int:
        """Mark the oldest lines as delivered; `lines` may go on with events that are not in the file.

        Returns:
            How many of the lines were in the file.

        Raises:
            OSError: The mark cannot be written.
        """
        done = self._header.done
        count = 0
        for line in lines:
            if done >= self._tail:
                break
            done += len(line) + 1
            count += 1
        if done < self._tail:
            self._write_header(Header(done, self._header.unsaved))
        elif count:
            self._tail = HEADER_BYTES
            os.ftruncate(self._descriptor, HEADER_BYTES)
            self._write_header(Header())
        return count

    def note_unsaved(self, count: int) -> None:
        """Write down how many later events found no room.

        Raises:
            OSError: The header cannot be written.
        """
        if count != self._header.unsaved:
            self._write_header(Header(self._header.done, count))

    def close(self) -> None:
        """Let go of the file, and remove it if nothing in it waits."""
        if self.empty and not self._header.unsaved:
            self.path.unlink(missing_ok=True)
        os.close(self._descriptor)

    def _write_header(self, header: Header) -> None:
        _write_at(self._descriptor, header.encode(), 0)
        self._header = header

    def _recover(self, lost_record: Callable[[int, str], bytes]) -> None:
        size = os.fstat(self._descriptor).st_size
        header = Header.decode(os.pread(self._descriptor, HEADER_BYTES, 0))
        self._tail = _end_of_last_line(self._descriptor, size)
        if self._tail < size:
            log.warning("spool file %s ended in half a line: %d bytes cut", self.path, size - self._tail)
            os.ftruncate(self._descriptor, self._tail)
        self._tail = max(self._tail, HEADER_BYTES)
        self._header = Header(min(header.done, self._tail), header.unsaved)
        if header.unsaved:
            record = lost_record(header.unsaved, str(uuid.uuid5(_LOST_NAMESPACE, self.path.name)))
            self.append([record], self._tail + len(record) + 1)
            self.note_unsaved(0)

    def _compact(self) -> None:
        """Copy what still waits into a new file and put it in this one's place, lock held throughout."""
        path = self.path.with_suffix(".new")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            header = Header(HEADER_BYTES, self._header.unsaved)
            _write_at(descriptor, header.encode(), 0)
            tail = HEADER_BYTES
            for position in range(self._header.done, self._tail, _COPY_BYTES):
                block = os.pread(self._descriptor, min(_COPY_BYTES, self._tail - position), position)
                _write_at(descriptor, block, tail)
                tail += len(block)
            path.rename(self.path)
        except OSError:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            raise
        os.close(self._descriptor)
        self._descriptor, self._header, self._tail = descriptor, header, tail


def _lock(descriptor: int, path: Path) -> bool:
    """Lock the file if nobody else has; False also where the path has come to mean another file meanwhile."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False


def _write_at(descriptor: int, block: bytes, position: int) -> None:
    view = memoryview(block)
    while view:
        written = os.pwrite(descriptor, view, position)
        view = view[written:]
        position += written


def _end_of_last_line(descriptor: int, size: int) -> int:
    """Return the position after the last line feed, in bytes; 0 where there is none."""
    end = size
    while end > 0:
        start = max(0, end - _COPY_BYTES)
        found = os.pread(descriptor, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
