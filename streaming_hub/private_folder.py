"""A private directory in a world-writable place such as /tmp, safe against one planted by another user.

Written by hand: platformdirs names a directory below the user's home, which a container without a home or with a
read-only root does not have, and does not make it safe when it falls back to /tmp.

May touch: the requested directory, and the machine's directory for temporary files.
"""

from __future__ import annotations

import logging
import os
import stat
import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)


def private_folder(wanted: Path) -> Path:
    """Return a directory that only this user can enter: the requested one, or a new one beside it.

    Another user of the machine may have planted a directory or a link of that name, to read what is written to it.

    Args:
        wanted: created if missing; used if it is this user's and has mode 0700.

    Raises:
        OSError: no directory can be made there.
    """
    try:
        wanted.mkdir(mode=0o700)
    except FileExistsError:
        if not _is_private(wanted):
            return _fresh(wanted)
    return wanted


def _is_private(path: Path) -> bool:
    found = path.lstat()  # not stat: a link is not a directory
    return (
        stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and stat.S_IMODE(found.st_mode) == 0o700
    )


def _fresh(wanted: Path) -> Path:
    made = wanted.parent / tempfile.mkdtemp(prefix=f"{wanted.name}-", dir=wanted.parent)
    log.warning(
        "%s is not a directory that only this user can enter; using %s, which the next start will not find. "
        "Remove the former.",
        wanted,
        made,
    )
    return made
