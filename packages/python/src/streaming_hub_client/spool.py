"""A file of events that wait for an unreachable hub.

Events are appended as JSON lines, in order. The first line is a header of fixed width, overwritten in place: how much
of the file has been delivered, and how many later events did not fit. The owner holds a lock while it lives, so a file
whose lock is free was left by an earlier process and may be adopted. Appended events survive a crash of the process at
any moment, but not a power cut (no fsync).

An open file is never renamed or removed, because Windows does not allow it.

May touch: files in one directory. Knows nothing of HTTP, threads or time.
"""

from __future__ import annotations

import logging
import os
import re
import uuid
from typing import TYPE_CHECKING, NamedTuple, cast

import msgspec

from streaming_hub_client.file_lock import lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from io import FileIO
    from pathlib import Path

    from typing_extensions import Self

    from streaming_hub_client.file_lock import Lock

HEADER_BYTES = 64
SUFFIX = ".jsonl"
_NAME = re.compile(r"\d{20}-\d+-[0-9a-f]{8}\.jsonl")
_COPY_BYTES = 1 << 20
_STAYS = os.name == "nt"
"""Whether open files cannot be renamed or removed, so a path always means the same file."""
_LOST_NAMESPACE = uuid.UUID("5d6a3f0e-8a0b-4a49-9d0e-6e2c1c1f7b52")

log = logging.getLogger(__name__)


def left_in(folder: Path) -> list[Path]:
    """Return the spool files in a directory, oldest first. Other files with the same suffix are not ours."""
    return sorted(path for path in folder.glob(f"*{SUFFIX}") if _NAME.fullmatch(path.name))


class Header(NamedTuple):
    """The first line.

    Attributes:
        done: Position in bytes from the start of the file; lines before it were delivered.
        unsaved: Number of events after the last line that could not be written.
        end: Where the file ends, in bytes, while the rest still has to be cut off; otherwise 0.
    """

    done: int = HEADER_BYTES
    unsaved: int = 0
    end: int = 0

    def encode(self) -> bytes:
        """Return the line, always `HEADER_BYTES` long."""
        end = f',"end":{self.end:12d}' if self.end else ""
        line = f'{{"done":{self.done:13d},"unsaved":{self.unsaved:11d}{end}}}'
        return line.ljust(HEADER_BYTES - 1).encode() + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> Header:
        """Parse the line; if it is damaged, start over, since repeats do no harm."""
        try:
            fields = msgspec.json.decode(line, type=dict[str, int])
        except (msgspec.DecodeError, UnicodeDecodeError):
            return cls()
        done, unsaved, end = (max(fields.get(name, 0), 0) for name in ("done", "unsaved", "end"))
        return cls(max(done, HEADER_BYTES), unsaved, end)


