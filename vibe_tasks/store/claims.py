"""Claiming jobs: a worker takes one for one attempt."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, literal_column, null, or_, select, update

from vibe_tasks.jobs import Claim, JobStatus
from vibe_tasks.priority import Priority
from vibe_tasks.store.engine import now
from vibe_tasks.store.schema import READY, has_status, jobs, status
from vibe_tasks.store.statement import Row, Statement, decoded

_J = jobs.c
_COLUMNS = (
    _J.id, _J.name, _J.kind, _J.lane, _J.priority, _J.attempt, _J.retry_count, _J.max_retries,
    _J.retry_base, _J.args, _J.plan_id, _J.task_id, _J.round, _J.time_limit,
)  # fmt: skip
_TAKEN = {
    "status": status(JobStatus.PROCESSING),
    "attempt": _J.attempt + literal_column("1"),
    "worker": bindparam("by", type_=_J.worker.type),
    "lease_until": now() + bindparam("lease"),
    "backoff_until": null(),
    "started_at": now(),
    "status_updated_at": now(),
    "error": null(),
}
_CLAIM = Statement(
    update(jobs)
    .where(
        _J.id == bindparam("job", type_=_J.id.type),
        has_status(JobStatus.PENDING),
        or_(_J.backoff_until.is_(None), _J.backoff_until <= now()),
    )
    .values(_TAKEN)
    .returning(*_COLUMNS)
)
# A CTE that locks is evaluated once; a sub-select after IN may be evaluated for each row, and
# then locks and changes more rows than its limit.
_MOST_URGENT = (
    select(_J.seq)
    .where(READY, _J.lane == bindparam("of", type_=_J.lane.type))
    .order_by(_J.priority, _J.seq)
    .limit(literal_column("1"))
    .with_for_update(skip_locked=True)
    .cte("most_urgent")
)
_CLAIM_NEXT = Statement(
    update(jobs).where(_J.seq.in_(select(_MOST_URGENT.c.seq))).values(_TAKEN).returning(*_COLUMNS)
)
_DUE = (
    select(_J.seq)
    .where(has_status(JobStatus.PENDING), _J.backoff_until <= now())
    .limit(bindparam("most"))
)
_PROMOTED = update(jobs).values(backoff_until=null(), published_at=null())
# Python's sqlite3 counts the rows of a statement only where that begins with UPDATE.
_PROMOTE = Statement(
    {
        "sqlite": _PROMOTED.where(_J.seq.in_(_DUE)),
        "postgresql": _PROMOTED.where(
            _J.seq.in_(select(_DUE.with_for_update(skip_locked=True).cte("due").c.seq))
        ),
    }
)


def claim(connection: Connection, job_id: str, *, worker: str, lease: float) -> Claim | None:
    """Take this job for one attempt, or None when it is not to be had.

    A lost claim is a normal outcome: the message was a duplicate, came early, or the job
    was cancelled. One statement: `Database.write_once` is enough.

    Args:
        connection: A writing transaction.
        job_id: The job.
        worker: Who takes it.
        lease: Seconds until the claim ends without a heartbeat.
    """
    row = _CLAIM.first(connection, {"job": job_id, "by": worker, "lease": lease})
    return None if row is None else _claim_of(row)


def claim_next_job(connection: Connection, lane: str, *, worker: str, lease: float) -> Claim | None:
    """Take the most urgent due job of a lane, oldest first among equals, or None."""
    promote(connection)
    row = _CLAIM_NEXT.first(connection, {"of": lane, "by": worker, "lease": lease})
    return None if row is None else _claim_of(row)


def promote(connection: Connection, *, most: int = 1_000) -> int:
    """Make jobs ready whose wait is over; how many."""
    return _PROMOTE.count(connection, {"most": most})


def _claim_of(row: Row) -> Claim:
    arguments = decoded(row[9])
    return Claim(
        id=row[0],
        name=row[1],
        kind=row[2],
        lane=row[3],
        priority=Priority(row[4]),
        attempt=row[5],
        retry_count=row[6],
        max_retries=row[7],
        retry_base=row[8],
        args=tuple(arguments["args"]),
        kwargs=arguments["kwargs"],
        plan_id=row[10],
        task_id=row[11],
        round=row[12],
        time_limit=row[13],
    )
