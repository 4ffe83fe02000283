"""The connection to a database: SQLite or PostgreSQL, created if it is missing, migrated if it is older.

Only the processes beside the hub import this. Alembic is loaded only if there is something to migrate.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import make_url

from streaming_hub.foreign_file import what_else
from streaming_hub.sidecar.dialects import from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy.engine import Connection, Engine

BUSY_SECONDS: Final = 1.0
"""How long to wait for another program that has locked SQLite's file, or a table or row of PostgreSQL."""
BROKEN: Final = frozenset({"SQLITE_NOTADB", "SQLITE_CORRUPT"})
"""SQLite's names of errors that time does not heal."""
CONNECT_SECONDS: Final = 2
STATEMENT_SECONDS: Final = 60
"""How long PostgreSQL works on one statement, and how long this side waits for a peer that says nothing."""
ENCODING: Final = "UTF8"
"""PostgreSQL's encoding of every character. A server set up without a locale has SQL_ASCII."""
PROGRAM_LIMIT: Final = "54"
"""PostgreSQL's class of errors about a value that is too long, of an index for example. Its driver counts them among
those of the connection."""

ANOTHER: Final = "choose another database with STREAM_ARCHIVE"

CLAIM_SECONDS: Final = 2.0
"""How long opening waits for the process of a hub that has just ended."""
_CLAIM_KEEPALIVE: Final = " ".join(
    f"-c tcp_{name}"
    for name in ("keepalives_idle=10", "keepalives_interval=5", "keepalives_count=3", "user_timeout=25000")
)
"""PostgreSQL notices within half a minute that a machine is gone, and gives its lock to another."""

_VERSION = sa.Table("alembic_version", sa.MetaData(), sa.Column("version_num", sa.String(32)))


class Kind(NamedTuple):
    """What one of the hub's databases is for, and what it consists of.

    Attributes:
        name: what the connections to PostgreSQL are named after.
        holds: what is kept in it, for messages.
        metadata: its tables.
        revision: its newest migration.
        migrations: where Alembic finds the others, `package:folder`.
        extra: statements by dialect, for what SQLAlchemy has no words for.
        claim: names the advisory lock that one hub holds in PostgreSQL.
        known_by: a table, with columns, that every version has: another program's database lacks it.
        schema: the schema it has to itself in PostgreSQL; None for the database's own.
    """

    name: str
    holds: str
    metadata: sa.MetaData
    revision: str
    migrations: str
    extra: dict[str, tuple[str, ...]]
    claim: int
    known_by: Mapping[str, Sequence[str]]
    schema: str | None = None


class Away(Exception):
    """The database cannot be used now. The message is one sentence that says why and what to do."""


