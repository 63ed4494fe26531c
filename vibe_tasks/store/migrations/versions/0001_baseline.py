"""The first schema: plans, jobs, their history, workers, events, consensus."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

JSON_VALUE = sa.JSON().with_variant(sa.Text(), "sqlite")
ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

VIEW = """
CREATE VIEW view_dead_letter_queue AS
SELECT id, name, kind, lane, plan_id, task_id, attempt AS attempts, retry_count, max_retries,
       error, args, dead_at, created_at
FROM jobs WHERE dead_at IS NOT NULL
"""

SQLITE_EXTRAS = (
    VIEW,
    """
CREATE TRIGGER trg_job_submitted AFTER INSERT ON jobs BEGIN
  INSERT INTO job_history (job_id, from_status, status, attempt, worker_id, timestamp, details)
  VALUES (NEW.id, NULL, NEW.status, NEW.attempt, NEW.worker, NEW.status_updated_at, NULL);
END
""",
    """
CREATE TRIGGER trg_job_moved AFTER UPDATE OF status ON jobs WHEN OLD.status <> NEW.status BEGIN
  INSERT INTO job_history (job_id, from_status, status, attempt, worker_id, timestamp, details)
  VALUES (NEW.id, OLD.status, NEW.status, NEW.attempt, COALESCE(NEW.worker, OLD.worker),
          NEW.status_updated_at, NEW.error);
END
""",
)

POSTGRES_EXTRAS = (
    # A stable function, so that an index can serve a comparison with it.
    """
CREATE FUNCTION vibe_now() RETURNS double precision LANGUAGE sql STABLE AS
$$ SELECT extract(epoch FROM statement_timestamp())::double precision $$
""",
    VIEW,
    """
CREATE FUNCTION vibe_job_history() RETURNS trigger LANGUAGE plpgsql AS $$
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
""",
    """
CREATE TRIGGER trg_job_submitted AFTER INSERT ON jobs
FOR EACH ROW EXECUTE FUNCTION vibe_job_history()
""",
    """
