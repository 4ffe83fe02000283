"""`POST /api/livekit/webhook`: livekit-server reports room events. Its signature is its credential."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from flask import Blueprint, Response, request

from streaming_hub.errors import (
    BadRequest,
    InvalidBody,
    TooLarge,
    Unauthorized,
    Unavailable,
    UnsupportedMedia,
)
from streaming_hub.livekit import webhooks
from streaming_hub.livekit.webhooks import Webhook
from streaming_hub.web import answers
from streaming_hub.web.about import LIVEKIT, About, Content, ok
from streaming_hub.web.api.answer_types import WebhookTaken
from streaming_hub.web.current import services
from streaming_hub.web.endpoint import endpoint

if TYPE_CHECKING:
    from streaming_hub.agents.recall import Recall
    from streaming_hub.events.posted import Event

blueprint = Blueprint("livekit_webhook", __name__)

MAX_BODY_BYTES: Final = 1024 * 1024
KINDS: Final = frozenset({"application/webhook+json", "application/json"})


@endpoint(
    blueprint,
    "POST",
    "/api/livekit/webhook",
    signed=True,
    errors=(BadRequest, Unauthorized, TooLarge, UnsupportedMedia, InvalidBody, Unavailable),
    about=lambda: About(
        group=LIVEKIT,
        summary="livekit-server reports room events",
        text="For livekit-server's configuration (`webhook.urls`). The JWT in `Authorization` and the hash of the body "
        "in it are verified with LIVEKIT_API_SECRET.",
        body=(
            Content(
                "application/webhook+json",
                (Webhook,),
                {
                    "Example": {
                        "event": "participant_joined",
                        "id": "EV_3xJ9",
                        "createdAt": "1795429981",
                        "room": {"name": "support-7", "sid": "RM_8f2"},
                        "participant": {"identity": "alice", "sid": "PA_41c", "kind": "STANDARD"},
                    }
                },
            ),
        ),
        body_required=True,
        answers=ok(WebhookTaken, {"status": "ok", "id": "4fdd2f42-3"}),
    ),
)
def webhook() -> Response:
    """Store a webhook about a room or a participant; acknowledge and ignore others."""
    parts = services()
    settings = parts.settings
    if not settings.livekit_api_key or not settings.livekit_api_secret:
        raise Unavailable(
            "LiveKit is not configured: set LIVEKIT_API_KEY and LIVEKIT_API_SECRET, which sign its webhooks.",
            retry_after=60,
        )
    if parts.draining:
        raise Unavailable("The server is stopping: retry.", retry_after=2)
    if request.mimetype not in KINDS:
        raise UnsupportedMedia(f"Content-Type {request.mimetype!r}: expected application/webhook+json.")
    request.max_content_length = MAX_BODY_BYTES
    body = request.get_data(cache=False)
    webhooks.verify(
        body,
        request.headers.get("Authorization"),
        api_key=settings.livekit_api_key,
        api_secret=settings.livekit_api_secret,
        now=parts.clock(),
    )
    told = webhooks.read(body, parts.clock())
    event = webhooks.translate(told)
    if event is None:
        ignored: WebhookTaken = {"status": "ignored", "event": told.event}
        return answers.json(ignored)
    if parts.recall is not None:
        _note(parts.recall, event)
    receipt = parts.intake.take([event])
    answer: WebhookTaken = {"status": "ok", "id": receipt.ids[0]}
    if receipt.duplicates:
        answer["duplicate"] = True
    return answers.json(answer)


def _note(recall: Recall, event: Event) -> None:
    room = event.room or ""
    if event.type == "participant_joined" and event.role == "user":
        recall.heard_of(room)
    elif event.type == "room_finished":
        recall.closed(room)
