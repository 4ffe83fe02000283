"""The LiveKit streaming hub: `uv run flask_server.py`.

`create_app` builds the Flask application for tests and for any WSGI server; `main` serves it with gevent.
"""

from __future__ import annotations

if __name__ == "__main__":
    import sys

    try:
        from streaming_hub import signals
    except ImportError as error:  # streaming_hub/__init__ names the systems it runs on
        print(error, file=sys.stderr)
        sys.exit(2)

    # What follows takes a second, in which process 1 of a container would be deaf.
    signals.end_at_once()

    # Before anything else is imported, or modules would keep the blocking originals.
    from gevent import monkey

    monkey.patch_all()

import sys
from typing import TYPE_CHECKING

from flask import Flask

from streaming_hub import command, web
from streaming_hub import settings as hub_settings
from streaming_hub.services import Services

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streaming_hub.settings import Settings


def create_app(settings: Settings | None = None, *, agent_command: Sequence[str] | None = None) -> Flask:
    """Build the application.

    Args:
        settings: what the operator chose; read from the environment and `.env` files by default.
        agent_command: what runs as the agent process; the project's own worker by default.

    Raises:
        SettingsError, StorageError: the server cannot start; the message says what to change.
    """
    app = Flask("streaming-hub", static_folder=None)
    parts = Services(settings or hub_settings.load(), agent_command=agent_command)
    web.init_app(app, parts)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal ends it; see `--help`.

    Returns:
        The exit code: 0, or 2 when the server cannot start.
    """
    return command.run(create_app, arguments)


if __name__ == "__main__":
    sys.exit(main())
