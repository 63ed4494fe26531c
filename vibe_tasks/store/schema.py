"""The tables, as code. Migrations build the same; a test compares the two.

Times are epoch seconds as floats, read from the database's clock by `vibe_now()` (see
`engine`). Texts that users wrote are TEXT without bound; JSON columns hold JSON values.

History rows are written by triggers, so that no code path can change a status without one,
and a transition costs one statement.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    ColumnElement,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    and_,
    literal_column,
    text,
)

from vibe_tasks.jobs import JobStatus
from vibe_tasks.store.statement import encoded

metadata = MetaData()

Sequence = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only where the type is INTEGER."""


class JsonText(TypeDecorator[Any]):
    """JSON in a TEXT column.

    SQLite takes a column of type JSON for one of numbers: the result 1.0 would come back as 1,
    and a large integer as a float.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:  # noqa: ARG002
        """The text that is stored."""
        return encoded(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:  # noqa: ARG002
        """The value that was stored; None also where there is none."""
        return None if value is None else json.loads(value)


Json = JSON().with_variant(JsonText(), "sqlite")

_STATUSES = ", ".join(f"'{status}'" for status in JobStatus)

plans = Table(
    "plans",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("plan_dir", Text, nullable=False),
    Column("repo", Text, nullable=False),
    # The repository as others reach it; NULL for one that is on this machine alone.
    Column("remote", Text),
    Column("base_commit", Text, nullable=False),
    Column("branch", Text, nullable=False),
    Column("spec", Json, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("ended_at", Double),
    CheckConstraint(
        "status IN ('running', 'completed', 'failed', 'cancelled', 'replaced')", name="plan_status"
    ),
)
Index("idx_plans_name", plans.c.name, plans.c.created_at)

tasks = Table(
    "tasks",
    metadata,
    Column("plan_id", Text, ForeignKey("plans.id", ondelete="CASCADE"), primary_key=True),
    Column("id", Text, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("title", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("stage", Text),
    Column("spec", Json, nullable=False),
    Column("waiting_on", Integer, nullable=False),
    Column("fix_round", Integer, nullable=False),
    Column("max_fix_rounds", Integer, nullable=False),
    Column("commit_id", Text),
    Column("error", Text),
    Column("status_updated_at", Double, nullable=False),
    CheckConstraint(
        "status IN ('waiting', 'running', 'deployed', 'dead', 'blocked', 'cancelled')",
        name="task_status",
    ),
)

task_needs = Table(
    "task_needs",
    metadata,
    Column("plan_id", Text, ForeignKey("plans.id", ondelete="CASCADE"), primary_key=True),
    Column("needs_id", Text, primary_key=True),
    Column("task_id", Text, primary_key=True),
)

jobs = Table(
    "jobs",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("lane", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("effort", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("args", Json, nullable=False),
    Column("result", Json),
    Column("error", Text),
    Column("retry_count", Integer, nullable=False),
    Column("max_retries", Integer, nullable=False),
    Column("retry_base", Double, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("backoff_until", Double),
    Column("published_at", Double),
    Column("worker", Text),
    Column("lease_until", Double),
    Column("time_limit", Double),
    Column("unique_key", Text),
    Column("concurrency_key", Text),
    Column("start_by", Double),
    Column("held_at", Double),
    Column("held_for", Text),
    Column("canvas", Json),
    # What a worker must or should have: names of labels, and points for each.
    Column("required", Json),
    Column("labels", Json),
    # Why the message of the latest attempt went where it went.
    Column("routing", Json),
    # W3C trace context of whoever asked for it; the jobs of a task share one.
    Column("trace", Text),
    Column("plan_id", Text),
    Column("task_id", Text),
    Column("round", Integer, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("status_updated_at", Double, nullable=False),
    Column("dead_at", Double),
    CheckConstraint(f"status IN ({_STATUSES})", name="job_status"),
    CheckConstraint("priority BETWEEN 0 AND 4", name="job_priority"),
)


def status(value: JobStatus) -> ColumnElement[str]:
    """A status as a literal: neither database uses a partial index for a bound parameter."""
    return literal_column(f"'{value}'", Text)


def has_status(*values: JobStatus) -> ColumnElement[bool]:
    """The condition that a job has one of these statuses, in literals."""
    wanted = [status(value) for value in sorted(values)]
    return jobs.c.status == wanted[0] if len(wanted) == 1 else jobs.c.status.in_(wanted)


READY = and_(
    has_status(JobStatus.PENDING), jobs.c.backoff_until.is_(None), jobs.c.held_at.is_(None)
)
"""The condition of a job that may start now. Jobs whose wait is over become so by `promote`, held
ones when they get their turn (`turns`)."""

_READY = text("status = 'pending' AND backoff_until IS NULL AND held_at IS NULL")

# The order in which jobs of a lane start; holds ready jobs alone, so that ten thousand jobs
# with a countdown of an hour cost a claim nothing.
Index(
    "idx_jobs_ready",
    jobs.c.lane,
    jobs.c.priority,
    jobs.c.seq,
    sqlite_where=_READY,
    postgresql_where=_READY,
)
# Pending jobs by due time: what the dispatcher publishes next (L6).
_WAITING = text("status = 'pending' AND backoff_until IS NOT NULL")
Index("idx_backoff_ready", jobs.c.backoff_until, sqlite_where=_WAITING, postgresql_where=_WAITING)
# The outbox: due, not yet published, and not held back by a lane's limits or a busy key.
_UNPUBLISHED = text(
    "status = 'pending' AND backoff_until IS NULL AND published_at IS NULL AND held_at IS NULL"
)
Index(
    "idx_jobs_outbox",
    jobs.c.priority,
    jobs.c.seq,
    sqlite_where=_UNPUBLISHED,
    postgresql_where=_UNPUBLISHED,
)
# What is held back by its lane, in the order in which it gets its turn. What waits for its key has
# an index of its own, by lane and key: ten thousand jobs of one busy key cost a turn nothing.
_HELD = text("status = 'pending' AND held_for = 'lane'")
Index(
    "idx_jobs_held",
    jobs.c.lane,
    jobs.c.priority,
    jobs.c.seq,
    sqlite_where=_HELD,
    postgresql_where=_HELD,
)
_HELD_BY_KEY = text("status = 'pending' AND held_for = 'key'")
Index(
    "idx_jobs_held_key",
    jobs.c.lane,
    jobs.c.concurrency_key,
    jobs.c.priority,
    jobs.c.seq,
    sqlite_where=_HELD_BY_KEY,
    postgresql_where=_HELD_BY_KEY,
)
# What no worker with room may run: it goes out to the first that may.
_HELD_FOR_WORKER = text("status = 'pending' AND held_for = 'worker'")
Index(
    "idx_jobs_held_worker",
    jobs.c.priority,
    jobs.c.seq,
    sqlite_where=_HELD_FOR_WORKER,
    postgresql_where=_HELD_FOR_WORKER,
)
# Those of a key that are ahead of the others: in their lane's line, or with a turn.
_AHEAD = text("status = 'pending' AND held_for <> 'key' AND concurrency_key IS NOT NULL")
Index("idx_jobs_ahead", jobs.c.concurrency_key, sqlite_where=_AHEAD, postgresql_where=_AHEAD)
# One at a time for each key, whoever claims.
_BUSY_KEY = text("concurrency_key IS NOT NULL AND status = 'processing'")
Index(
    "idx_jobs_busy_key",
    jobs.c.concurrency_key,
    unique=True,
    sqlite_where=_BUSY_KEY,
    postgresql_where=_BUSY_KEY,
)
# Jobs that are given up unless they have started by a moment.
_UNSTARTED = text("status = 'pending' AND attempt = 0 AND start_by IS NOT NULL")
Index("idx_jobs_start_by", jobs.c.start_by, sqlite_where=_UNSTARTED, postgresql_where=_UNSTARTED)
# What runs, by lane for its limit; few rows, so the reaper reads them all.
_RUNNING = text("status = 'processing'")
Index(
    "idx_jobs_running",
    jobs.c.lane,
    jobs.c.lease_until,
    sqlite_where=_RUNNING,
    postgresql_where=_RUNNING,
)
# What lives and is in no other index, and what has ended: to be counted by lane.
_BLOCKED = text("status = 'blocked'")
Index("idx_jobs_blocked", jobs.c.lane, sqlite_where=_BLOCKED, postgresql_where=_BLOCKED)
_ENDED = text("status IN ('cancelled', 'completed', 'failed')")
Index("idx_jobs_ended", jobs.c.lane, jobs.c.status, sqlite_where=_ENDED, postgresql_where=_ENDED)
LIVE_KEY = text("unique_key IS NOT NULL AND status IN ('blocked', 'pending', 'processing')")
Index(
    "idx_jobs_unique",
    jobs.c.unique_key,
    unique=True,
    sqlite_where=LIVE_KEY,
    postgresql_where=LIVE_KEY,
)
_DEAD = text("dead_at IS NOT NULL")
Index("idx_jobs_dead", jobs.c.dead_at, sqlite_where=_DEAD, postgresql_where=_DEAD)
_OF_PLAN = text("plan_id IS NOT NULL")
Index(
    "idx_jobs_plan",
    jobs.c.plan_id,
    jobs.c.task_id,
    sqlite_where=_OF_PLAN,
    postgresql_where=_OF_PLAN,
)


def _history(name: str) -> Table:
    return Table(
        name,
        metadata,
        Column("id", Sequence, primary_key=True, autoincrement=name == "job_history"),
        Column("job_id", Text, nullable=False),
        Column("from_status", Text),
        Column("status", Text, nullable=False),
        Column("attempt", Integer, nullable=False),
        Column("worker_id", Text),
        Column("timestamp", Double, nullable=False),
        Column("details", Text),
        # Ids go to the archive with their rows: SQLite must not give one out again.
        sqlite_autoincrement=name == "job_history",
    )


job_history = _history("job_history")
Index("idx_history_job", job_history.c.job_id, job_history.c.id)
Index("idx_history_time", job_history.c.timestamp)
job_history_archive = _history("job_history_archive")
Index("idx_archive_job", job_history_archive.c.job_id, job_history_archive.c.id)

worker_health = Table(
    "worker_health",
    metadata,
    Column("worker_id", Text, primary_key=True),
    Column("lane", Text, primary_key=True),
    Column("tier", Text, nullable=False),
    Column("active_tasks", Integer, nullable=False),
    Column("capacity_limit", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("last_seen", Double, nullable=False),
    Column("host", Text),
    Column("process", Text),
    Column("version", Text),
    Column("labels", Json),
    Column("functions", Json),
    Column("started_at", Double),
    Column("draining_at", Double),
    # What its program was made for; NULL: that was before there was this column, schema 5 at most.
    Column("schema_version", Integer),
)

lanes = Table(
    "lanes",
    metadata,
    Column("lane", Text, primary_key=True),
    Column("paused_at", Double),
    Column("concurrency_limit", Integer),
    Column("rate_limit", Double),
    Column("tokens", Double, nullable=False),
    Column("tokens_at", Double, nullable=False),
    CheckConstraint("concurrency_limit > 0", name="lane_concurrency_limit"),
    CheckConstraint("rate_limit > 0", name="lane_rate_limit"),
)

upkeep = Table(
    "upkeep",
    metadata,
    Column("name", Text, primary_key=True),
    Column("looked_at", Double, nullable=False),
    Column("patient_until", Double, nullable=False),
)

chords = Table(
    "chords",
    metadata,
    Column("group_id", Text, primary_key=True),
    Column("body_id", Text, nullable=False),
    Column("members", Json, nullable=False),
    Column("missing", Integer, nullable=False),
    Column("takes_results", Integer, nullable=False),
)
Index("idx_chords_body", chords.c.body_id)

# Results of members that are plain Celery tasks; those of jobs are in their rows.
chord_results = Table(
    "chord_results",
    metadata,
    Column("group_id", Text, ForeignKey("chords.group_id", ondelete="CASCADE"), primary_key=True),
    Column("member_id", Text, primary_key=True),
    Column("result", Json),
)
