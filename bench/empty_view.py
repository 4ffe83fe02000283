"""A Flask application with one empty view, under the project's own WSGI server: what a POST costs at least.

usage: empty_view.py PORT    on 127.0.0.1 only
"""

from __future__ import annotations

if __name__ == "__main__":
    # Before anything else is imported, as flask_server.py does it.
    from gevent import monkey

    monkey.patch_all()

import sys
import time

from flask import Flask

from streaming_hub.history.memory import MemoryHistory
from streaming_hub.server.listening import listen
from streaming_hub.server.server import Server
from streaming_hub.stream.hub import Hub
from streaming_hub.stream.writer import Writer

app = Flask("empty-view", static_folder=None)


@app.post("/empty")
def empty() -> str:
    """Do nothing."""
    return ""


def main(port: int) -> None:
    """Serve until the process is ended. The writer never gets a stream; the server only wants to know one."""
    hub = Hub(MemoryHistory(max_events=1, max_age=1.0), queue_size=1, clock=time.time)
    Server(listen("127.0.0.1", port), app, Writer(hub, heartbeat=15.0)).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]))
