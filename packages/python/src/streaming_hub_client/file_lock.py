"""An exclusive lock on a file, released when its owner exits, however that happens.

Where `fcntl` exists, the lock is an flock on the file. Elsewhere (on Windows) it is SQLite's lock on an empty database
beside the file, the only other lock in the standard library that no crash leaves behind. A pid file would outlive a
killed owner, and Windows has no safe way to check whether a process is alive.

May touch: the file and its `.lock`.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]  # POSIX only

if TYPE_CHECKING:
    from io import FileIO
    from pathlib import Path


class Lock(Protocol):
    """A lock held by this process."""

    def release(self, *, remove: bool) -> None:
        """Release the lock. With `remove`, the locked file is gone, so remove the lock's own file as well."""


class _Flock:
    """An flock, held by the open file itself."""

    def release(self, *, remove: bool) -> None:
        """Do nothing: closing the file releases it."""


class _DatabaseLock:
    def __init__(self, path: Path, database: sqlite3.Connection) -> None:
        self._path = path
        self._database = database

    def release(self, *, remove: bool) -> None:
        self._database.close()
        if remove:
            with suppress(OSError):  # Another process has it open, and will find no file to adopt.
                self._path.unlink()


def lock(file: FileIO, path: Path) -> Lock | None:
    """Lock an open file for this process.

    Args:
        file: The open file.
        path: Its path.

    Returns:
        The lock; None if another owner has it.

    Raises:
        OSError: The directory or the file cannot be used.
    """
    if fcntl is None:
        return _lock_database(path.with_suffix(".lock"))
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    return _Flock()


def _lock_database(path: Path) -> Lock | None:
    database = None
    try:
        # Like its file, a lock is used by one thread at a time.
        database = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        database.execute("PRAGMA journal_mode=MEMORY")
        database.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error as error:
        if database is not None:
            database.close()
        if str(error) == "database is locked":  # Python 3.10 has no error codes
            return None
        raise OSError(f"{path} cannot be locked: {error}") from error
    return _DatabaseLock(path, database)
