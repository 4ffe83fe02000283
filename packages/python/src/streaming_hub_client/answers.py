"""Reads HTTP responses within bounds: the server may not be a hub, and its response may never end.

By hand, because `requests` waits its timeout for every byte of a response's headers, as `http.client` does, and reads a
body into memory without limit, for as long as data arrives.

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
"""Limit of a body; the hub's largest has an id for each of 1000 events."""
_BLOCK = 4096
"""Small, because a compressed block may decompress to a thousand times its size."""


class BoundedAdapter(HTTPAdapter):
    """An adapter whose read timeout, in seconds, is also the longest that an answer's headers may take."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Make the pools of direct connections."""
        super().init_poolmanager(*args, **options)
        _bound(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **options: Any) -> urllib3.PoolManager:
        """Return the pools of connections through a proxy."""
        manager: urllib3.PoolManager = super().proxy_manager_for(proxy, **options)
        _bound(manager)
        return manager


class BoundedSession(requests.Session):
    """A session with bounded answers, and without passwords from .netrc, which are not the hub's.

    It does not look where a redirect leads: `requests` reads the whole body for that, and fails on an address that is
    not UTF-8.

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
    """Return a class of pools like another one, whose connections make answers that are `_Bounded`."""
    connection: Any = pool.ConnectionCls
    if connection.response_class is _Bounded:
        return pool
    bounded = type(connection.__name__, (connection,), {"response_class": _Bounded})
    return type(pool.__name__, (pool,), {"ConnectionCls": bounded})


class _Bounded(http.client.HTTPResponse):
    """An answer whose status and headers have to be there within the socket's timeout."""

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self._received = _Received(self.fp.detach(), sock)
        self.fp = io.BufferedReader(self._received)

    def begin(self) -> None:
        """Read status and headers, and all answers `100 Continue` before them."""
        super().begin()
        self._received.until = None


class _Received(io.RawIOBase):
    """What arrives at a socket, until a moment; the socket's own timeout starts again with every byte.

    Attributes:
        until: That moment on the monotonic clock; None: without end.
    """

    def __init__(self, received: io.RawIOBase, sock: socket.socket) -> None:
        self._received, self._socket = received, sock
        self._timeout = sock.gettimeout()
        self.until = None if self._timeout is None else time.monotonic() + self._timeout

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Buffer, /) -> int | None:
        """Read what has arrived.

        Raises:
            TimeoutError: Nothing has, in time.
        """
        if self.until is None:
            return self._received.readinto(buffer)
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"the answer's headers have not ended within {self._timeout:g} s")
        self._socket.settimeout(left)
        try:
            return self._received.readinto(buffer)
        finally:
            self._socket.settimeout(self._timeout)

    def close(self) -> None:
        """Let go of the socket."""
        self._received.close()
        super().close()


def read_answer(answer: requests.Response, seconds: float) -> bytes:
    """Read the body of a streamed response, and close the response.

    Args:
        answer: Requested with `stream=True`.
        seconds: Time limit; a read in progress may exceed it by its own timeout.

    Raises:
        requests.RequestException: The body breaks off, or is longer or slower than a hub's.
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
    raise requests.ConnectionError(f"the body has not ended after {len(body)} bytes; a hub's is shorter")
