"""Migrates the database of an older version with Alembic.

New databases are created at the newest version (`database.create_all`), so the first migration, the baseline, does
nothing. A test compares a migrated database with a new one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine


def migrate(engine: Engine, version: str, location: str) -> bool:
    """Bring a database to the newest version, in one transaction.

    Args:
        engine: connects to it.
        version: the one it has.
        location: where the migrations are, `package:folder`.

    Returns:
        Whether this version of the hub knows that one.
    """
    config = Config()
    config.set_main_option("script_location", location)
    config.set_main_option("path_separator", "os")
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if version not in known:
        return False
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return True
