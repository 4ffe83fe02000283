"""The services of an application: how views and tests get what `streaming_hub.services` builds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from flask import current_app

if TYPE_CHECKING:
    from flask import Flask

    from streaming_hub.services import Services

EXTENSION: Final = "streaming-hub"
"""Where `app.extensions` has them."""


def services() -> Services:
    """Return the services of the application that serves this request."""
    return cast("Services", current_app.extensions[EXTENSION])


def services_of(app: Flask) -> Services:
    """Return an application's services."""
    return cast("Services", app.extensions[EXTENSION])