class Database:
    """One database.

    Args:
        url: an SQLAlchemy URL, `sqlite:///PATH` or `postgresql+psycopg://...`.
        kind: what is in it.

    Attributes:
        log_held: whether SQLite's log is still to be emptied.
    """

    def __init__(self, url: str, kind: Kind) -> None:
        self._kind = kind
        self.url = make_url(url)
        self.sqlite = self.url.get_backend_name() == "sqlite"
        # Options of the driver, after the "?", may hold a password, too.
        self.shown = self.url.set(query={}).render_as_string(hide_password=True)
        self._engine: Engine | None = None
        self._file: tuple[int, int] | None = None
        self._claim: int | Connection | None = None
        self.log_held = False

    @property
    def path(self) -> Path:
        """The SQLite file."""
        return Path(self.url.database or "")

    def open(self, *, claim: bool = True) -> None:
        """Connect; make the tables, or migrate those of an older version.

        Args:
            claim: whether to keep other hubs out, and to make and migrate. Without it this is a guest, that reads what
                another node of the hub writes.

        Raises:
            Away: it cannot be reached, is of a newer version, or is no database.
        """
        self.close()
        try:
            engine = self._engine = self._make_engine()
            if not self.sqlite:
                self._check_encoding(engine)
            if claim:
                self._claim_it(engine)
                if self._kind.schema is not None and not self.sqlite:
                    with engine.begin() as connection:
                        connection.execute(sa.schema.CreateSchema(self._kind.schema, if_not_exists=True))
            with engine.connect() as connection:
                version = _version(connection)
            if version is not None and not self._is_ours(engine):
                raise Away(  # noqa: TRY301
                    f"{self.shown} has the alembic_version table of another program: {ANOTHER}."
                )
            if not claim:
                if version != self._kind.revision:
                    raise Away(  # noqa: TRY301
                        f"{self.shown} has not been created or migrated yet by the node that writes it."
                    )
            elif version is None:
                self._create(engine)
            elif version != self._kind.revision:
                self._migrate(engine, version)
            self._file = self._identity()
        except Away:
            self.close()
            raise
        except (sa.exc.SQLAlchemyError, OSError, ImportError) as error:
            self.close()
            raise self.away(error) from error

    def close(self) -> None:
        """Let go of every connection."""
        engine, self._engine = self._engine, None
        claim, self._claim = self._claim, None
        if isinstance(claim, int):
            os.close(claim)
        elif claim is not None:
            # Not back into the pool: the lock ends with its connection.
            claim.invalidate()
            claim.close()
        if engine is not None:
            engine.dispose()

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection in a transaction that sees one state of the database.

        Raises:
            Away: it cannot be used now.
        """
        with self._connected() as connection, connection.begin():
            if not self.sqlite:
                connection.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection in a transaction that is committed at the end.

        Raises:
            Away: it cannot be used now; nothing was written.
        """
        if self.sqlite and self._file != self._identity():
            self.close()
            raise Away(f"{self.path} was moved or replaced; it is being reopened.")
        with self._connected() as connection:
            if self.sqlite:
                connection.info["immediate"] = True
            with connection.begin():
                yield connection

    def check(self) -> None:
        """Ask for something that only a working database knows.

        Raises:
            Away: it does not answer, or is not what it was.
        """
        with self._connected() as connection:
            version = connection.execute(sa.select(_VERSION.c.version_num)).scalar()
        if version != self._kind.revision:
            raise Away(
                f"{self.shown} has changed: its schema is {version}, this version of the hub needs "
                f"{self._kind.revision}."
            )

    def away(self, error: Exception) -> Away:
        """Turn a driver's error into one sentence."""
        cause = getattr(error, "orig", None) or error
        # PostgreSQL's own sentence, without the statement that it is about.
        said = getattr(getattr(cause, "diag", None), "message_primary", None) or str(cause)
        text = "; ".join(filter(None, map(str.strip, said.splitlines())))[:300].rstrip(".")
        if isinstance(error, ImportError):
            return Away(
                f"{self.shown} needs a package that is missing ({text}): install livekit-streaming-hub[postgres]."
            )
        stop = "" if text.endswith("?") else "."
        return Away(f"{self.shown} cannot be used: {text}{stop}{self._remedy(cause)}")

    @staticmethod
    def _remedy(cause: object) -> str:
        if getattr(cause, "sqlite_errorname", None) in BROKEN:
            return " Restore it from a backup, or move it away: the hub then makes a new one."
        return ""

    def empty_log(self) -> None:
        """Empty SQLite's write-ahead log, which still holds what was erased.

        A read that began before may hold it open: then `log_held` says so, and a later call may succeed.

        Raises:
            Away: the database cannot be used now.
        """
        if not self.sqlite:
            return
        waited, self.log_held = self.log_held, True
        with self._connected() as connection:
            # Only the first call waits for readers: later ones are made between other work.
            connection.exec_driver_sql(
                f"PRAGMA busy_timeout={0 if waited else int(BUSY_SECONDS * 1000)}"
            ).fetchall()
            try:
                (busy, _, _) = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
            finally:
                connection.exec_driver_sql(f"PRAGMA busy_timeout={int(BUSY_SECONDS * 1000)}").fetchall()
        self.log_held = bool(busy)

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Connection]:
        if self._engine is None:
            raise Away(f"{self.shown} is not open yet.")
        try:
            with self._engine.connect() as connection:
                yield connection
        except (sa.exc.DataError, sa.exc.IntegrityError):
            # About what is written, not about the database.
            raise
        except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
            if str(getattr(getattr(error, "orig", None), "sqlstate", None) or "").startswith(PROGRAM_LIMIT):
                raise
            raise self.away(error) from error

    def _identity(self) -> tuple[int, int] | None:
        if not self.sqlite:
            return None
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _make_engine(self) -> Engine:
        options: dict[str, Any] = {"json_serializer": to_json, "json_deserializer": from_json}
        if self.sqlite:
            if (found := what_else(self.path, self._kind.known_by)) is not None:
                raise Away(f"{self.path} is {found}; {ANOTHER}.")
            private_file(self.path)
            engine = sa.create_engine(self.url, connect_args={"timeout": BUSY_SECONDS}, **options)
            sa.event.listen(engine, "connect", _set_up_sqlite)
            sa.event.listen(engine, "begin", _begin_sqlite)
            return engine
        path = "" if self._kind.schema is None else f"-c search_path={self._kind.schema}"
        connect = {
            "connect_timeout": CONNECT_SECONDS,
            # By default PGCLIENTENCODING and the database decide, and neither may have every character.
            "client_encoding": "utf8",
            "options": f"-c statement_timeout={STATEMENT_SECONDS}s -c lock_timeout={BUSY_SECONDS:g}s -c timezone=UTC "
            f"{path} {_CLAIM_KEEPALIVE}",
            "tcp_user_timeout": STATEMENT_SECONDS * 1000,
            "application_name": f"streaming-hub-{self._kind.name}",
        }
        return sa.create_engine(self.url, connect_args=connect, pool_pre_ping=True, **options)

    def _check_encoding(self, engine: Engine) -> None:
        """Refuse a PostgreSQL database that cannot store every character.

        Raises:
            Away: it cannot.
        """
        with engine.connect() as connection:
            encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
        if encoding != ENCODING:
            raise Away(
                f"{self.shown} has the encoding {encoding}, which cannot store every character: create it with "
                f"ENCODING '{ENCODING}' and TEMPLATE template0, or {ANOTHER}."
            )

    def _claim_it(self, engine: Engine) -> None:
        """Keep other hubs out: two that read different histories into one archive would count events again and again.

        Raises:
            Away: another hub has it.
        """
        until = time.monotonic() + CLAIM_SECONDS
        if self.sqlite:
            path = self.path.with_name(self.path.name + ".lock")
            self._claim = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        else:
            self._claim = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        while not _locked(self._claim, self._kind.claim):
            if time.monotonic() >= until:
                raise Away(
                    f"Another hub stores its {self._kind.holds} in {self.shown}: stop it, or {ANOTHER}."
                )
            time.sleep(0.05)

    def _is_ours(self, engine: Engine) -> bool:
        return any(sa.inspect(engine).has_table(name) for name in self._kind.known_by)

    def _create(self, engine: Engine) -> None:
        with engine.begin() as connection:
            present = {*sa.inspect(connection).get_table_names()}
            if not self.sqlite:  # several programs may share one
                present &= {*self._kind.metadata.tables}
            if present:
                raise Away(
                    f"{self.shown} has tables that are not the hub's ({', '.join(sorted(present))}): {ANOTHER}."
                )
            create_all(connection, self._kind)

    def _migrate(self, engine: Engine, version: str) -> None:
        from streaming_hub.sidecar.migrate import migrate  # noqa: PLC0415 - loads Alembic, which is rarely needed

        if not migrate(engine, version, self._kind.migrations):
            raise Away(
                f"{self.shown} was written by a newer version of the hub (its schema is {version}, this one knows "
                f"{self._kind.revision}): update the hub, or {ANOTHER}."
            )


def _locked(claim: int | Connection, key: int) -> bool:
    """Try to lock a file, or PostgreSQL's database by a lock of its own; return whether that worked."""
    if not isinstance(claim, int):
        return bool(claim.execute(sa.select(sa.func.pg_try_advisory_lock(key))).scalar())
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def create_all(connection: Connection, kind: Kind) -> None:
    """Make every table of the newest version in an empty database."""
    kind.metadata.create_all(connection)
    for statement in kind.extra.get(connection.dialect.name, ()):
        connection.exec_driver_sql(statement)
    _VERSION.metadata.create_all(connection)
    connection.execute(_VERSION.insert().values(version_num=kind.revision))


def private_file(path: Path) -> None:
    """Make a file that its owner alone may read, in a directory of the same kind where that is missing.

    Raises:
        OSError: it cannot be made.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _version(connection: Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.select(_VERSION.c.version_num)).scalar()


def _set_up_sqlite(connection: Any, _record: object) -> None:
    # Transactions are begun below: by itself the driver would begin them late, and reads would see several states.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "secure_delete=ON", "cache_size=-16000"):
        connection.execute(f"PRAGMA {pragma}").fetchall()


def _begin_sqlite(connection: Connection) -> None:
    immediate = connection.info.pop("immediate", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
