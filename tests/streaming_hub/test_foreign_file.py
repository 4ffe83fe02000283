"""A file in the place of a database that the hub did not make: refused in one sentence, and left as it is."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from streaming_hub.foreign_file import what_else

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
OWN = {"events": ("seq", "at", "type", "operator_only", "data")}
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8
MINE = "CREATE TABLE events (seq INTEGER PRIMARY KEY, at REAL, type TEXT, room TEXT, operator_only INTEGER, data BLOB)"


def database(path: Path, *statements: str, log: bool = False) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        if log:
            db.execute("PRAGMA journal_mode=WAL").fetchall()
        for statement in statements:
            db.execute(statement)


def shop(path: Path) -> None:
    database(path, "CREATE TABLE orders (id)", "CREATE TABLE customers (id)", "INSERT INTO orders VALUES (7)")


def shop_with_a_log(path: Path) -> None:
    database(path, "CREATE TABLE orders (id)", "INSERT INTO orders VALUES (7)", log=True)


def same_name(path: Path) -> None:
    database(
        path,
        "CREATE TABLE events (id, what)",
        "CREATE TABLE sessions (id)",
        "INSERT INTO events VALUES (1, 2)",
    )


def damaged_shop(path: Path) -> None:
    shop(path)
    content = bytearray(path.read_bytes())
    content[100:] = os.urandom(len(content) - 100)
    path.write_bytes(content)


FOREIGN: dict[str, Callable[[Path], object]] = {
    "shop": shop,
    "log": shop_with_a_log,
    "same name": same_name,
    "damaged": damaged_shop,
    "text": lambda path: path.write_text("Buy milk.\n"),
    "short": lambda path: path.write_text("x"),
    "zeros": lambda path: path.write_bytes(bytes(8192)),
    "picture": lambda path: path.write_bytes(PICTURE),
    "json": lambda path: path.write_text('{"events": [{"seq": 1}]}'),
    "folder": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_file_is_described(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "file"
    FOREIGN[kind](path)
    assert what_else(path, OWN) is not None


@pytest.mark.parametrize("kind", ["missing", "empty", "own", "own with a table of the user's", "begun"])
def test_what_may_be_used_is_not(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "file"
    if kind == "empty":
        path.touch()
    elif kind == "begun":
        database(path, log=True)
    elif kind != "missing":
        database(path, MINE, *(["CREATE TABLE notes (id)"] if kind.endswith("user's") else []))
    assert what_else(path, OWN) is None


@pytest.mark.parametrize("harm", ["header", "pages"])
def test_a_damaged_file_of_the_hubs_is_known(tmp_path: Path, harm: str) -> None:
    path = tmp_path / "file"
    database(path, MINE)
    content = bytearray(path.read_bytes())
    if harm == "header":
        content[:100] = b"\xff" * 100
    else:
        content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)
    assert what_else(path, OWN) is None


def start(folder: Path, **settings: str) -> tuple[int, str]:
    """Run the server until it ends, which it is expected to do by itself."""
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("STREAM_", "LIVEKIT_"))
    }
    done = subprocess.run(
        [sys.executable, str(ROOT / "flask_server.py"), "--port", "0"],
        cwd=folder,
        env={**environ, **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr.strip()


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("setting", "kind"),
    [
        ("STREAM_HISTORY", "shop"),
        ("STREAM_HISTORY", "picture"),
        ("STREAM_ARCHIVE", "log"),
        ("STREAM_ARCHIVE", "text"),
    ],
)
def test_the_server_does_not_start_on_one_and_leaves_it_as_it_is(
    tmp_path: Path, setting: str, kind: str
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    FOREIGN[kind](folder / "file")
    before = content(folder)
    for _ in range(2):  # nor does a second start take it for the hub's
        code, said = start(tmp_path, **{setting: f"sqlite:///{folder}/file"})
        assert code == 2
        assert said.count("\n") == 0
        assert str(folder / "file") in said
        assert setting in said
        assert content(folder) == before


def test_the_webhooks_database_is_looked_at_too(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    shop(tmp_path / "data" / "outlets.db")
    before = content(tmp_path)
    code, said = start(tmp_path)
    assert (code, "outlets.db is an SQLite database of another program" in said) == (2, True)
    assert content(tmp_path)["data/outlets.db"] == before["data/outlets.db"]
