"""Archived jobs, the audit trail, facts about the ledger."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

oldest_program = 5
"""Programs of schema 5 can work on it: it only adds."""

JSON_VALUE = sa.JSON().with_variant(sa.Text(), "sqlite")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
OF_PLAN = sa.text("plan_id IS NOT NULL")
OPTIONS = {
    "jobs": "autovacuum_vacuum_scale_factor=0.02, autovacuum_vacuum_threshold=500, "
    "autovacuum_analyze_scale_factor=0.02",
    "job_history": "autovacuum_vacuum_scale_factor=0.05, "
    "autovacuum_vacuum_insert_scale_factor=0.05",
    "events": "autovacuum_vacuum_scale_factor=0.05, autovacuum_vacuum_insert_scale_factor=0.05",
    "worker_health": "fillfactor=50, autovacuum_vacuum_scale_factor=0, "
    "autovacuum_vacuum_threshold=200",
    "lanes": "fillfactor=50, autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=200",
    "upkeep": "fillfactor=50, autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=200",
}


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
    op.execute("INSERT INTO ledger_facts (name, value) VALUES ('oldest_program.0006', '5')")
    op.add_column("worker_health", sa.Column("schema_version", sa.Integer(), nullable=True))
    if op.get_bind().dialect.name == "postgresql":
        for table, options in OPTIONS.items():
            op.execute(f"ALTER TABLE {table} SET ({options})")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table, options in OPTIONS.items():
            names = ", ".join(option.partition("=")[0] for option in options.split(", "))
            op.execute(f"ALTER TABLE {table} RESET ({names})")
    op.drop_column("worker_health", "schema_version")
    op.drop_table("ledger_facts")
    op.drop_table("audit")
    op.drop_table("jobs_archive")
