"""What the hub and its archive process say to each other: frames of MessagePack over a socket pair.

    hub -> archive    [number, what, arguments]
    archive -> hub    [number, kind, value]      any number of them; BEGUN first, then ANSWER or REFUSED
                      [0, LOG, [level, text]]    a line for the log

A frame is its length in four bytes, big-endian, and the message. Pure but for reading from and writing to the socket
that it is given.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    import socket

BEGUN: Final = 0
ANSWER: Final = 1
REFUSED: Final = 2
LOG: Final = 3

ENDED: Final = "ended"
"""The name of a refusal: the archive's process is gone, and is started again."""
MAX_FRAME: Final = 1 << 30
_LENGTH = struct.Struct(">I")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Any]).decode


class Refusal(Exception):
    """The archive cannot do what it was asked.

    Args:
        name: `away` and `silent` (the database), `ended`, `behind`, `missing`, `ambiguous` or `failed`.
        text: one sentence.
        extra: more about it.
    """

    def __init__(self, name: str, text: str, extra: Any = None) -> None:
        super().__init__(text)
        self.name = name
        self.text = text
        self.extra = extra


def send(sock: socket.socket, message: list[Any]) -> None:
    """Write one message.

    Raises:
        OSError: the other side is gone.
    """
    data = _encode(message)
    sock.sendall(_LENGTH.pack(len(data)) + data)


def receive(sock: socket.socket) -> list[Any] | None:
    """Read one message; None at the end.

    Raises:
        OSError: the connection broke.
        ValueError: what came is no message.
    """
    head = _exactly(sock, _LENGTH.size)
    if head is None:
        return None
    (length,) = _LENGTH.unpack(head)
    if length > MAX_FRAME:
        raise ValueError(f"a frame of {length} bytes")
    body = _exactly(sock, length)
    if body is None:
        return None
    try:
        return _decode(body)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error


def _exactly(sock: socket.socket, count: int) -> bytes | None:
    parts: list[bytes] = []
    while count:
        part = sock.recv(min(count, 1 << 20))
        if not part:
            return None
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
