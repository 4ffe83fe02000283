"""The archive's search index: FTS5 in SQLite, a `tsvector` per utterance in PostgreSQL. Searched by `queries`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from streaming_hub.archive import spoken
from streaming_hub.archive.tables import utterances

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection

ROWID_BITS: Final = 20
"""In SQLite's search index an utterance is `session << 20 | position`."""
MOST_UTTERANCES: Final = 1 << ROWID_BITS


def index_words(connection: Connection, said: Sequence[tuple[int, int, str]]) -> None:
    """Add utterances (session, position, text) to the search index."""
    if not said:
        return
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(
            "INSERT INTO archive_words (rowid, words) VALUES (?, ?)",
            [(row << ROWID_BITS | place, " ".join(spoken.tokens(text))) for row, place, text in said],
        )
        return
    statement = sa.text("INSERT INTO archive_words VALUES (:session, :position, CAST(:words AS tsvector))")
    connection.execute(
        statement,
        [
            {"session": row, "position": place, "words": spoken.vector(spoken.tokens(text))}
            for row, place, text in said
        ],
    )


def forget_words(connection: Connection, ids: list[int]) -> None:
    """Remove the utterances of some sessions from the search index; before their rows go."""
    if connection.dialect.name != "sqlite":
        connection.execute(sa.text("DELETE FROM archive_words WHERE session = ANY(:ids)"), {"ids": ids})
        return
    said = sa.select(utterances.c.session, utterances.c.position, utterances.c.text).where(
        utterances.c.session.in_(ids),
        utterances.c.text.is_not(None),
        utterances.c.text != "",
        utterances.c.position < MOST_UTTERANCES,
    )
    # The index has no copy of the indexed text: deleting needs the text again.
    rows = [
        (row << ROWID_BITS | place, " ".join(spoken.tokens(text)))
        for row, place, text in connection.execute(said)
    ]
    if rows:
        connection.exec_driver_sql(
            "INSERT INTO archive_words (archive_words, rowid, words) VALUES ('delete', ?, ?)", rows
        )
