"""What LiveKit's agents upload: spans and log lines by job."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the tables, and what ties a session to its job."""
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.add_column("sessions", sa.Column("job_id", text))
    if op.get_context().dialect.name == "postgresql":
        op.create_index("sessions_by_job_hash", "sessions", ["job_id"], postgresql_using="hash")
    else:
        op.create_index("sessions_by_job", "sessions", ["job_id"])
    op.create_table(
        "archive_jobs",
        sa.Column("id", number, primary_key=True),
        sa.Column("key", text, nullable=False, unique=True),
        sa.Column("job", text, nullable=False),
        sa.Column("room", text),
        sa.Column("room_sid", text),
        sa.Column("redacted", sa.Boolean, nullable=False),
        *(
            sa.Column(name, sa.Integer, nullable=False)
            for name in ("spans", "lines", "dropped_spans", "dropped_lines")
        ),
        sa.Column("begun", sa.Double, nullable=False),
        sa.Column("touched", sa.Double, nullable=False),
        sa.Column("memory", sa.LargeBinary),
    )
    op.create_index("archive_jobs_by_room_sid", "archive_jobs", ["room_sid"])
    op.create_index("archive_jobs_by_touched", "archive_jobs", ["touched"])
    op.create_table(
        "archive_spans",
        *_key(),
        sa.Column("key", text, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    op.create_index("archive_spans_by_key", "archive_spans", ["job", "key"], unique=True)
    op.create_table(
        "archive_lines",
        *_key(),
        sa.Column("key", text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("severity", sa.Integer, nullable=False),
        sa.Column("logger", text, nullable=False),
        sa.Column("message", text, nullable=False),
        sa.Column("private", sa.Boolean, nullable=False),
    )
    op.create_index("archive_lines_by_key", "archive_lines", ["job", "key"], unique=True)
    op.create_table(
        "archive_outbox",
        sa.Column("id", number, primary_key=True),
        sa.Column("job", sa.BigInteger, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    op.create_index("ix_archive_outbox_job", "archive_outbox", ["job"])
    op.create_table(
        "archive_rooms",
        sa.Column("sid", text, primary_key=True),
        sa.Column("room", text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
    )
    op.create_index("archive_lines_by_time", "archive_lines", ["job", "at", "position"])


def _key() -> list[sa.Column[int]]:
    return [
        sa.Column("job", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    ]
