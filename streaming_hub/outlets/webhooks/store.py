"""Writes the webhooks' database: endpoints, deliveries, and how far the history has been read.

    page -> which endpoint wants which event -> deliveries, lanes, position -> commit
    outcomes of requests -> deliveries, lanes, health of the endpoint -> commit

Not thread-safe. Deliveries and position are written in one transaction: whatever is killed, every event up to the
position is a delivery or counted in `missed`. Endpoints are also held in memory and reread if a transaction fails.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from typing import TYPE_CHECKING, Any, Final

import msgspec
import sqlalchemy as sa

from streaming_hub.outlets.webhooks import reports, rows
from streaming_hub.outlets.webhooks.endpoints import (
    DELIVERED,
    EVERYTHING,
    FAILED,
    PENDING,
    SKIPPED,
    Endpoint,
    Message,
    key_of,
    message_of,
)
from streaming_hub.outlets.webhooks.messages import Ended, Page, Taken, Tried
from streaming_hub.outlets.webhooks.tables import deliveries, endpoints, lanes, notices
from streaming_hub.sidecar.wire import Refusal
from streaming_hub.wording import age_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy.engine import Connection

    from streaming_hub.outlets.webhooks.messages import Line
    from streaming_hub.sidecar.database import Database

MOST_PENDING: Final = 100_000
MOST_BYTES: Final = 256 * 1024 * 1024
"""What an endpoint may have pending."""
MOST_SKIPPED_ROWS: Final = 1_000
"""Skipped deliveries that appear in an endpoint's log until it keeps up again; `missed` counts all of them."""
LOG_SECONDS: Final = 7 * 86_400.0
"""Seconds that a finished delivery stays in the log."""
KEPT_BYTES: Final = 128 * 1024 * 1024
"""Bodies of delivered webhooks, for all endpoints, that stay in the log; the newest ones."""
STEP: Final = 1_000
"""Rows per transaction of the clean-up and of sending again."""
MOST_NOTICES: Final = 100
MOST_FRESH: Final = 4_000
"""Maximum number of deliveries of a page that are handed on as they were stored. Of more than that most must wait
anyway; they are loaded when it is their turn."""


class _Held(msgspec.Struct):
    """An endpoint's pending deliveries, and the skipped ones logged since it last kept up."""

    count: int = 0
    size: int = 0
    skipped: int = 0


