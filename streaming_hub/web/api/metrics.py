"""`GET /metrics`: figures for Prometheus."""

from __future__ import annotations

from flask import Blueprint, Response, request

from streaming_hub.access import OPERATE
from streaming_hub.web import answers
from streaming_hub.web.current import services
from streaming_hub.web.endpoint import endpoint

blueprint = Blueprint("metrics", __name__)


@endpoint(blueprint, "GET", "/metrics", scope=OPERATE)
def metrics() -> Response:
    """Answer all metrics in the format that is asked for."""
    body, content_type = services().metrics.render(request.headers.get("Accept", ""))
    return Response(body, headers=answers.NOT_CACHED, content_type=content_type)
