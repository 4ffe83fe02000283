"""Migrations of the archive's database, run by Alembic (`streaming_hub.sidecar.migrate`)."""
