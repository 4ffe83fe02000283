"""The HTTP side: views over the hub's services, what they share, and the pages that the hub serves.

Besides flask_server.py the only folder that imports Flask. Holds no rules: those are in the folders below.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streaming_hub.events.posted import MAX_BATCH_BYTES
from streaming_hub.web import (
    answers,
    callers,
    cors,
    headers,
    names,
)
from streaming_hub.web.api import (
    agent,
    exports,
    leases,
    livekit_webhook,
    metrics,
    publish,
    rooms,
    sessions,
    stats,
    stream,
    token,
    webhooks,
)
from streaming_hub.web.console import live, pages, vendor
from streaming_hub.web.current import EXTENSION
from streaming_hub.web.openapi import reference
from streaming_hub.web.shortcut import Shortcut

if TYPE_CHECKING:
    from flask import Flask

    from streaming_hub.services import Services

__all__ = ["init_app"]


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
    for module in (
        stream,
        publish,
        leases,
        agent,
        rooms,
        exports,
        sessions,
        stats,
        token,
        livekit_webhook,
        metrics,
        webhooks,
        reference,
        vendor,
        live,
        pages,
    ):
        app.register_blueprint(module.blueprint)
    app.wsgi_app = Shortcut(app.wsgi_app, parts)  # type: ignore[method-assign] # how Flask takes middleware
