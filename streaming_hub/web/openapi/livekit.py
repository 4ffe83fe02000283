"""The endpoints for LiveKit's clients and for livekit-server."""

from __future__ import annotations

from typing import Final

from streaming_hub.errors import (
    BadRequest,
    InvalidBody,
    TooLarge,
    Unauthorized,
    Unavailable,
    UnsupportedMedia,
)
from streaming_hub.livekit.tokens import TokenRequest
from streaming_hub.livekit.webhooks import Webhook
from streaming_hub.web.api.answer_types import Token, WebhookTaken
from streaming_hub.web.api.livekit_webhook import PATH
from streaming_hub.web.openapi.endpoint import (
    Answer,
    Content,
    Endpoint,
    json,
    ok,
)

GROUP: Final = "LiveKit"

ENDPOINTS: Final = (
    Endpoint(
        method="POST",
        path="/api/token",
        group=GROUP,
        summary="A LiveKit token for one participant",
        text="LiveKit's standard token endpoint, as its clients' `TokenSource.endpoint` asks it. All fields are "
        "optional. Without a room one is made up.",
        body=(json(TokenRequest, {"room_name": "support-7", "participant_identity": "alice"}),),
        answers=(
            Answer(
                201,
                "A token.",
                (
                    json(
                        Token,
                        {
                            "server_url": "ws://localhost:7880",
                            "participant_token": "eyJhbGciOiJIUzI1NiJ9.e30.c2ln",
                        },
                    ),
                ),
            ),
        ),
        errors=(UnsupportedMedia, Unavailable),
    ),
    Endpoint(
        method="POST",
        path=PATH,
        group=GROUP,
        summary="livekit-server tells about its rooms",
        text="For livekit-server's own configuration (`webhook.urls`). The JWT in `Authorization` and the body's hash "
        "in it are checked with LIVEKIT_API_SECRET.",
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
        errors=(BadRequest, Unauthorized, TooLarge, UnsupportedMedia, InvalidBody, Unavailable),
    ),
)
