"""A TCP proxy with faults: it picks one of several targets, delays, holds back, and cuts connections."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

CHUNK = 65536


class Proxy:
    """Listens on a port of loopback. A context manager.

    Args:
        targets: ports of loopback; a connection goes to the next one that takes it.

    Attributes:
        port: where it listens.
        delay: seconds that each piece waits before it is passed on.
        passing: while not set, nothing is passed on.
        refusing: whether new connections are closed at once.
        accepted: how many connections have reached a target.
    """

    def __init__(self, targets: Sequence[int]) -> None:
        self.targets = list(targets)
        self.delay = 0.0
        self.passing = threading.Event()
        self.passing.set()
        self.refusing = False
        self.accepted = 0
        self._next = 0
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self._ended = False

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        self.passing.set()
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Close all connections."""
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for sock in pair:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
                sock.close()

    def _accept(self) -> None:
        while not self._ended:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            upstream = None if self.refusing else self._connect()
            if upstream is None:
                client.close()
                continue
            for sock in (client, upstream):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._pairs.append((client, upstream))
            self.accepted += 1
            threading.Thread(target=self._pump, args=(client, upstream), daemon=True).start()
            threading.Thread(target=self._pump, args=(upstream, client), daemon=True).start()

    def _connect(self) -> socket.socket | None:
        for _ in self.targets:
            self._next += 1
            target = self.targets[self._next % len(self.targets)]
            with contextlib.suppress(OSError):
                return socket.create_connection(("127.0.0.1", target), timeout=5)
        return None

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            source.settimeout(None)
            while data := source.recv(CHUNK):
                if self.delay:
                    time.sleep(self.delay)
                self.passing.wait()
                sink.sendall(data)
        except OSError:
            return
        finally:
            for sock in (source, sink):
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
