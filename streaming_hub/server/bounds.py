"""Limits on what a request may cost, for gevent's handlers: `BoundedMixin`.

A request is read in full before the application sees it, within limits on time and size, so neither a slow sender nor
a huge body ever blocks application code. Overrides methods and attributes of pywsgi, private ones among them:
tests/streaming_hub/server/test_gevent.py has the list.
"""

from __future__ import annotations

import errno
import io
import logging
import re
import socket
import time
from typing import TYPE_CHECKING, Any, Final

import gevent
import msgspec
from gevent import pywsgi

from streaming_hub.events import sse
from streaming_hub.events.posted import MAX_BATCH_BYTES
from streaming_hub.logs import Gate
from streaming_hub.server.environ import BODY_KEY
from streaming_hub.server.headers import Headers, response_head
from streaming_hub.stream import sockets
from streaming_hub.stream.pauses import NAP

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)

IDLE_TIMEOUT: Final = 75.0
"""Seconds that a connection may stay open without a request."""
READ_TIMEOUT: Final = 20.0
"""Seconds within which a request's head and body must have arrived, counted from its first byte."""
MAX_BODY: Final = MAX_BATCH_BYTES
"""Maximum bytes of a body; a larger one is refused with 413, unread."""
CHUNKED_PIECE: Final = 512
UPLOADS: Final = "/observability/"
"""Prefixes of the paths whose bodies may be large: the application reads them itself, piece by piece."""
UPLOAD_PIECE: Final = 16 * 1024
UPLOAD_SECONDS: Final = 300.0
"""Seconds within which such a body must have arrived."""
LONGEST_RUN: Final = 0.003
"""Seconds for which one client is served before other sockets get a turn."""
SHORTEST_WAIT: Final = 0.00005
"""Seconds: for a request that took longer to arrive, the loop waited and ran others."""
LINGER_BYTES: Final = 4 * 1024 * 1024
LINGER_SECONDS: Final = 2.0
"""How much of an unread body is discarded before closing the connection, so that the response is not lost."""
_TLS_HANDSHAKE: Final = b"\x16"
"""The first byte of a connection that begins with TLS (RFC 8446, section 5.1)."""
_TLS: Final = (
    "This port speaks HTTP without TLS: use http:// in the URL, or a proxy in front of the hub that ends TLS."
)
_ABSOLUTE = re.compile(r"https?://([^/?]+)", re.IGNORECASE)
_unreadable = Gate(1, time.monotonic)
"""Allows one line a second in the log, so that bad requests cannot fill it."""


def give_way(since: float) -> float:
    """Let the loop look at other sockets, when one client has had it for long.

    gevent keeps reading and responding while there is data: a client that always has some would be the only one served.

    Args:
        since: when this client's run began (`time.monotonic`).

    Returns:
        When its run, which may be a new one now, began.
    """
    if time.monotonic() - since < LONGEST_RUN:
        return since
    gevent.sleep(NAP)
    return time.monotonic()


_LONG_LINE: Final = (
    f"The request line, with its query, has {pywsgi.MAX_REQUEST_LINE} bytes or more, which is more than is taken: "
    "send fewer or shorter parameters."
)


class UploadBody:
    """A large body while the application reads it: in pieces between which other sockets run, within a limit of time.

    Args:
        source: pywsgi's input.

    Attributes:
        done: whether all of it was read.
    """

    def __init__(self, source: Any) -> None:
        self._source = source
        self._began = time.monotonic()
        self._until = self._began + UPLOAD_SECONDS
        self.done = False

    def read(self, size: int = -1) -> bytes:
        """Read at most `size` bytes, or all of it.

        Raises:
            OSError: it does not arrive.
        """
        if size < 0:
            return b"".join(iter(lambda: self.read(UPLOAD_PIECE), b""))
        left = min(READ_TIMEOUT, self._until - time.monotonic())
        with gevent.Timeout(max(0.0, left), TimeoutError("the rest of the body does not arrive")):
            piece: bytes = self._source.read(min(size, UPLOAD_PIECE))
        self._began = give_way(self._began)
        self.done = self.done or not piece
        return piece


