"""The hub's server: everything between a posted event and a subscriber's socket.

Talks to the agent over HTTP and a socket pair; never imports it.
docs/explanation/architecture.md lists the directories, layer by layer.

Raises:
    ImportError: the server does not run on this system.
"""

from importlib.util import find_spec

__all__ = ["__version__"]
__version__ = "0.1.0"

if find_spec("fcntl") is None:
    raise ImportError(
        "The hub needs Linux or macOS; agents on Windows can send their events to a hub that runs there."
    )
