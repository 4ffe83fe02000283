"""The console's files as they are sent: without comments and space, half the size of their sources. Pure.

The sources are what Node and tsc check, and need no build step; browsers need no documentation.
"""

from __future__ import annotations

import rcssmin  # type: ignore[import-untyped]  # has no types
import rjsmin  # type: ignore[import-untyped]  # has no types


def compact(source: str, suffix: str) -> str:
    """Return a file's text without what browsers do not need.

    Args:
        source: the file's text.
        suffix: its kind: `.js`, `.css`; any other stays as it is.
    """
    if suffix == ".js":
        script: str = rjsmin.jsmin(source)
        return script
    if suffix == ".css":
        style: str = rcssmin.cssmin(source)
        return style
    return source
