"""Stores uploaded spans and log lines by job, each once, within limits.

A job is LiveKit's term for one run of an agent in a room. Its rows are removed with its session; the rows of a job
whose session never appeared expire by the time of its last upload.
"""

from __future__ import annotations

import hashlib
import zlib
from typing import TYPE_CHECKING, Any, Final

import msgspec
import sqlalchemy as sa

from streaming_hub.archive.reduce import ABANDONED, REPLACED
from streaming_hub.archive.tables import erased, jobs, lines, sessions, spans
from streaming_hub.archive.tables import outbox as outbox_table
from streaming_hub.archive.uploads import outbox, translate
from streaming_hub.archive.uploads.otlp import Happening, Line, Span, as_name
from streaming_hub.archive.uploads.recording import Message
from streaming_hub.archive.uploads.translate import Facts, Memory
from streaming_hub.sidecar.wire import packed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy.engine import Connection, Row

    from streaming_hub.archive.uploads.audio import AudioFolder
    from streaming_hub.archive.uploads.otlp import Attributes
    from streaming_hub.archive.uploads.recording import Recording

MOST_SPANS: Final = 10_000
MOST_LINES: Final = 10_000
"""Spans and log lines that are kept of one job."""
GONE_SECONDS: Final = 30.0
"""Seconds after its agent has left in which a job may still upload; LiveKit's SDK takes at most 18."""
SILENT_SECONDS: Final = 3600.0
"""The same without webhooks: silent calls upload nothing."""
MOST_ENDED: Final = 100
LOST: Final = "worker_lost"
REDACTED: Final = translate.REDACTED
REPORTS: Final = ("chat_history", "evaluations")
"""Scopes with LiveKit's report instead of log lines."""
PROMPTS: Final = frozenset(
    {
        "lk.pii.chat_ctx",
        "lk.pii.instructions",
        "lk.pii.input_text",
        "gen_ai.system_instructions",
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.tool.definitions",
        "gen_ai.tool.description",
    }
)
"""Attributes with whole prompts and model inputs."""
UNUSED: Final = frozenset(
    {"gen_ai.conversation.id", "room_id", "job_id", "langfuse.observation.completion_start_time"}
)
_PRIVATE: Final = frozenset(
    {
        "gen_ai.system_instructions",
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.tool.call.arguments",
        "gen_ai.tool.call.result",
        "gen_ai.tool.definitions",
        "gen_ai.tool.description",
    }
)
QUOTING: Final = frozenset({"exception.message", "exception.stacktrace"})
"""Attributes of failures, which may quote what was said."""
_decode = msgspec.msgpack.Decoder(Span).decode
_decode_messages = msgspec.msgpack.Decoder(list[Message]).decode
_decode_memory = msgspec.msgpack.Decoder(Memory).decode


class Counts(msgspec.Struct):
    """An upload's spans and lines, by outcome."""

    kept: int = 0
    repeated: int = 0
    over_limit: int = 0
    erased: int = 0
    unknown: int = 0

    def __add__(self, other: Counts) -> Counts:
        names = self.__struct_fields__
        return Counts(**{name: getattr(self, name) + getattr(other, name) for name in names})


class Job(msgspec.Struct):
    """A job's row while an upload is being archived."""

    id: int
    room: str | None
    room_sid: str | None
    name: str
    redacted: bool
    memory: Memory
    recorded: bool = False

    @property
    def key(self) -> str:
        """The hash by which its row and its audio are found."""
        return mark(self.name)


def mark(job: str) -> str:
    """Return the hash that a job's rows are found by, and that it is remembered by once erased."""
    return hashlib.sha256(f"job\0{job}".encode()).hexdigest()


def is_private(name: str) -> bool:
    """Return whether an attribute holds what people said or wrote, by LiveKit's rule (`telemetry/pii.py`)."""
    return "pii" in name.split(".") or name in _PRIVATE


def _may_quote(name: str) -> bool:
    return is_private(name) or name in QUOTING


