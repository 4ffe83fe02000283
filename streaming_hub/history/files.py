"""The files of a history on disk: private, used by one server at a time, set aside when corrupt."""

from __future__ import annotations

import fcntl
import os
from typing import IO, TYPE_CHECKING, Final

from streaming_hub.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path


SETTING: Final = "STREAM_HISTORY"


def claim(path: Path) -> IO[bytes]:
    """Create the directory and the file with private modes, and lock other servers out until the result is closed.

    Raises:
        StorageError: the file cannot be written, or another server has it.
    """
    lock_path = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock_file = os.fdopen(os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "rb+")
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written ({error.strerror}). Make the directory writable, or choose another file with "
            f"{SETTING}=sqlite:///PATH."
        ) from error
    try:
        fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock_file.close()
        raise StorageError(
            f"{path}: another server has this history open. Stop it, or give this one another file with "
            f"{SETTING}=sqlite:///PATH."
        ) from error
    return lock_file


def set_aside(path: Path, now: float) -> Path:
    """Rename a corrupt file and its companions, and create an empty one in its place."""
    aside = path.with_name(f"{path.name}.corrupt-{int(now)}")
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        extra = path.with_name(path.name + suffix)
        if extra.exists():
            extra.rename(aside.with_name(aside.name + suffix))
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    return aside
