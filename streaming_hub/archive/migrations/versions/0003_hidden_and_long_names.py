"""What viewers do not see is known per turn and session; names of any length fit PostgreSQL's indexes."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the columns, and hash indexes in the place of PostgreSQL's B-trees."""
    for name in ("hidden_turns", "hidden_user_words", "hidden_agent_words"):
        op.add_column("sessions", sa.Column(name, sa.Integer, nullable=False, server_default="0"))
    op.add_column("sessions", _flag("reason_hidden"))
    op.add_column("turns", _flag("operator_only"))
    if op.get_context().dialect.name != "postgresql":
        return
    names = ("key", "started", "room", "agent")
    for index in (*(f"sessions_by_{name}" for name in names), "session_participants_by_identity"):
        op.drop_index(index)
    op.create_index("sessions_by_start", "sessions", ["started"])
    for index, table, column in (
        ("sessions_by_id_hash", "sessions", "session_id"),
        ("sessions_by_room_hash", "sessions", "room"),
        ("sessions_by_agent_hash", "sessions", "agent"),
        ("session_participants_by_identity_hash", "session_participants", "identity"),
    ):
        op.create_index(index, table, [column], postgresql_using="hash")


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean, nullable=False, server_default=sa.false())
