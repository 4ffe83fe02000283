"""An archive in each kind of database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from streaming_hub.archive.tables import ARCHIVE
from streaming_hub.sidecar.database import Database

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    database = Database(url, ARCHIVE)
    database.open()
    yield database
    database.close()
