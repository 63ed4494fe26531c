"""Jobs: every change of their status, and all that the store can do with them.

`submissions` makes the rows; `claims`, `deadlines`, `moves` and this module move them, and nothing
else writes `jobs.status`. Each function is one statement or a few in the caller's transaction; the
history row comes from a trigger in the same transaction. Every write of an attempt names its
attempt number and is refused with `LeaseLostError` once the job has gone to another.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    bindparam,
    case,
    literal_column,
    null,
    select,
    update,
)

from vibe_tasks.errors import LeaseLostError, UnknownJobError
from vibe_tasks.jobs import JobStatus
from vibe_tasks.retry import RetryPolicy
from vibe_tasks.store.claims import claim, promote
from vibe_tasks.store.engine import now
from vibe_tasks.store.job_rows import ended_of, find_job, list_jobs, results_of
from vibe_tasks.store.moves import (
    CHORD_ERROR,
    cancel_job,
    lock_job,
    mark_dead_letter,
    revive_job,
    start_body,
    unblock_job,
    wake,
)
from vibe_tasks.store.next_job import claim_next_job
from vibe_tasks.store.redacting import kept_text
from vibe_tasks.store.schema import has_status, jobs, status
from vibe_tasks.store.sealing import sealed_text
from vibe_tasks.store.statement import Row, Statement
from vibe_tasks.store.submissions import Submitted, submit

__all__ = [
    "CHORD_ERROR", "Submitted", "cancel_job", "check_lease", "claim", "claim_next_job",
    "complete_job", "end_job", "ended_of", "fail_job", "find_job", "list_jobs", "lock_job",
    "mark_dead_letter", "promote", "results_of", "revive_job", "snooze_job", "start_body", "submit",
    "unblock_job", "wake",
]  # fmt: skip

_J = jobs.c

# --- the end of an attempt --------------------------------------------------------------------


_JOB = bindparam("job", type_=_J.id.type)
_WHY = bindparam("why", type_=_J.error.type)
_ZERO: ColumnElement[int] = literal_column("0")
_ONE: ColumnElement[int] = literal_column("1")


def _attempts_own(target: JobStatus, **values: Any) -> Statement:
    """A write of one attempt: refused unless the job is still in that attempt."""
    return Statement(
        update(jobs)
        .where(
            _J.id == _JOB,
            has_status(JobStatus.PROCESSING),
            _J.attempt == bindparam("of_attempt", type_=_J.attempt.type),
        )
        .values(status=status(target), lease_until=null(), status_updated_at=now(), **values)
    )


_COMPLETE = _attempts_own(JobStatus.COMPLETED, result=bindparam("outcome", type_=_J.result.type))
_AGAIN = _attempts_own(
    JobStatus.PENDING,
    backoff_until=case((bindparam("wait") > _ZERO, now() + bindparam("wait")), else_=null()),
    published_at=null(),
    retry_count=_J.retry_count + bindparam("counted", type_=_J.retry_count.type),
    error=_WHY,
)
_BURY = _attempts_own(
    JobStatus.FAILED, retry_count=_J.retry_count + _ONE, error=_WHY, dead_at=now()
)
_END = _attempts_own(JobStatus.CANCELLED, error=_WHY)
_BLOCK = _attempts_own(JobStatus.BLOCKED, error=_WHY)
_CURRENT = Statement(
    select(_J.attempt, _J.status, _J.retry_count, _J.max_retries, _J.retry_base).where(
        _J.id == _JOB
    )
)


def complete_job(connection: Connection, job_id: str, attempt: int, result: Any) -> None:
    """Record the result of an attempt. One statement: `Database.write_once` is enough.

    Raises:
        LeaseLostError: The attempt is no longer the job's current one.
        TypeError: The result is no JSON value.
    """
    _apply(connection, _COMPLETE, job_id, attempt, outcome=sealed_text(connection, result))


def fail_job(
    connection: Connection,
    job_id: str,
    attempt: int,
    error: str,
    *,
    uniform: Callable[[float, float], float],
    permanent: bool = False,
    wait: float | None = None,
) -> bool:
    """Count a failure; whether the job will be tried again.

    Args:
        connection: A writing transaction.
        job_id: The job.
        attempt: The attempt that failed.
        error: What went wrong.
        uniform: Draws the jitter (`random.uniform`).
        permanent: Do not try again.
        wait: Seconds to wait instead of the retry policy's, as a server asked for.

    Raises:
        LeaseLostError: The attempt is no longer the job's current one.
    """
    row = _CURRENT.first(connection, {"job": job_id})
    if row is None:
        raise UnknownJobError(f"no job {job_id}")
    _, _, retry_count, max_retries, base = row
    policy = RetryPolicy(max_retries=max_retries, base=base)
    failures = retry_count + 1
    if permanent or policy.gives_up_after(failures):
        _apply(connection, _BURY, job_id, attempt, why=kept_text(connection, error))
        return False
    seconds = policy.wait_after(failures, uniform=uniform)
    if wait is not None and 0 <= wait < inf:  # a server's word, not to be trusted blindly
        seconds = wait
    _apply(
        connection, _AGAIN, job_id, attempt, why=kept_text(connection, error),
        wait=float(seconds), counted=1,
    )  # fmt: skip
    return True


def snooze_job(
    connection: Connection, job_id: str, attempt: int, seconds: float, reason: str
) -> None:
    """Put the job back for later without counting a failure.

    Raises:
        LeaseLostError: The attempt is no longer the job's current one.
        ValueError: The seconds are no time to wait.
    """
    if not 0 <= seconds < inf:
        raise ValueError(f"seconds must be zero or more, got {seconds}")
    _apply(
        connection, _AGAIN, job_id, attempt, why=kept_text(connection, reason),
        wait=float(seconds), counted=0,
    )  # fmt: skip


def end_job(connection: Connection, job_id: str, attempt: int, reason: str) -> None:
    """Cancel the job from inside its attempt.

    Raises:
        LeaseLostError: The attempt is no longer the job's current one.
    """
    _apply(connection, _END, job_id, attempt, why=kept_text(connection, reason))


def block_job(connection: Connection, job_id: str, attempt: int, reason: str) -> None:
    """Let the job wait for a person, from inside its attempt, without counting a failure.

    Raises:
        LeaseLostError: The attempt is no longer the job's current one.
    """
    _apply(connection, _BLOCK, job_id, attempt, why=kept_text(connection, reason))


def check_lease(connection: Connection, job_id: str, attempt: int) -> None:
    """The fence: call it right before an effect outside the ledger.

    Raises:
        LeaseLostError: The attempt is no longer the job's current one.
    """
    row = _CURRENT.first(connection, {"job": job_id})
    if row is None or row[:2] != (attempt, JobStatus.PROCESSING):
        raise _lost(job_id, attempt, row)


def _apply(
    connection: Connection, statement: Statement, job_id: str, attempt: int, **values: Any
) -> None:
    values |= {"job": job_id, "of_attempt": attempt}
    if statement.count(connection, values) != 1:
        raise _lost(job_id, attempt, _CURRENT.first(connection, {"job": job_id}))


def _lost(job_id: str, attempt: int, row: Row | None) -> LeaseLostError:
    if row is None:
        return LeaseLostError(f"job {job_id} is not in the ledger")
    return LeaseLostError(
        f"attempt {attempt} of job {job_id} is over: the job is {row[1]} in attempt {row[0]}"
    )
