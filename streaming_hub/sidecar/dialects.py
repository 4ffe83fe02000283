"""What SQLite and PostgreSQL do not have in common: column types, JSON, and changing rows that exist already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection

BigId = sa.BigInteger().with_variant(sa.Integer, "sqlite")
"""SQLite gives out ids by itself only for a column of exactly this type."""
Text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
"""Compared by code points in both databases, so that both sort alike."""
Json = sa.JSON(none_as_null=True)

_INSERTS: Final = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}

_encode = msgspec.json.Encoder().encode
from_json = msgspec.json.Decoder().decode


def to_json(value: object) -> str:
    """Write a value for a JSON column."""
    return _encode(value).decode()


def insert_into(connection: Connection, table: sa.Table) -> Any:
    """Return the dialect's `insert`, which has `on_conflict_do_nothing`."""
    return _INSERTS[connection.dialect.name](table)


def upsert(connection: Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows, or change those that exist.

    Args:
        connection: in a transaction.
        table: has a primary key.
        rows: all with the same columns, those of the key among them.
    """
    if rows:
        insert = insert_into(connection, table)
        keys = [column.name for column in table.primary_key]
        changed = {name: insert.excluded[name] for name in rows[0] if name not in keys}
        connection.execute(insert.on_conflict_do_update(index_elements=keys, set_=changed), rows)
