"""The audio of recordings, as files beside the archive. In the archive's process.

    <hash of the job>.ogg     Ogg Opus as the agent uploaded it: two channels, 0 the user, 1 the agent
    <hash of the job>.part    being written

The folder may hold other files, which stay as they are.

A file is written before its row and removed after it. `sweep` removes files without a row, left by a killed process.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from streaming_hub.archive.tables import erased, jobs

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from sqlalchemy.engine import Connection

SUFFIX: Final = ".ogg"
PART: Final = ".part"
_OURS: Final = re.compile(r"[0-9a-f]{64}\.(?:ogg|part)")
MAGIC: Final = b"OggS"
YOUNG_SECONDS: Final = 600.0
"""Age below which a file without a row stays: another node may be about to write the row."""
STEP: Final = 500


class AudioFolder:
    """The folder of the files.

    Args:
        folder: created with the first file, for this user only.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, key: str, data: bytes) -> bool:
        """Write a recording's audio, durably.

        Args:
            key: the job's hash.
            data: the file.

        Returns:
            False: it is not Ogg and was not written.

        Raises:
            OSError: the disk is full or broken.
        """
        if not data.startswith(MAGIC):
            return False
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = self._folder / f"{key}{PART}"
        with open(part, "wb", opener=_private) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.rename(self.path(key))
        return True

    def path(self, key: str) -> Path:
        """Return the path of a job's audio."""
        return self._folder / f"{key}{SUFFIX}"

    def drop(self, keys: Iterable[str]) -> None:
        """Remove the audio of some jobs."""
        for key in keys:
            self.path(key).unlink(missing_ok=True)

    def sweep(self, connection: Connection) -> None:
        """Remove files without a row: erased, expired, redacted, or left by a process that was killed."""
        try:
            files = {path.stem: path for path in self._folder.iterdir() if _OURS.fullmatch(path.name)}
        except FileNotFoundError:
            return
        names = list(files)
        for start in range(0, len(names), STEP):
            part = names[start : start + STEP]
            rows = connection.execute(sa.select(jobs.c.key, jobs.c.audio).where(jobs.c.key.in_(part)))
            known = {key: audio is not None for key, audio in rows}
            gone = set(connection.execute(sa.select(erased.c.key).where(erased.c.key.in_(part))).scalars())
            for key in part:
                kept = known.get(key, key not in gone and _is_young(files[key]))
                if not kept:
                    files[key].unlink(missing_ok=True)


def _is_young(path: Path) -> bool:
    with suppress(FileNotFoundError):  # erased meanwhile
        return time.time() - path.stat().st_mtime < YOUNG_SECONDS
    return False


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
