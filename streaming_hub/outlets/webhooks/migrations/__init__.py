"""Brings `outlets.db` of an older version up to date, by Alembic (`archive.migrations` runs them)."""
