"""Statements on the webhooks' tables, for the store's transactions. Stateless."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import sqlalchemy as sa

from streaming_hub.outlets.webhooks.endpoints import FAILED, PENDING, Endpoint, key_of
from streaming_hub.outlets.webhooks.messages import RUN_BYTES, RUN_LENGTH, Queued
from streaming_hub.outlets.webhooks.tables import KEPT, deliveries, endpoints, lanes, position
from streaming_hub.sidecar.dialects import insert_into, upsert

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from sqlalchemy.engine import Connection

    from streaming_hub.outlets.webhooks.endpoints import Message
    from streaming_hub.outlets.webhooks.messages import Tried

Fresh = dict[str, dict[str, list[Queued]]]
"""Deliveries to send, by endpoint and lane."""
READER: Final = "webhooks"
_LANE: Final = sa.and_(lanes.c.endpoint == sa.bindparam("of"), lanes.c.lane == sa.bindparam("where"))
"""One lane of many that a statement is executed for."""


class Place(NamedTuple):
    """A delivery, with what is needed to count it."""

    id: int
    endpoint: str
    lane: str
    state: str
    size: int


def endpoint_of(row: sa.Row[Any]) -> Endpoint:
    """Return a row's endpoint."""
    # SQLAlchemy's keys are a subclass of str that msgspec rejects.
    return msgspec.convert({name: row._mapping[name] for name in Endpoint.__struct_fields__}, Endpoint)


def save(connection: Connection, endpoint: Endpoint) -> None:
    """Create or change an endpoint's row."""
    upsert(connection, endpoints, [msgspec.to_builtins(endpoint)])


def insert(connection: Connection, values: Sequence[dict[str, Any]]) -> None:
    """Store deliveries, and the lanes of those that are pending."""
    if not values:
        return
    connection.execute(sa.insert(deliveries), values)
    waiting = {(row["endpoint"], row["lane"]): None for row in values if row["state"] == PENDING}
    if waiting:
        begun = [{"endpoint": endpoint, "lane": lane, "next_try": 0.0} for endpoint, lane in waiting]
        connection.execute(insert_into(connection, lanes).on_conflict_do_nothing(), begun)


def newest_of_all(connection: Connection) -> int:
    """Return the highest id of all deliveries; 0 without any."""
    return connection.execute(sa.select(sa.func.max(deliveries.c.id))).scalar() or 0


def fresh(connection: Connection, after: int, idle: Collection[str], messages: Sequence[Message]) -> Fresh:
    """Return new deliveries of endpoints that had none pending, as far as a lane may have them in memory.

    Args:
        connection: in the transaction that has stored them.
        after: the newest delivery before it.
        idle: those endpoints.
        messages: the events.
    """
    chosen = sa.select(*(deliveries.c[name] for name in ("id", "endpoint", "lane", "event_id")))
    chosen = chosen.where(deliveries.c.id > after, deliveries.c.state == PENDING)
    by_id = {one.id: one for one in messages}
    found: Fresh = {}
    sizes: dict[tuple[str, str], int] = {}
    for row in connection.execute(chosen.order_by(deliveries.c.id)):
        if row.endpoint not in idle:
            continue
        message = by_id[row.event_id]
        size = len(message.body)
        queued = found.setdefault(row.endpoint, {}).setdefault(row.lane, [])
        # Counted beyond the limit as well: nothing may follow the first one that does not fit.
        held = sizes[row.endpoint, row.lane] = sizes.get((row.endpoint, row.lane), 0) + size
        if len(queued) < RUN_LENGTH and (held <= RUN_BYTES or held == size):
            session = None if message.session is None else key_of(message.session)
            queued.append(Queued(row.id, message.id, message.type, session, size, message.body, []))
    return found


def move(connection: Connection, epoch: str, seq: int) -> None:
    """Store up to which sequence number the history has been read."""
    upsert(connection, position, [{"reader": READER, "epoch": epoch, "seq": seq}])


def position_of(connection: Connection) -> tuple[str, int] | None:
    """Return the epoch and sequence number up to which the history has been read; None before the first read."""
    row = connection.execute(
        sa.select(position.c.epoch, position.c.seq).where(position.c.reader == READER)
    ).first()
    return None if row is None else (row.epoch, row.seq)


def pending_of(connection: Connection, endpoint: str, events: Sequence[str]) -> dict[str, str]:
    """Return which of these events an endpoint has pending, and their lanes."""
    found = sa.select(deliveries.c.event_id, deliveries.c.lane).where(
        deliveries.c.endpoint == endpoint, deliveries.c.event_id.in_(events), deliveries.c.state == PENDING
    )
    return {row.event_id: row.lane for row in connection.execute(found)}


def wake(connection: Connection, endpoint: str, names: set[str]) -> None:
    """Make lanes due now."""
    if names:
        mine = sa.update(lanes).where(lanes.c.endpoint == endpoint, lanes.c.lane.in_(names))
        connection.execute(mine.values(next_try=0.0))


def again(row: sa.Row[Any], body: bytes, now: float) -> dict[str, Any]:
    """Make a new delivery of a logged one."""
    values = dict(row._mapping)
    del values["id"]
    fresh = {"state": PENDING, "tries": 0, "attempts": [], "created": now, "done": None}
    return values | fresh | {"body": body, "size": len(body)}


