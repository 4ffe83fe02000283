"""The server: everything between a published event and a subscriber's socket. It never imports agent.

Raises:
    ImportError: this system is not one that the server runs on.
"""

from importlib.util import find_spec

__version__ = "0.1.0"

if find_spec("fcntl") is None:
    raise ImportError(
        "The hub needs Linux or macOS; agents on Windows can send their events to a hub that runs there."
    )
