"""Column types that mean the same in SQLite and PostgreSQL."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

BigId = sa.BigInteger().with_variant(sa.Integer, "sqlite")
"""SQLite gives out ids by itself only for a column of exactly this type."""
Text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
"""Compared by code points in both databases, so that both sort alike."""
Json = sa.JSON(none_as_null=True)


encode_json = msgspec.json.Encoder().encode


def to_json(value: object) -> str:
    """Write a value for a JSON column."""
    return encode_json(value).decode()


from_json = msgspec.json.Decoder().decode
