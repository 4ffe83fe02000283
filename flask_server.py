"""The LiveKit streaming hub: `uv run flask_server.py`. When installed, the command is `streaming-hub`.

`create_app` builds the Flask application for tests and for any WSGI server.
"""

from __future__ import annotations

if __name__ == "__main__":
    import sys

    try:
        from streaming_hub.__main__ import main
    except ImportError as error:  # streaming_hub/__init__ names the systems it runs on
        print(error, file=sys.stderr)
        sys.exit(2)
    sys.exit(main(program="flask_server.py"))

from streaming_hub.web import create_app

__all__ = ["create_app"]
