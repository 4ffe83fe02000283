"""What a subscriber may be sent, and in what order: the rules of the stream, as a checker for all fault tests. Pure.

Fed with the frames of one client across all its connections. Test events carry `p` (who published them) and `n` (from
0, rising by one per publisher), so that completeness, order and the absence of duplicates show twice: in the ids, and
in the numbers. What breaks a rule is kept as a sentence in `errors`.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

MOST_ERRORS = 20


class Frame(NamedTuple):
    """One event of the stream as it came over the wire."""

    id: str | None
    retry: int | None
    data: bytes


class Fields(msgspec.Struct):
    """The fields that the rules look at."""

    type: str
    id: str | None = None
    p: str | None = None
    n: int | None = None
    sent: float | None = None
    cursor: str | None = None
    reason: str | None = None
    requested: str | None = None
    oldest: str | None = None
    missed: int | None = None
    retry_ms: int | None = None


_decode = msgspec.json.Decoder(Fields).decode


class Checker:
    """Checks one client.

    Args:
        name: prefix of its errors.
        whole: whether it sees everything (no filter, operator's view, no interims): then ids rise by exactly one, and
            `missed` must be exact. Otherwise ids rise, and publishers' numbers still have no hole.

    Attributes:
        errors: what was wrong, as sentences.
        received: how many stored events arrived.
        numbers: the last `n` of each publisher.
        missed: how many events the stream said were missed.
        resets: reasons of the `stream_reset` events.
        goodbyes: reasons and `retry_ms` of the `goodbye` events.
        last_id: what an EventSource would send as Last-Event-ID.
        position: how far the client is.
        start: where its first connection began.
        skipped: the numbers that were left out between two events, unless the client sees everything.
    """

    def __init__(self, name: str, *, whole: bool) -> None:
        self.errors: list[str] = []
        self.received = 0
        self.numbers: dict[str, int] = {}
        self.missed = 0
        self.skipped: list[int] = []
        self.resets: list[str] = []
        self.goodbyes: list[tuple[str, int]] = []
        self.heartbeats = 0
        self.last_id: str | None = None
        self.position = -1
        self.start = -1
        self.epoch = ""
        self._name = name
        self._whole = whole
        self._asked: str | None = None
        self._expects = "connected"
        self._loose: set[str] | None = None
        self._new_epoch = False

    def connect(self) -> str | None:
        """Begin a connection; return the Last-Event-ID to send."""
        self._asked = self.last_id
        self._expects = "connected"
        return self._asked

    def feed(self, frame: Frame) -> Fields:
        """Check the next frame; return its fields."""
        fields = _decode(frame.data)
        if self._expects == "nothing":
            self._complain(f"{fields.type} after goodbye")
        elif self._expects == "connected" and fields.type not in ("connected", "goodbye"):
            self._complain(f"{fields.type} before connected")
        elif self._expects == "stream_reset" and fields.type != "stream_reset":
            self._complain(f"asked for {self._asked}, got {fields.type} and no stream_reset")
        rule = self._RULES.get(fields.type)
        if rule is None:
            self._stored(frame, fields)
        else:
            rule(self, frame, fields)
        return fields

    def _connected(self, frame: Frame, fields: Fields) -> None:
        self._no_id(frame)
        epoch, seq = split(fields.cursor or "-")
        first = not self.epoch
        if first or epoch != self.epoch:
            # Another history: its numbers are unrelated to the old ones.
            self.epoch, self.position = epoch, seq
            self.start = seq
        self._expects = "stream_reset" if self._asked not in (None, fields.cursor) else ""
        if self._expects:
            self.position = seq
        elif self._asked is not None and seq != self.position:
            self._complain(f"connected at {fields.cursor}, but was at {self.position}")
        if self.last_id is None:
            self.last_id = fields.cursor

    def _stream_reset(self, frame: Frame, fields: Fields) -> None:
        self._no_id(frame)
        self.resets.append(fields.reason or "")
        at_start = self._expects == "stream_reset"
        wanted = self._asked if at_start else f"{self.epoch}-{self.position}"
        if self._whole and fields.requested != wanted:
            self._complain(f"reset for {fields.requested}, but was at {wanted}")
        self._expects = ""
        if fields.reason == "history_lost":
            self._history_lost(fields, at_start=at_start)
            return
        if fields.oldest is not None and fields.reason == "expired":
            oldest = split(fields.oldest)[1]
            self._count_missed(fields, oldest - 1 - split(fields.requested or "-")[1])
            self.position = oldest - 1
        # Which publishers' numbers are in the hole is not known: each may continue with any higher one, once.
        self._loose = set(self.numbers)
        self.last_id = f"{self.epoch}-{self.position}"

    def _history_lost(self, fields: Fields, *, at_start: bool) -> None:
        """Another epoch begins. What survived of the old one is not sent again, so numbers never go back over it."""
        if fields.missed is not None:
            self._complain(f"missed is {fields.missed} after a loss, whose size nobody knows")
        self._loose = set(self.numbers)
        # At a connection `connected` has named the epoch and the position already.
        self._new_epoch = not at_start

    def _begin_epoch(self, epoch: str, seq: int) -> None:
        self._new_epoch = False
        if epoch == self.epoch:
            self._complain(f"a history was lost, and {epoch} goes on")
        self.epoch, self.position = epoch, seq

    def _count_missed(self, fields: Fields, exact: int) -> None:
        if not self._whole:
            if fields.missed is not None:
                self._complain(f"missed is {fields.missed} on a filtered stream")
        elif fields.missed != exact:
            self._complain(f"missed is {fields.missed}, but {exact} are gone")
        else:
            self.missed += exact

    def _heartbeat(self, frame: Frame, _fields: Fields) -> None:
        self.heartbeats += 1
        if frame.id is None:
            self._complain("heartbeat without a position")
            return
        epoch, seq = split(frame.id)
        if self._new_epoch:
            self._begin_epoch(epoch, seq)
        if epoch != self.epoch or seq < self.position or (self._whole and seq != self.position):
            self._complain(f"heartbeat at {frame.id}, but the reader is at {self.epoch}-{self.position}")
        self.position = max(seq, self.position)
        self.last_id = frame.id

    def _goodbye(self, frame: Frame, fields: Fields) -> None:
        self._no_id(frame)
        if frame.retry is None or frame.retry != fields.retry_ms:
            self._complain(f"goodbye with retry: {frame.retry} and retry_ms {fields.retry_ms}")
        self.goodbyes.append((fields.reason or "", fields.retry_ms or 0))
        self._expects = "nothing"

    def _snapshot(self, frame: Frame, _fields: Fields) -> None:
        self._no_id(frame)

    def _stored(self, frame: Frame, fields: Fields) -> None:
        if frame.id is None or fields.id != frame.id:
            self._complain(f"id line {frame.id}, id field {fields.id}")
            return
        epoch, seq = split(frame.id)
        if self._new_epoch:
            self._begin_epoch(epoch, seq - 1)
        if epoch != self.epoch or seq <= self.position or (self._whole and seq != self.position + 1):
            self._complain(f"{frame.id} after {self.epoch}-{self.position}")
        if not self._whole:
            self.skipped += range(self.position + 1, seq)
        self.position = seq
        self.last_id = frame.id
        self.received += 1
        if fields.p is not None and fields.n is not None:
            self._number(fields.p, fields.n)

    def _number(self, publisher: str, number: int) -> None:
        last = self.numbers.get(publisher)
        self.numbers[publisher] = number
        if last is None:
            return
        if self._loose is not None and publisher in self._loose and number > last:
            self._loose.discard(publisher)
        elif number != last + 1:
            self._complain(f"{publisher}: number {number} after {last}")

    def _no_id(self, frame: Frame) -> None:
        if frame.id is not None:
            self._complain(f"a control event with id {frame.id}: {frame.data[:80]!r}")

    def _complain(self, sentence: str) -> None:
        if len(self.errors) < MOST_ERRORS:
            self.errors.append(f"{self._name}: {sentence}")

    _RULES = {  # noqa: RUF012 # a table of methods, never changed
        "connected": _connected,
        "stream_reset": _stream_reset,
        "heartbeat": _heartbeat,
        "goodbye": _goodbye,
        "snapshot": _snapshot,
    }


def split(event_id: str) -> tuple[str, int]:
    """Return epoch and sequence number of an id; -1 where it has none."""
    epoch, _, seq = event_id.rpartition("-")
    return epoch, int(seq) if seq.isdigit() else -1
