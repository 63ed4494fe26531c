"""Control at the claim (lanes with limits, concurrency keys, deadlines); chords; notifications."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

JSON_VALUE = sa.JSON().with_variant(sa.Text(), "sqlite")

JOB_COLUMNS = (
    ("concurrency_key", sa.Text),
    ("start_by", sa.Double),
    ("held_at", sa.Double),
    ("held_for", sa.Text),
)
WORKER_COLUMNS = ("host", "process", "version")

OLD_READY = "status = 'pending' AND backoff_until IS NULL"
OLD_OUTBOX = f"{OLD_READY} AND published_at IS NULL"
INDEXES = (
    ("idx_jobs_ready", ["lane", "priority", "seq"], f"{OLD_READY} AND held_at IS NULL"),
    ("idx_jobs_outbox", ["priority", "seq"], f"{OLD_OUTBOX} AND held_at IS NULL"),
    ("idx_jobs_held", ["lane", "priority", "seq"], "status = 'pending' AND held_for = 'lane'"),
    (
        "idx_jobs_held_key",
        ["lane", "concurrency_key", "priority", "seq"],
        "status = 'pending' AND held_for = 'key'",
    ),
    (
        "idx_jobs_ahead",
        ["concurrency_key"],
        "status = 'pending' AND held_for <> 'key' AND concurrency_key IS NOT NULL",
    ),
    (
        "idx_jobs_busy_key",
        ["concurrency_key"],
        "concurrency_key IS NOT NULL AND status = 'processing'",
    ),
    (
        "idx_jobs_start_by",
        ["start_by"],
        "status = 'pending' AND attempt = 0 AND start_by IS NOT NULL",
    ),
    ("idx_jobs_running", ["lane", "lease_until"], "status = 'processing'"),
)
OLD_INDEXES = (
    ("idx_jobs_ready", ["lane", "priority", "seq"], OLD_READY),
    ("idx_jobs_outbox", ["priority", "seq"], OLD_OUTBOX),
    ("idx_jobs_lease", ["lease_until"], "status = 'processing'"),
)

NOTIFY_NEW_JOB = """
CREATE FUNCTION vibe_notify_new_job(job jobs) RETURNS void LANGUAGE sql AS $$
  SELECT pg_notify('new_job', json_build_object(
    'job_id', left(job.id, 500), 'lane', left(job.lane, 500), 'priority', job.priority)::text)
$$
"""
HISTORY = """
CREATE OR REPLACE FUNCTION vibe_job_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO job_history (job_id, from_status, status, attempt, worker_id, timestamp, details)
    VALUES (NEW.id, NULL, NEW.status, NEW.attempt, NEW.worker, NEW.status_updated_at, NULL);
  ELSE
    INSERT INTO job_history (job_id, from_status, status, attempt, worker_id, timestamp, details)
    VALUES (NEW.id, OLD.status, NEW.status, NEW.attempt, COALESCE(NEW.worker, OLD.worker),
            NEW.status_updated_at, NEW.error);
    PERFORM pg_notify('job_status_changed', json_build_object(
      'job_id', left(NEW.id, 500), 'lane', left(NEW.lane, 500),
      'old_status', OLD.status, 'new_status', NEW.status)::text);
  END IF;
  IF NEW.status = 'pending' AND NEW.backoff_until IS NULL AND NEW.held_at IS NULL THEN
    PERFORM vibe_notify_new_job(NEW);
  END IF;
  RETURN NULL;
END $$
"""
OLD_HISTORY = """
CREATE OR REPLACE FUNCTION vibe_job_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO job_history (job_id, from_status, status, attempt, worker_id, timestamp, details)
    VALUES (NEW.id, NULL, NEW.status, NEW.attempt, NEW.worker, NEW.status_updated_at, NULL);
  ELSE
    INSERT INTO job_history (job_id, from_status, status, attempt, worker_id, timestamp, details)
    VALUES (NEW.id, OLD.status, NEW.status, NEW.attempt, COALESCE(NEW.worker, OLD.worker),
            NEW.status_updated_at, NEW.error);
  END IF;
  RETURN NULL;
