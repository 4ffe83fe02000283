"""The web application: the API's views, what they share, and the pages that the hub serves.

The only directory that imports Flask. Contains no rules: those are in the layers below.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from flask import Flask

from streaming_hub import settings as hub_settings
from streaming_hub.events.posted import MAX_BATCH_BYTES
from streaming_hub.services import Services
from streaming_hub.web import (
    answers,
    callers,
    cors,
    declared,
    headers,
    names,
)
from streaming_hub.web.api import (
    agent,
    erasing,
    events,
    exports,
    health,
    leases,
    livekit_webhook,
    me,
    metrics,
    publish,
    rooms,
    sessions,
    stats,
    stream,
    telemetry,
    token,
    uploads,
    webhooks,
)
from streaming_hub.web.console import live, pages, vendor
from streaming_hub.web.current import EXTENSION
from streaming_hub.web.openapi import reference
from streaming_hub.web.shortcut import Shortcut

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streaming_hub.settings import Settings

__all__ = ["create_app", "init_app"]


def create_app(settings: Settings | None = None, *, agent_command: Sequence[str] | None = None) -> Flask:
    """Build the application.

    Args:
        settings: what the operator chose; read from the environment and `.env` files by default.
        agent_command: what runs as the agent process; the project's own worker by default.

    Raises:
        SettingsError, StorageError: the server cannot start; the message says what to change.
    """
    app = Flask("streaming-hub", static_folder=None)
    parts = Services(settings or hub_settings.load(), agent_command=agent_command)
    init_app(app, parts)
    return app


MODULES: Final = (
    stream,
    events,
    rooms,
    erasing,
    sessions,
    exports,
    telemetry,
    stats,
    me,
    webhooks,
    publish,
    leases,
    agent,
    token,
    livekit_webhook,
    uploads,
    health,
    metrics,
    reference,
    vendor,
    live,
    pages,
)
"""Those that have endpoints, in the order in which `/docs` lists them."""

declared.arrange([module.blueprint.name for module in MODULES])


def init_app(app: Flask, parts: Services) -> None:
    """Give an application the hub's endpoints."""
    app.extensions[EXTENSION] = parts
    # A path with `//` is not found, rather than redirected by an HTML page.
    app.url_map.merge_slashes = False
    # The server leaves a larger body unread: without this, views would take it for an empty one.
    app.config["MAX_CONTENT_LENGTH"] = MAX_BATCH_BYTES
    names.init_app(app)
    answers.init_app(app)
    callers.init_app(app)
    cors.init_app(app, parts)
    headers.init_app(app)
    # The project's own servers have begun it before the first request; any other WSGI server begins it with one.
    app.before_request(parts.begin)
    for module in MODULES:
        app.register_blueprint(module.blueprint)
    app.wsgi_app = Shortcut(app.wsgi_app, parts)  # type: ignore[method-assign] # how Flask takes middleware
