"""The write-ahead log beside the database: copied into it off the publishing path, and emptied when necessary.

SQLite copies pages in its own time and leaves the log's file as it is. After an erasure that is not enough: the log
holds the erased text until it is truncated.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

LARGE_BYTES: Final = 64 * 1024 * 1024
"""Size from which the log is emptied, not only copied."""
TRUNCATE_SECONDS: Final = 0.05
"""How long emptying waits for a reader of older pages. Publishing blocks in the meantime."""
CONNECT_SECONDS: Final = 5.0
"""How long a connection waits for another, unless it says otherwise."""


def connect(path: Path) -> sqlite3.Connection:
    """Open a connection that any thread may use, one at a time."""
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=CONNECT_SECONDS)


class Log:
    """Maintains the log of one database.

    `note_erased` belongs to the thread that writes, `checkpoint` may run in any other at the same time: so erasures
    are counted, and one that comes while the log is being emptied is not taken for done.

    Args:
        path: the database file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # A server that was killed may have left a log with erased text.
        self._erasures = 1
        self._emptied = 0

    def note_erased(self) -> None:
        """Note that the log has erased text; only after its transaction was committed."""
        self._erasures += 1

    def checkpoint(self) -> None:
        """Copy the log into the file; if a reader keeps it from being emptied, the next call tries again."""
        try:
            with contextlib.closing(connect(self._path)) as db:
                # Copies nearly everything without blocking anything.
                db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                erasures = self._erasures
                if erasures != self._emptied or self._is_large():
                    db.execute(f"PRAGMA busy_timeout={TRUNCATE_SECONDS * 1000:.0f}").fetchone()
                    busy = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
                    if not busy:
                        self._emptied = erasures
        except sqlite3.Error as error:
            log.warning("%s: checkpoint: %s", self._path, error)

    def _is_large(self) -> bool:
        path = self._path.with_name(self._path.name + "-wal")
        return path.exists() and path.stat().st_size > LARGE_BYTES
