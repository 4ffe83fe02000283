"""Migrations of `outlets.db`, run by Alembic (`streaming_hub.sidecar.migrate`)."""
