"""LiveKit's own report of a session, which the transcript is held against."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add its columns to the jobs."""
    op.add_column("archive_jobs", sa.Column("report", sa.LargeBinary))
    for name in ("recorded", "counted"):
        flag = sa.Column(name, sa.Boolean, nullable=False, server_default=sa.false())
        op.add_column("archive_jobs", flag)