class Store:
    """See the module.

    Args:
        database: of the kind `tables.WEBHOOKS`.
        disable_after: STREAM_WEBHOOK_DISABLE_AFTER, seconds.
        max_age: STREAM_ARCHIVE_MAX_AGE, seconds: copies of events are removed at this age; 0 for never.
        clock: seconds since 1970.

    Attributes:
        endpoints: by id.
        version: increases when an endpoint may want events that none wanted before.
        erasures: increases with every erasure.
    """

    def __init__(
        self,
        database: Database,
        *,
        disable_after: float,
        max_age: float = 0.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.endpoints: dict[str, Endpoint] = {}
        # Every process begins with a different number, so a page made for an earlier process never matches by chance.
        self.version = int(time.time() * 1000)
        self.erasures = 0
        self._database = database
        self._disable_after = disable_after
        self._max_age = max_age
        self._clock = clock
        self._held: dict[str, _Held] = {}
        self._kept = 0
        """Bytes of the bodies of delivered webhooks; an upper bound once rows have been removed."""
        self._stale = True

    def reload(self) -> None:
        """Load what is held in memory."""
        with self._database.reading() as connection:
            found = connection.execute(sa.select(endpoints).order_by(endpoints.c.created, endpoints.c.id))
            self.endpoints = {row.id: rows.endpoint_of(row) for row in found}
            self._count(connection)
            self._kept = rows.kept_bytes(connection)
        self.version += 1
        self._stale = False

    @property
    def wanted(self) -> list[str] | None:
        """The event types that endpoints want; None for all."""
        types = {kind for one in self.endpoints.values() if one.enabled for kind in one.types}
        return None if EVERYTHING in types else sorted(types)

    @property
    def catching_up(self) -> list[tuple[str, int]]:
        """Endpoints that read the history on their own, and the sequence number they follow."""
        return [
            (one.id, one.behind) for one in self.endpoints.values() if one.enabled and one.behind is not None
        ]

    @property
    def pending(self) -> tuple[int, int]:
        """The number of pending deliveries, and their bytes."""
        held = list(self._held.values())
        return sum(one.count for one in held), sum(one.size for one in held)

    def held(self, endpoint: str) -> int:
        """Return how many deliveries an endpoint has pending; from any thread."""
        found = self._held.get(endpoint)
        return 0 if found is None else found.count

    def position(self) -> tuple[str, int] | None:
        """Return the epoch and sequence number up to which the history has been read; None before the first read."""
        with self._database.reading() as connection:
            return rows.position_of(connection)

    def begin_epoch(self, epoch: str, seq: int) -> None:
        """Continue with another history. What endpoints had not read of the last one is lost, and reported."""
        with self._writing() as connection:
            known = rows.position_of(connection) is not None
            for endpoint in self.endpoints.values():
                endpoint.after = seq
                endpoint.behind = None if endpoint.enabled else seq
                if known and endpoint.enabled:
                    text = (
                        "The history was replaced: events that had not been read from the last one are lost."
                    )
                    self._notify(connection, endpoint, reports.HISTORY_LOST, text, recoverable=True)
                rows.save(connection, endpoint)
            rows.move(connection, epoch, seq)

    def take(self, page: Page) -> Taken:
        """Store a page's events for the endpoints that want them.

        Raises:
            Refusal: `stale`, the page was made for other endpoints; `behind`, it does not follow the position.
        """
        if self._stale:
            self.reload()
        if page.version != self.version:
            raise Refusal("stale", "The endpoints have changed.")
        messages = [message_of(line) for line in page.lines]
        with self._writing() as connection:
            at = rows.position_of(connection)
            if page.endpoint is not None:
                return Taken(self._catch_up(connection, page, messages, at), {}, self.erasures)
            if at != (page.epoch, page.after):
                raise Refusal("behind", "The page does not follow the position.", at)
            takers = [one for one in self.endpoints.values() if one.enabled and one.behind is None]
            if page.skipped:
                for one in takers:
                    self._note_missed(connection, one, page.skipped)
            pairs = (
                (one, message)
                for message in messages
                for one in takers
                if message.seq > one.after and one.wants(message)
            )
            idle = {one.id for one in takers if not self.held(one.id)}
            newest = rows.newest_of_all(connection) if idle else 0
            touched = self._add(connection, pairs)
            fresh: rows.Fresh = {}
            if 0 < sum(self.held(name) for name in idle) <= MOST_FRESH:
                fresh = rows.fresh(connection, newest, idle, messages)
            rows.move(connection, page.epoch, page.upto)
        return Taken(touched, fresh, self.erasures)

    def _catch_up(
        self, connection: Connection, page: Page, messages: list[Message], at: tuple[str, int] | None
    ) -> set[str]:
        endpoint = self.endpoints.get(page.endpoint or "")
        if endpoint is None or not endpoint.enabled or endpoint.behind != page.after:
            return set()
        if at is None or at[0] != page.epoch:
            raise Refusal("behind", "The page is of another history.", at)
        upto = min(page.upto, at[1])
        if page.skipped:
            self._note_missed(connection, endpoint, page.skipped)
        wanted = ((endpoint, one) for one in messages if one.seq <= upto and endpoint.wants(one))
        touched = self._add(connection, wanted)
        endpoint.behind = None if upto >= at[1] else upto
        rows.save(connection, endpoint)
        return touched

    def save(self, endpoint: Endpoint) -> None:
        """Create an endpoint, or change it."""
        with self._writing() as connection:
            at = rows.position_of(connection)
            if (
                endpoint.behind is not None
                and endpoint.enabled
                and at is not None
                and endpoint.behind >= at[1]
            ):
                endpoint.after, endpoint.behind = endpoint.behind, None
            if not endpoint.enabled and endpoint.behind is None and at is not None:
                endpoint.behind = max(at[1], endpoint.after)
            rows.save(connection, endpoint)
            if endpoint.enabled:
                # An operator who enables an endpoint or fixes its URL wants to see it work now.
                waiting = sa.update(lanes).where(lanes.c.endpoint == endpoint.id)
                connection.execute(waiting.values(next_try=0.0))
        self.endpoints = {**self.endpoints, endpoint.id: endpoint}
        self._held.setdefault(endpoint.id, _Held())
        self.version += 1

    def shift_tries(self, seconds: float) -> None:
        """Move every planned attempt, to follow a change of the clock, in seconds."""
        with self._writing() as connection:
            planned = sa.update(lanes).where(lanes.c.next_try > 0)
            connection.execute(planned.values(next_try=lanes.c.next_try + seconds))

    def delete(self, endpoint: str) -> None:
        """Remove an endpoint and its deliveries."""
        with self._writing() as connection:
            for table in (deliveries, lanes):
                connection.execute(sa.delete(table).where(table.c.endpoint == endpoint))
            connection.execute(sa.delete(endpoints).where(endpoints.c.id == endpoint))
        self.endpoints = {key: one for key, one in self.endpoints.items() if key != endpoint}
        self._held.pop(endpoint, None)
        self.version += 1

    def record(self, outcomes: Sequence[Tried | Ended]) -> set[str]:
        """Write outcomes of requests; return the endpoints that they disabled."""
        now = self._clock()
        disabled: set[str] = set()
        tried = [one for one in outcomes if isinstance(one, Tried) and one.endpoint in self.endpoints]
        with self._writing() as connection:
            # Deliveries that were erased while their request was in flight are not among them.
            found = rows.finish(connection, tried, now)
            for one in tried:
                endpoint = self.endpoints[one.endpoint]
                if one.delivery in found:
                    self._settle(connection, endpoint, one)
                if self._note_health(connection, endpoint, one, now):
                    disabled.add(endpoint.id)
            rows.end_lanes(
                connection, [(one.endpoint, one.lane) for one in outcomes if isinstance(one, Ended)]
            )
        return disabled

    def replay(self, endpoint_id: str, lines: Sequence[Line], *, filtered: bool) -> int:
        """Queue events again; return how many.

        One that is already pending is tried at once instead.

        Args:
            endpoint_id: the endpoint.
            lines: the events.
            filtered: whether to leave out what the endpoint does not currently want.
        """
        endpoint = self._known(endpoint_id)
        messages = [message_of(line) for line in lines]
        messages = [one for one in messages if endpoint.wants(one) or not filtered]
        with self._writing() as connection:
            pending = rows.pending_of(connection, endpoint_id, [one.id for one in messages])
            fresh = [one for one in messages if one.id not in pending]
            before = self._held[endpoint_id].count
            self._add(connection, ((endpoint, one) for one in fresh))
            rows.wake(connection, endpoint_id, set(pending.values()))
            return len(pending) + self._held[endpoint_id].count - before

    def resend(
        self, endpoint_id: str, ids: Sequence[int], lines: Sequence[Line] | None = None
    ) -> tuple[int, list[str]]:
        """Queue deliveries again, in the order of their events.

        Args:
            endpoint_id: the endpoint.
            ids: the deliveries.
            lines: events whose body the log no longer has; None to find out which.

        Returns:
            How many were queued, and the events that neither the log nor `lines` has. If there are any and `lines` is
            None, nothing is queued.

        Raises:
            Refusal: `unknown`, there is no such delivery; nothing was queued.
        """
        endpoint = self._known(endpoint_id)
        bodies = {one.id: one.body for one in map(message_of, lines or ())}
        with self._writing() as connection:
            found = rows.by_ids(connection, endpoint_id, ids)
            missing = set(ids) - {row.id for row in found}
            if missing:
                raise Refusal("unknown", f"There is no delivery {min(missing)} of this endpoint.")
            bodies |= {row.event_id: row.body for row in found if row.body is not None}
            lost = [row.event_id for row in rows.in_order(found) if row.event_id not in bodies]
            if lost and lines is None:
                return 0, lost
            return self._send_again(connection, endpoint, found, bodies), lost

    def resend_failed(self, endpoint_id: str, after: int, upto: int | None) -> tuple[int, int | None, int]:
        """Queue some of the failed deliveries again that have not been sent again since.

        Args:
            endpoint_id: the endpoint.
            after: the last delivery of the previous call; 0 at first.
            upto: the bound that the first call returned; None at first.

        Returns:
            How many were queued, the last one (None at the end), and the bound for the next calls.
        """
        endpoint = self._known(endpoint_id)
        with self._writing() as connection:
            upto = rows.newest(connection, endpoint_id) if upto is None else upto
            ids = rows.failed(connection, endpoint_id, after=after, upto=upto, most=STEP)
            found = rows.by_ids(connection, endpoint_id, ids)
            bodies = {row.event_id: row.body for row in found if row.body is not None}
            count = self._send_again(connection, endpoint, found, bodies)
            return count, ids[-1] if len(ids) == STEP else None, upto

    def _send_again(
        self,
        connection: Connection,
        endpoint: Endpoint,
        found: Sequence[sa.Row[Any]],
        bodies: Mapping[str, bytes],
    ) -> int:
        pending = rows.pending_of(connection, endpoint.id, [row.event_id for row in found])
        now, before = self._clock(), self._held[endpoint.id].count
        values = [
            rows.again(row, bodies[row.event_id], now)
            for row in rows.in_order(found)
            if row.event_id in bodies and row.event_id not in pending
        ]
        rows.insert(connection, self._admit(connection, endpoint, values))
        rows.wake(connection, endpoint.id, set(pending.values()))
        return len(pending) + self._held[endpoint.id].count - before

    def erase(self, *, room: str | None, session_id: str | None, rooms: list[str] | None) -> None:
        """Remove all copies and log rows of a room's or a session's events."""
        if room is not None:
            chosen = deliveries.c.lane == key_of(room)
        else:
            chosen = deliveries.c.session == key_of(session_id)
            if rooms is not None:
                chosen = sa.and_(chosen, deliveries.c.lane.in_([key_of(one) for one in rooms]))
        with self._writing() as connection:
            connection.execute(sa.delete(deliveries).where(chosen))
            self._count(connection)
        self.erasures += 1
        self._database.empty_log()

    def clean(self) -> bool:
        """Remove some old deliveries; return whether there may be more."""
        if self._database.log_held:
            self._database.empty_log()
        now = self._clock()
        accepted = now - self._max_age if self._max_age else None
        with self._database.reading() as connection:
            old = rows.old(connection, done=now - LOG_SECONDS, accepted=accepted, most=STEP)
            if self._kept > KEPT_BYTES:
                self._kept = rows.kept_bytes(connection)
        stale = [
            one
            for one in self.endpoints.values()
            if any(key.until is not None and key.until <= now for key in one.secrets)
        ]
        full = self._kept > KEPT_BYTES
        if not old and not stale and not full:
            return False
        with self._writing() as connection:
            rows.remove(connection, old)
            self._note_expired(connection, [one for one in old if one.state == PENDING])
            if full:
                self._kept -= rows.forget_bodies(connection, STEP)
            for endpoint in stale:
                endpoint.secrets = [one for one in endpoint.secrets if one.until is None or one.until > now]
                rows.save(connection, endpoint)
        return len(old) == STEP or self._kept > KEPT_BYTES

    def _note_expired(self, connection: Connection, dropped: Sequence[rows.Place]) -> None:
        """Count copies dropped because of their age, and report it once until the next success."""
        for name in {one.endpoint for one in dropped} & {*self.endpoints}:
            endpoint = self.endpoints[name]
            sizes = [one.size for one in dropped if one.endpoint == name]
            endpoint.missed += len(sizes)
            self._release(endpoint, len(sizes), sum(sizes))
            if not endpoint.expiring:
                endpoint.expiring = True
                text = (
                    f"Deliveries were pending longer than events are stored ({age_text(self._max_age)}) and were "
                    "dropped: they are counted in `missed`."
                )
                self._notify(connection, endpoint, reports.EXPIRED, text, recoverable=True)
            rows.save(connection, endpoint)

    def _release(self, endpoint: Endpoint, count: int, size: int) -> bool:
        """Note that deliveries are no longer pending; return whether the endpoint keeps up again."""
        held = self._held[endpoint.id]
        held.count -= count
        held.size -= size
        keeps_up = endpoint.overflowing and held.count < MOST_PENDING // 2 and held.size < MOST_BYTES // 2
        if keeps_up:
            endpoint.overflowing, held.skipped = False, 0
        return keeps_up

    def due_notices(self) -> list[tuple[str, dict[str, Any]]]:
        """Return `error` events to publish: id and fields."""
        with self._database.reading() as connection:
            found = sa.select(notices.c.id, notices.c.event).order_by(notices.c.created).limit(MOST_NOTICES)
            return [(row.id, row.event) for row in connection.execute(found)]

    def published(self, ids: Sequence[str]) -> None:
        """Remove published notices."""
        with self._writing() as connection:
            connection.execute(sa.delete(notices).where(notices.c.id.in_(ids)))

    def _known(self, endpoint: str) -> Endpoint:
        if self._stale:
            self.reload()
        found = self.endpoints.get(endpoint)
        if found is None:
            raise Refusal("missing", "")
        return found

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Connection]:
        if self._stale:
            self.reload()
        try:
            with self._database.writing() as connection:
                yield connection
        except BaseException:
            # Memory may be ahead of the database.
            self._stale = True
            raise

    def _count(self, connection: Connection) -> None:
        counted = sa.select(
            deliveries.c.endpoint, sa.func.count(), sa.func.coalesce(sa.func.sum(deliveries.c.size), 0)
        )
        counted = counted.where(deliveries.c.state == PENDING).group_by(deliveries.c.endpoint)
        skipped = {name: held.skipped for name, held in self._held.items()}
        found = {name: _Held(skipped=skipped.get(name, 0)) for name in self.endpoints}
        for name, count, size in connection.execute(counted):
            if name in found:
                found[name].count, found[name].size = count, int(size)
        # At once: `held` is asked from another thread.
        self._held = found

    def _add(self, connection: Connection, pairs: Iterable[tuple[Endpoint, Message]]) -> set[str]:
        now = self._clock()
        fresh: dict[str, list[dict[str, Any]]] = {}
        for endpoint, message in pairs:
            row: dict[str, Any] = {
                "endpoint": endpoint.id,
                "lane": message.lane,
                "event_id": message.id,
                "type": message.type,
                "room": message.room,
                "session": None if message.session is None else key_of(message.session),
                "state": PENDING,
                "tries": 0,
                "attempts": [],
                "size": len(message.body),
                "body": message.body,
                "created": now,
                "done": None,
                "accepted": message.at,
            }
            fresh.setdefault(endpoint.id, []).append(row)
        kept = [
            row
            for name, values in fresh.items()
            for row in self._admit(connection, self.endpoints[name], values)
        ]
        rows.insert(connection, kept)
        return set(fresh)

    def _admit(
        self, connection: Connection, endpoint: Endpoint, values: list[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        """Return the deliveries to store, and count the others as missed if too much is pending."""
        held = self._held.setdefault(endpoint.id, _Held())
        kept: list[dict[str, Any]] = []
        over = 0
        for row in values:
            if held.count < MOST_PENDING and held.size + row["size"] <= MOST_BYTES:
                held.count += 1
                held.size += row["size"]
                kept.append(row)
                continue
            over += 1
            if held.skipped < MOST_SKIPPED_ROWS:
                held.skipped += 1
                kept.append(row | {"state": SKIPPED, "body": None, "done": row["created"]})
        if over:
            endpoint.missed += over
            if not endpoint.overflowing:
                endpoint.overflowing = True
                text = (
                    f"More than {MOST_PENDING} deliveries or {MOST_BYTES >> 20} MiB are pending: new events are "
                    "skipped and counted in `missed`."
                )
                self._notify(connection, endpoint, reports.OVERFLOW, text, recoverable=True)
            rows.save(connection, endpoint)
        return kept

    def _settle(self, connection: Connection, endpoint: Endpoint, tried: Tried) -> None:
        """Note what an outcome means for what is pending and kept."""
        if tried.state == DELIVERED:
            self._kept += tried.size
        if tried.state != PENDING and self._release(endpoint, 1, tried.size):
            rows.save(connection, endpoint)

    def _note_health(self, connection: Connection, endpoint: Endpoint, tried: Tried, now: float) -> bool:
        if tried.state == DELIVERED:
            if endpoint.failing_since is not None or endpoint.warned or endpoint.expiring:
                endpoint.failing_since, endpoint.warned, endpoint.expiring = None, False, False
                rows.save(connection, endpoint)
            return False
        changed = endpoint.failing_since is None
        if endpoint.failing_since is None:
            endpoint.failing_since = now
        if tried.state == FAILED and not endpoint.warned:
            endpoint.warned = changed = True
            text = "A delivery has failed for good: the receiver did not accept it. The next ones are still tried."
            self._notify(connection, endpoint, reports.FAILING, text, recoverable=True)
        reason = reports.GONE if tried.gone else None
        if now - endpoint.failing_since >= self._disable_after:
            reason = reason or reports.NO_SUCCESS
        disable = endpoint.enabled and reason is not None
        if disable and reason is not None:
            self._disable(connection, endpoint, reason)
        elif changed:
            rows.save(connection, endpoint)
        return disable

    def _disable(self, connection: Connection, endpoint: Endpoint, reason: str) -> None:
        at = rows.position_of(connection)
        endpoint.enabled, endpoint.reason = False, reason
        if endpoint.behind is None and at is not None:
            endpoint.behind = max(at[1], endpoint.after)
        why = {
            reports.GONE: "The receiver answered 410 Gone.",
            reports.NO_SUCCESS: f"The receiver accepted nothing for {self._disable_after:g} s.",
        }[reason]
        self._notify(connection, endpoint, reason, f"{why} The endpoint is disabled.", recoverable=False)
        rows.save(connection, endpoint)

    def _note_missed(self, connection: Connection, endpoint: Endpoint, count: int) -> None:
        endpoint.missed += count
        text = (
            f"The history dropped up to {count} events before they were read: they are counted in `missed`."
        )
        self._notify(connection, endpoint, reports.HISTORY_MOVED_ON, text, recoverable=True, missed=count)
        rows.save(connection, endpoint)

    def _notify(
        self,
        connection: Connection,
        endpoint: Endpoint,
        reason: str,
        text: str,
        *,
        recoverable: bool,
        missed: int | None = None,
    ) -> None:
        """Queue an `error` event to be published once."""
        event = reports.error(endpoint.id, reason, text, recoverable=recoverable, missed=missed)
        row = {"id": f"webhook_{uuid.uuid4().hex}", "event": event, "created": self._clock()}
        connection.execute(sa.insert(notices), row)
