"""The fleet: labels, draining, where jobs were sent and why, decisions on scaling."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

JSON_VALUE = sa.JSON().with_variant(sa.Text(), "sqlite")

JOB_COLUMNS = ("required", "labels", "routing")
WORKER_LISTS = ("labels", "functions")
WORKER_TIMES = ("started_at", "draining_at")
HELD_FOR_WORKER = "status = 'pending' AND held_for = 'worker'"
BLOCKED = sa.text("status = 'blocked'")
ENDED = sa.text("status IN ('cancelled', 'completed', 'failed')")
DEMAND = """
CREATE VIEW view_lane_demand AS
SELECT lane, SUM(waiting) AS waiting, MAX(oldest_age) AS oldest_age, SUM(busy) AS busy,
       SUM(slots) AS slots
FROM (
  SELECT lane, COUNT(*) AS waiting, MAX(vibe_now() - status_updated_at) AS oldest_age,
         0 AS busy, 0 AS slots
  FROM jobs WHERE status = 'pending' AND backoff_until IS NULL AND held_at IS NULL GROUP BY lane
  UNION ALL
  SELECT lane, COUNT(*), MAX(vibe_now() - backoff_until), 0, 0
  FROM jobs WHERE status = 'pending' AND backoff_until <= vibe_now() GROUP BY lane
  UNION ALL
  SELECT lane, COUNT(*), MAX(vibe_now() - held_at), 0, 0
  FROM jobs WHERE status = 'pending' AND held_for = 'worker' AND held_at IS NOT NULL GROUP BY lane
  UNION ALL
  SELECT lane, 0, 0.0, COUNT(*), 0 FROM jobs WHERE status = 'processing' GROUP BY lane
  UNION ALL
  SELECT lane, 0, 0.0, 0, SUM(capacity_limit)
  FROM worker_health WHERE status = 'online' AND last_seen > vibe_now() - 60.0
  GROUP BY lane
) AS parts GROUP BY lane
"""


def upgrade() -> None:
    for name in JOB_COLUMNS:
        op.add_column("jobs", sa.Column(name, JSON_VALUE, nullable=True))
    for name in WORKER_LISTS:
        op.add_column("worker_health", sa.Column(name, JSON_VALUE, nullable=True))
    for name in WORKER_TIMES:
        op.add_column("worker_health", sa.Column(name, sa.Double(), nullable=True))
    op.create_index(
        "idx_jobs_held_worker",
        "jobs",
        ["priority", "seq"],
        sqlite_where=sa.text(HELD_FOR_WORKER),
        postgresql_where=sa.text(HELD_FOR_WORKER),
    )
    op.create_index(
        "idx_jobs_blocked", "jobs", ["lane"], sqlite_where=BLOCKED, postgresql_where=BLOCKED
    )
    op.create_index(
        "idx_jobs_ended", "jobs", ["lane", "status"], sqlite_where=ENDED, postgresql_where=ENDED
    )
    op.create_table(
        "scale_decisions",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True,
            nullable=False,
        ),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("provisioner", sa.Text(), nullable=False),
        sa.Column("before", sa.Integer(), nullable=False),
        sa.Column("target", sa.Integer(), nullable=False),
        sa.Column("applied", sa.Integer(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("figures", JSON_VALUE, nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )  # fmt: skip
    op.create_index("idx_scale_lane", "scale_decisions", ["lane", "id"])
    op.create_table(
        "scaling_rules",
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("min_size", sa.Integer(), nullable=True),
        sa.Column("max_size", sa.Integer(), nullable=True),
        sa.Column("up_depth", sa.Integer(), nullable=True),
        sa.Column("down_depth", sa.Integer(), nullable=True),
        sa.Column("up_age", sa.Double(), nullable=True),
        sa.Column("down_after", sa.Double(), nullable=True),
        sa.CheckConstraint("min_size >= 0 AND max_size >= 1", name="scaling_bounds"),
        sa.PrimaryKeyConstraint("lane"),
    )
    op.get_bind().exec_driver_sql(DEMAND)


def downgrade() -> None:
    op.execute("DROP VIEW view_lane_demand")
    op.drop_table("scaling_rules")
    op.drop_table("scale_decisions")
    for name in ("idx_jobs_held_worker", "idx_jobs_blocked", "idx_jobs_ended"):
        op.drop_index(name, "jobs")
    # What waited for a worker with its labels may run anywhere again.
    op.execute("UPDATE jobs SET held_for = NULL, held_at = NULL WHERE held_for = 'worker'")
    for name in (*WORKER_TIMES, *WORKER_LISTS):
        op.drop_column("worker_health", name)
    for name in JOB_COLUMNS:
        op.drop_column("jobs", name)
