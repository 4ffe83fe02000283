"""Reads the webhooks' database: the next deliveries, the log of deliveries, the health of endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import sqlalchemy as sa

from streaming_hub.outlets.webhooks.endpoints import DELIVERED, FAILED, PENDING
from streaming_hub.outlets.webhooks.messages import RUN_BYTES, RUN_LENGTH, Asked, Queued
from streaming_hub.outlets.webhooks.tables import deliveries, endpoints, lanes

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sqlalchemy.engine import Connection

    from streaming_hub.sidecar.database import Database

RECENT: Final = 100
"""How many deliveries an endpoint's success rate is measured over."""


class Slots(NamedTuple):
    """What an endpoint may start: at most `most` lanes, other than those in `busy`."""

    busy: Collection[str]
    most: int


class Due(msgspec.Struct, frozen=True):
    """The deliveries of an endpoint that are due.

    Attributes:
        lanes: the oldest pending deliveries of each lane, in order.
        next_try: when the next lane is due after now, seconds since 1970; None if there is none.
    """

    lanes: dict[str, list[Queued]]
    next_try: float | None


def _oldest() -> sa.Select[Any]:
    """Return the statement for a lane's oldest pending deliveries: the first one, and others as far as they fit."""
    pending = sa.and_(
        deliveries.c.endpoint == sa.bindparam("of"),
        deliveries.c.lane == sa.bindparam("in_lane"),
        deliveries.c.state == PENDING,
    )
    some = sa.select(deliveries.c.id, deliveries.c.size).where(pending).order_by(deliveries.c.id)
    limited = some.limit(RUN_LENGTH).subquery()
    upto = sa.func.sum(limited.c.size).over(order_by=limited.c.id, rows=(None, 0))
    sums = sa.select(limited.c.id, limited.c.size, upto.label("upto")).subquery()
    fit = sa.select(sums.c.id).where(sa.or_(sums.c.upto <= RUN_BYTES, sums.c.upto == sums.c.size))
    columns = [deliveries.c[name] for name in Queued.__struct_fields__]
    return sa.select(*columns).where(deliveries.c.id.in_(fit)).order_by(deliveries.c.id)


# Made once: these run for every lane, and making a statement takes longer than running it.
_OLDEST: Final = _oldest()
_LANES: Final = (
    sa.select(lanes.c.lane, lanes.c.next_try)
    .where(lanes.c.endpoint == sa.bindparam("of"))
    .order_by(lanes.c.next_try)
    .limit(sa.bindparam("most"))
)


def due(database: Database, slots: Mapping[str, Slots], now: float) -> dict[str, Due]:
    """Return the deliveries of several endpoints that are due.

    Args:
        database: the webhooks'.
        slots: what each endpoint may start, by its id.
        now: seconds since 1970.
    """
    # One subquery per endpoint: the index has the minimum of one group at once, while GROUP BY reads every lane.
    first = (
        sa.select(sa.func.min(lanes.c.next_try)).where(lanes.c.endpoint == endpoints.c.id).scalar_subquery()
    )
    chosen = sa.select(endpoints.c.id, first).where(endpoints.c.id.in_(list(slots)))
    with database.reading() as connection:
        firsts = {row[0]: row[1] for row in connection.execute(chosen)}
        return {
            name: _due_of(connection, name, slots[name], now)
            if firsts[name] <= now
            else Due({}, firsts[name])
            for name in slots
            if firsts.get(name) is not None
        }


def _due_of(connection: Connection, endpoint: str, slots: Slots, now: float) -> Due:
    # One more than may be due, which says when to look again.
    most = slots.most + len(slots.busy) + 1
    first = connection.execute(_LANES, {"of": endpoint, "most": most}).all()
    ready = [row.lane for row in first if row.next_try <= now and row.lane not in slots.busy][: slots.most]
    later = next((row.next_try for row in first if row.next_try > now), None)
    return Due({lane: _first(connection, endpoint, lane) for lane in ready}, later)


def _first(connection: Connection, endpoint: str, lane: str) -> list[Queued]:
    found = connection.execute(_OLDEST, {"of": endpoint, "in_lane": lane})
    return [Queued(*row) for row in found]


def next_tries(database: Database) -> dict[str, float]:
    """Return when each endpoint's first delivery is due, seconds since 1970."""
    first = sa.select(lanes.c.endpoint, sa.func.min(lanes.c.next_try)).group_by(lanes.c.endpoint)
    with database.reading() as connection:
        return {row[0]: row[1] for row in connection.execute(first)}


