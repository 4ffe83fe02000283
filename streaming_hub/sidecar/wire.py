"""What the hub and a process beside it exchange: frames of MessagePack over a socket pair.

    hub -> process    [number, what, arguments]
    process -> hub    [number, kind, value]      BEGUN once or more, then ANSWER or REFUSED
                      [0, LOG, [level, text]]    a line for the log

A frame is its length in four bytes, big-endian, and the message. Pure except for reading and writing the given socket.
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
"""The name of a refusal: the process has ended, and is being restarted."""
MAX_FRAME: Final = 1 << 30
_LENGTH = struct.Struct(">I")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Any]).decode


class Refusal(Exception):
    """The process cannot do what it was asked.

    Args:
        name: `away` and `silent` (the database), `ended`, `missing`, `failed`, or one that the request defines.
        text: one sentence.
        extra: details.
    """

    def __init__(self, name: str, text: str, extra: Any = None) -> None:
        super().__init__(text)
        self.name = name
        self.text = text
        self.extra = extra


def packed(value: Any) -> bytes:
    """Write a value as MessagePack, whose integers have 64 bits: larger ones, which JSON may have, become floats."""
    try:
        return _encode(value)
    except OverflowError:
        return _encode(_fitting(msgspec.to_builtins(value, builtin_types=(bytes,))))


def _fitting(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _fitting(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_fitting(one) for one in value]
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
        try:
            return float(value)
        except OverflowError:
            return None
    return value


def send(sock: socket.socket, message: list[Any]) -> None:
    """Write one message.

    Raises:
        OSError: the other side is gone.
    """
    data = packed(message)
    sock.sendall(_LENGTH.pack(len(data)) + data)


def receive(sock: socket.socket) -> list[Any] | None:
    """Read one message; None at the end.

    Raises:
        OSError: the connection broke.
        ValueError: it is no message.
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
