"""Uploads on disk until they are archived, written in full before the agent gets its response.

    <nanoseconds>-<process>-<number>.upload    a line of JSON (`Head`), then the body as it came
    *.part                           being written, or left by a hub that was killed; not acknowledged with 200

An agent's job is killed if the hub delays its uploads (docs/explanation/failures.md), so the response never waits for
the database, and a full spool drops uploads rather than refusing them. The folder may hold other files, which stay as
they are.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Self

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MAX_BYTES: Final = 512 * 1024 * 1024
"""Maximum bytes of all pending bodies."""
LEFT_SECONDS: Final = 900.0
"""Age in seconds at which a partial body is abandoned; a body has to arrive within a third of that."""
SUFFIX: Final = ".upload"
PART: Final = ".part"
_OURS: Final = re.compile(r"\d{20}-\d+-\d{8}\.(?:upload|part)")

_encode = msgspec.json.Encoder().encode


class Head(msgspec.Struct, frozen=True):
    """What a body is.

    Attributes:
        kind: `traces`, `logs`, `metrics` or `recordings`.
        content_type: including parameters.
        encoding: the Content-Encoding; empty for none.
    """

    kind: str
    content_type: str
    encoding: str = ""


class Full(OSError):
    """There is no room for another upload."""


class Part:
    """A body that is being written; a context manager that removes it unless `keep` was called.

    Attributes:
        size: bytes of the body so far.
    """

    def __init__(self, spool: Spool, path: Path, head: Head) -> None:
        self.size = 0
        self._spool = spool
        self._path = path
        self._file: BinaryIO = open(path, "xb", opener=_private)  # noqa: SIM115 - closed by `__exit__`
        self._file.write(_encode(head) + b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def write(self, data: bytes) -> None:
        """Append to the body.

        Raises:
            OSError: the disk is full or broken.
        """
        self._file.write(data)
        self.size += len(data)

    def last(self, count: int) -> bytes:
        """Return the last bytes of the body."""
        self._file.flush()
        with self._path.open("rb") as file:
            file.seek(max(0, self._file.tell() - count))
            return file.read(count)

    def body(self) -> bytes:
        """Return the body so far."""
        self._file.flush()
        return read(self._path)[1]

    def keep(self) -> None:
        """Make it durable; waits for the disk.

        Raises:
            Full: the spool is full.
            OSError: the disk is full or broken.
        """
        self._file.flush()
        os.fsync(self._file.fileno())
        self._spool.take(self._path, self.size)


class Spool:
    """The pending uploads.

    Args:
        folder: where they are; created with the first one.
        max_bytes: maximum bytes of all pending bodies.
        clock: nanoseconds since 1970, for names that sort by time.

    Attributes:
        counts: how many uploads were accepted, refused, undecodable, too large or dropped, as (kind, outcome).
    """

    def __init__(
        self, folder: Path, *, max_bytes: int = MAX_BYTES, clock: Callable[[], int] = time.time_ns
    ) -> None:
        self.folder = folder
        self.counts: Counter[tuple[str, str]] = Counter()
        self._max_bytes = max_bytes
        self._clock = clock
        self._numbers = itertools.count(1)
        self._tidy()

    def begin(self, head: Head) -> Part:
        """Start writing a body.

        Raises:
            OSError: the disk is full or broken.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Part(
            self, self.folder / f"{self._clock():020d}-{os.getpid()}-{next(self._numbers):08d}{PART}", head
        )

    def take(self, part: Path, size: int) -> None:
        """Add a written body; for `Part`.

        Raises:
            Full: the spool is full.
        """
        pending = self.waiting()
        held = sum(_size(path) for path in pending)
        if held + size > self._max_bytes:
            raise Full(
                f"{self.folder} is full: {len(pending)} uploads ({held} bytes) wait for the archive, and another "
                f"{size} would exceed {self._max_bytes}"
            )
        part.rename(part.with_suffix(SUFFIX))
        _sync_folder(self.folder)

    def waiting(self) -> list[Path]:
        """Return the pending bodies, oldest first, from all nodes on this machine."""
        try:
            found = [path for path in self.folder.iterdir() if path.suffix == SUFFIX]
        except FileNotFoundError:
            return []
        return sorted(path for path in found if _OURS.fullmatch(path.name))

    def done(self, path: Path) -> None:
        """Remove an archived body."""
        path.unlink(missing_ok=True)

    def count(self, kind: str, outcome: str) -> None:
        """Count an upload; called in the thread that serves requests."""
        self.counts[kind, outcome] += 1

    def _tidy(self) -> None:
        """Remove partial bodies left by a hub that was killed."""
        before = self._clock() / 1e9 - LEFT_SECONDS
        for path in self.folder.glob(f"*{PART}"):
            if not _OURS.fullmatch(path.name):
                continue
            with contextlib.suppress(FileNotFoundError):  # another node has removed it
                if path.stat().st_mtime < before:
                    path.unlink()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def read(path: Path) -> tuple[Head, bytes]:
    """Read a pending body.

    Raises:
        OSError: it no longer exists.
        msgspec.DecodeError: it is not one.
    """
    head, _, body = path.read_bytes().partition(b"\n")
    return msgspec.json.decode(head, type=Head), body


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync_folder(folder: Path) -> None:
    """Make a rename durable."""
    descriptor: Any = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
