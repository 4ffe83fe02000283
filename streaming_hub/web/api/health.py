"""`GET /api/health`: whether the server accepts requests."""

from __future__ import annotations

from flask import Blueprint, Response

from streaming_hub import __version__
from streaming_hub.web import answers
from streaming_hub.web.about import SERVER, About, Answer, json, ok
from streaming_hub.web.api.answer_types import Health
from streaming_hub.web.current import services
from streaming_hub.web.endpoint import endpoint

blueprint = Blueprint("health", __name__)


def _about() -> About:
    example = {
        "status": "ok",
        "version": "0.1.0",
        "clients": 3,
        "archive": "ok",
        "history": "ok",
        "node": "hub-1-9f3c1a",
        "uptime": 127.4,
    }
    return About(
        group=SERVER,
        summary="Whether the server accepts requests",
        answers=(
            *ok(Health, example, "It accepts requests."),
            Answer(503, "It is stopping.", (json(Health, example | {"status": "draining"}),)),
        ),
    )


@endpoint(blueprint, "GET", "/api/health", about=_about)
def health() -> Response:
    """Return whether the server accepts requests: 503 while it drains."""
    parts = services()
    body: Health = {
        "status": "draining" if parts.draining else "ok",
        "version": __version__,
        "clients": len(parts.hub),
        "archive": "off" if parts.archive is None else parts.archive.state,
        "history": "ok" if parts.history.away is None else "away",
        "node": parts.node,
        "uptime": round(parts.clock() - parts.started_at, 3),
    }
    if parts.history.away is not None:
        body["reason"] = parts.history.away
    return answers.json(body, 503 if parts.draining else 200)
