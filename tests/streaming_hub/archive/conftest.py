"""Databases for the archive's tests: SQLite, and PostgreSQL where it is installed."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from streaming_hub.archive.tables import ARCHIVE
from streaming_hub.sidecar.database import Database
from tests.streaming_hub.archive import postgres

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    with postgres.server() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/archive.db"
        return
    server = request.getfixturevalue("postgres_server")
    name = f"archive_{next(_numbers)}"
    yield server.new_database(name)
    server.drop_database(name)


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    database = Database(url, ARCHIVE)
    database.open()
    yield database
    database.close()
