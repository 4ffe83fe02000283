"""Publishers that number their events and retry until each is acknowledged."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any, Self

from tests.kit.wait import until

if TYPE_CHECKING:
    from tests.kit.hub import Hub

PATH = "/api/agent/data"
RETRY_SECONDS = 0.03


class Line:
    """A kept connection that posts, and posts again, until everything is acknowledged. For one thread.

    Args:
        server: to whom.

    Attributes:
        refused: how many requests were answered 503.
        broken: how many requests got no answer.
        errors: answers that are never allowed.
    """

    def __init__(self, server: Hub) -> None:
        self.refused = 0
        self.broken = 0
        self.errors: list[str] = []
        self._server = server
        self._connection: http.client.HTTPConnection | None = None

    def publish(self, events: list[dict[str, Any]], *, single: bool) -> tuple[list[str], int]:
        """Publish a batch, or the one event alone; return the ids, and how many were known already."""
        body = json.dumps(events[0] if single else events).encode()
        while True:
            status, answer = self._send(body)
            if status == 200:
                break
            if status == 503:
                self.refused += 1
            elif status:
                self.errors.append(f"{status} {answer!r}")
                raise AssertionError(self.errors)
            else:
                self.broken += 1
            time.sleep(RETRY_SECONDS)
        if single:
            return [answer["id"]], int(answer.get("duplicate", False))
        ids: list[str] = answer["ids"]
        if len(ids) != len(events):
            self.errors.append(f"{len(events)} events posted, {len(ids)} ids")
        return ids, answer["duplicates"]

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.close()

    def _send(self, body: bytes) -> tuple[int, dict[str, Any]]:
        headers = {"Content-Type": "application/json", "Host": "localhost"}
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(
                    self._server.host, self._server.port, timeout=20
                )
            self._connection.request("POST", PATH, body, headers)
            answer = self._connection.getresponse()
            decoded: dict[str, Any] = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError):
            self.close()
            return 0, {}
        return answer.status, decoded


class Publisher:
    """A thread that publishes; a context manager that ends it.

    Args:
        server: to whom.
        name: goes into each event as `p`, and is its room.
        batch: how many events a request carries; 1: single events in turn with batches of one.
        pause: seconds between two requests.
        size: characters of text in each event.
        count: how many events there are; None: until it is stopped.

    Attributes:
        ids: the id of each acknowledged event, by its number.
        duplicates: how many events the server knew already.
    """

    def __init__(
        self,
        server: Hub,
        name: str,
        *,
        batch: int = 1,
        pause: float = 0.0,
        size: int = 20,
        count: int | None = None,
    ) -> None:
        self.name = name
        self.ids: list[str] = []
        self.duplicates = 0
        self._run_id = uuid.uuid4().hex[:8]
        self._line = Line(server)
        self._batch = batch
        self._pause = pause
        self._text = "x" * size
        self._count = count
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._publish_all, name=f"publisher-{name}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)

    @property
    def refused(self) -> int:
        """How many requests were answered 503."""
        return self._line.refused

    @property
    def broken(self) -> int:
        """How many requests got no answer."""
        return self._line.broken

    @property
    def errors(self) -> list[str]:
        """Answers that are never allowed."""
        return self._line.errors

    @property
    def done(self) -> bool:
        """Whether all its events are acknowledged."""
        return not self._thread.is_alive()

    @property
    def head(self) -> int:
        """The sequence number of its last acknowledged event."""
        return int(self.ids[-1].rpartition("-")[2]) if self.ids else 0

    def finish(self, seconds: float = 60.0) -> None:
        """Wait until everything is acknowledged."""
        until(lambda: self.done, seconds, what=lambda: f"{len(self.ids)} events of {self.name} acknowledged")

    def stop(self) -> None:
        """Publish nothing new, and wait until everything published is acknowledged."""
        self._stop.set()
        self.finish()

    def event_id(self, number: int) -> str:
        """Return the `event_id` of its event of this number."""
        return f"{self._run_id}-{self.name}-{number}"

    def event(self, number: int) -> dict[str, Any]:
        """Return its event of this number."""
        return {
            "type": "test",
            "room": self.name,
            "p": self.name,
            "n": number,
            "event_id": self.event_id(number),
            "text": self._text,
        }

    def _publish_all(self) -> None:
        while not self._stop.is_set() and (self._count is None or len(self.ids) < self._count):
            first = len(self.ids)
            last = first + self._batch if self._count is None else min(first + self._batch, self._count)
            single = self._batch == 1 and first % 2 == 0
            self._publish([self.event(number) for number in range(first, last)], single=single)
            if self._pause:
                self._stop.wait(self._pause)
        self._line.close()

    def _publish(self, events: list[dict[str, Any]], *, single: bool) -> None:
        for event in events:
            event["sent"] = time.time()
        ids, known = self._line.publish(events, single=single)
        self.duplicates += known
        self.ids += ids


def assert_all_stored(server: Hub, publishers: list[Publisher]) -> None:
    """Check that each acknowledged event is stored once, under the id that its publisher was told, and no other."""
    stored = {event["event_id"]: event["id"] for event in server.stored() if "event_id" in event}
    told = {
        publisher.event_id(number): event_id
        for publisher in publishers
        for number, event_id in enumerate(publisher.ids)
    }
    missing = {event_id: number for event_id, number in told.items() if stored.get(event_id) != number}
    assert not missing, list(missing.items())[:5]
    assert len(stored) == len(told), f"{len(stored)} stored, {len(told)} acknowledged"


def assert_all_right(publishers: list[Publisher], clients_errors: list[str]) -> None:
    """Check that nothing went wrong, at either end."""
    wrong = [error for publisher in publishers for error in publisher.errors] + clients_errors
    assert not wrong, wrong[:10]
