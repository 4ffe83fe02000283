"""The process's side of the line to the hub: reads requests, answers them, and starts and ends the process.

The process ends when the hub's end of the socket closes, however the hub ended.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from streaming_hub.sidecar import wire
from streaming_hub.sidecar.database import Away
from streaming_hub.sidecar.wire import ANSWER, BEGUN, LOG, REFUSED, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Config = TypeVar("Config")

NICE: Final = 5
"""The hub's streams come first if both need the same processor."""


class HubLine:
    """The connection to the hub. Any thread may send.

    Args:
        sock: this end of the socket pair.
        name: what the process does, for messages.
    """

    def __init__(self, sock: socket.socket, name: str) -> None:
        self._sock = sock
        self._name = name
        self._sending = threading.Lock()

    def requests(self) -> Iterator[tuple[int, str, Any]]:
        """Yield number, name and arguments of each request until the hub hangs up."""
        try:
            while (message := wire.receive(self._sock)) is not None:
                number, what, arguments = message
                yield number, what, arguments
        except (OSError, ValueError) as error:
            # The last requests are still completed, although their answers have no receiver.
            print(f"{self._name}: the connection to the hub broke ({error})", file=sys.stderr)

    def begin(self, number: int) -> None:
        """Report that a request is being worked on; repeat it during long work, or the hub replaces the process."""
        self._send([number, BEGUN, None])

    def answer(self, number: int, value: Any) -> None:
        """Answer a request."""
        self._send([number, ANSWER, value])

    def refuse(self, number: int, what: str, error: Exception) -> None:
        """Answer a request that failed; log what is neither a refusal nor a database that is away."""
        if isinstance(error, Refusal):
            refusal = [error.name, error.text, error.extra]
        elif isinstance(error, Away):
            refusal = ["away", str(error), None]
        else:
            self.log("error", f"unexpected error: {what} failed: {error!r}")
            refusal = ["failed", f"The process of the {self._name} failed ({type(error).__name__}).", None]
        self._send([number, REFUSED, refusal])

    def log(self, level: str, text: str) -> None:
        """Write a line to the hub's log.

        Args:
            level: a name of `logging`, lower case.
            text: the line.
        """
        self._send([0, LOG, [level, text]])

    def _send(self, message: list[Any]) -> None:
        try:
            with self._sending:
                wire.send(self._sock, message)
        except OSError:
            # The hub is gone: `requests` notices it too, and ends everything.
            return


def main(kind: type[Config], serve: Callable[[socket.socket, Config], None]) -> None:
    """Run the process: its argument is the descriptor of the socket, its first message the configuration.

    Args:
        kind: what the configuration is.
        serve: serves the hub at the other end of a socket, given the configuration, until it hangs up.
    """
    # The hub decides when this process ends; signals from the terminal, or to the hub's group, are for the hub.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICE)
    sock = socket.socket(fileno=int(sys.argv[1]))
    first = wire.receive(sock)
    if first is not None:
        serve(sock, msgspec.convert(first[2], kind))
