"""A server that answers each connection by the next line of a script, byte for byte, and remembers what was asked."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


def frame(event: dict[str, Any], event_id: str = "") -> bytes:
    """One event of a stream."""
    head = f"id: {event_id}\n" if event_id else ""
    return f"{head}data: {json.dumps(event)}\n\n".encode()


CONNECTED = frame({"type": "connected", "cursor": "e-0", "head": "e-0", "heartbeat": 15})


def answer(status: str, *headers: str, body: bytes = b"") -> bytes:
    """A whole answer, with which the connection ends."""
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "Connection: close", "", ""]
    return "\r\n".join(lines).encode() + body


@dataclass
class Request:
    """What was asked; `at` is monotonic, in seconds."""

    line: str
    headers: dict[str, str]
    at: float


class ScriptedServer:
    """See the module. After the last line it accepts connections and says nothing.

    Args:
        script: what each connection is sent; it is closed afterwards, unless the bytes end a stream's open event.
        keep: whether the connections before the last one stay open, too.
    """

    def __init__(self, script: Sequence[bytes], *, keep: bool = False) -> None:
        self._script = list(script)
        self._keep = keep
        self._held: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.requests: list[Request] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        for client in self._held:
            client.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                with contextlib.suppress(OSError):  # the client has gone
                    self._serve(client)

    def _serve(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            piece = client.recv(4096)
            if not piece:
                return
            head += piece
        line, *lines = head.partition(b"\r\n\r\n")[0].decode().split("\r\n")
        pairs = (one.partition(": ") for one in lines)
        headers = {name.lower(): value for name, _, value in pairs}
        self.requests.append(Request(line, headers, time.monotonic()))
        if self._script:
            client.sendall(self._script.pop(0))
        if self._script and not self._keep:
            client.close()
        else:
            self._held.append(client)