class Telemetry:
    """Stores uploads. Not thread-safe.

    Args:
        prompts: whether prompts and model inputs are kept.
        texts: whether texts are kept at all: span attributes with what was said, and log lines.
        audio: where audio is kept; None where it is not.

    Attributes:
        unwanted: hashes of jobs whose audio is to be removed once the transaction is committed.
    """

    def __init__(self, *, prompts: bool, texts: bool, audio: AudioFolder | None = None) -> None:
        self.unwanted: list[str] = []
        self._prompts = prompts
        self._texts = texts
        self._audio = audio

    def add_spans(self, connection: Connection, found: Iterable[Span], now: float) -> tuple[Counts, set[str]]:
        """Store spans; return their outcomes and jobs."""
        return self._add(connection, found, now, self._insert_spans)

    def add_recording(self, connection: Connection, found: Recording, now: float) -> Counts:
        """Store what a recording says about a session, once per job: its messages, and its end if no span has it."""
        if erased_jobs(connection, [found.job]):
            return Counts(erased=1)
        job = job_of(connection, found.job, now)
        if job.recorded:
            return Counts(repeated=1)
        if found.redacted and not job.redacted:
            self._redact(connection, job)
        redacted = job.redacted or found.redacted
        # Node's SDK does not say when it made the recording: at the end of the job, just before it was uploaded.
        at = found.at or now
        events = [translate.usage(job.name, at, found.usage)] if found.usage else []
        outbox.put(connection, job.id, events + translate.ended(job.memory, job.name, at, found.reason))
        if found.messages is not None and not redacted and not self._texts:
            outbox.put_report(connection, job.id, found.messages)
        sid = job.room_sid or found.room_sid or None
        kept = None if found.messages is None or redacted or not self._texts else _packed(found.messages)
        changes: dict[str, Any] = {
            "recorded": True,
            "report": kept,
            "redacted": redacted,
            "room_sid": sid,
            "room": job.room or outbox.room_of(connection, sid),
            "memory": packed(job.memory),
        }
        if (
            self._audio is not None
            and self._texts
            and not redacted
            and self._audio.keep(job.key, found.audio)
        ):
            changes |= {"audio": len(found.audio), "audio_start": found.start}
        _update(connection, job, changes)
        return Counts(kept=1)

    def _redact(self, connection: Connection, job: Job) -> None:
        redact(connection, job)
        self.unwanted.append(job.key)

    def add_lines(self, connection: Connection, found: Iterable[Line], now: float) -> tuple[Counts, set[str]]:
        """Store log lines; return their outcomes and jobs."""
        return self._add(connection, found, now, self._insert_lines)

    def _add(self, connection: Connection, found: Any, now: float, insert: Any) -> tuple[Counts, set[str]]:
        by_job: dict[str, list[Any]] = {}
        for one in found:
            by_job.setdefault(one.job, []).append(one)
        counts = Counts(unknown=len(by_job.pop("", [])))
        for name in erased_jobs(connection, by_job):
            counts.erased += len(by_job.pop(name))
        for name, ones in by_job.items():
            counts += insert(connection, job_of(connection, name, now), ones)
        return counts, set(by_job)

    def _insert_spans(self, connection: Connection, job: Job, found: Sequence[Span]) -> Counts:
        fresh, repeated = _new(connection, spans, job, {span.key: span for span in found}, len(found))
        room = job.room
        values: list[dict[str, Any]] = []
        told: list[Span] = []
        place, free = _place(connection, spans, job, MOST_SPANS)
        redacted = job.redacted or any(span.attributes.get(REDACTED) is True for span in found)
        for span in found:
            if not room and (name := _text(span.attributes.get("lk.pii.room_name"))) is not None:
                room = as_name(name)
        if redacted and not job.redacted:
            self._redact(connection, job)
        for key, span in list(fresh.items())[:free]:
            kept = self._shown(span, redacted=redacted)
            values.append({"job": job.id, "position": place, "key": key, "data": _pack(kept)})
            # As events, words pass through the operator's redaction, whatever is stored of the spans.
            told.append(kept if redacted else span)
            place += 1
        if values:
            connection.execute(sa.insert(spans), values)
        over = len(fresh) - len(values)
        sid = job.room_sid or next(
            (sid for span in found if (sid := _text(span.attributes.get("room_id")))), None
        )
        agent = next((name for span in found if (name := _text(span.attributes.get("lk.agent_name")))), None)
        outbox.put(connection, job.id, translate.translate(job.memory, Facts(job.name, sid, agent), told))
        changes = {
            "room_sid": sid,
            "redacted": redacted,
            "room": room or outbox.room_of(connection, sid),
            "memory": packed(job.memory),
        }
        _update(connection, job, changes, spans=len(values), dropped_spans=over)
        return Counts(kept=len(values), repeated=repeated, over_limit=over)

    def _shown(self, span: Span, *, redacted: bool) -> Span:
        left_out = UNUSED if self._prompts else UNUSED | PROMPTS
        return _reduced(span, left_out, quotes=not redacted and self._texts)

    def _insert_lines(self, connection: Connection, job: Job, found: Sequence[Line]) -> Counts:
        room = job.room or next((line.room for line in found if line.room), None)
        marked = any(line.attributes.get(REDACTED) is True for line in found)
        if marked and not job.redacted:
            self._redact(connection, job)
        logged = [line for line in found if line.scope not in REPORTS]
        fresh, repeated = _new(connection, lines, job, {_key_of(line): line for line in logged}, len(logged))
        place, free = _place(connection, lines, job, MOST_LINES)
        values: list[dict[str, Any]] = []
        for key, line in list(fresh.items())[:free]:
            private = line.attributes.get(REDACTED) is True or any(map(is_private, line.attributes))
            if not self._texts or (private and (job.redacted or marked)):
                continue
            row = {"at": line.at, "severity": line.severity, "logger": line.scope, "message": line.body}
            values.append({"job": job.id, "position": place, "key": key, "private": private, **row})
            place += 1
        if values:
            connection.execute(sa.insert(lines), values)
        over = max(0, len(fresh) - free)
        changes = {"room": room, "redacted": job.redacted or marked, "memory": packed(job.memory)}
        _update(connection, job, changes, lines=len(values), dropped_lines=over)
        return Counts(kept=len(values), repeated=repeated, over_limit=over)


