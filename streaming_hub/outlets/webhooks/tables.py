"""The webhooks' tables, in `outlets.db` or PostgreSQL's schema `hub_private`. Internal.

They hold secrets and copies of what people said, so they are not meant for other programs. Times are seconds since
1970.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from streaming_hub.outlets.webhooks import KNOWN_BY
from streaming_hub.outlets.webhooks.endpoints import DELIVERED, FAILED, PENDING
from streaming_hub.sidecar.database import Kind
from streaming_hub.sidecar.dialects import BigId, Json, Text

REVISION: Final = "0002"
"""The newest migration."""

metadata = sa.MetaData()

endpoints = sa.Table(
    "webhook_endpoints",
    metadata,
    sa.Column("id", Text, primary_key=True),
    sa.Column("url", Text, nullable=False),
    sa.Column("types", Json, nullable=False),
    sa.Column("rooms", Json),
    sa.Column("view", Text, nullable=False),
    sa.Column("interims", sa.Boolean, nullable=False),
    sa.Column("description", Text),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("reason", Text),
    sa.Column("secrets", Json, nullable=False),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("after", sa.BigInteger, nullable=False),
    sa.Column("behind", sa.BigInteger),
    sa.Column("missed", sa.BigInteger, nullable=False),
    sa.Column("failing_since", sa.Double),
    sa.Column("warned", sa.Boolean, nullable=False),
    sa.Column("overflowing", sa.Boolean, nullable=False),
    sa.Column("expiring", sa.Boolean, nullable=False, server_default=sa.false()),
)
lanes = sa.Table(
    "webhook_lanes",
    metadata,
    sa.Column("endpoint", Text, primary_key=True),
    sa.Column("lane", Text, primary_key=True),
    sa.Column("next_try", sa.Double, nullable=False),
)
"""A row for each lane (a room's sequence at one endpoint) that has something pending."""
sa.Index("webhook_lanes_by_time", lanes.c.endpoint, lanes.c.next_try)
deliveries = sa.Table(
    "webhook_deliveries",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("endpoint", Text, nullable=False),
    sa.Column("lane", Text, nullable=False),
    sa.Column("event_id", Text, nullable=False),
    sa.Column("type", Text, nullable=False),
    sa.Column("room", Text),
    sa.Column("session", Text),
    sa.Column("state", Text, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("attempts", Json, nullable=False),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("body", sa.LargeBinary),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("done", sa.Double),
    sa.Column("accepted", sa.Double, nullable=False, server_default=sa.text("0")),
    # The id of a deleted row is never reused: a request in flight may still refer to it.
    sqlite_autoincrement=True,
)
_pending = deliveries.c.state == PENDING
sa.Index(
    "webhook_deliveries_pending",
    deliveries.c.endpoint,
    deliveries.c.lane,
    deliveries.c.id,
    sqlite_where=_pending,
    postgresql_where=_pending,
)
_failed = deliveries.c.state == FAILED
sa.Index(
    "webhook_deliveries_failed",
    deliveries.c.endpoint,
    deliveries.c.id,
    sqlite_where=_failed,
    postgresql_where=_failed,
)
KEPT: Final = sa.and_(deliveries.c.state == DELIVERED, deliveries.c.body.is_not(None))
"""For the delivered webhooks that still have their body."""
sa.Index("webhook_deliveries_kept", deliveries.c.id, sqlite_where=KEPT, postgresql_where=KEPT)
sa.Index("webhook_deliveries_by_acceptance", deliveries.c.accepted)
sa.Index("webhook_deliveries_by_endpoint", deliveries.c.endpoint, deliveries.c.id)
sa.Index("webhook_deliveries_by_event", deliveries.c.endpoint, deliveries.c.event_id)
sa.Index("webhook_deliveries_by_lane", deliveries.c.lane)
sa.Index("webhook_deliveries_by_session", deliveries.c.session)
sa.Index("webhook_deliveries_by_end", deliveries.c.done)
notices = sa.Table(
    "webhook_notices",
    metadata,
    sa.Column("id", Text, primary_key=True),
    sa.Column("event", Json, nullable=False),
    sa.Column("created", sa.Double, nullable=False),
)
"""`error` events that the hub has yet to publish."""
position = sa.Table(
    "webhook_position",
    metadata,
    sa.Column("reader", Text, primary_key=True),
    sa.Column("epoch", Text, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
)

WEBHOOKS: Final = Kind(
    "webhooks",
    "webhooks",
    metadata,
    REVISION,
    "streaming_hub.outlets.webhooks:migrations",
    {},
    0x484F4F4B53,
    KNOWN_BY,
    "hub_private",
)
