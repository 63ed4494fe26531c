"""Archived jobs, the audit trail, facts about the ledger."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

JSON_VALUE = sa.JSON().with_variant(sa.Text(), "sqlite")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
OF_PLAN = sa.text("plan_id IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "jobs_archive",
        sa.Column("seq", NUMBER, nullable=False, autoincrement=False),
        *(sa.Column(name, sa.Text(), nullable=False)
          for name in ("id", "name", "kind", "lane", "status")),
        *(sa.Column(name, sa.Text(), nullable=True) for name in ("plan_id", "task_id")),
        *(sa.Column(name, sa.Double(), nullable=False)
          for name in ("created_at", "status_updated_at", "archived_at")),
        sa.Column("row", JSON_VALUE, nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"),
    )  # fmt: skip
    op.create_index("idx_jobs_archive_ended", "jobs_archive", ["status_updated_at"])
    op.create_index(
        "idx_jobs_archive_plan", "jobs_archive", ["plan_id", "task_id"],
        sqlite_where=OF_PLAN, postgresql_where=OF_PLAN,
    )  # fmt: skip
    op.create_table(
        "audit",
        sa.Column("id", NUMBER, nullable=False, autoincrement=True),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=True),
        sa.Column("details", JSON_VALUE, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("idx_audit_time", "audit", ["at"])
    op.create_index("idx_audit_target", "audit", ["target", "id"])
    op.create_table(
        "ledger_facts",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.execute("INSERT INTO ledger_facts (name, value) VALUES ('oldest_program.0006', '6')")


def downgrade() -> None:
    op.drop_table("ledger_facts")
    op.drop_table("audit")
    op.drop_table("jobs_archive")
