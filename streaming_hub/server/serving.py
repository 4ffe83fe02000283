"""Start-up shared by flask_server.py and the gunicorn worker."""

from __future__ import annotations

import gc
import resource
from typing import TYPE_CHECKING, Any, Final

import gevent

from streaming_hub.access.address import parse_address
from streaming_hub.stream.writer import Writer

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from streaming_hub.services import Services

SPARE_DESCRIPTORS: Final = 200
"""Descriptors reserved for requests, files and the agent."""
MOST_DESCRIPTORS: Final = 1_048_576
"""The limit that is set if the hard limit is unlimited."""


def begin(parts: Services, url: str | None) -> Writer:
    """Start the writer and all background work.

    Args:
        parts: the hub's services.
        url: where the agent process reaches the server; None where it cannot (a Unix socket).

    Returns:
        The writer that streams are to be handed to.
    """
    if url is not None:
        parts.url = url
    parts.max_clients = min(parts.settings.max_clients, max(1, raise_descriptor_limit() - SPARE_DESCRIPTORS))
    writer = parts.writer = Writer(parts.hub, heartbeat=parts.settings.heartbeat)
    writer.start()
    parts.start(_off_loop)
    # Objects from start-up live as long as the process: collecting them would block the loop for 20 ms each time,
    # and the first answer now.
    gc.freeze()
    return writer


def _off_loop(function: Callable[[], Any]) -> Any:
    """Run a function in a thread, and wait for it; what it raises is the caller's.

    gevent prints a traceback of what a function raises in its thread pool, even where the caller expects it.
    """

    def run() -> tuple[Any, BaseException | None]:
        try:
            return function(), None
        except BaseException as error:  # noqa: BLE001 - raised again, on the caller's thread
            return None, error

    result, error = gevent.get_hub().threadpool.apply(run)
    if error is not None:
        raise error
    return result


def url_of(listener: socket.socket) -> str:
    """Return the URL at which this machine reaches a listening socket of TCP."""
    host, port = listener.getsockname()[:2]
    address = parse_address(host)
    if address is not None and address.is_unspecified:
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open files as far as the system allows; return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else hard
    # macOS says that there is no hard limit, and refuses what is above one of the kernel's (kern.maxfilesperproc).
    while soft != resource.RLIM_INFINITY and wanted > soft:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            wanted //= 2
        else:
            return wanted
    return MOST_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft
