"""Names in paths: a room or session has any name that its events give it, with slashes anywhere.

Flask's own `path` allows no leading slash, so a room `/a` could be neither read nor erased.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from werkzeug.routing import PathConverter

if TYPE_CHECKING:
    from flask import Flask


class NameConverter(PathConverter):
    """`<path:name>`: everything that an event may carry as a name."""

    regex = r"[^\r\n\0]+?"
    part_isolating = False  # a name may go over several parts of a path


def init_app(app: Flask) -> None:
    """Take names in routes; before any route is added."""
    app.url_map.converters["path"] = NameConverter
