"""Databases that are missing, older, newer, another program's, locked, full, moved, corrupt.

Covers

    streaming_hub.sidecar.dialects
    streaming_hub.sidecar.migrate
    streaming_hub.archive.migrations.env
    streaming_hub.archive.migrations.versions.0001_baseline
    streaming_hub.archive.migrations.versions.0002_stored_statistics
    streaming_hub.archive.migrations.versions.0003_hidden_and_long_names
    streaming_hub.archive.migrations.versions.0004_uploads
    streaming_hub.archive.migrations.versions.0005_reports
"""

from __future__ import annotations

import contextlib
import sqlite3
import stat
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from streaming_hub.archive import tables
from streaming_hub.archive.tables import ARCHIVE, REVISION
from streaming_hub.sidecar import database as databases
from streaming_hub.sidecar.database import Away, Database
from tests.streaming_hub.archive.calls import archived, some_calls

if TYPE_CHECKING:
    from pathlib import Path

    from tests.streaming_hub.archive.postgres import Server


AS_BEFORE = (
    *(
        f"ALTER TABLE sessions DROP COLUMN {name}"
        for name in ("hidden_turns", "hidden_user_words", "hidden_agent_words", "reason_hidden")
    ),
    "ALTER TABLE turns DROP COLUMN operator_only",
    "DROP INDEX {by_job}",
    "ALTER TABLE sessions DROP COLUMN job_id",
    *(f"DROP TABLE archive_{name}" for name in ("jobs", "spans", "lines", "outbox", "rooms")),
)
"""From the newest schema to the first one."""
AS_BEFORE_IN_POSTGRESQL = (
    "DROP INDEX sessions_by_id_hash, sessions_by_start, sessions_by_room_hash, sessions_by_agent_hash, "
    "session_participants_by_identity_hash",
    "CREATE UNIQUE INDEX sessions_by_key ON sessions (session_id, coalesce(room, ''))",
    "CREATE INDEX sessions_by_started ON sessions (started, session_id)",
    "CREATE INDEX sessions_by_room ON sessions (room, started)",
    "CREATE INDEX sessions_by_agent ON sessions (agent, started)",
    "CREATE INDEX session_participants_by_identity ON session_participants (identity)",
)


INDEXES = {
    "sqlite": "SELECT tbl_name, name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL",
    "postgresql": "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema()",
}
"""Asked of the database itself: SQLAlchemy's inspector knows no index on an expression in SQLite."""


def schema(database: Database) -> dict[str, object]:
    with database.reading() as connection:
        look = sa.inspect(connection)
        indexes = connection.exec_driver_sql(INDEXES[connection.dialect.name]).all()
        return {
            name: (
                [(one["name"], str(one["type"]), one["nullable"]) for one in look.get_columns(name)],
                sorted((index, " ".join(sql.split())) for table, index, sql in indexes if table == name),
                look.get_pk_constraint(name)["constrained_columns"],
            )
            for name in sorted(look.get_table_names())
            if not name.startswith("archive_words")
        }


def execute(database: Database, *statements: str) -> None:
    with database.writing() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def test_the_file_is_the_owners_alone(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/data/archive.db", ARCHIVE)
    database.open()
    archived(database, some_calls(1))
    for path in (tmp_path / "data").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    database.close()


def test_an_older_version_is_migrated_with_what_it_holds(url: str) -> None:
    database = Database(url, ARCHIVE)
    database.open()
    new = schema(database)
    archived(database, some_calls(2))
    by_job = "sessions_by_job" if database.sqlite else "sessions_by_job_hash"
    execute(database, "DROP TABLE archive_stats", *(one.format(by_job=by_job) for one in AS_BEFORE))
    if not database.sqlite:
        execute(database, *AS_BEFORE_IN_POSTGRESQL)
    execute(database, "UPDATE alembic_version SET version_num = '0001'")
    database.open()
    assert schema(database) == new
    with database.reading() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(tables.sessions)).scalar_one() == 12
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one() == REVISION
    database.close()


def test_the_newest_migration_is_the_version_that_new_databases_have() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", "streaming_hub.archive:migrations")
    assert ScriptDirectory.from_config(config).get_heads() == [REVISION]


