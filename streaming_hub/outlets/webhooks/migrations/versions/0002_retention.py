"""Add to deliveries when their event was accepted, so copies expire with the retention."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the columns, and the indexes for removing, showing and sending again."""
    op.add_column(
        "webhook_endpoints", sa.Column("expiring", sa.Boolean, nullable=False, server_default=sa.false())
    )
    op.add_column(
        "webhook_deliveries", sa.Column("accepted", sa.Double, nullable=False, server_default=sa.text("0"))
    )
    op.execute("UPDATE webhook_deliveries SET accepted = created")
    op.create_index("webhook_deliveries_by_acceptance", "webhook_deliveries", ["accepted"])
    for name, columns, where in (
        ("failed", ["endpoint", "id"], "state = 'failed'"),
        ("kept", ["id"], "state = 'delivered' AND body IS NOT NULL"),
    ):
        op.create_index(
            f"webhook_deliveries_{name}",
            "webhook_deliveries",
            columns,
            sqlite_where=sa.text(where),
            postgresql_where=sa.text(where),
        )