CREATE TRIGGER trg_job_moved AFTER UPDATE OF status ON jobs
FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION vibe_job_history()
""",
)

TABLES = (
    "tasks",
    "task_needs",
    "agent_outputs",
    "worker_health",
    "plans",
    "jobs",
    "job_history_archive",
    "job_history",
    "events",
    "consensus_runs",
)


def where(condition: str) -> dict[str, Any]:
    """A partial index, on both databases."""
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def upgrade() -> None:
    op.create_table(
        "consensus_runs",
        sa.Column("id", ROW_NUMBER, autoincrement=True, nullable=False),
        sa.Column("spec_id", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("run_timestamp", sa.BigInteger(), nullable=False),
        sa.Column("consensus_ok", sa.Integer(), nullable=False),
        sa.Column("degraded", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("synthesis_json", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("spec_id", "stage", "run_timestamp", name="uq_consensus_run"),
    )
    op.create_index(
        "idx_consensus_spec_stage", "consensus_runs", ["spec_id", "stage"], unique=False
    )
    op.create_index("idx_consensus_timestamp", "consensus_runs", ["run_timestamp"], unique=False)
    op.create_table(
        "events",
        sa.Column("id", ROW_NUMBER, autoincrement=True, nullable=False),
        sa.Column("source_app", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("hook_event_type", sa.Text(), nullable=False),
        sa.Column("payload", JSON_VALUE, nullable=False),
        sa.Column("chat", JSON_VALUE, nullable=True),
        sa.Column("summary", sa.Text(), nullable=True),
        sa.Column("model_name", sa.Text(), nullable=True),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("idx_events_session", "events", ["session_id", "id"], unique=False)
    op.create_table(
        "job_history",
        sa.Column("id", ROW_NUMBER, autoincrement=True, nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("from_status", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("worker_id", sa.Text(), nullable=True),
        sa.Column("timestamp", sa.Double(), nullable=False),
        sa.Column("details", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("idx_history_job", "job_history", ["job_id", "id"], unique=False)
    op.create_index("idx_history_time", "job_history", ["timestamp"], unique=False)
    op.create_table(
        "job_history_archive",
        sa.Column("id", ROW_NUMBER, autoincrement=False, nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("from_status", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("worker_id", sa.Text(), nullable=True),
        sa.Column("timestamp", sa.Double(), nullable=False),
        sa.Column("details", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("idx_archive_job", "job_history_archive", ["job_id", "id"], unique=False)
    op.create_table(
        "jobs",
        sa.Column("seq", ROW_NUMBER, autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("effort", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("args", JSON_VALUE, nullable=False),
        sa.Column("result", JSON_VALUE, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("retry_count", sa.Integer(), nullable=False),
        sa.Column("max_retries", sa.Integer(), nullable=False),
        sa.Column("retry_base", sa.Double(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("backoff_until", sa.Double(), nullable=True),
        sa.Column("published_at", sa.Double(), nullable=True),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("time_limit", sa.Double(), nullable=True),
        sa.Column("unique_key", sa.Text(), nullable=True),
        sa.Column("canvas", JSON_VALUE, nullable=True),
        sa.Column("plan_id", sa.Text(), nullable=True),
        sa.Column("task_id", sa.Text(), nullable=True),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("status_updated_at", sa.Double(), nullable=False),
        sa.Column("dead_at", sa.Double(), nullable=True),
        sa.CheckConstraint(
            "status IN ('blocked', 'pending', 'processing', 'completed', 'failed', 'cancelled')",
            name="job_status",
        ),
        sa.CheckConstraint("priority BETWEEN 0 AND 4", name="job_priority"),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"),
    )
    op.create_index(
        "idx_backoff_ready",
        "jobs",
        ["backoff_until"],
        unique=False,
        **where("status = 'pending' AND backoff_until IS NOT NULL"),
    )
    op.create_index(
        "idx_jobs_dead", "jobs", ["dead_at"], unique=False, **where("dead_at IS NOT NULL")
    )
    op.create_index(
        "idx_jobs_lease", "jobs", ["lease_until"], unique=False, **where("status = 'processing'")
    )
    op.create_index(
        "idx_jobs_outbox",
        "jobs",
        ["priority", "seq"],
        unique=False,
        **where("status = 'pending' AND backoff_until IS NULL AND published_at IS NULL"),
    )
    op.create_index(
        "idx_jobs_plan",
        "jobs",
        ["plan_id", "task_id"],
        unique=False,
        **where("plan_id IS NOT NULL"),
    )
    op.create_index(
        "idx_jobs_ready",
        "jobs",
        ["lane", "priority", "seq"],
        unique=False,
        **where("status = 'pending' AND backoff_until IS NULL"),
    )
    op.create_index(
        "idx_jobs_unique",
        "jobs",
        ["unique_key"],
        unique=True,
        **where("unique_key IS NOT NULL AND status IN ('blocked', 'pending', 'processing')"),
    )
    op.create_table(
        "plans",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("plan_dir", sa.Text(), nullable=False),
        sa.Column("repo", sa.Text(), nullable=False),
        sa.Column("base_commit", sa.Text(), nullable=False),
        sa.Column("branch", sa.Text(), nullable=False),
        sa.Column("spec", JSON_VALUE, nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.CheckConstraint(
            "status IN ('running', 'completed', 'failed', 'cancelled', 'replaced')",
            name="plan_status",
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("idx_plans_name", "plans", ["name", "created_at"], unique=False)
    op.create_table(
        "worker_health",
        sa.Column("worker_id", sa.Text(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("active_tasks", sa.Integer(), nullable=False),
        sa.Column("capacity_limit", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("last_seen", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("worker_id", "lane"),
    )
    op.create_table(
        "agent_outputs",
        sa.Column("id", ROW_NUMBER, autoincrement=True, nullable=False),
        sa.Column("run_id", ROW_NUMBER, nullable=False),
        sa.Column("agent_name", sa.Text(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=True),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("output_timestamp", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["consensus_runs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("idx_agent_outputs_agent", "agent_outputs", ["agent_name"], unique=False)
    op.create_index("idx_agent_outputs_run", "agent_outputs", ["run_id"], unique=False)
    op.create_table(
        "task_needs",
        sa.Column("plan_id", sa.Text(), nullable=False),
        sa.Column("needs_id", sa.Text(), nullable=False),
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("plan_id", "needs_id", "task_id"),
    )
    op.create_table(
        "tasks",
        sa.Column("plan_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=True),
        sa.Column("spec", JSON_VALUE, nullable=False),
        sa.Column("waiting_on", sa.Integer(), nullable=False),
        sa.Column("fix_round", sa.Integer(), nullable=False),
        sa.Column("max_fix_rounds", sa.Integer(), nullable=False),
        sa.Column("commit_id", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("status_updated_at", sa.Double(), nullable=False),
        sa.CheckConstraint(
            "status IN ('waiting', 'running', 'deployed', 'dead', 'blocked', 'cancelled')",
            name="task_status",
        ),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("plan_id", "id"),
    )
    sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in SQLITE_EXTRAS if sqlite else POSTGRES_EXTRAS:
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    op.execute("DROP VIEW view_dead_letter_queue")
    for table in TABLES:
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION vibe_job_history()")
        op.execute("DROP FUNCTION vibe_now()")
