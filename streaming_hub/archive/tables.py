"""The archive's tables. docs/reference/archive.md describes every column, and a test compares the two.

Users query these with their own tools, so every change needs a migration (`migrations/versions`). Times are seconds
since 1970, durations seconds, absent values NULL. Tables named `archive_...` are internal and may change without
notice.

Not among them: `archive_words`, the search index, an FTS5 table in SQLite and a table of tsvectors in PostgreSQL
(`_SEARCH`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from streaming_hub.archive import KNOWN_BY
from streaming_hub.sidecar.database import Kind
from streaming_hub.sidecar.dialects import BigId, Json, Text

if TYPE_CHECKING:
    from collections.abc import Sequence

REVISION: Final = "0006"
"""The newest migration."""

metadata = sa.MetaData()

PERCENTILES: Final = ("count", "p50", "p90", "p95", "p99", "max")


def _percentile_columns(name: str) -> list[sa.Column[float]]:
    return [sa.Column(f"{name}_{part}", sa.Integer if part == "count" else sa.Double) for part in PERCENTILES]


sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("session_id", Text, nullable=False),
    sa.Column("room", Text),
    sa.Column("agent", Text),
    sa.Column("started", sa.Double, nullable=False),
    sa.Column("ended", sa.Double),
    sa.Column("duration", sa.Double, nullable=False),
    sa.Column("reason", Text),
    sa.Column("turns", sa.Integer, nullable=False),
    sa.Column("first_response", sa.Double),
    sa.Column("user_talk", sa.Double, nullable=False),
    sa.Column("agent_talk", sa.Double, nullable=False),
    sa.Column("overlap", sa.Double, nullable=False),
    sa.Column("silence", sa.Double, nullable=False),
    sa.Column("user_words", sa.Integer, nullable=False),
    sa.Column("agent_words", sa.Integer, nullable=False),
    sa.Column("interruptions", sa.Integer, nullable=False),
    sa.Column("false_interruptions", sa.Integer, nullable=False),
    sa.Column("tool_calls", sa.Integer, nullable=False),
    sa.Column("tool_failures", sa.Integer, nullable=False),
    sa.Column("errors", sa.Integer, nullable=False),
    *_percentile_columns("latency"),
    *_percentile_columns("heard_latency"),
    sa.Column("usage", Json),
    sa.Column("missing_events", sa.Integer),
    sa.Column("incomplete", sa.Boolean, nullable=False),
    sa.Column("recorded", sa.Boolean, nullable=False),
    sa.Column("first_id", Text, nullable=False),
    sa.Column("last_id", Text, nullable=False),
    sa.Column("touched", sa.Double, nullable=False),
    sa.Column("reported", sa.Boolean, nullable=False),
    sa.Column("hidden_turns", sa.Integer, nullable=False, server_default="0"),
    sa.Column("hidden_user_words", sa.Integer, nullable=False, server_default="0"),
    sa.Column("hidden_agent_words", sa.Integer, nullable=False, server_default="0"),
    sa.Column("reason_hidden", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("job_id", Text),
)
room_key: sa.ColumnElement[str] = sa.func.coalesce(sessions.c.room, sa.literal_column("''"))
"""A session's room; empty if it has none."""
SQLITE: Final = "sqlite"
POSTGRESQL: Final = "postgresql"


def _on(dialect: str, name: str, *columns: sa.ColumnElement[Any], **options: Any) -> None:
    """Create an index in one of the databases.

    Names may have any length, but an entry of PostgreSQL's B-trees holds 2704 bytes at most. Its hash indexes store
    four bytes per value, but have no order and no second column.
    """
    sa.Index(name, *columns, **options).ddl_if(dialect=dialect)


def _on_name(name: str, column: sa.Column[Any], *then: sa.Column[Any]) -> None:
    """Create an index on a name that may be long."""
    _on(SQLITE, name, column, *then)
    _on(POSTGRESQL, f"{name}_hash", column, postgresql_using="hash")


