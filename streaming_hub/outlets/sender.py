"""Sends one webhook over HTTP. Connections are pooled; every new one goes to an address that was checked.

urllib3 does the work. Its own connections resolve names inside `connect`, where nothing can look at the address, so
they are replaced in that one step. TLS still verifies the host's name. Redirects and proxy variables are not followed.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import ssl
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from streaming_hub.outlets import addresses

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Resolve = Callable[[str, int], list[str]]

SECONDS: Final = 15.0
"""From connecting to the end of the answer."""
ANSWER_BYTES: Final = 1024


class Outcome(msgspec.Struct, frozen=True):
    """What became of a request.

    Attributes:
        duration: seconds.
        status: the answer's; None without one.
        answer: the first `ANSWER_BYTES` of it.
        retry_after: its `Retry-After`.
        error: what went wrong, where there is no complete answer.
    """

    duration: float
    status: int | None = None
    answer: str = ""
    retry_after: str | None = None
    error: str | None = None


def resolve(host: str, port: int) -> list[str]:
    """Return a name's addresses.

    Raises:
        OSError: it has none.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError(f"{host} is not a host's name") from error
    return list(dict.fromkeys(str(one[4][0]) for one in found))


class Sender:
    """Sends webhooks; any number of threads may share one.

    Args:
        allow_private: STREAM_WEBHOOK_ALLOW_PRIVATE.
        resolver: finds a name's addresses.
        seconds: see `SECONDS`.
    """

    def __init__(self, *, allow_private: bool, resolver: Resolve = resolve, seconds: float = SECONDS) -> None:
        self._allow_private = allow_private
        self._resolver = resolver
        self._seconds = seconds
        self._pools = urllib3.PoolManager(num_pools=256, maxsize=16, ssl_context=_ssl_context())
        self._pools.pool_classes_by_scheme = self._pool_classes()
        self._current = threading.local()

    def send(self, url: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """Send, and say what came of it; whatever goes wrong on the way is in the outcome."""
        begun = time.monotonic()
        held = self._current.held = _Held()
        watch = threading.Timer(self._seconds, held.hang_up)
        watch.daemon = True
        watch.start()
        status, retry_after, answer, error = None, None, b"", None
        try:
            addresses.check_url(url, allow_private=self._allow_private)
            response = self._pools.request(
                "POST",
                url,
                body=body,
                headers={"content-type": "application/json", **headers},
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
                timeout=urllib3.Timeout(total=self._seconds),
            )
            status, retry_after = response.status, response.headers.get("retry-after")
            answer = response.read(ANSWER_BYTES + 1)
            if len(answer) > ANSWER_BYTES:
                # The rest may be endless: a new connection is cheaper than reading it.
                response.close()
            response.release_conn()
        except addresses.Forbidden as refused:
            error = str(refused)
        except (urllib3.exceptions.HTTPError, OSError) as failed:
            error = type(failed).__name__
        finally:
            watch.cancel()
        if held.late:
            status, error = None, f"no complete answer within {self._seconds:g} s"
        text = answer[:ANSWER_BYTES].decode("utf-8", "replace")
        return Outcome(time.monotonic() - begun, status, text, retry_after, error)

    def _connect(self, scheme: str, host: str, port: int, timeout: Any) -> socket.socket:
        failure: Exception = OSError("the name has no address")
        for found in self._resolver(host, port):
            try:
                address = ipaddress.ip_address(found)
                addresses.check_address(address, scheme=scheme, allow_private=self._allow_private)
                return socket.create_connection((str(address), port), timeout)
            except (addresses.Forbidden, OSError) as error:
                failure = error
        raise failure

    def _pool_classes(self) -> dict[str, Any]:
        sender = self

        class Plain(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                return sender._connect("http", self.host, self.port or 80, self.timeout)

            def request(self, *args: Any, **options: Any) -> None:
                if self.sock is None:
                    self.connect()
                sender._current.held.hold(self.sock)
                super().request(*args, **options)

        class Secure(HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                return sender._connect("https", self.host, self.port or 443, self.timeout)

            def request(self, *args: Any, **options: Any) -> None:
                sender._current.held.hold(self.sock)
                super().request(*args, **options)

        class PlainPool(urllib3.HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(urllib3.HTTPSConnectionPool):
            ConnectionCls = Secure

        return {"http": PlainPool, "https": SecurePool}


class _Held:
    """The connection that a request uses, for ending it when its time is up."""

    def __init__(self) -> None:
        self.late = False
        self._sock: Any = None

    def hold(self, sock: Any) -> None:
        self._sock = sock

    def hang_up(self) -> None:
        self.late = True
        if self._sock is not None:
            with contextlib.suppress(OSError):
                # Not the TLS socket's own `shutdown`, which would drop the layer that another thread reads.
                socket.socket.shutdown(self._sock, socket.SHUT_RDWR)


def _ssl_context() -> ssl.SSLContext:
    own = os.environ.get("REQUESTS_CA_BUNDLE")
    if not own:
        return ssl.create_default_context()
    if Path(own).is_dir():
        return ssl.create_default_context(capath=own)
    return ssl.create_default_context(cafile=own)