def batch_of(lines: Iterable[bytes], max_events: int, max_bytes: int) -> list[bytes]:
    """Return the first lines that fit into a JSON array of `max_bytes`, and always at least one."""
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

    def __init__(self, file: FileIO, path: Path, held: Lock) -> None:
        self._file = file
        self.path = path
        self._lock = held
        self._header = Header()
        self._tail = HEADER_BYTES

    @classmethod
    def create(cls, folder: Path, started: int) -> Self:
        """Create a file for this process.

        Args:
            folder: Created if missing, readable only by its owner.
            started: Time in nanoseconds since 1970; files are adopted in this order.

        Raises:
            OSError: The directory cannot be created or written to.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            path = folder / f"{started:020d}-{os.getpid()}-{uuid.uuid4().hex[:8]}{SUFFIX}"
            file = _open(path, "x+b")
            # Another process may adopt the empty file before it is locked. Then try again.
            held = _lock(file, path)
            if held is not None:
                spool = cls(file, path, held)
                spool._write_header(Header())
                return spool
            file.close()

    @classmethod
    def adopt(cls, path: Path, lost_record: Callable[[int, str], bytes]) -> Self | None:
        """Adopt a file of a dead process.

        Args:
            path: The file.
            lost_record: Builds the line that reports the events the dead process had no room for, from their number and
                an event id that is the same in every attempt.

        Returns:
            The spool; None if its owner is alive or the file is gone.

        Raises:
            OSError: The file cannot be read or written.
        """
        try:
            file = _open(path, "r+b")
        except FileNotFoundError:
            return None
        held = None
        try:
            held = _lock(file, path)
            if held is None:
                file.close()
                return None
            spool = cls(file, path, held)
            spool._recover(lost_record)
        except OSError:
            file.close()
            if held is not None:
                held.release(remove=False)
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
        """Number of later events that did not fit."""
        return self._header.unsaved

    def append(self, lines: Sequence[bytes], max_size: int) -> int:
        """Add as many of the lines as fit into `max_size` bytes of file, in order.

        Returns:
            How many were added.

        Raises:
            OSError: The disk is full or broken; the file is as it was.
        """
        if self._header.end:
            self._cut_off()
        if self._tail + sum(map(len, lines)) + len(lines) > max_size:
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
            _write_at(self._file, block, self._tail)
        except OSError:
            self._file.truncate(self._tail)
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
            block = _read_at(self._file, min(wanted, self._tail - self._header.done), self._header.done)
            *lines, rest = block.split(b"\n")
            if lines or not rest or len(block) < wanted:
                return batch_of(lines, max_events, max_bytes)
            wanted *= 2

    def drop(self, lines: Sequence[bytes]) -> int:
        """Mark the oldest lines as delivered; `lines` may end with events that are not in the file.

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
            self._write_header(self._header._replace(done=done))
        elif count:
            self._tail = HEADER_BYTES
            self._file.truncate(HEADER_BYTES)
            self._write_header(Header())
        return count

    def note_unsaved(self, count: int) -> None:
        """Record how many later events did not fit.

        Raises:
            OSError: The header cannot be written.
        """
        if count != self._header.unsaved:
            self._write_header(self._header._replace(unsaved=count))

    def close(self) -> None:
        """Release the file, and remove it if everything in it was delivered.

        Raises:
            OSError: It cannot be removed.
        """
        removed = False
        try:
            if self.empty and not self._header.unsaved:
                self._remove()
                removed = True
        finally:
            self._file.close()
            self._lock.release(remove=removed)

    def _remove(self) -> None:
        try:
            self.path.unlink(missing_ok=True)
        except PermissionError:
            # Windows cannot remove an open file. Its lock is a separate file there and is still held, so no other
            # process adopts the file in between.
            self._file.close()
            self.path.unlink(missing_ok=True)

    def _write_header(self, header: Header) -> None:
        _write_at(self._file, header.encode(), 0)
        self._header = header

    def _recover(self, lost_record: Callable[[int, str], bytes]) -> None:
        size = os.fstat(self._file.fileno()).st_size
        header = Header.decode(_read_at(self._file, HEADER_BYTES, 0))
        if HEADER_BYTES <= header.end <= size:
            size = header.end
        self._tail = _end_of_last_line(self._file, size)
        if self._tail < size:
            log.warning("spool file %s ended in half a line: %d bytes cut", self.path, size - self._tail)
        self._tail = max(self._tail, HEADER_BYTES)
        self._header = Header(min(header.done, self._tail), header.unsaved, self._tail)
        self._cut_off()
        if header.unsaved:
            record = lost_record(header.unsaved, str(uuid.uuid5(_LOST_NAMESPACE, self.path.name)))
            self.append([record], self._tail + len(record) + 1)
            self.note_unsaved(0)

    def _compact(self) -> None:
        """Move pending lines to the front, unless they would overlap themselves.

        If the process is killed, one complete copy is valid: the old one until the header is written, then the new one,
        up to the header's `end`.
        """
        done, tail = self._header.done, self._tail
        end = HEADER_BYTES + tail - done
        if end > done:
            return
        for position in range(done, tail, _COPY_BYTES):
            block = _read_at(self._file, min(_COPY_BYTES, tail - position), position)
            _write_at(self._file, block, HEADER_BYTES + position - done)
        self._write_header(Header(HEADER_BYTES, self._header.unsaved, end))
        self._tail = end
        self._cut_off()

    def _cut_off(self) -> None:
        self._file.truncate(self._tail)
        self._write_header(self._header._replace(end=0))


def _open(path: Path, mode: str) -> FileIO:
    """Open a file unbuffered; a new one is accessible only to its owner."""
    opened = open(path, mode, buffering=0, opener=lambda name, flags: os.open(name, flags, 0o600))  # noqa: SIM115
    return cast("FileIO", opened)


def _lock(file: FileIO, path: Path) -> Lock | None:
    """Lock the file; return None if another process has it, or if the path now means another file."""
    held = lock(file, path)
    if held is None or _STAYS:  # Not every Windows file system reports the same identity twice.
        return held
    try:
        if os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return held
    except FileNotFoundError:
        held.release(remove=True)
        return None
    held.release(remove=False)
    return None


def _read_at(file: FileIO, count: int, position: int) -> bytes:
    """Read up to `count` bytes, fewer only at the file's end."""
    file.seek(position)
    block = file.read(count) or b""
    while block and len(block) < count and (more := file.read(count - len(block))):
        block += more
    return block


def _write_at(file: FileIO, block: bytes, position: int) -> None:
    view = memoryview(block)
    file.seek(position)
    while view:
        view = view[file.write(view) or 0 :]


def _end_of_last_line(file: FileIO, size: int) -> int:
    """Return the position after the last line feed, in bytes; 0 if there is none."""
    end = size
    while end > 0:
        start = max(0, end - _COPY_BYTES)
        found = _read_at(file, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
