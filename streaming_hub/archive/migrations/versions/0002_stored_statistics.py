"""Statistics of closed hours and days are stored."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the table that holds them."""
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "archive_stats",
        sa.Column("bucket", text, primary_key=True),
        sa.Column("start", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("scope", text, primary_key=True),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
