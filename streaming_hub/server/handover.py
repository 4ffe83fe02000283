"""How a stream leaves gevent's server: `HandoverMixin`.

A stream's socket leaves the server once the application has responded: the handler passes the head to the writer,
releases the descriptor, and ends. Its greenlet, environ and buffers are freed. Most streams never get that far:
`direct` serves them before a handler is created.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streaming_hub.server.environ import WRITER_KEY
from streaming_hub.server.headers import response_head
from streaming_hub.stream import sockets
from streaming_hub.stream.body import StreamBody

if TYPE_CHECKING:
    from streaming_hub.stream.writer import Writer


class HandoverMixin:
    """What a pywsgi handler needs to let streams go; mixed into pywsgi's and gunicorn's handlers."""

    close_connection: bool
    environ: dict[str, Any]
    headers_sent: bool
    response_headers: list[tuple[bytes, bytes]]
    response_use_chunked: bool
    result: Any
    rfile: Any
    socket: Any
    status: bytes
    wsgi_input: Any

    def process_result(self) -> None:
        """Hand a stream over; send any other response as usual."""
        writer: Writer | None = self.environ.get(WRITER_KEY)
        if writer is not None and isinstance(self.result, StreamBody):
            self._hand_over(writer, self.result)
        else:
            super().process_result()  # type: ignore[misc] # pywsgi's, next in line

    def _hand_over(self, writer: Writer, body: StreamBody) -> None:
        # pywsgi looks for a rest of the request later, when there is nothing left to read from.
        self.wsgi_input._discard()
        self.headers_sent = True
        self.close_connection = True
        self.finalize_headers()  # type: ignore[attr-defined] # pywsgi's
        body.subscriber.chunked = self.response_use_chunked
        # The body is the writer's: pywsgi must not end it.
        self.response_use_chunked = False
        head = response_head(self.status, self.response_headers)
        self.rfile.close()
        writer.adopt(sockets.bare(self.socket.detach()), body.subscriber, head)
