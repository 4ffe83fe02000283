"""What serving with gevent begins with, by `flask_server.py` and under gunicorn alike."""

from __future__ import annotations

import gc
import resource
from typing import TYPE_CHECKING, Final

import gevent

from streaming_hub.stream.writer import Writer

if TYPE_CHECKING:
    from streaming_hub.services import Services

SPARE_DESCRIPTORS: Final = 200
"""What is kept from streams for requests, files and the agent."""


def begin(parts: Services, url: str | None) -> Writer:
    """Start the writer and all that goes on beside the requests.

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
    parts.start(gevent.get_hub().threadpool.apply)
    # What start-up made stays for good: looking through it again and again would hold up the loop for 20 ms each time.
    gc.collect()
    gc.freeze()
    return writer


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open files to the hard one; return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = 1_048_576
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