def job_of(connection: Connection, name: str, now: float) -> Job:
    """Return a job's row, created with its first upload, and record the time of this upload."""
    row = row_of(connection, name)
    if row is None:
        values = {
            "key": mark(name),
            "job": name,
            "redacted": False,
            "spans": 0,
            "lines": 0,
            "dropped_spans": 0,
            "dropped_lines": 0,
            "begun": now,
            "touched": now,
        }
        made = connection.execute(sa.insert(jobs).values(values).returning(jobs.c.id)).scalar_one()
        return Job(made, None, None, name, redacted=False, memory=Memory())
    connection.execute(sa.update(jobs).where(jobs.c.id == row.id).values(touched=now))
    memory = Memory() if row.memory is None else _decode_memory(row.memory)
    return Job(
        row.id, row.room, row.room_sid, name, redacted=row.redacted, memory=memory, recorded=row.recorded
    )


def keep_report(connection: Connection, name: str, messages: list[Message]) -> None:
    """Keep the messages of a job's report, as the operator's hook has left them."""
    kept = sa.update(jobs).where(jobs.c.key == mark(name), jobs.c.redacted.is_(sa.false()))
    connection.execute(kept.values(report=_packed(messages)))


def _packed(messages: list[Message]) -> bytes:
    return zlib.compress(packed(messages))


def end_lost(connection: Connection, now: float) -> int:
    """End the sessions made from uploads whose job was killed and uploads nothing more; return how many.

    livekit-server's webhooks report that the agent has left; without them a long silence counts as its end.
    """
    left = sa.and_(jobs.c.gone <= now - GONE_SECONDS, jobs.c.touched <= now - GONE_SECONDS)
    silent = jobs.c.touched <= now - SILENT_SECONDS
    live = sa.and_(sessions.c.session_id == jobs.c.job, sessions.c.ended.is_(None))
    chosen = sa.select(jobs).join(sessions, live).where(jobs.c.memory.is_not(None), sa.or_(left, silent))
    ended = 0
    for row in connection.execute(chosen.limit(MOST_ENDED)).all():
        memory = _decode_memory(row.memory)
        at, reason = (row.touched, ABANDONED) if row.gone is None else (row.gone, LOST)
        events = translate.ended(memory, row.job, at, reason)
        outbox.put(connection, row.id, events)
        connection.execute(sa.update(jobs).where(jobs.c.id == row.id).values(memory=packed(memory)))
        ended += len(events)
    return ended


def end_replaced(connection: Connection, now: float) -> int:
    """End sessions made from uploads before `attach` or the watcher reported their jobs; return how many.

    Either may begin late: the watcher in mid-call, or on a busy machine after the first upload.
    """
    live = sa.and_(sessions.c.session_id == jobs.c.job, sessions.c.ended.is_(None))
    other = sessions.alias()
    reported = sa.select(other.c.id).where(
        other.c.job_id == jobs.c.job,
        other.c.session_id != jobs.c.job,
        other.c.reason.is_distinct_from(REPLACED),
    )
    chosen = sa.select(jobs.c.id, jobs.c.job).join(sessions, live).where(reported.exists())
    rows = connection.execute(chosen.limit(MOST_ENDED)).all()
    for row in rows:
        outbox.put(connection, row.id, [translate.replaced(row.job, now)])
    return len(rows)


def is_redacted(connection: Connection, name: str) -> bool:
    """Return whether a job carries LiveKit's mark; its uploads make the session of the same name."""
    marked = sa.select(jobs.c.redacted).where(jobs.c.key == mark(name))
    return bool(connection.execute(marked).scalar())


def messages_of(row: Row[Any]) -> list[Message] | None:
    """Return the messages of LiveKit's report; None if there is none or it may not be stored."""
    return None if row.report is None else _decode_messages(zlib.decompress(row.report))


