"""Streams straight from the listening socket to the writer.

When ten thousand pages reconnect at once, gevent's server creates for each a socket with watchers, a buffered reader,
a handler and timers, which cost several times as much as the stream. Here a new connection's request is peeked at in
the kernel's buffer. A complete request for a stream with nothing behind it is served without all that;
any other stays untouched in its socket, for gevent's server.
"""

from __future__ import annotations

import io
import logging
import re
import time
from _socket import AF_INET, AF_INET6, MSG_PEEK
from _socket import socket as BareSocket  # noqa: N812 - the C type has a lower-case name
from collections import deque
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import gevent
from gevent.pywsgi import format_date_time
from gevent.socket import socket as GeventSocket  # noqa: N812 - gevent's name for it

from streaming_hub.server.environ import BODY_KEY, STREAM_PATH, WRITER_KEY
from streaming_hub.server.headers import Headers, response_head
from streaming_hub.stream import sockets
from streaming_hub.stream.body import StreamBody

if TYPE_CHECKING:
    from collections.abc import Iterable

log = logging.getLogger(__name__)

MAX_REQUEST: Final = 8192
"""Bytes of the longest request that is served here."""
MOST_AT_ONCE: Final = 16
"""Connections that are accepted, and streams that are begun, before others get a turn."""
_REQUEST_LINE = re.compile(
    rb"GET " + re.escape(STREAM_PATH).encode("ascii") + rb"(?:\?([!\"$-~]*))? HTTP/1\.1\r\n"
)
_END: Final = b"\r\n\r\n"
_UNUSUAL: Final = frozenset({"content-length", "transfer-encoding", "expect", "upgrade"})
"""Fields that make a request more than a head."""


class DirectMixin:
    """What a gevent server needs to serve streams this way."""

    application: Any
    environ: dict[str, Any]
    loop: Any
    socket: Any

    at_once = MOST_AT_ONCE
    """Connections that are accepted before others get a turn."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._accepted: deque[tuple[dict[str, Any], BareSocket]] = deque()

    def do_read(self) -> Any:
        """Accept connections until one is for gevent's server; None if none is left or others wait."""
        listener = self.socket
        if listener.family not in (AF_INET, AF_INET6):
            return super().do_read()  # type: ignore[misc] # gevent's, next in line
        for _ in range(self.at_once):
            try:
                descriptor, address = listener._accept()
            except BlockingIOError:
                return None
            sock = BareSocket(listener.family, listener.type, listener.proto, descriptor)
            sock.settimeout(0)
            asked = _take(sock)
            if asked is None:
                return GeventSocket(listener.family, listener.type, listener.proto, sock.detach()), address
            if not self._accepted:
                self.loop.run_callback(self._serve_accepted)
            self._accepted.append((self._stream_environ(address, *asked), sock))
        return None

    def _serve_accepted(self) -> None:
        if self._accepted:
            # Not one greenlet for each: Python maps memory for its frames, a third of what a new stream costs.
            gevent.spawn_raw(self._serve_in_turn)
            # Runs once that greenlet has ended or waits for something; then another one takes over.
            self.loop.run_callback(self._serve_accepted)

    def _serve_in_turn(self) -> None:
        for _ in range(min(MOST_AT_ONCE, len(self._accepted))):
            # Another greenlet may have accepted the rest while this one was waiting.
            if self._accepted:
                serve(self.application, *self._accepted.popleft())

    def _stream_environ(self, address: tuple[Any, ...], query: str, headers: Headers) -> dict[str, Any]:
        """Return a request's WSGI environ (PEP 3333)."""
        return {
            **self.environ,
            "REQUEST_METHOD": "GET",
            "SCRIPT_NAME": "",
            "PATH_INFO": STREAM_PATH,
            "QUERY_STRING": query,
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": address[0],
            "REMOTE_PORT": str(address[1]),
            "CONTENT_LENGTH": "0",
            "wsgi.input": io.BytesIO(),
            "wsgi.input_terminated": True,
            BODY_KEY: b"",
            **dict(headers.environ_items()),
        }


def _take(sock: BareSocket) -> tuple[str, Headers] | None:
    """Read a request for a stream off its socket; leave any other there."""
    try:
        request = sock.recv(MAX_REQUEST, MSG_PEEK)
        asked = parse(request)
        if asked is not None:
            sock.recv(len(request))
    except OSError:
        # Nothing has arrived yet, or the client has disconnected: gevent's server finds out.
        return None
    return asked


def parse(request: bytes) -> tuple[str, Headers] | None:
    """Return query string and fields of a request for a stream; None for any other request, or an unusual one."""
    line = _REQUEST_LINE.match(request)
    if line is None or request.find(_END) != len(request) - len(_END):
        return None
    fields = io.BytesIO(request[line.end() :])
    try:
        headers = Headers(fields.readline)
    except ValueError:
        return None
    # A bare line feed may have ended the head before.
    if fields.read(1) or headers.get("host") is None or headers.has_any(_UNUSUAL):
        return None
    return (line[1] or b"").decode("ascii"), headers


def serve(application: Any, environ: dict[str, Any], sock: BareSocket) -> None:
    """Call the application; give its stream to the writer, or send any other response."""
    started: list[tuple[str, list[tuple[str, str]]]] = []
    try:
        body = application(environ, lambda status, headers, _exc_info=None: started.append((status, headers)))
        status, headers = started[-1]
        if isinstance(body, StreamBody):
            body.subscriber.chunked = True
            head = _head(status, (*headers, ("Transfer-Encoding", "chunked")), int(time.time()))
            environ[WRITER_KEY].adopt(sock, body.subscriber, head)
        else:
            _send_whole(sock, status, headers, body)
    except Exception:
        # Flask handles the application's errors; this one is the server's own.
        log.exception("unexpected error: a request for a stream failed; its connection is closed")
        sock.close()


def _send_whole(sock: BareSocket, status: str, headers: list[tuple[str, str]], body: Iterable[bytes]) -> None:
    close = getattr(body, "close", lambda: None)
    known = [pair for pair in headers if pair[0].lower() != "connection"]
    client = GeventSocket(sock.family, sock.type, sock.proto, sock.detach())
    try:
        if all(name.lower() != "content-length" for name, _ in known):
            body = [b"".join(body)]
            known.append(("Content-Length", str(len(body[0]))))
        data = _head(status, tuple(known), int(time.time()))
        with client, gevent.Timeout(sockets.ANSWER_TIMEOUT, exception=False):
            for piece in body:
                client.sendall(data + piece)
                data = b""
    except OSError as error:
        log.debug("a client disconnected before the response: %s", error)
    finally:
        # As PEP 3333 wants it: Flask ends its request there.
        close()


@lru_cache(maxsize=16)
def _head(status: str, headers: tuple[tuple[str, str], ...], now: int) -> bytes:
    """Return a head with the fields that gevent's server adds; made once for all requests within a second."""
    fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    ours = (b"Date", format_date_time(now)), (b"Connection", b"close")
    return response_head(status.encode("latin-1"), [*fields, *ours])
