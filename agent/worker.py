"""The agent process: `python -m agent.worker`, started by the hub or by hand.

Nothing heavy is imported before the control socket is watched, so that this process dies with the hub from
its first moment on. What it runs is in `agent.service`.
"""

from __future__ import annotations

import gc
import os
import sys


def main() -> int:
    """Watch the hub, then import and run the agent; give the exit code."""
    from .control import Control  # noqa: PLC0415

    control = Control.from_env()
    control.end_with_hub()
    from .settings import SettingError, Settings  # noqa: PLC0415

    try:
        settings = Settings.from_env(os.environ)
    except SettingError as error:
        return control.refuse(str(error))
    # Importing makes hundreds of thousands of objects and no garbage: a tenth of the start-up time goes into
    # looking for some. Frozen, they do not make later collections pause the audio either.
    gc.disable()
    from .service import serve  # noqa: PLC0415  # takes a second or two

    gc.freeze()
    gc.enable()
    return serve(settings, control)


if __name__ == "__main__":
    sys.exit(main())