def row_of(connection: Connection, name: str) -> Row[Any] | None:
    """Return a job's row; None if it has no uploads."""
    return connection.execute(sa.select(jobs).where(jobs.c.key == mark(name))).first()


def redact(connection: Connection, job: Job) -> None:
    """Drop what was stored of a job that turns out to be redacted."""
    rows = connection.execute(sa.select(spans.c.position, spans.c.data).where(spans.c.job == job.id)).all()
    for position, data in rows:
        span = _reduced(_unpack(data), frozenset(), quotes=False)
        place = (spans.c.job == job.id, spans.c.position == position)
        connection.execute(sa.update(spans).where(*place).values(data=_pack(span)))
    connection.execute(sa.delete(lines).where(lines.c.job == job.id, lines.c.private))
    outbox.redact(connection, job.id)
    if job.memory.started:
        # Some of its events may have been published.
        outbox.put_redaction(connection, job.id)
    connection.execute(sa.update(jobs).where(jobs.c.id == job.id).values(report=None, audio=None))


def _reduced(span: Span, left_out: frozenset[str], *, quotes: bool) -> Span:
    """Return a span without some attributes, and without those that may quote what was said unless they may stay."""

    def kept(attributes: Attributes) -> Attributes:
        return {
            name: value
            for name, value in attributes.items()
            if name not in left_out and (quotes or not _may_quote(name))
        }

    return msgspec.structs.replace(
        span,
        attributes=kept(span.attributes),
        events=[Happening(one.name, one.at, kept(one.attributes)) for one in span.events],
        # A failure's message may quote what was said.
        error="" if span.error and not quotes else span.error,
    )


def erased_jobs(connection: Connection, names: Iterable[str]) -> list[str]:
    """Return which of these jobs were erased."""
    marks = {mark(name): name for name in names}
    found = connection.execute(sa.select(erased.c.key).where(erased.c.key.in_(list(marks))))
    return [marks[key] for key in found.scalars()]


def spans_of(connection: Connection, job: int) -> Iterator[Span]:
    """Yield a job's spans in the order of arrival."""
    chosen = sa.select(spans.c.data).where(spans.c.job == job).order_by(spans.c.position)
    yield from map(_unpack, connection.execute(chosen).scalars())


def lines_of(connection: Connection, job: int, after: tuple[float, int], limit: int) -> list[Row[Any]]:
    """Return log lines by time, from a position on.

    Args:
        connection: to the archive.
        job: `archive_jobs.id`.
        after: time and position of the previous line; (-1.0, -1) to begin.
        limit: how many.
    """
    at, position = after
    beyond = sa.or_(lines.c.at > at, sa.and_(lines.c.at == at, lines.c.position > position))
    chosen = sa.select(lines).where(lines.c.job == job, beyond)
    return list(connection.execute(chosen.order_by(lines.c.at, lines.c.position).limit(limit)))


def remove(connection: Connection, ids: Sequence[int]) -> None:
    """Remove jobs and everything stored of them."""
    if ids:
        for table in (spans, lines, outbox_table):
            connection.execute(sa.delete(table).where(table.c.job.in_(ids)))
        connection.execute(sa.delete(jobs).where(jobs.c.id.in_(ids)))


def _new(
    connection: Connection, table: sa.Table, job: Job, found: dict[str, Any], given: int
) -> tuple[dict[str, Any], int]:
    """Return the items that are not stored yet, and how many are repeats."""
    known: set[str] = set()
    keys = list(found)
    for start in range(0, len(keys), 500):
        part = keys[start : start + 500]
        asked = sa.select(table.c.key).where(table.c.job == job.id, table.c.key.in_(part))
        known.update(connection.execute(asked).scalars())
    fresh = {key: one for key, one in found.items() if key not in known}
    return fresh, given - len(fresh)


def _place(connection: Connection, table: sa.Table, job: Job, most: int) -> tuple[int, int]:
    """Return the next position, and how many more rows are allowed."""
    last = connection.execute(sa.select(sa.func.max(table.c.position)).where(table.c.job == job.id)).scalar()
    place = 0 if last is None else last + 1
    return place, max(0, most - place)


def _update(connection: Connection, job: Job, changes: dict[str, Any], **more: int) -> None:
    added = {name: jobs.c[name] + count for name, count in more.items() if count}
    connection.execute(sa.update(jobs).where(jobs.c.id == job.id).values(**changes, **added))


def _key_of(line: Line) -> str:
    told = f"{line.trace}\0{line.span}\0{line.at!r}\0{line.scope}\0{line.body}"
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _pack(span: Span) -> bytes:
    return zlib.compress(packed(span), 1)


def _unpack(data: bytes) -> Span:
    return _decode(zlib.decompress(data))
