"""Descriptions of the endpoints for webhooks."""

from __future__ import annotations

from typing import Any, Final

from streaming_hub.outlets.webhooks.endpoints import STATES
from streaming_hub.settings import DEFAULT_WEBHOOK_TYPES
from streaming_hub.web.about import WEBHOOKS, About, Answer, Parameter, json, ok
from streaming_hub.web.api import archived
from streaming_hub.web.api.answer_types import (
    ChangedWebhook,
    MadeWebhook,
    Replayed,
    WebhookDeliveries,
    WebhookDeliveryRequests,
    WebhookEndpoint,
    WebhookList,
    WebhookTest,
)
from streaming_hub.web.api.webhook_requests import Change, Create, Replay

_ID: Final = Parameter(
    "webhook_id",
    "path",
    {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
    "The webhook; `settings` is the one from STREAM_WEBHOOK_URL.",
    "wh_5f3a90c1b2d4e6f7",
)
_SECRET: Final = "whsec_NmZlY2M1ZDAtNGUyMi00ZjM2LWE1OGEtOTY4NDFk"  # noqa: S105 - an example
_HEALTH: Final[dict[str, Any]] = {
    "failing_since": None,
    "pending": 0,
    "success_rate": 1.0,
    "oldest_pending": None,
    "next_try": None,
}
_WEBHOOK: Final[dict[str, Any]] = {
    "id": "wh_5f3a90c1b2d4e6f7",
    "url": "https://crm.example.com/hook",
    "types": list(DEFAULT_WEBHOOK_TYPES),
    "rooms": None,
    "view": "operator",
    "interims": False,
    "description": "CRM",
    "enabled": True,
    "reason": None,
    "missed": 0,
    "health": _HEALTH,
}
_DELIVERY: Final[dict[str, Any]] = {
    "id": "812",
    "event_id": "4fdd2f42-512",
    "type": "session_ended",
    "room": "support-7",
    "state": "delivered",
    "attempts": [
        {"at": 1795430083.4, "status": 200, "duration": 0.041, "answer": "ok", "error": None},
    ],
    "next_try": None,
}


def all_of_them() -> About:
    """Describe GET /api/webhooks."""
    return About(
        group=WEBHOOKS,
        summary="All webhooks",
        text="A credential limited to rooms sees those whose `rooms` are among its own.",
        answers=ok(WebhookList, {"webhooks": [_WEBHOOK]}),
    )


def making() -> About:
    """Describe POST /api/webhooks."""
    return About(
        group=WEBHOOKS,
        summary="Create a webhook",
        text="Only this response contains the secret that signs its requests.",
        body=(json(Create, {"url": "https://crm.example.com/hook", "description": "CRM"}),),
        body_required=True,
        answers=(Answer(201, "Created.", (json(MadeWebhook, {**_WEBHOOK, "secret": _SECRET}),)),),
    )


def one() -> About:
    """Describe GET /api/webhooks/<webhook_id>."""
    return About(
        group=WEBHOOKS,
        summary="A webhook",
        parameters=(_ID,),
        answers=ok(WebhookEndpoint, _WEBHOOK),
    )


def changing() -> About:
    """Describe PATCH /api/webhooks/<webhook_id>."""
    return About(
        group=WEBHOOKS,
        summary="Change a webhook",
        text="Omitted fields stay unchanged. Only this response contains a new secret; the old one also signs "
        "for another 24 hours. Enabling a webhook retries its pending deliveries at once.",
        parameters=(_ID,),
        body=(json(Change, {"enabled": True}),),
        answers=ok(ChangedWebhook, _WEBHOOK),
    )


def removing() -> About:
    """Describe DELETE /api/webhooks/<webhook_id>."""
    return About(
        group=WEBHOOKS,
        summary="Delete a webhook",
        text="Also deletes its log and its pending deliveries.",
        parameters=(_ID,),
        answers=(Answer(204, "Deleted.", ()),),
    )


def testing() -> About:
    """Describe POST /api/webhooks/<webhook_id>/test."""
    return About(
        group=WEBHOOKS,
        summary="Send a test",
        text="Sends a `webhook.test` once, even to a disabled webhook.",
        parameters=(_ID,),
        answers=ok(
            WebhookTest,
            {"status": 200, "answer": "ok", "duration": 0.041, "error": None},
            "Sent; `status` is the receiver's.",
        ),
    )


def log() -> About:
    """Describe GET /api/webhooks/<webhook_id>/deliveries."""
    return About(
        group=WEBHOOKS,
        summary="Deliveries of a webhook",
        text="Newest first, for 7 days.",
        parameters=(
            _ID,
            archived.many("state", "Deliveries in this state.", STATES),
            archived.many("type", "Events of this type."),
            archived.LIMIT,
            archived.CURSOR,
        ),
        answers=ok(WebhookDeliveries, {"deliveries": [_DELIVERY], "next": None}),
    )


def one_delivery() -> About:
    """Describe GET /api/webhooks/<webhook_id>/deliveries/<delivery_id>."""
    signed = {
        "content-type": "application/json",
        "user-agent": "streaming-hub",
        "accept-encoding": "identity",
        "webhook-id": "4fdd2f42-512",
        "webhook-timestamp": "1795430083",
        "webhook-signature": "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
    }
    sent = {"url": _WEBHOOK["url"], "headers": signed}
    body = '{"type":"session_ended","timestamp":"2026-11-23T10:34:43.310Z","data":{"id":"4fdd2f42-512"}}'
    return About(
        group=WEBHOOKS,
        summary="A delivery with its requests",
        text="As in the list, with each request as it was sent.",
        parameters=(
            _ID,
            Parameter(
                "delivery_id", "path", {"type": "string", "pattern": "^[0-9]{1,15}$"}, "Its `id`.", "812"
            ),
        ),
        answers=ok(
            WebhookDeliveryRequests,
            {**_DELIVERY, "attempts": [{**_DELIVERY["attempts"][0], "request": sent}], "body": body},
        ),
    )


def replaying() -> About:
    """Describe POST /api/webhooks/<webhook_id>/replay."""
    return About(
        group=WEBHOOKS,
        summary="Send again",
        text="A range of the events that the webhook currently wants, single deliveries, or all failed ones that have "
        "not been sent again, with the same `webhook-id`. Pending deliveries are retried at once.",
        parameters=(_ID,),
        body=(json(Replay, {"from": "4fdd2f42-500", "to": "4fdd2f42-512"}),),
        answers=(Answer(202, "Queued.", (json(Replayed, {"replayed": 13, "missed": 0}),)),),
    )
