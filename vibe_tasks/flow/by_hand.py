"""What people do to jobs that they name by the beginnings of their ids, to one or to many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from vibe_tasks.errors import IllegalMoveError
from vibe_tasks.flow import control
from vibe_tasks.jobs import MOVES, JobStatus
from vibe_tasks.store import job_rows, outbox
from vibe_tasks.store.audit import By
from vibe_tasks.store.engine import Database

ALL = 100_000
"""Dead letters that are taken at once where all are wanted."""

Refusal = Callable[[Mapping[str, Any]], None]
"""Raises `IllegalMoveError` where a job, its row, is not as it must be."""


def known(ledger: Database, texts: Iterable[str], *, refuse: Refusal) -> list[str]:
    """The whole ids of the jobs whose ids begin like these, each once. All are looked at before
    anything is done to one.

    Args:
        ledger: The ledger.
        texts: The beginnings.
        refuse: Raises where a job is not as it must be.

    Raises:
        UnknownJobError: There is none, or more than one, for one of them.
        IllegalMoveError: One of them is not as it must be.
    """
    with ledger.read() as connection:
        ids = [job_rows.whole_job_id(connection, text) for text in texts]
        rows = [job_rows.find_job(connection, job_id) for job_id in dict.fromkeys(ids)]
    for row in rows:
        refuse(row)
    return [str(row["id"]) for row in rows]


def every_dead_letter(ledger: Database) -> list[str]:
    """The ids of all dead letters, newest job first."""
    with ledger.read() as connection:
        return [row["id"] for row in job_rows.list_jobs(connection, dead=True, limit=ALL)]


def retry(ledger: Database, job_id: str, *, by: By | None) -> None:
    """Retry this job by hand. The dispatcher sends what follows.

    Args:
        ledger: The ledger.
        job_id: The job.
        by: Who does it, for the audit trail.

    Raises:
        UnknownJobError: There is none.
        IllegalMoveError: It has not failed.
    """
    following = control.retry_job(ledger, job_id, by=by)
    with ledger.begin() as connection:
        outbox.give_back(connection, [each.id for each in following])


def approve(ledger: Database, plan_id: str, jobs: Sequence[str], *, by: By | None) -> list[str]:
    """Let these deploys of a plan go on, which somebody has looked at; those that do. The
    dispatcher sends them. `by` as in `retry`.

    Raises:
        UnknownJobError: No such plan.
        IllegalMoveError: None of them waits for an approval any more.
    """
    following = control.approve(ledger, plan_id, only=jobs, by=by)
    with ledger.begin() as connection:
        outbox.give_back(connection, [each.id for each in following])
    return [each.id for each in following]


def refuse_retry(row: Mapping[str, Any]) -> None:
    """Only what has failed or was cancelled."""
    if row["dead_at"] is None and row["status"] not in {JobStatus.FAILED, JobStatus.CANCELLED}:
        raise IllegalMoveError(f"job {row['id']} is {row['status']} and cannot become pending")


def refuse_cancel(row: Mapping[str, Any]) -> None:
    """Only what has not ended."""
    if JobStatus.CANCELLED not in MOVES[row["status"]]:
        raise IllegalMoveError(f"job {row['id']} is {row['status']} and cannot become cancelled")


def refuse_living(row: Mapping[str, Any]) -> None:
    """Only dead letters."""
    if row["dead_at"] is None:
        raise IllegalMoveError(f"job {row['id']} is {row['status']} and no dead letter")
