"""The console's modules and styles as they are sent: without comments and indentation, half the size. Pure.

The sources need no build step, and are what Node and tsc check; browsers need no documentation. Line breaks stay, so
that an error's line is the source's.
"""

from __future__ import annotations

import re
from typing import Final

_COMMENT: Final = re.compile(r"^[ \t]*(?:/\*(?:(?!\*/).)*\*/|//[^\n]*)[ \t]*$", re.DOTALL | re.MULTILINE)
"""A comment that has its lines for itself. No literal spans lines (a test), so none can hold one."""
_INDENTATION: Final = re.compile(r"^[ \t]+", re.MULTILINE)


def compact(source: str) -> str:
    """Return a module or a style sheet without indentation and comments that have their lines for themselves."""
    return _INDENTATION.sub("", _COMMENT.sub(lambda found: "\n" * found[0].count("\n"), source))