def page(database: Database, asked: Asked) -> tuple[list[dict[str, Any]], int | None]:
    """Return a page of an endpoint's log, newest first, and where the next one begins; None on the last page."""
    chosen = _rows(asked.endpoint)
    if asked.states:
        chosen = chosen.where(deliveries.c.state.in_(asked.states))
    if asked.types:
        chosen = chosen.where(deliveries.c.type.in_(asked.types))
    if asked.before is not None:
        chosen = chosen.where(deliveries.c.id < asked.before)
    with database.reading() as connection:
        rows = connection.execute(chosen.order_by(deliveries.c.id.desc()).limit(asked.limit + 1)).all()
    found = [_shown(row) for row in rows[: asked.limit]]
    return found, rows[asked.limit - 1].id if len(rows) > asked.limit else None


def _shown(row: Any) -> dict[str, Any]:
    shown = {name: row._mapping[name] for name in ("event_id", "type", "room", "state")}
    attempts = [{name: one[name] for name in one if name != "request"} for one in row.attempts]
    # Only the first one of its room is due; the others wait for it.
    next_try = (row.next_try or None) if row.state == PENDING else None
    return {"id": str(row.id), **shown, "attempts": attempts, "next_try": next_try}


def one(database: Database, endpoint: str, delivery: int) -> dict[str, Any] | None:
    """Return a delivery as in `page`, with its requests as they were sent; None if it is no longer in the log.

    `body` is bytes, or None if it is no longer stored; `request` of each attempt has `url` and `headers`.
    """
    chosen = _rows(endpoint, "body").where(deliveries.c.id == delivery)
    with database.reading() as connection:
        row = connection.execute(chosen).first()
    if row is None:
        return None
    return _shown(row) | {"attempts": [{"request": None} | one for one in row.attempts], "body": row.body}


def _rows(endpoint: str, *more: str) -> sa.Select[Any]:
    names = ("id", "event_id", "type", "room", "state", "attempts", "lane", *more)
    next_try = sa.case((_enabled(endpoint), lanes.c.next_try)).label("next_try")
    chosen = sa.select(*(deliveries.c[name] for name in names), next_try)
    chosen = chosen.outerjoin(
        lanes, sa.and_(lanes.c.endpoint == deliveries.c.endpoint, lanes.c.lane == deliveries.c.lane)
    )
    return chosen.where(deliveries.c.endpoint == endpoint)


def _enabled(endpoint: str) -> sa.ScalarSelect[bool]:
    """Select whether an endpoint is enabled: while it is not, no attempt is due."""
    return sa.select(endpoints.c.enabled).where(endpoints.c.id == endpoint).scalar_subquery()


_RECENT: Final = (
    sa.select(deliveries.c.state)
    .where(
        deliveries.c.endpoint == sa.bindparam("of"),
        sa.or_(deliveries.c.state.in_((DELIVERED, FAILED)), deliveries.c.tries > 0),
    )
    .order_by(deliveries.c.id.desc())
    .limit(RECENT)
)
_OLDEST_PENDING: Final = sa.select(sa.func.min(deliveries.c.created)).where(
    deliveries.c.endpoint == sa.bindparam("of"), deliveries.c.state == PENDING
)
_NEXT_TRY: Final = sa.select(sa.func.min(lanes.c.next_try)).where(lanes.c.endpoint == sa.bindparam("of"))


def health(
    database: Database, pending: Mapping[str, int], enabled: Collection[str]
) -> dict[str, dict[str, Any]]:
    """Return the health of endpoints: success rate, oldest pending delivery and next attempt.

    All in one transaction and with statements that are built once: there may be thousands, and pages ask every few
    seconds.

    Args:
        database: the webhooks'.
        pending: how many deliveries each of them has pending.
        enabled: those that are enabled: the others have no next attempt.
    """
    found: dict[str, dict[str, Any]] = {}
    with database.reading() as connection:
        for name, count in pending.items():
            of = {"of": name}
            states = connection.execute(_RECENT, of).scalars().all()
            next_try = connection.execute(_NEXT_TRY, of).scalar() if count and name in enabled else None
            found[name] = {
                "success_rate": states.count(DELIVERED) / len(states) if states else None,
                "oldest_pending": connection.execute(_OLDEST_PENDING, of).scalar() if count else None,
                "next_try": next_try or None,
            }
    return found
