"""What the databases have beyond tables: the dead-letter view, the history triggers, the clock.

The first migration holds the same texts, frozen; a test compares the two.
"""

from __future__ import annotations

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
"""What SQLite has beyond the tables: the dead-letter view and the history triggers."""

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
"""What PostgreSQL has beyond the tables: the clock, the view and the history triggers."""
