"""gevent's WSGI server, put together: streams served directly or handed over, requests bounded.

`direct`, `handover` and `bounds` are the parts; here are the two classes, and what happens when descriptors run out.
"""

from __future__ import annotations

import errno
import logging
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gevent import pywsgi

from streaming_hub.errors import HubError
from streaming_hub.server.bounds import BoundedMixin
from streaming_hub.server.direct import DirectMixin
from streaming_hub.server.environ import WRITER_KEY
from streaming_hub.server.handover import HandoverMixin

if TYPE_CHECKING:
    from streaming_hub.stream.writer import Writer

log = logging.getLogger(__name__)


class Handler(HandoverMixin, BoundedMixin, pywsgi.WSGIHandler):
    """pywsgi's handler with the handover, the limits and no access log."""

    server: Server

    def finalize_headers(self) -> None:
        """Make this response the connection's last if the server retires."""
        self.close_connection = self.close_connection or self.server.retiring
        super().finalize_headers()

    def _has_request(self) -> bool:
        if self.server.retiring:
            return False
        self.server.idle.add(self)
        try:
            return super()._has_request()
        finally:
            self.server.idle.discard(self)

    def log_request(self) -> None:
        """Log nothing: requests are not logged one by one, and the audit log has what matters."""

    def handle_error(self, kind: Any, error: Any, trace: Any) -> None:
        """End an answer that broke off for a known reason: its client sees that it is not complete."""
        if isinstance(error, HubError) and self.response_length:
            log.warning("a response was cut off: %s", error)
            self.close_connection = True
            return
        super().handle_error(kind, error, trace)


class Server(DirectMixin, pywsgi.WSGIServer):
    """A WSGI server for one application, one writer and one address.

    Args:
        listener: a bound, listening socket.
        application: the WSGI application.
        writer: who serves the streams.
        shared: whether other processes accept from the same socket.

    Attributes:
        idle: the connections that wait for a request.
        retiring: whether each connection ends with the response that it waits for.
    """

    handler_class = Handler

    def __init__(self, listener: Any, application: Any, writer: Writer, *, shared: bool = False) -> None:
        # gevent would ask for the address's name, for which macOS may take seconds.
        environ = {WRITER_KEY: writer, "SERVER_NAME": str(listener.getsockname()[0])}
        super().__init__(listener, application, log=None, error_log=log, environ=environ)
        self._warned_at = 0.0
        self.idle: set[Handler] = set()
        self.retiring = False
        if shared:
            # One at a time, or the first process to wake accepts all pending connections.
            self.max_accept = self.min_accept = self.at_once = 1

    def retire(self) -> None:
        """Accept no more connections, and end those that are open: idle ones now, others with their next response.

        A load balancer would otherwise send new requests over the connections that it holds to this node.
        """
        self.close()
        self.retiring = True
        for handler in list(self.idle):
            # A request that has arrived meanwhile is still read and served.
            with suppress(OSError):
                handler.socket.shutdown(socket.SHUT_RD)

    def do_read(self) -> Any:
        """Accept a connection; when descriptors run out, pause and continue later."""
        try:
            return super().do_read()
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            self._pause_accepting()
            return None

    def _pause_accepting(self) -> None:
        now = time.monotonic()
        if now - self._warned_at > 10.0:
            self._warned_at = now
            log.warning(
                "no file descriptor is left: new connections wait. Raise `ulimit -n` or lower STREAM_MAX_CLIENTS."
            )
        self.stop_accepting()
        self._timer = self.loop.timer(0.2)
        self._timer.start(self._start_accepting_if_started)
