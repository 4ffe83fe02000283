"""The operator's redaction: a Python callable that changes each event before it is stored."""

from __future__ import annotations

import importlib
import logging
import traceback
from typing import TYPE_CHECKING, Any

from streaming_hub.errors import InvalidEvent, SettingsError, Unavailable
from streaming_hub.events.posted import fields_of, rebuild

if TYPE_CHECKING:
    from collections.abc import Callable

    from streaming_hub.events.posted import Event

log = logging.getLogger(__name__)


class Redaction:
    """Applies the callable to events.

    Args:
        path: `module:name`, as in STREAM_REDACT. The callable takes an event's fields (a dict) and answers the fields
            to store.

    Raises:
        SettingsError: there is no such callable.
    """

    def __init__(self, path: str) -> None:
        module, _, name = path.partition(":")
        try:
            self._function: Callable[[dict[str, Any]], object] = getattr(
                importlib.import_module(module), name
            )
        except (ImportError, AttributeError) as error:
            raise SettingsError(f"STREAM_REDACT={path!r}: {error}.") from error
        if not callable(self._function):
            raise SettingsError(f"STREAM_REDACT={path!r}: {name} is not callable.")

    def __call__(self, event: Event) -> Event:
        """Return the event as it may be stored.

        Raises:
            Unavailable: the callable failed; the event is not stored, because it could not be redacted.
        """
        try:
            return rebuild(event, self._function(fields_of(event)))
        except Exception as error:  # noqa: BLE001 - the operator's code may raise anything
            _report(error)
            raise Unavailable("The redaction hook (STREAM_REDACT) failed; nothing was stored.") from None


def _report(error: Exception) -> None:
    """Log what failed and where; not the message nor the traceback's values, which may contain spoken words."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    what = "answered something that is not an event" if isinstance(error, InvalidEvent) else "failed"
    log.error("STREAM_REDACT %s: %s in %s, line %s", what, type(error).__name__, place.filename, place.lineno)
