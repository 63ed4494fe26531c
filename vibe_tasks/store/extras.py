"""What the databases have beyond tables: the views, the history triggers, the clock.

The migrations hold the same texts, frozen; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping

TABLE_OPTIONS: Mapping[str, str] = {
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
"""What PostgreSQL is told of the tables that change all the time: its own 20 % of dead rows would
be 200,000 beside a million jobs, and each claim steps over them. A heartbeat, a lane's tokens and
a look of the dispatcher change no indexed column: with room in the page (the fillfactor) the new
row takes the old one's place and no index is written (HOT). For `jobs` that would be in vain: what
changes there is in an index, or in the condition of a partial one.
Source: https://www.postgresql.org/docs/current/sql-createtable.html, "Storage Parameters"."""

VIEW = """
CREATE VIEW view_dead_letter_queue AS
SELECT id, name, kind, lane, plan_id, task_id, attempt AS attempts, retry_count, max_retries,
       error, args, dead_at, created_at
FROM jobs WHERE dead_at IS NOT NULL
"""

SILENT_WORKER = 60.0
"""Seconds of silence after which a worker's slots are no supply."""

DEMAND = f"""
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
  FROM worker_health WHERE status = 'online' AND last_seen > vibe_now() - {SILENT_WORKER}
  GROUP BY lane
) AS parts GROUP BY lane
"""  # noqa: S608  a number of ours
"""What each lane asks for and has: jobs that may start now and for how many seconds the oldest may,
those that run, and the slots of its workers. Jobs that wait for a breaker, a limit of their lane, a
budget or their turn are no demand: more workers would not start them sooner."""

SQLITE_EXTRAS = (
    VIEW,
    DEMAND,
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
"""What SQLite has beyond the tables: the views and the history triggers."""

POSTGRES_EXTRAS = (
    # A stable function, so that an index can serve a comparison with it.
    """
CREATE FUNCTION vibe_now() RETURNS double precision LANGUAGE sql STABLE AS
$$ SELECT extract(epoch FROM statement_timestamp())::double precision $$
""",
    VIEW,
    DEMAND,
    # A payload must be shorter than 8,000 bytes, and names are not bounded.
    """
CREATE FUNCTION vibe_notify_new_job(job jobs) RETURNS void LANGUAGE sql AS $$
  SELECT pg_notify('new_job', json_build_object(
    'job_id', left(job.id, 500), 'lane', left(job.lane, 500), 'priority', job.priority)::text)
$$
""",
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
    PERFORM pg_notify('job_status_changed', json_build_object(
      'job_id', left(NEW.id, 500), 'lane', left(NEW.lane, 500),
      'old_status', OLD.status, 'new_status', NEW.status)::text);
  END IF;
  IF NEW.status = 'pending' AND NEW.backoff_until IS NULL AND NEW.held_at IS NULL THEN
    PERFORM vibe_notify_new_job(NEW);
  END IF;
  RETURN NULL;
END $$
""",
    """
CREATE FUNCTION vibe_job_due() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM vibe_notify_new_job(NEW);
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
    # A wait is over, or a held job has its turn.
    """
CREATE TRIGGER trg_job_due AFTER UPDATE OF backoff_until, held_at ON jobs
FOR EACH ROW WHEN (OLD.status = 'pending' AND NEW.status = 'pending'
                   AND (OLD.backoff_until IS NOT NULL OR OLD.held_at IS NOT NULL)
                   AND NEW.backoff_until IS NULL AND NEW.held_at IS NULL)
EXECUTE FUNCTION vibe_job_due()
""",
    *(f"ALTER TABLE {table} SET ({options})" for table, options in TABLE_OPTIONS.items()),
)
"""What PostgreSQL has beyond the tables: the clock, the views, the triggers for history and for the
notifications `new_job` and `job_status_changed`, and how its tables are kept."""
