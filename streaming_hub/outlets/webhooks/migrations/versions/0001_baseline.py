"""The first schema. New databases are created at the newest version, so this migration is empty."""

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Change nothing."""
