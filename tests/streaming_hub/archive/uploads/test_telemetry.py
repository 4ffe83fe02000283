"""Spans and log lines in both databases: each once, within bounds, and nothing that was to be left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from streaming_hub.archive import removal
from streaming_hub.archive.messages import Wanted
from streaming_hub.archive.tables import jobs, lines, spans
from streaming_hub.archive.uploads import otlp, telemetry
from streaming_hub.archive.uploads.otlp import Line, Span
from streaming_hub.archive.uploads.telemetry import Counts, Telemetry
from tests.uploads import replay

if TYPE_CHECKING:
    from streaming_hub.sidecar.database import Database

NOW = 1_795_430_000.0


def take(
    database: Database, version: str = replay.VERSION, *, prompts: bool = False, texts: bool = True
) -> Counts:
    keeper = Telemetry(prompts=prompts, texts=texts)
    counts = Counts()
    for one in replay.uploads(version):
        if one.kind in ("traces", "logs"):
            data = otlp.unpacked(one.body, one.encoding)
            with database.writing() as connection:
                if one.kind == "traces":
                    counts += keeper.add_spans(connection, otlp.spans(one.content_type, data), NOW)[0]
                else:
                    counts += keeper.add_lines(connection, otlp.lines(one.content_type, data), NOW)[0]
    return counts


def rows(database: Database, table: sa.Table) -> list[Any]:
    with database.reading() as connection:
        return list(connection.execute(sa.select(table)))


def text_of(database: Database) -> str:
    """All that is kept, as text."""
    found = []
    with database.reading() as connection:
        for job in connection.execute(sa.select(jobs.c.id)).scalars():
            found += [repr(span) for span in telemetry.spans_of(connection, job)]
        found += [row.message for row in connection.execute(sa.select(lines))]
    return "\n".join(found)


def test_a_real_call_is_kept_once(database: Database) -> None:
    first = take(database)
    assert first.kept == len(rows(database, spans)) + len(rows(database, lines)) > 100
    assert take(database) == Counts(repeated=first.kept)
    (job,) = rows(database, jobs)
    assert job.job.startswith("AJ_")
    assert (job.room, job.room_sid[:3]) == ("support-7", "RM_")


def test_prompts_are_kept_only_where_asked_for(database: Database) -> None:
    take(database)
    assert "SECRET-PROMPT" not in text_of(database)
    assert "Hello there." in text_of(database)


def test_prompts_that_are_asked_for(database: Database) -> None:
    take(database, prompts=True)
    assert "SECRET-PROMPT" in text_of(database)


def test_texts_can_be_left_out_altogether(database: Database) -> None:
    take(database, texts=False)
    kept = text_of(database)
    assert "Hello there" not in kept
    assert "Europe/London" not in kept
    assert rows(database, lines) == []
    assert "llm_request" in kept


def test_a_redacted_call_leaves_no_words(database: Database) -> None:
    assert take(database, replay.REDACTED).kept > 50
    kept = text_of(database)
    for said in ("Hello there", "London", "small boat", "SECRET-PROMPT", "alice"):
        assert said not in kept, said
    (job,) = rows(database, jobs)
    assert job.redacted is True


def a_span(number: int, **attributes: Any) -> Span:
    return Span("AJ_1", "t", f"{number:x}", "", "user_turn", NOW, NOW + 1, None, attributes)


def test_the_mark_reaches_back_to_what_came_before_it(database: Database) -> None:
    keeper = Telemetry(prompts=False, texts=True)
    private = {"lk.pii.user_transcript": "my secret"}
    line = Line("AJ_1", "t", "s", NOW, "app", 9, "my secret", attributes={"lk.pii.said": "x"})
    with database.writing() as connection:
        keeper.add_spans(connection, [a_span(1, **private)], NOW)
        keeper.add_lines(connection, [line, Line("AJ_1", "t", "s", NOW, "app", 9, "plain")], NOW)
    assert "my secret" in text_of(database)
    with database.writing() as connection:
        keeper.add_spans(connection, [a_span(2, **{telemetry.REDACTED: True}, **private)], NOW)
        keeper.add_lines(
            connection, [Line("AJ_1", "t", "s2", NOW, "app", 9, "my secret", attributes={"lk.pii.x": 1})], NOW
        )
    assert "my secret" not in text_of(database)
    assert "plain" in text_of(database)


def test_more_than_the_most_is_counted_and_left_out(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "MOST_SPANS", 5)
    monkeypatch.setattr(telemetry, "MOST_LINES", 2)
    keeper = Telemetry(prompts=False, texts=True)
    with database.writing() as connection:
        for first in (0, 4):
            counts, names = keeper.add_spans(connection, [a_span(n) for n in range(first, first + 4)], NOW)
        assert (counts, names) == (Counts(kept=1, over_limit=3), {"AJ_1"})
        told = [Line("AJ_1", "t", "s", NOW + n, "app", 9, "x") for n in range(3)]
        assert keeper.add_lines(connection, told, NOW)[0] == Counts(kept=2, over_limit=1)
    (job,) = rows(database, jobs)
    assert (job.spans, job.dropped_spans, job.lines, job.dropped_lines) == (5, 3, 2, 1)


def test_jobs_are_kept_apart_and_what_has_none_is_not_kept(database: Database) -> None:
    keeper = Telemetry(prompts=False, texts=True)
    other = Span("AJ_2", "t", "1", "", "user_turn", NOW, NOW)
    with database.writing() as connection:
        counts, names = keeper.add_spans(
            connection, [a_span(1), other, Span("", "t", "3", "", "x", 0, 0)], NOW
        )
    assert (counts, names) == (Counts(kept=2, unknown=1), {"AJ_1", "AJ_2"})
    assert len(rows(database, jobs)) == 2


@pytest.mark.parametrize(
    "wanted",
    [Wanted(session_id="AJ_1"), Wanted(room="hall"), Wanted(session_id="AJ_1", rooms=["hall"])],
    ids=["session", "room", "session in a room"],
)
def test_a_job_without_a_session_is_erased_too_and_does_not_return(
    database: Database, wanted: Wanted
) -> None:
    keeper = Telemetry(prompts=False, texts=True)
    with database.writing() as connection:
        keeper.add_spans(connection, [a_span(1, **{"lk.pii.room_name": "hall"})], NOW)
    removal.erase(database, wanted, NOW)
    assert rows(database, jobs) == rows(database, spans) == []
    with database.writing() as connection:
        assert keeper.add_spans(connection, [a_span(2)], NOW)[0] == Counts(erased=1)
    assert rows(database, jobs) == []


def test_a_job_that_never_had_a_session_expires_by_its_last_upload(database: Database) -> None:
    keeper = Telemetry(prompts=False, texts=True)
    with database.writing() as connection:
        keeper.add_spans(connection, [a_span(1)], NOW)
        keeper.add_spans(connection, [a_span(2)], NOW + 100)
    removal.expire(database, NOW + 50, NOW + 50)
    assert len(rows(database, spans)) == 2
    removal.expire(database, NOW + 150, NOW + 150)
    assert rows(database, jobs) == rows(database, spans) == []
