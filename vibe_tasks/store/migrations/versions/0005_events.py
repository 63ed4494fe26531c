"""Events with priorities, what jobs log, trace context, totals for metrics."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

JSON_VALUE = sa.JSON().with_variant(sa.Text(), "sqlite")

HIGH = ("Notification", "Stop", "SubagentStop", "UserPromptSubmit")
CRITICAL = ("ESCALATED", "FILE_FAILED", "JOB_DEAD", "PLAN_FAILED", "TASK_DEAD")
SYSTEM = ("BREAKER_CLOSED", "BREAKER_OPENED", "SCALED")
"""The rules of this version, written out: a migration does the same for ever."""

INDEXES = {
    "idx_events_priority": (),
    "idx_events_session_priority": ("session_id",),
    "idx_events_type_priority": ("hook_event_type",),
}

KEPT = "vibe_tasks.extra"
"""Where an older version keeps the fields that it has no column for: within the payload."""


def upgrade() -> None:
    op.add_column("jobs", sa.Column("trace", sa.Text(), nullable=True))
    _upgrade_events()
    op.create_table(
        "event_rules",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", JSON_VALUE, nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "job_logs",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("lines", JSON_VALUE, nullable=False),
        sa.PrimaryKeyConstraint("job_id", "attempt", "seq"),
    )
    op.create_index("idx_job_logs_at", "job_logs", ["at"])
    op.create_table(
        "metric_totals",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", "labels"),
    )
    op.create_table(
        "metric_marks",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("source"),
    )


def downgrade() -> None:
    for name in ("metric_marks", "metric_totals", "job_logs", "event_rules"):
        op.drop_table(name)
    _downgrade_events()
    op.drop_column("jobs", "trace")


def _upgrade_events() -> None:
    priority = "priority INTEGER DEFAULT 0 NOT NULL"
    check = "CONSTRAINT event_priority CHECK (priority BETWEEN 0 AND 3)"
    op.execute(f"ALTER TABLE events ADD COLUMN {priority} {check}")
    for name in ("priority_metadata", "extra"):
        op.add_column("events", sa.Column(name, JSON_VALUE, nullable=True))
    types = sa.bindparam("types", expanding=True)
    for level, kinds in enumerate((HIGH, CRITICAL, SYSTEM), start=1):
        ranked = sa.text(
            "UPDATE events SET priority = :level, priority_metadata = :why"
            " WHERE hook_event_type IN :types"
        ).bindparams(types)
        op.get_bind().execute(
            ranked, {"level": level, "why": '{"rule": "backfill"}', "types": list(kinds)}
        )
    for name, first in INDEXES.items():
        columns = [*first, sa.text("priority DESC"), sa.text("timestamp DESC")]
        op.create_index(name, "events", columns)


def _downgrade_events() -> None:
    for name in INDEXES:
        op.drop_index(name, "events")
    for name in ("extra", "priority_metadata", "priority"):
        op.drop_column("events", name)
