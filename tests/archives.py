"""Ledgers with work that is long over, for tests of what is archived and deleted."""

from __future__ import annotations

from sqlalchemy import text

from tests.ledgers import claim, new_job, submit
from vibe_tasks.retention import Keeping
from vibe_tasks.store import consensus, job_rows, jobs, plans
from vibe_tasks.store.engine import Database
from vibe_tasks.store.retention import tidying

DAY = 86_400.0
JOBS = Keeping(history_days=None, jobs_days=30.0)


def tidied(database: Database, keeping: Keeping) -> dict[tuple[str, str], int]:
    """All steps; rows by table and verb."""
    found: dict[tuple[str, str], int] = {}
    for step in tidying(database, keeping, monotonic=lambda: 0.0):
        key = (step.table, step.verb)
        found[key] = found.get(key, 0) + step.rows
    return {key: rows for key, rows in found.items() if rows}


def ended(database: Database, *names: str, days: float = 31, **fields: object) -> None:
    """Completed jobs of these ids, that ended so many days ago."""
    for name in names:
        submit(database, new_job(id=name, **fields))
        claim(database, name)
        with database.begin() as connection:
            jobs.complete_job(connection, name, 1, {"name": name, "big": 2**70, "half": 0.1})
    age(database, names, days)


def age(database: Database, names: tuple[str, ...], days: float) -> None:
    """Move these jobs and their history so many days into the past."""
    job = "created_at = created_at - :s, status_updated_at = status_updated_at - :s WHERE id = :id"
    move = '"timestamp" = "timestamp" - :s WHERE job_id = :id'
    given = [{"id": name, "s": days * DAY} for name in names]
    with database.begin() as connection:
        connection.execute(text(f"UPDATE jobs SET {job}"), given)  # noqa: S608
        connection.execute(text(f"UPDATE job_history SET {move}"), given)  # noqa: S608


def left(database: Database) -> set[str]:
    """Ids of the jobs that are not archived."""
    with database.read() as connection:
        return {row["id"] for row in job_rows.list_jobs(connection)}


def plan(database: Database, name: str, *, status: str = "completed", days: float = 31) -> None:
    """A plan of one task with a vote on it, that ended so many days ago."""
    whole = {"id": name, "name": name, "digest": "", "source": "", "plan_dir": "", "repo": "",
             "base_commit": "", "branch": "", "spec": {}}  # fmt: skip
    task = {"id": "a", "position": 0, "title": "", "status": "deployed", "spec": {},
            "waiting_on": 0, "fix_round": 0, "max_fix_rounds": 0}  # fmt: skip
    with database.begin() as connection:
        plans.insert_plan(connection, whole, [task], [])
        consensus.keep_run(
            connection, spec_id=f"{name}/a", stage="qa", ok=True, degraded=False, synthesis={},
            votes=[],
        )  # fmt: skip
        if status != "running":
            plans.set_plan_status(connection, name, status)
            connection.execute(text("UPDATE plans SET ended_at = ended_at - :s WHERE id = :id"),
                               {"s": days * DAY, "id": name})  # fmt: skip
