"""Shortcuts for tests that look into a ledger."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from typing import Any

from sqlalchemy import select, text

from vibe_tasks.jobs import Claim, JobStatus, NewJob
from vibe_tasks.store import jobs
from vibe_tasks.store.engine import Database
from vibe_tasks.store.schema import job_history

_numbers = count(1)


def middle(low: float, high: float) -> float:
    """A dice that always draws the middle, so that waits are exact."""
    return (low + high) / 2


def new_job(**fields: Any) -> NewJob:
    """A job of lane `code`; any field may be given."""
    return NewJob(**({"id": f"job-{next(_numbers)}", "name": "test.add", "lane": "code"} | fields))


def submit(database: Database, *new: NewJob, published: bool = False) -> None:
    """Write these jobs in one transaction."""
    with database.begin() as connection:
        jobs.submit(connection, new, published=published)


def claim(database: Database, job_id: str, *, worker: str = "w1", lease: float = 30.0) -> Claim:
    """Take this job, which must be to be had."""
    with database.begin() as connection:
        taken = jobs.claim(connection, job_id, worker=worker, lease=lease)
    assert taken is not None
    return taken


def row(database: Database, job_id: str) -> dict[str, Any]:
    """The job's row."""
    with database.read() as connection:
        return jobs.find_job(connection, job_id)


def history(database: Database, job_id: str) -> list[tuple[str | None, str]]:
    """The job's transitions, oldest first."""
    columns = job_history.c
    with database.read() as connection:
        found = connection.execute(
            select(columns.from_status, columns.status)
            .where(columns.job_id == job_id)
            .order_by(columns.id)
        )
        return [(each.from_status, each.status) for each in found]


def backdate(database: Database, job_id: str, columns: Iterable[str], seconds: float) -> None:
    """Move times of a job into the past, as if so much time had gone by."""
    changes = ", ".join(f"{name} = {name} - {seconds}" for name in columns)
    with database.begin() as connection:
        connection.execute(text(f"UPDATE jobs SET {changes} WHERE id = :id"), {"id": job_id})  # noqa: S608


def put_into(database: Database, status: JobStatus) -> str:
    """A new job that came into this status by legal moves; its id."""
    job = new_job(blocked=status is JobStatus.BLOCKED, max_retries=1, args=(1,))
    submit(database, job)
    if status in {JobStatus.BLOCKED, JobStatus.PENDING}:
        return job.id
    with database.begin() as connection:
        if status is JobStatus.CANCELLED:
            jobs.cancel_job(connection, job.id, "no longer wanted")
            return job.id
        taken = jobs.claim(connection, job.id, worker="w1", lease=30)
        assert taken is not None
        if status is JobStatus.COMPLETED:
            jobs.complete_job(connection, job.id, 1, 2)
        elif status is JobStatus.FAILED:
            jobs.fail_job(connection, job.id, 1, "boom", uniform=middle)
    return job.id
