"""The first schema. Databases begin at the newest version, so nothing leads up to this one."""

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Change nothing."""
