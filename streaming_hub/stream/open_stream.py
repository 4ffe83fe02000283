"""The writer's record of an open stream, and its statistics. Plain data; no logic."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from _socket import socket as BareSocket  # noqa: N812 - the C type has a lower-case name

    from streaming_hub.stream.subscriber import Subscriber


class Stream:
    """An open socket, its subscriber, and the bytes that the socket has not accepted yet."""

    __slots__ = (
        "blocked",
        "bucket",
        "closing",
        "descriptor",
        "out",
        "progress",
        "queued",
        "socket",
        "subscriber",
    )

    def __init__(self, socket: BareSocket, subscriber: Subscriber, head: bytes) -> None:
        self.socket = socket
        self.subscriber = subscriber
        self.descriptor = socket.fileno()
        self.out: bytes | memoryview = head
        self.blocked = False
        self.progress = 0.0
        self.closing = False
        self.queued = False
        self.bucket = 0


class Stats(msgspec.Struct):
    """What became of streams since the start."""

    opened: int = 0
    hung_up: int = 0
    stalled: int = 0
