"""The audio of recordings, and when livekit-server told that a job's agent had gone."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add their columns to the jobs."""
    op.add_column("archive_jobs", sa.Column("audio", sa.Integer))
    op.add_column("archive_jobs", sa.Column("audio_start", sa.Double))
    op.add_column("archive_jobs", sa.Column("gone", sa.Double))
