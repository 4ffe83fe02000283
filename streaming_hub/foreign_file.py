"""Checks that a SQLite file belongs to the hub before the hub writes to it.

A setting may name any file: another program's database, notes, a picture. Such a file must stay as it is, and so must
its journal mode. Reads the file and nothing else; creates no file beside it.
"""

from __future__ import annotations

import re
import sqlite3
import stat
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from streaming_hub.errors import StorageError
from streaming_hub.wording import listing

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    Tables = Mapping[str, Collection[str]]
    """A table -> its columns."""

_MAGIC: Final = b"SQLite format 3\0"
_SCHEMA_BYTES: Final = 64 * 1024
"""SQLite keeps the text of its tables' definitions in the first page, which is at most this large."""
_DEFINITION_BYTES: Final = 4096
_MOST_NAMED: Final = 5


def refuse_foreign(path: Path, own: Tables, setting: str) -> None:
    """Refuse a file that the hub did not make.

    Args:
        path: where the database is, or will be.
        own: tables by which one of the hub's is known, with columns that its every version has.
        setting: the variable that chooses another file.

    Raises:
        StorageError: the file is not the hub's.
    """
    if (found := what_else(path, own)) is not None:
        raise foreign(path, found, setting)


def foreign(path: Path, found: str, setting: str) -> StorageError:
    """Return the error for a file that the hub did not make.

    Args:
        path: the file.
        found: what it is, from `what_else` or `another_program`.
        setting: the variable that chooses another file.
    """
    return StorageError(
        f"{path} is {found}; it was left as it is. Choose another file with {setting}=sqlite:///PATH."
    )


def what_else(path: Path, own: Tables) -> str | None:
    """Describe a file that the hub did not make.

    A damaged file counts as the hub's if definitions of its tables can still be read in it, or if the hub's lock
    file lies beside it.

    Args:
        path: where the database is, or will be.
        own: tables by which one of the hub's is known, with columns that its every version has.

    Returns:
        What it is, such as "a directory"; None if it is the hub's, empty, missing or cannot be read.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            return "a directory" if stat.S_ISDIR(found.st_mode) else "not a regular file"
        if found.st_size == 0:
            return None
        with path.open("rb") as file:
            start = file.read(_SCHEMA_BYTES)
    except OSError:
        return None  # opening it reports why
    whole = start.startswith(_MAGIC)  # SQLite itself takes a file of a few bytes for an empty one
    if whole:
        # Neither locks it nor makes files beside it; what its log holds is not seen.
        address = f"file:{quote(str(path.absolute()))}?immutable=1"
        # One that is damaged is looked at below.
        with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(address, uri=True)) as db:
            return another_program(db, own)
    if _defines(start, own) or path.with_name(f"{path.name}.lock").exists():
        return None
    return "a damaged SQLite database" if whole else "not an SQLite database"


def another_program(db: sqlite3.Connection, own: Tables) -> str | None:
    """Describe a database that the hub did not make; None if it is the hub's or has no tables.

    Raises:
        sqlite3.DatabaseError: it cannot be read.
    """
    names = [
        row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    ]
    for name, columns in own.items():
        if {*columns} <= {row[0] for row in db.execute("SELECT name FROM pragma_table_info(?)", (name,))}:
            return None
    if not names:
        return None
    shown = names if len(names) <= _MOST_NAMED else [*names[:_MOST_NAMED], f"{len(names) - _MOST_NAMED} more"]
    tables = "the table" if len(names) == 1 else "the tables"
    return f"an SQLite database of another program, with {tables} {listing(shown)}"


def _defines(start: bytes, own: Tables) -> bool:
    for name, columns in own.items():
        for found in re.finditer(rb'CREATE TABLE "?%s\b' % re.escape(name.encode()), start):
            definition = start[found.end() : found.end() + _DEFINITION_BYTES]
            if all(column.encode() in definition for column in columns):
                return True
    return False
