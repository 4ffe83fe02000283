"""`GET /metrics`: metrics for Prometheus."""

from __future__ import annotations

from flask import Blueprint, Response, request

from streaming_hub.access import OPERATE
from streaming_hub.web import answers
from streaming_hub.web.about import SERVER, About, Answer, text
from streaming_hub.web.current import services
from streaming_hub.web.endpoint import endpoint

blueprint = Blueprint("metrics", __name__)


def _about() -> About:
    example = "# TYPE hub_clients gauge\nhub_clients 3.0\n"
    contents = (
        text("text/plain", example),
        text("application/openmetrics-text", f"{example}# EOF\n"),
    )
    return About(
        group=SERVER,
        summary="Metrics for Prometheus",
        text="In Prometheus's text format, or in OpenMetrics if `Accept` asks for it.",
        answers=(Answer(200, "The metrics.", contents),),
    )


@endpoint(blueprint, "GET", "/metrics", scope=OPERATE, about=_about)
def metrics() -> Response:
    """Return all metrics in the requested format."""
    body, content_type = services().metrics.render(request.headers.get("Accept", ""))
    return Response(body, headers=answers.NOT_CACHED, content_type=content_type)
