"""The watcher: `python -m agent.watcher`, started by the hub where STREAM_WATCH is set.

A hidden participant in LiveKit's rooms that posts what their agents do, for agents that know nothing of the hub.
Nothing heavy is imported before the control socket is watched, so this process ends with the hub from its first moment.
The rest is in `agent.watching`.
"""

from __future__ import annotations

import os
import sys


def main() -> int:
    """Watch the hub, then import and run the watcher; return the exit code."""
    from .control import Control  # noqa: PLC0415

    control = Control.from_env()
    control.end_with_hub()
    from .watching.settings import SettingError, Settings  # noqa: PLC0415

    try:
        settings = Settings.from_env(os.environ)
    except SettingError as error:
        return control.refuse(str(error))
    from .watching.service import serve  # noqa: PLC0415  # takes half a second

    return serve(settings, control)


if __name__ == "__main__":
    sys.exit(main())
