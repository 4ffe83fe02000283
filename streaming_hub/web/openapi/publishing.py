"""The endpoints that agents post to."""

from __future__ import annotations

from typing import Final

from streaming_hub.errors import (
    BadRequest,
    InvalidEvent,
    TooLarge,
    Unavailable,
    UnsupportedMedia,
)
from streaming_hub.web.api.answer_types import BatchPublished, Lease, Published
from streaming_hub.web.api.leases import LeaseRequest
from streaming_hub.web.api.publish import MAX_KEY
from streaming_hub.web.openapi.endpoint import (
    JSON,
    Answer,
    Content,
    Endpoint,
    Parameter,
    ok,
)
from streaming_hub.web.openapi.schemas import EVENT_BATCH, POSTED_EVENT

GROUP: Final = "Publishing"

_PRINTED: Final = "[!-~\u00a1-\u00ac\u00ae-\u00ff]"
"""What can be seen of Latin-1, in which headers are written."""
_ONE: Final = {
    "type": "transcript",
    "room": "support-7",
    "text": "Hello, how can I help you?",
    "participant": "agent_123",
}
_BATCH: Final = [
    {"type": "transcript", "room": "support-7", "text": "Hello", "is_final": False, "segment_id": "s1"},
    {"type": "order.placed", "room": "support-7", "order": 1842, "event_id": "0b9f-1842"},
]

ENDPOINTS: Final = (
    Endpoint(
        method="POST",
        path="/api/agent/data",
        group=GROUP,
        summary="Publish one event or a batch",
        text="When the answer comes, the events are stored and on their way. A batch (a JSON array, or one event a "
        "line) is taken whole or not at all. 64 KiB an event, 1 MiB and 1000 events a batch, 32 levels of nesting; "
        "compressed bodies are refused.",
        parameters=(
            Parameter(
                "Idempotency-Key",
                "header",
                {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": MAX_KEY,
                    "pattern": f"^{_PRINTED}( *{_PRINTED})*$",
                },
                "Stands for a missing `event_id`: makes a retry harmless.",
            ),
        ),
        body=(
            Content(JSON, (POSTED_EVENT, EVENT_BATCH), {"One event": _ONE, "A batch": _BATCH}),
            Content(
                "application/x-ndjson",
                ({"type": "string"},),
                {"One event a line": '{"type":"test","n":1}\n{"type":"test","n":2}\n'},
            ),
        ),
        body_required=True,
        answers=(
            Answer(
                200,
                "Taken.",
                (
                    Content(
                        JSON,
                        (Published, BatchPublished),
                        {
                            "One event": {"status": "ok", "id": "4fdd2f42-486", "clients_notified": 1},
                            "A batch": {
                                "status": "ok",
                                "ids": ["4fdd2f42-487", "4fdd2f42-488"],
                                "duplicates": 0,
                                "clients_notified": 1,
                            },
                        },
                    ),
                ),
            ),
        ),
        errors=(BadRequest, TooLarge, UnsupportedMedia, InvalidEvent, Unavailable),
    ),
    Endpoint(
        method="POST",
        path="/api/agent/lease",
        group=GROUP,
        summary="Say that sessions still live",
        text="For agents that the hub did not start. A session whose lease runs out is ended by the hub.",
        body=(
            Content(
                JSON,
                (LeaseRequest,),
                {"Example": {"sessions": [{"session_id": "d74c", "room": "support-7"}], "lease": 15}},
            ),
        ),
        answers=ok(Lease, {"status": "ok", "ended": []}),
    ),
)
