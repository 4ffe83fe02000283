"""The operator's redaction: a Python callable that changes each event before it is stored."""

from __future__ import annotations

import importlib
import logging
import traceback
from typing import TYPE_CHECKING, Any, Final

from streaming_hub.errors import InvalidEvent, SettingsError, TooLarge, Unavailable
from streaming_hub.events.posted import MAX_EVENT_BYTES, fields_of, rebuild

if TYPE_CHECKING:
    from collections.abc import Callable

    from streaming_hub.events.posted import Event

log = logging.getLogger(__name__)

_FAULTS: Final = (Exception, SystemExit, KeyboardInterrupt, GeneratorExit)
"""What the operator's code may raise; not what gevent raises to end a greenlet."""


class Redaction:
    """Applies the callable to events.

    Args:
        path: `module:name`, as in STREAM_REDACT. The callable takes an event's fields (a dict) and answers the fields
            to store.

    Raises:
        SettingsError: there is no such callable, or its module fails.
    """

    def __init__(self, path: str) -> None:
        module, _, name = path.partition(":")
        try:
            self._function: Callable[[dict[str, Any]], object] = getattr(
                importlib.import_module(module), name
            )
        except (ImportError, AttributeError) as error:
            raise SettingsError(f"STREAM_REDACT={path!r}: {error}.") from error
        except _FAULTS as error:
            place = _place(error)
            raise SettingsError(
                f"STREAM_REDACT={path!r}: {module} cannot be imported: {type(error).__name__} in {place}."
            ) from error
        if not callable(self._function):
            raise SettingsError(f"STREAM_REDACT={path!r}: {name} is not callable.")

    def __call__(self, event: Event) -> Event:
        """Return the event as it may be stored.

        Raises:
            Unavailable: the callable failed; the event is not stored, because it could not be redacted.
        """
        try:
            return rebuild(event, self._function(fields_of(event)))
        except _FAULTS as error:
            _report(error)
            raise Unavailable("The redaction hook (STREAM_REDACT) failed; nothing was stored.") from None


def _report(error: BaseException) -> None:
    """Log what failed and where; not the message nor the traceback's values, which may contain spoken words."""
    what = "failed"
    if isinstance(error, TooLarge):
        what = f"answered an event of more than {MAX_EVENT_BYTES} bytes"
    elif isinstance(error, InvalidEvent):
        what = "answered something that is not an event"
    log.error("STREAM_REDACT %s: %s in %s", what, type(error).__name__, _place(error))


def _place(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}"
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{last.filename}, line {last.lineno}"
