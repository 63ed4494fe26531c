"""SQLite finds the events of a session after an id without an index of their own."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

oldest_program = 5
"""Programs of schema 5 can work on it: their statements find another index."""


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.drop_index("idx_events_session", "events", if_exists=True)
    op.execute("INSERT INTO ledger_facts (name, value) VALUES ('oldest_program.0007', '5')")


def downgrade() -> None:
    op.execute("DELETE FROM ledger_facts WHERE name = 'oldest_program.0007'")
    if op.get_bind().dialect.name == "sqlite":
        op.create_index("idx_events_session", "events", ["session_id", "id"])