def in_order(rows: Iterable[sa.Row[Any]]) -> list[sa.Row[Any]]:
    """Return the first row of each event, in the order of events.

    Args:
        rows: deliveries by id.
    """
    first: dict[str, sa.Row[Any]] = {}
    epochs: dict[str, int] = {}
    for row in rows:
        first.setdefault(row.event_id, row)
        epochs.setdefault(row.event_id.rpartition("-")[0], len(epochs))

    def order(row: sa.Row[Any]) -> tuple[int, int]:
        epoch, _, seq = row.event_id.rpartition("-")
        return epochs[epoch], int(seq)

    return sorted(first.values(), key=order)


def by_ids(connection: Connection, endpoint: str, ids: Sequence[int]) -> Sequence[sa.Row[Any]]:
    """Return deliveries of an endpoint, ordered by id."""
    chosen = sa.select(deliveries).where(deliveries.c.endpoint == endpoint, deliveries.c.id.in_(ids))
    return connection.execute(chosen.order_by(deliveries.c.id)).all()


def failed(connection: Connection, endpoint: str, *, after: int, upto: int | None, most: int) -> list[int]:
    """Return failed deliveries without a newer one of the same event, ordered by id.

    Args:
        connection: to the database.
        endpoint: its id.
        after: above this id.
        upto: up to this one; None for all.
        most: maximum number to return.
    """
    newer = deliveries.alias()
    follows = sa.select(newer.c.id).where(
        newer.c.endpoint == deliveries.c.endpoint,
        newer.c.event_id == deliveries.c.event_id,
        newer.c.id > deliveries.c.id,
    )
    chosen = sa.select(deliveries.c.id).where(
        deliveries.c.endpoint == endpoint,
        deliveries.c.state == FAILED,
        deliveries.c.id > after,
        ~follows.exists(),
    )
    if upto is not None:
        chosen = chosen.where(deliveries.c.id <= upto)
    return list(connection.execute(chosen.order_by(deliveries.c.id).limit(most)).scalars())


def newest(connection: Connection, endpoint: str) -> int:
    """Return the highest id of an endpoint's deliveries; 0 without any."""
    highest = sa.select(sa.func.max(deliveries.c.id)).where(deliveries.c.endpoint == endpoint)
    return connection.execute(highest).scalar() or 0


def old(connection: Connection, *, done: float, accepted: float | None, most: int) -> list[Place]:
    """Return deliveries to remove.

    Args:
        connection: to the database.
        done: those that finished before this time, seconds since 1970.
        accepted: and those, finished or pending, whose event was accepted before this time.
        most: maximum number to return.
    """
    columns = sa.select(*(deliveries.c[name] for name in Place._fields))
    found = connection.execute(columns.where(deliveries.c.done < done).limit(most)).all()
    if accepted is not None and len(found) < most:
        ids = [row.id for row in found]
        chosen = columns.where(deliveries.c.accepted < accepted, deliveries.c.id.not_in(ids))
        found = [*found, *connection.execute(chosen.limit(most - len(found)))]
    return [Place(*row) for row in found]


def finish(connection: Connection, tried: Sequence[Tried], now: float) -> set[int]:
    """Write the outcomes of requests; return the deliveries that were still pending.

    Args:
        connection: in a transaction.
        tried: the outcomes.
        now: seconds since 1970.
    """
    ids = [one.delivery for one in tried]
    pending = sa.select(deliveries.c.id).where(deliveries.c.id.in_(ids), deliveries.c.state == PENDING)
    found = set(connection.execute(pending).scalars())
    outcomes = [
        {
            "of": one.delivery,
            "attempts": one.attempts,
            "tries": len(one.attempts),
            "state": one.state,
            "done": None if one.state == PENDING else now,
        }
        for one in tried
        if one.delivery in found
    ]
    waits = [
        {"of": one.endpoint, "where": one.lane, "next_try": one.next_try}
        for one in tried
        if one.next_try is not None
    ]
    if outcomes:
        connection.execute(sa.update(deliveries).where(deliveries.c.id == sa.bindparam("of")), outcomes)
    if waits:
        connection.execute(sa.update(lanes).where(_LANE), waits)
    return found


def remove(connection: Connection, places: Sequence[Place]) -> None:
    """Remove deliveries, and lanes that have nothing pending without them."""
    connection.execute(sa.delete(deliveries).where(deliveries.c.id.in_([one.id for one in places])))
    end_lanes(connection, {(one.endpoint, one.lane) for one in places if one.state == PENDING})


def end_lanes(connection: Connection, ended: Collection[tuple[str, str]]) -> None:
    """Remove those of these lanes that have nothing pending."""
    if ended:
        waiting = sa.select(deliveries.c.id).where(
            deliveries.c.endpoint == sa.bindparam("of"),
            deliveries.c.lane == sa.bindparam("where"),
            deliveries.c.state == PENDING,
        )
        values = [{"of": endpoint, "where": lane} for endpoint, lane in ended]
        connection.execute(sa.delete(lanes).where(_LANE, ~waiting.exists()), values)


def kept_bytes(connection: Connection) -> int:
    """Return the bytes of all bodies of delivered webhooks in the log."""
    return int(
        connection.execute(
            sa.select(sa.func.coalesce(sa.func.sum(deliveries.c.size), 0)).where(KEPT)
        ).scalar_one()
    )


def forget_bodies(connection: Connection, most: int) -> int:
    """Remove the bodies of the oldest delivered webhooks; return how many bytes they had."""
    oldest = sa.select(deliveries.c.id, deliveries.c.size).where(KEPT).order_by(deliveries.c.id).limit(most)
    found = connection.execute(oldest).all()
    connection.execute(
        sa.update(deliveries).where(deliveries.c.id.in_([row.id for row in found])).values(body=None)
    )
    return sum(row.size for row in found)