_on(SQLITE, "sessions_by_key", sessions.c.session_id, room_key, unique=True)
_on(POSTGRESQL, "sessions_by_id_hash", sessions.c.session_id, postgresql_using="hash")
_on(SQLITE, "sessions_by_started", sessions.c.started, sessions.c.session_id)
_on(POSTGRESQL, "sessions_by_start", sessions.c.started)
_on_name("sessions_by_room", sessions.c.room, sessions.c.started)
_on_name("sessions_by_agent", sessions.c.agent, sessions.c.started)
_on_name("sessions_by_job", sessions.c.job_id)
sa.Index("sessions_by_ended", sessions.c.ended)
sa.Index("sessions_by_duration", sessions.c.duration)
sa.Index("sessions_by_latency", sessions.c.latency_p95)
sa.Index("sessions_by_heard_latency", sessions.c.heard_latency_p95)
sa.Index("sessions_by_interruptions", sessions.c.interruptions)
sa.Index("sessions_by_errors", sessions.c.errors)


def _of_session() -> list[sa.Column[int]]:
    """Return the key columns of a row that belongs to a session: `sessions.id` and a position, from 0."""
    return [
        sa.Column("session", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    ]


session_participants = sa.Table(
    "session_participants",
    metadata,
    *_of_session(),
    sa.Column("identity", Text, nullable=False),
    sa.Column("role", Text),
)
_on_name("session_participants_by_identity", session_participants.c.identity)
turns = sa.Table(
    "turns",
    metadata,
    *_of_session(),
    sa.Column("turn_id", Text, nullable=False),
    sa.Column("started", sa.Double, nullable=False),
    sa.Column("user_text", Text),
    sa.Column("agent_text", Text),
    sa.Column("user_started", sa.Double),
    sa.Column("user_stopped", sa.Double),
    sa.Column("agent_started", sa.Double),
    sa.Column("agent_stopped", sa.Double),
    sa.Column("interrupted", sa.Boolean, nullable=False),
    sa.Column("heard_latency", sa.Double),
    sa.Column("e2e_latency", sa.Double),
    sa.Column("transcription_delay", sa.Double),
    sa.Column("end_of_turn_delay", sa.Double),
    sa.Column("llm_node_ttft", sa.Double),
    sa.Column("tts_node_ttfb", sa.Double),
    sa.Column("playback_latency", sa.Double),
    sa.Column("operator_only", sa.Boolean, nullable=False, server_default=sa.false()),
)
utterances = sa.Table(
    "utterances",
    metadata,
    *_of_session(),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("role", Text),
    sa.Column("participant", Text),
    sa.Column("turn_id", Text),
    sa.Column("text", Text),
    sa.Column("interrupted", sa.Boolean, nullable=False),
    sa.Column("started", sa.Double),
    sa.Column("stopped", sa.Double),
    sa.Column("operator_only", sa.Boolean, nullable=False),
)
sa.Index(
    "utterances_for_operators",
    utterances.c.session,
    utterances.c.position,
    sqlite_where=utterances.c.operator_only,
    postgresql_where=utterances.c.operator_only,
)
tool_calls = sa.Table(
    "tool_calls",
    metadata,
    *_of_session(),
    sa.Column("call_id", Text),
    sa.Column("turn_id", Text),
    sa.Column("name", Text),
    sa.Column("arguments", Json),
    sa.Column("output", Json),
    sa.Column("status", Text),
    sa.Column("started", sa.Double),
    sa.Column("duration", sa.Double),
)
session_errors = sa.Table(
    "session_errors",
    metadata,
    *_of_session(),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("turn_id", Text),
    sa.Column("source", Text),
    sa.Column("message", Text),
    sa.Column("recoverable", sa.Boolean),
)
recordings = sa.Table(
    "recordings",
    metadata,
    *_of_session(),
    sa.Column("events", sa.Integer, nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
)

live_events = sa.Table(
    "archive_live_events",
    metadata,
    *_of_session(),
    sa.Column("events", sa.Integer, nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
)
states = sa.Table(
    "archive_states",
    metadata,
    sa.Column("session", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
)
positions = sa.Table(
    "archive_position",
    metadata,
    sa.Column("reader", Text, primary_key=True),
    sa.Column("epoch", Text, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
)
erased = sa.Table(
    "archive_erased",
    metadata,
    sa.Column("key", Text, primary_key=True),
    sa.Column("at", sa.Double, nullable=False),
)
jobs = sa.Table(
    "archive_jobs",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("key", Text, nullable=False, unique=True),
    sa.Column("job", Text, nullable=False),
    sa.Column("room", Text),
    sa.Column("room_sid", Text),
    sa.Column("redacted", sa.Boolean, nullable=False),
    sa.Column("spans", sa.Integer, nullable=False),
    sa.Column("lines", sa.Integer, nullable=False),
    sa.Column("dropped_spans", sa.Integer, nullable=False),
    sa.Column("dropped_lines", sa.Integer, nullable=False),
    sa.Column("begun", sa.Double, nullable=False),
    sa.Column("touched", sa.Double, nullable=False),
    sa.Column("memory", sa.LargeBinary),
    sa.Column("report", sa.LargeBinary),
    sa.Column("recorded", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("counted", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("audio", sa.Integer),
    sa.Column("audio_start", sa.Double),
    sa.Column("gone", sa.Double),
    sa.Index("archive_jobs_by_touched", "touched"),
    sa.Index("archive_jobs_by_room_sid", "room_sid"),
)
spans = sa.Table(
    "archive_spans",
    metadata,
    sa.Column("job", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("key", Text, nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
    sa.Index("archive_spans_by_key", "job", "key", unique=True),
)
lines = sa.Table(
    "archive_lines",
    metadata,
    sa.Column("job", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("key", Text, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("severity", sa.Integer, nullable=False),
    sa.Column("logger", Text, nullable=False),
    sa.Column("message", Text, nullable=False),
    sa.Column("private", sa.Boolean, nullable=False),
    sa.Index("archive_lines_by_key", "job", "key", unique=True),
    sa.Index("archive_lines_by_time", "job", "at", "position"),
)
outbox = sa.Table(
    "archive_outbox",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    sa.Column("job", sa.BigInteger, nullable=False, index=True),
    sa.Column("data", sa.LargeBinary, nullable=False),
)
rooms = sa.Table(
    "archive_rooms",
    metadata,
    sa.Column("sid", Text, primary_key=True),
    sa.Column("room", Text, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
)
"""What agents uploaded (`uploads.telemetry`), by job; events made from it; room names by LiveKit's ids."""

OF_SESSION: Final = (
    session_participants,
    turns,
    utterances,
    tool_calls,
    session_errors,
    recordings,
    live_events,
)
"""Tables whose rows belong to a session and are removed with it, by `session` and `position`."""

stats = sa.Table(
    "archive_stats",
    metadata,
    sa.Column("bucket", Text, primary_key=True),
    sa.Column("start", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("scope", Text, primary_key=True),
    sa.Column("data", sa.LargeBinary, nullable=False),
)

_SEARCH: Final = {
    # `spoken` makes the tokens; FTS5 only splits them at spaces.
    "sqlite": (
        "CREATE VIRTUAL TABLE archive_words USING fts5(words, content='', "
        """tokenize="ascii tokenchars '_.,'''")""",
    ),
    "postgresql": (
        "CREATE TABLE archive_words (session BIGINT, position INTEGER, words TSVECTOR NOT NULL, "
        "PRIMARY KEY (session, position))",
        "CREATE INDEX archive_words_by_word ON archive_words USING gin (words)",
    ),
}

ARCHIVE: Final = Kind(
    "archive",
    "sessions",
    metadata,
    REVISION,
    "streaming_hub.archive:migrations",
    _SEARCH,
    0x5354524541,
    KNOWN_BY,
)


def in_rooms(rooms: Sequence[str]) -> sa.ColumnElement[bool]:
    """Return the condition for sessions in these rooms; an empty name means those without a room."""
    named = [room for room in rooms if room]
    inside = sessions.c.room.in_(named)
    return inside if len(named) == len(rooms) else sa.or_(inside, sessions.c.room.is_(None))
