"""The command `streaming-hub`, and `python -m streaming_hub`. In a checkout, `flask_server.py` does the same.

Nothing but `signals` is imported before gevent has patched the standard library.
"""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING

from streaming_hub import signals

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None, program: str = "streaming-hub") -> int:
    """Serve until a signal ends it; see `--help`.

    Args:
        arguments: the command line; `sys.argv` by default.
        program: the command's name, for its help and its errors.

    Returns:
        The exit code: 0, or 2 when the server cannot start.
    """
    # What follows takes a second, in which process 1 of a container would be deaf.
    signals.end_at_once()
    # Next to nothing of what is imported is garbage: looking for it takes a tenth of the start.
    gc.disable()
    # Before anything else is imported, or modules would keep the blocking originals.
    from gevent import monkey  # noqa: PLC0415

    monkey.patch_all()
    from streaming_hub import command, web  # noqa: PLC0415

    gc.freeze()
    gc.enable()
    return command.run(web.create_app, arguments, program)


if __name__ == "__main__":
    sys.exit(main())