def test_a_newer_version_is_left_alone(database: Database) -> None:
    execute(database, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(Away, match="newer version"):
        database.open()
    with pytest.raises(Away):
        database.check()


def test_another_programs_database_is_not_touched(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "archive.db")) as other:
        other.execute("CREATE TABLE sessions (mine)")
        other.execute("CREATE TABLE alembic_version (version_num)")
    before = (tmp_path / "archive.db").read_bytes()
    database = Database(f"sqlite:///{tmp_path}/archive.db", ARCHIVE)
    with pytest.raises(
        Away, match="database of another program, with the tables alembic_version and sessions"
    ):
        database.open()
    assert (tmp_path / "archive.db").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["archive.db"]


def test_what_is_no_database_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "archive.db").write_bytes(b"not a database at all" * 100)
    database = Database(f"sqlite:///{tmp_path}/archive.db", ARCHIVE)
    with pytest.raises(Away, match=r"is not an SQLite database; choose another database with STREAM_ARCHIVE"):
        database.open()
    assert (tmp_path / "archive.db").read_bytes().startswith(b"not a database")


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Away, match="file"):
        Database(f"sqlite:///{tmp_path}/file/archive.db", ARCHIVE).open()


def test_a_locked_file_is_away_for_writing_and_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "BUSY_SECONDS", 0.05)
    database = Database(f"sqlite:///{tmp_path}/archive.db", ARCHIVE)
    database.open()
    with contextlib.closing(sqlite3.connect(tmp_path / "archive.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Away, match="locked"):
            archived(database, some_calls(3))
        database.check()
        other.execute("ROLLBACK")
    archived(database, some_calls(3))
    database.close()


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/archive.db", ARCHIVE)
    database.open()
    line = some_calls(4, 40)
    with database._connected() as connection:
        # Kept by the pool's connection, which the writer gets again.
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 2}").fetchall()
    with pytest.raises(Away, match="full"):
        archived(database, line)
    database.open()
    archived(database, line)
    database.close()


def test_a_file_that_was_moved_is_reopened(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/archive.db", ARCHIVE)
    database.open()
    archived(database, some_calls(5))
    (tmp_path / "archive.db").rename(tmp_path / "elsewhere.db")
    with pytest.raises(Away, match="moved"), database.writing():
        pass
    database.open()
    archived(database, some_calls(5))
    assert (tmp_path / "archive.db").exists()
    database.close()


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_cannot_store_every_character_is_refused(
    postgres_server: Server, encoding: str
) -> None:
    name = f"in_{encoding.lower()}"
    database = Database(postgres_server.new_database(name, encoding), ARCHIVE)
    with pytest.raises(Away, match=f"{name} has the encoding {encoding}.* ENCODING 'UTF8'"):
        database.open()
    postgres_server.drop_database(name)


def test_a_locked_table_is_away_soon(postgres_server: Server) -> None:
    import psycopg

    url = postgres_server.new_database("locked")
    database = Database(url, ARCHIVE)
    database.open()
    with psycopg.connect(url.replace("+psycopg", "")) as other:
        # As `VACUUM FULL` and `ALTER TABLE` do.
        other.execute("LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE")
        for use in (database.reading, database.writing):
            with pytest.raises(Away, match="due to lock timeout"), use() as connection:
                connection.execute(sa.select(tables.sessions.c.id))
    with database.writing() as connection:
        connection.execute(sa.select(tables.sessions.c.id))
    database.close()
    postgres_server.drop_database("locked")


def test_the_environments_encoding_does_not_matter(
    postgres_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    database = Database(postgres_server.new_database("in_any"), ARCHIVE)
    database.open()
    with database.reading() as connection:
        assert connection.execute(sa.select(sa.literal("東京 😀"))).scalar_one() == "東京 😀"
    database.close()
    postgres_server.drop_database("in_any")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://hub:secret-word@127.0.0.1:1/none",
        "postgresql+psycopg://hub@127.0.0.1:1/none?password=secret-word",
    ],
)
def test_passwords_are_not_shown(url: str) -> None:
    database = Database(url, ARCHIVE)
    with pytest.raises(Away) as raised:
        database.open()
    assert "secret-word" not in str(raised.value)
    assert "127.0.0.1" in str(raised.value)


def test_a_driver_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(Away, match=r"livekit-streaming-hub\[postgres\]"):
        Database("postgresql+psycopg://hub@127.0.0.1:1/none", ARCHIVE).open()
