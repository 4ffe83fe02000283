"""Server-sent events from bytes (WHATWG HTML, "Interpreting an event stream").

Written by hand because the existing libraries split lines like `str.splitlines`, at line ends that the standard does
not have, or report an event that the end of the stream cut off. Pure; knows nothing of the hub.
"""

from __future__ import annotations

import codecs
import re
from typing import NamedTuple

LONGEST_EVENT = 16 * 1024 * 1024
"""Maximum characters of an event or a line; the hub's are far shorter."""
LINE_COST = 64
"""Characters added to each line's count, because short lines take more memory than their characters."""

_LINE_END = re.compile(r"\r\n|\r|\n")


class Message(NamedTuple):
    """One event of the stream.

    Attributes:
        type: The event's type; `message` by default.
        data: Its lines, joined by LF. None if the block has only a new id: not an event, but the position advances.
        id: The last event id so far.
    """

    type: str
    data: str | None
    id: str


class Parser:
    """Parses one connection. Never reports an event that the end of the stream cuts off.

    Attributes:
        retry_ms: The last valid `retry:` line, in milliseconds; None without one.
    """

    def __init__(self) -> None:
        self.retry_ms: int | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._begun = False
        self._after_cr = False
        self._rest: list[str] = []
        self._rest_length = 0
        self._id = ""
        self._reported_id = ""
        self._type = ""
        self._data: list[str] = []
        self._data_length = 0

    def feed(self, chunk: bytes) -> list[Message]:
        """Parse the next bytes, and return the events that they complete.

        Raises:
            ValueError: An event is longer than 16 Mi characters.
        """
        text = self._decoder.decode(chunk)
        if not text:
            return []
        if not self._begun:
            self._begun = True
            text = text.removeprefix("\ufeff")
        if self._after_cr and text:
            self._after_cr = False
            text = text.removeprefix("\n")
        if text.endswith("\r"):
            self._after_cr = True
        *lines, rest = _LINE_END.split(text)
        messages: list[Message] = []
        if lines:
            lines[0] = "".join(self._rest) + lines[0]
            self._rest.clear()
            self._rest_length = 0
        if rest:
            self._rest.append(rest)
            self._rest_length += len(rest)
        for line in lines:
            self._take(line, messages)
        if self._rest_length + self._data_length > LONGEST_EVENT:
            raise ValueError("The stream sent an event of over 16 Mi characters.")
        return messages

    def _take(self, line: str, messages: list[Message]) -> None:
        if not line:
            if self._data or self._id != self._reported_id:
                data = "\n".join(self._data) if self._data else None
                messages.append(Message(self._type or "message", data, self._id))
            self._reported_id = self._id
            self._data = []
            self._data_length = 0
            self._type = ""
            return
        field, colon, value = line.partition(":")
        if not field and colon:
            return
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
            self._data_length += len(value) + LINE_COST
        elif field == "event":
            self._type = value
        elif field == "id" and "\0" not in value:
            self._id = value
        elif field == "retry" and value.isascii() and value.isdigit() and len(value) < 16:
            self.retry_ms = int(value)