class BoundedMixin:
    """Limits of time and size for a pywsgi handler: a request is read in full before the application is called."""

    client_address: Any
    close_connection: bool
    command: str
    content_length: int | None
    request_version: str
    headers_sent: bool
    path: str
    response_headers: list[tuple[bytes, bytes]]
    response_length: int
    response_use_chunked: bool
    rfile: Any
    socket: Any
    status: bytes
    wsgi_input: Any
    headers: Headers
    _unread = False
    _first = b""
    _upload: UploadBody | None = None
    _run_began = 0.0
    _authority: str | None = None

    def MessageClass(self, rfile: Any, _seekable: object) -> Headers:  # noqa: N802 - pywsgi's name
        """Read the header fields."""
        return Headers(rfile.readline)

    def _headers(self) -> Iterator[tuple[str, str]]:
        return self.headers.environ_items()

    def handle(self) -> None:
        """Serve a connection to its end."""
        try:
            super().handle()  # type: ignore[misc] # pywsgi's, next in line
        except OSError as error:
            # pywsgi sends a refusal outside the code in which it expects clients to disconnect.
            log.debug("a client that sent an invalid request disconnected before the response: %s", error)

    def handle_one_request(self) -> Any:
        """Wait for a request, read it in full, respond."""
        asked = time.monotonic()
        if not self._has_request():
            return None
        if self._first == _TLS_HANDSHAKE:
            # Such bytes need not hold a line's end, so its client would wait for READ_TIMEOUT.
            return self._refuse(_TLS, "it speaks TLS: https:// instead of http://")
        now = time.monotonic()
        # If we waited for this request, other sockets have already run.
        self._run_began = now if now - asked > SHORTEST_WAIT else give_way(self._run_began)
        self._reading = gevent.Timeout.start_new(READ_TIMEOUT)
        try:
            answer = super().handle_one_request()  # type: ignore[misc] # pywsgi's, next in line
        except gevent.Timeout as timeout:
            if timeout is not self._reading:
                raise
            return None
        except (pywsgi._InvalidClientInput, ValueError) as error:
            return self._handle_client_error(error)
        except OSError:
            # The client left in the middle of its request.
            return None
        finally:
            self._reading.close()
        if isinstance(answer, tuple) and answer[0] == "414":
            answer = ("414", problem_response("414 URI Too Long", _LONG_LINE))
        if self._unread and self.socket is not None:
            self._throw_away_rest()
        return answer

    def read_requestline(self) -> str:
        """Read the request line; one empty line before it is skipped (RFC 9112, section 2.2)."""
        line: str = super().read_requestline()  # type: ignore[misc] # pywsgi's
        if line in ("\r\n", "\n"):
            line = super().read_requestline()  # type: ignore[misc]
        return line

    def read_request(self, raw_requestline: str) -> bool:
        """Read the head, and refuse what HTTP/1.1 does not allow (RFC 9112, sections 3.2 and 6.1)."""
        read: bool = super().read_request(raw_requestline)  # type: ignore[misc] # pywsgi's
        if self.request_version == "HTTP/1.1" and self.headers.get("host") is None:
            raise ValueError("HTTP/1.1 without Host")
        if self.request_version != "HTTP/1.1" and self.headers.get("transfer-encoding") is not None:
            raise ValueError("Transfer-Encoding before HTTP/1.1")
        self._take_absolute_form()
        return read

    def _take_absolute_form(self) -> None:
        """Apply `GET http://host/path`: its host counts, not the header field (RFC 9112, 3.2.2)."""
        absolute = _ABSOLUTE.match(self.path)
        self._authority = absolute[1] if absolute else None
        if absolute:
            rest = self.path[absolute.end() :]
            self.path = rest if rest.startswith("/") else f"/{rest}"

    def get_environ(self) -> dict[str, Any]:
        """Return the environ, with the body read."""
        environ: dict[str, Any] = super().get_environ()  # type: ignore[misc] # pywsgi's
        self._upload = None
        if self.command == "POST" and self.path.startswith(UPLOADS):
            return self._streamed(environ)
        body, self._unread = self._read_body()
        if self._unread:
            environ["CONTENT_LENGTH"] = str(max(MAX_BODY + 1, self.content_length or 0))
            self.close_connection = True
        else:
            environ["CONTENT_LENGTH"] = str(len(body))
            environ[BODY_KEY] = body
        if self._authority is not None:
            environ["HTTP_HOST"] = self._authority
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        # As it was sent: in PATH_INFO a `%2F` has become a slash.
        environ["REQUEST_URI"] = self.path
        environ["wsgi.input"] = io.BytesIO(body)
        environ["wsgi.input_terminated"] = True
        # Nothing is left for pywsgi to discard.
        self.wsgi_input = pywsgi.Input(io.BytesIO(), 0)
        # From here on it is the application's time.
        self._reading.close()
        return environ

    def _streamed(self, environ: dict[str, Any]) -> dict[str, Any]:
        """Return the environ of a request whose body the application reads."""
        self._unread = False
        self._upload = UploadBody(self.wsgi_input)
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        environ["REQUEST_URI"] = self.path
        environ["wsgi.input"] = self._upload
        environ["wsgi.input_terminated"] = True
        if self._authority is not None:
            environ["HTTP_HOST"] = self._authority
        self.wsgi_input = pywsgi.Input(io.BytesIO(), 0)
        self._reading.close()
        return environ

    def finalize_headers(self) -> None:
        """Tell the client if the connection ends with this response."""
        if self._upload is not None and not self._upload.done:
            # The application has refused the body: the rest of it must not be read as the next request.
            self.close_connection = self._unread = True
        super().finalize_headers()  # type: ignore[misc] # pywsgi's
        if self.command == "HEAD":
            # The header stays, as for GET; pywsgi would send the last chunk of a body, too.
            self.response_use_chunked = False
        if self.close_connection and self.request_version == "HTTP/1.1" and not self._has_connection_header():
            self.response_headers.append((b"Connection", b"close"))

    def _has_connection_header(self) -> bool:
        return any(name.lower() == b"connection" for name, _ in self.response_headers)

    def _write_with_headers(self, data: bytes) -> None:
        """Send head and first data as one packet, not two."""
        self.headers_sent = True
        self.finalize_headers()
        if self.response_use_chunked and data:
            data = sse.chunk(data)
        self._sendall(response_head(self.status, self.response_headers) + data)

    def _sendall(self, data: bytes) -> None:
        """Send a response, within a time limit if the client does not read it."""
        try:
            sent = self.socket.send(data, 0, 0.0)
        except BlockingIOError:
            sent = 0
        self.response_length += sent
        if sent < len(data):
            late = BrokenPipeError(errno.EPIPE, "the client does not take its answer")
            with gevent.Timeout(sockets.ANSWER_TIMEOUT, late):
                super()._sendall(memoryview(data)[sent:])  # type: ignore[misc] # pywsgi's

    def _has_request(self) -> bool:
        try:
            with gevent.Timeout(IDLE_TIMEOUT, exception=False):
                self._first = self.rfile.peek(1)[:1]
                return bool(self._first)
        except (OSError, ValueError):
            return False
        return False

    def _read_body(self) -> tuple[bytes, bool]:
        if self.content_length is not None and self.content_length > MAX_BODY:
            return b"", True
        if not self.content_length and not self.wsgi_input.chunked_input:
            return b"", False
        if not self.wsgi_input.chunked_input:
            return self.wsgi_input.read(), False
        body, began = bytearray(), time.monotonic()
        while piece := self.wsgi_input.read(CHUNKED_PIECE):
            body += piece
            if len(body) > MAX_BODY:
                return b"", True
            began = give_way(began)
        return bytes(body), False

    def _throw_away_rest(self) -> None:
        left = LINGER_BYTES
        with gevent.Timeout(LINGER_SECONDS, exception=False):
            try:
                self.socket.shutdown(socket.SHUT_WR)
                while left > 0 and (data := self.socket.recv(65536)):
                    left -= len(data)
            except OSError as error:
                log.debug("a client that sent too much has disconnected: %s", error)

    def _handle_client_error(self, ex: Exception) -> tuple[str, bytes]:
        return self._refuse("The request could not be read as HTTP/1.1.", type(ex).__name__)

    def _refuse(self, detail: str, why: str) -> tuple[str, bytes]:
        passes, held = _unreadable.admit()
        if passes:
            # The request is not logged: it may contain a key or a ticket.
            others = f", after {held} others" if held else ""
            log.info("a request from %s could not be read (%s)%s", self.client_address, why, others)
        return ("400", problem_response("400 Bad Request", detail))


def problem_response(status: str, detail: str) -> bytes:
    """Return a complete HTTP response for a request that never reached the application."""
    code, _, title = status.partition(" ")
    body = msgspec.json.encode({"type": "about:blank", "title": title, "status": int(code), "detail": detail})
    fields = (
        (b"Content-Type", b"application/problem+json"),
        (b"Connection", b"close"),
        (b"Content-Length", b"%d" % len(body)),
    )
    return response_head(status.encode("ascii"), fields) + body
