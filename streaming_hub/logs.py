"""Log format: text, or one JSON object per line. Limits floods of similar lines."""

from __future__ import annotations

import logging
import re
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable


_ACTED_ON: Final = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Controls but the tab, line separators, bidi overrides, lone surrogates: a terminal obeys or cannot print them."""


class TextFormatter(logging.Formatter):
    r"""One line for people.

    What a terminal would act on is written as an escape such as `\x1b`; words stay as they are.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the standard library's name
        """Return the line without its traceback."""
        record.message = _ACTED_ON.sub(_escape, record.message)
        return super().formatMessage(record)


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and what `extra={"fields": {...}}` adds."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=repr).decode("utf-8")


def configure(log_format: str) -> None:
    """Send log lines to standard error.

    Args:
        log_format: `text` or `json`.
    """
    handler = logging.StreamHandler(sys.stderr)
    if log_format == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(TextFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


class Gate:
    """Lets a number of lines a second through to the server's log, and counts the rest."""

    def __init__(self, per_second: int, clock: Callable[[], float]) -> None:
        self._per_second = per_second
        self._clock = clock
        self._since = clock()
        self._passed = 0
        self._held = 0

    def admit(self) -> tuple[bool, int]:
        """Return whether the next line may pass, and how many were suppressed since the last report."""
        now = self._clock()
        held = 0
        if now - self._since >= 1.0:
            held, self._held = self._held, 0
            self._since, self._passed = now, 0
        if self._passed >= self._per_second:
            self._held += 1
            return False, held
        self._passed += 1
        return True, held
