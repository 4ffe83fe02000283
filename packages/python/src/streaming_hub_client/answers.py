"""Reads HTTP responses within limits: the server may not be a hub, and its response may never end.

Written by hand because `requests`, like `http.client`, applies its timeout to each read, so headers that trickle in
never time out; and because it reads a body of any size into memory.

May touch: the network, through an open response, and the clock.
"""

from __future__ import annotations

import functools
import http.client
import io
import time
from typing import TYPE_CHECKING, Any

import requests
import urllib3
from requests.adapters import HTTPAdapter

if TYPE_CHECKING:
    import socket

    from typing_extensions import Buffer

MOST_BYTES = 1024 * 1024
"""Largest accepted body. The hub's own largest has an id for each of 1000 events."""
_BLOCK = 4096
"""Bytes per read. Small, because compressed data may expand a thousandfold."""


class BoundedAdapter(HTTPAdapter):
    """An adapter whose read timeout, in seconds, also limits the time for all of a response's headers."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Create the pools for direct connections."""
        super().init_poolmanager(*args, **options)
        _bound(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **options: Any) -> urllib3.PoolManager:
        """Return the pools for connections through a proxy."""
        manager: urllib3.PoolManager = super().proxy_manager_for(proxy, **options)
        _bound(manager)
        return manager


class BoundedSession(requests.Session):
    """A session with bounded responses, and without passwords from .netrc, which are not meant for the hub.

    It never follows redirects: to do so, `requests` reads the whole body first, and it fails on a location that is not
    UTF-8.

    Args:
        adapter: Opens the connections; a new `BoundedAdapter` by default.
    """

    def __init__(self, adapter: BoundedAdapter | None = None) -> None:
        super().__init__()
        self.trust_env = False
        adapter = adapter or BoundedAdapter()
        for scheme in ("http://", "https://"):
            self.mount(scheme, adapter)

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002 - the base class's name
        """Return None."""
        return None


def _bound(manager: urllib3.PoolManager) -> None:
    pools = manager.pool_classes_by_scheme.items()
    manager.pool_classes_by_scheme = {scheme: _bounded(pool) for scheme, pool in pools}


@functools.cache
def _bounded(pool: Any) -> Any:
    """Return a subclass of a pool class whose connections produce `_Bounded` responses."""
    connection: Any = pool.ConnectionCls
    if connection.response_class is _Bounded:
        return pool
    bounded = type(connection.__name__, (connection,), {"response_class": _Bounded})
    return type(pool.__name__, (pool,), {"ConnectionCls": bounded})


class _Bounded(http.client.HTTPResponse):
    """A response whose status and headers must all arrive within the socket's timeout."""

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self._received = _Received(self.fp.detach(), sock)
        self.fp = io.BufferedReader(self._received)

    def begin(self) -> None:
        """Read status and headers, skipping `100 Continue` responses before them."""
        super().begin()
        self._received.until = None


class _Received(io.RawIOBase):
    """The bytes of a socket, with a deadline for all of them; the socket's own timeout restarts with every read.

    Attributes:
        until: The deadline on the monotonic clock; None for no deadline.
    """

    def __init__(self, received: io.RawIOBase, sock: socket.socket) -> None:
        self._received, self._socket = received, sock
        self._timeout = sock.gettimeout()
        self.until = None if self._timeout is None else time.monotonic() + self._timeout

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Buffer, /) -> int | None:
        """Read available bytes, waiting for them until the deadline.

        Raises:
            TimeoutError: None arrived in time.
        """
        if self.until is None:
            return self._received.readinto(buffer)
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"the response's headers were not complete within {self._timeout:g} s")
        self._socket.settimeout(left)
        try:
            return self._received.readinto(buffer)
        finally:
            self._socket.settimeout(self._timeout)

    def close(self) -> None:
        """Release the socket."""
        self._received.close()
        super().close()


def read_answer(answer: requests.Response, seconds: float) -> bytes:
    """Read the body of a streamed response, and close the response.

    Args:
        answer: Requested with `stream=True`.
        seconds: Time limit; a read in progress may exceed it by its own timeout.

    Raises:
        requests.RequestException: The body breaks off, or is larger or slower than any of the hub's.
    """
    until = time.monotonic() + seconds
    body = b""
    try:
        while len(body) <= MOST_BYTES and time.monotonic() < until:
            part = answer.raw.read1(_BLOCK, decode_content=True)
            if not part:
                return body
            body += part
    except urllib3.exceptions.HTTPError as error:
        raise requests.ConnectionError(error) from error
    finally:
        answer.close()
    raise requests.ConnectionError(f"the body was not complete after {len(body)} bytes; a hub's is shorter")