END $$
"""
DUE = """
CREATE FUNCTION vibe_job_due() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM vibe_notify_new_job(NEW);
  RETURN NULL;
END $$
"""
DUE_TRIGGER = """
CREATE TRIGGER trg_job_due AFTER UPDATE OF backoff_until, held_at ON jobs
FOR EACH ROW WHEN (OLD.status = 'pending' AND NEW.status = 'pending'
                   AND (OLD.backoff_until IS NOT NULL OR OLD.held_at IS NOT NULL)
                   AND NEW.backoff_until IS NULL AND NEW.held_at IS NULL)
EXECUTE FUNCTION vibe_job_due()
"""


def upgrade() -> None:
    for name, kind in JOB_COLUMNS:
        op.add_column("jobs", sa.Column(name, kind(), nullable=True))
    for name in WORKER_COLUMNS:
        op.add_column("worker_health", sa.Column(name, sa.Text(), nullable=True))
    op.create_table(
        "lanes",
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("paused_at", sa.Double(), nullable=True),
        sa.Column("concurrency_limit", sa.Integer(), nullable=True),
        sa.Column("rate_limit", sa.Double(), nullable=True),
        sa.Column("tokens", sa.Double(), nullable=False),
        sa.Column("tokens_at", sa.Double(), nullable=False),
        sa.CheckConstraint("concurrency_limit > 0", name="lane_concurrency_limit"),
        sa.CheckConstraint("rate_limit > 0", name="lane_rate_limit"),
        sa.PrimaryKeyConstraint("lane"),
    )
    op.create_table(
        "upkeep",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("looked_at", sa.Double(), nullable=False),
        sa.Column("patient_until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "chords",
        sa.Column("group_id", sa.Text(), nullable=False),
        sa.Column("body_id", sa.Text(), nullable=False),
        sa.Column("members", JSON_VALUE, nullable=False),
        sa.Column("missing", sa.Integer(), nullable=False),
        sa.Column("takes_results", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("group_id"),
    )
    op.create_index("idx_chords_body", "chords", ["body_id"])
    op.create_table(
        "chord_results",
        sa.Column("group_id", sa.Text(), nullable=False),
        sa.Column("member_id", sa.Text(), nullable=False),
        sa.Column("result", JSON_VALUE, nullable=True),
        sa.ForeignKeyConstraint(["group_id"], ["chords.group_id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("group_id", "member_id"),
    )
    _replace_indexes(OLD_INDEXES, INDEXES)
    if op.get_bind().dialect.name == "postgresql":
        for statement in (NOTIFY_NEW_JOB, HISTORY, DUE, DUE_TRIGGER):
            op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TRIGGER trg_job_due ON jobs")
        op.execute("DROP FUNCTION vibe_job_due()")
        op.get_bind().exec_driver_sql(OLD_HISTORY)
        op.execute("DROP FUNCTION vibe_notify_new_job(jobs)")
    _replace_indexes(INDEXES, OLD_INDEXES)
    op.drop_table("chord_results")
    op.drop_table("chords")
    op.drop_table("upkeep")
    op.drop_table("lanes")
    for name in reversed(WORKER_COLUMNS):
        op.drop_column("worker_health", name)
    for name, _ in reversed(JOB_COLUMNS):
        op.drop_column("jobs", name)


def _replace_indexes(
    old: tuple[tuple[str, list[str], str], ...], new: tuple[tuple[str, list[str], str], ...]
) -> None:
    for name, _, _ in old:
        op.drop_index(name, "jobs")
    for name, columns, condition in new:
        where: dict[str, Any] = {
            "sqlite_where": sa.text(condition),
            "postgresql_where": sa.text(condition),
        }
        op.create_index(name, "jobs", columns, unique=name == "idx_jobs_busy_key", **where)
