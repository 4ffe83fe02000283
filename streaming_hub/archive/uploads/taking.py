"""Archives uploads one by one, and answers queries about them. In the archive's process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
import sqlalchemy as sa

from streaming_hub.archive.queries import not_replaced
from streaming_hub.archive.tables import jobs, sessions, turns, utterances
from streaming_hub.archive.uploads import otlp, outbox, recording, spool, telemetry
from streaming_hub.archive.uploads.audio import AudioFolder
from streaming_hub.archive.uploads.reconcile import reconcile
from streaming_hub.archive.uploads.telemetry import Counts, Telemetry
from streaming_hub.archive.uploads.trace import trace

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.engine import Connection, Row

    from streaming_hub.sidecar.database import Database

SETTLED: Final = 10.0
"""Seconds after its last upload at which a session's transcript counts as complete."""
MOST_COUNTED: Final = 20
LEVELS: Final = ("trace", "debug", "info", "warning", "error", "critical")
"""Python's names for OpenTelemetry's severities, 1 to 24, in steps of four."""


class Uploads:
    """See the module.

    Args:
        database: the archive.
        prompts: whether prompts and whole model inputs are kept.
        texts: whether texts are kept at all.
        watched: whether a watcher may report the same sessions.
        audio: the folder for the audio of recordings; None where it is not kept.
    """

    def __init__(
        self,
        database: Database,
        *,
        prompts: bool,
        texts: bool,
        watched: bool,
        audio: Path | None,
    ) -> None:
        self._audio = None if audio is None else AudioFolder(audio)
        self._hold = outbox.WATCHER_SECONDS if watched else outbox.ATTACH_SECONDS
        self._database = database
        self._texts = texts
        self._telemetry = Telemetry(prompts=prompts, texts=texts, audio=self._audio)

    def take(self, path: Path, now: float) -> dict[str, int]:
        """Archive an upload; repeating one changes nothing.

        Returns:
            How many spans or lines it had, by outcome.

        Raises:
            Away: the database cannot be used; nothing was written.
        """
        head, body = spool.read(path)
        counts = self._take(head, body, now)
        if self._audio is not None:
            self._audio.drop(self._telemetry.unwanted)
        self._telemetry.unwanted.clear()
        return _shown(counts)

    def _take(self, head: spool.Head, body: bytes, now: float) -> Counts:
        counts = Counts()
        if head.kind == "recordings":
            found = recording.read(head.content_type, body)
            with self._database.writing() as connection:
                return self._telemetry.add_recording(connection, found, now)
        data = otlp.unpacked(body, head.encoding)
        if head.kind == "traces":
            with self._database.writing() as connection:
                counts, _ = self._telemetry.add_spans(connection, otlp.spans(head.content_type, data), now)
        elif head.kind == "logs":
            with self._database.writing() as connection:
                counts, _ = self._telemetry.add_lines(connection, otlp.lines(head.content_type, data), now)
        return counts

    def sweep(self) -> None:
        """Remove audio that no session has any more."""
        if self._audio is not None:
            with self._database.reading() as connection:
                self._audio.sweep(connection)

    def audio(self, connection: Connection, session: Row[Any]) -> str | None:
        """Return the file with a session's audio; None where there is none."""
        job = _job(connection, session)
        if job is None or job.audio is None or self._audio is None:
            return None
        return str(self._audio.path(job.key))

    def due(self, now: float) -> outbox.Due:
        """Return some of the events made from uploads that the hub has to publish."""
        with self._database.writing() as connection:
            return outbox.due(connection, now, self._hold)

    def published(self, ids: list[int]) -> None:
        """Remove events that the hub has published."""
        with self._database.writing() as connection:
            outbox.published(connection, ids)
        if not self._texts:
            # They hold words from before the operator's redaction.
            self._database.empty_log()

    def keep_report(self, name: str, messages: list[recording.Message]) -> None:
        """Keep the messages of a job's report, as the operator's hook has left them."""
        with self._database.writing() as connection:
            telemetry.keep_report(connection, name, messages)

    def end_lost(self, now: float) -> int:
        """End the sessions of jobs that were killed, or that something else reports; return how many."""
        with self._database.writing() as connection:
            return telemetry.end_lost(connection, now) + telemetry.end_replaced(connection, now)

    def reconciliation(self, connection: Connection, session: Row[Any]) -> dict[str, Any] | None:
        """Compare a session's transcript with LiveKit's chat history; None if there is none."""
        job = _job(connection, session)
        messages = None if job is None else telemetry.messages_of(job)
        if messages is None:
            return None
        columns = (utterances.c.role, utterances.c.text, utterances.c.at)
        chosen = sa.select(*columns).where(utterances.c.session == session.id).order_by(utterances.c.position)
        return reconcile(messages, [dict(row) for row in connection.execute(chosen).mappings()])

    def count_missing(self, now: float) -> int:
        """Return how many messages are missing from the transcripts of sessions reported since the last call."""
        missing = 0
        with self._database.writing() as connection:
            fresh = (
                jobs.c.report.is_not(None),
                jobs.c.counted.is_(sa.false()),
                jobs.c.touched < now - SETTLED,
            )
            for job in connection.execute(sa.select(jobs).where(*fresh).limit(MOST_COUNTED)).all():
                chosen = sa.select(sessions).where(sessions.c.job_id == job.job, not_replaced).limit(1)
                session = connection.execute(chosen).first()
                told = None if session is None else self.reconciliation(connection, session)
                missing += len(told["missing"]) if told is not None else 0
                connection.execute(sa.update(jobs).where(jobs.c.id == job.id).values(counted=True))
        return missing

    def trace(self, connection: Connection, session: Row[Any]) -> dict[str, Any]:
        """Return the stages of a session's turns."""
        job = _job(connection, session)
        if job is None:
            return {"turns": [], "other": [], "dropped": 0}
        columns = (
            turns.c.turn_id,
            turns.c.started,
            turns.c.user_text,
            turns.c.user_started,
            turns.c.agent_started,
        )
        chosen = sa.select(*columns).where(turns.c.session == session.id).order_by(turns.c.position)
        rows = connection.execute(chosen).mappings()
        found = list(telemetry.spans_of(connection, job.id))
        return trace(job.job, found, [dict(row) for row in rows]) | {"dropped": job.dropped_spans}

    def logs(
        self, connection: Connection, session: Row[Any], after: tuple[float, int], limit: int
    ) -> tuple[dict[str, Any], tuple[float, int] | None]:
        """Return a page of a session's log lines, and where the next page begins; None at the end."""
        job = _job(connection, session)
        if job is None:
            return {"lines": [], "dropped": 0}, None
        rows = telemetry.lines_of(connection, job.id, after, limit + 1)
        shown = [
            {"at": row.at, "level": level_of(row.severity), "logger": row.logger, "message": row.message}
            for row in rows[:limit]
        ]
        last = (rows[limit - 1].at, rows[limit - 1].position) if len(rows) > limit else None
        return {"lines": shown, "dropped": job.dropped_lines}, last


def _shown(counts: Counts) -> dict[str, int]:
    return {name: count for name, count in msgspec.structs.asdict(counts).items() if count}


def level_of(severity: int) -> str | None:
    """Return the name of an OpenTelemetry severity number; None if it is unspecified."""
    return LEVELS[(severity - 1) // 4] if 1 <= severity <= 24 else None


def _job(connection: Connection, session: Row[Any]) -> Row[Any] | None:
    return telemetry.row_of(connection, session.job_id or session.session_id)
