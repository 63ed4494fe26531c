"""Jobs: submitting, claiming, and every change of their status.

This is the one module that writes `jobs.status`. Each function is one statement or a few in
the caller's transaction; the history row comes from a trigger in the same transaction. Every
write of an attempt names its attempt number and is refused with `LeaseLostError` once the
job has gone to another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    Update,
    and_,
    bindparam,
    case,
    insert,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from vibe_tasks.errors import IllegalMoveError, LeaseLostError, UnknownJobError
from vibe_tasks.failures import bounded
from vibe_tasks.jobs import Claim, JobStatus, NewJob, sources
from vibe_tasks.priority import Priority
from vibe_tasks.retry import RetryPolicy
from vibe_tasks.store.engine import now
from vibe_tasks.store.schema import jobs

_J = jobs.c
_DUE = or_(_J.backoff_until.is_(None), _J.backoff_until <= now())
_CLAIM_COLUMNS = (
    _J.id, _J.name, _J.kind, _J.lane, _J.priority, _J.attempt, _J.retry_count, _J.max_retries,
    _J.retry_base, _J.args, _J.plan_id, _J.task_id, _J.round, _J.time_limit,
)  # fmt: skip

# --- submitting -------------------------------------------------------------------------------

_FIXED = {
    "attempt": 0,
    "retry_count": 0,
    "created_at": now(),
    "status_updated_at": now(),
}
_due_at = case(
    (bindparam("delay") > 0, now() + bindparam("delay")),
    (bindparam("due") > now(), bindparam("due")),
    else_=None,
)
_INSERT_NOW = insert(jobs).values(
    **_FIXED,
    backoff_until=None,
    published_at=case((bindparam("publish") > 0, now()), else_=None),
)
_INSERT_LATER = insert(jobs).values(**_FIXED, backoff_until=_due_at, published_at=None)
_LIVE_KEY = and_(
    _J.unique_key.is_not(None), _J.status.in_(("blocked", "pending", "processing"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """What became of a submission.

    Attributes:
        id: The job; where a live job had the same unique key, that one.
        fresh: Whether this submission made it.
        due: Whether it may start now, so that its message is to be sent.
    """

    id: str
    fresh: bool
    due: bool


def submit(
    connection: Connection, new: Sequence[NewJob], *, published: bool = False
) -> tuple[Submitted, ...]:
    """Write these jobs; all of them or, with the transaction, none.

    Args:
        connection: A writing transaction.
        new: The jobs, in order.
        published: The caller will send the messages of those that are due itself, right
            after the commit; the dispatcher leaves them alone for a while.
    """
    keyed = [job for job in new if job.unique_key is not None]
    plain = [job for job in new if job.unique_key is None]
    at_once = [_row(job) for job in plain if not _later(job)]
    if at_once:
        for row in at_once:
            row["publish"] = int(published and row["status"] == JobStatus.PENDING)
            del row["delay"], row["due"]
        connection.execute(_INSERT_NOW, at_once)
    delayed = [_row(job) for job in plain if _later(job)]
    if delayed:
        connection.execute(_INSERT_LATER, delayed)
    outcome = {job.id: Submitted(id=job.id, fresh=True, due=_due(job)) for job in plain}
    for job in keyed:
        outcome[job.id] = _submit_keyed(connection, job)
    return tuple(outcome[job.id] for job in new)


def _submit_keyed(connection: Connection, job: NewJob) -> Submitted:
    kind = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement = (
        kind.insert(jobs)
        .values(**_FIXED, backoff_until=_due_at, published_at=None)
        .on_conflict_do_nothing(index_elements=[_J.unique_key], index_where=_LIVE_KEY)
        .returning(_J.id)
    )
    holder = select(_J.id).where(_LIVE_KEY, _J.unique_key == job.unique_key)
    while True:
        if connection.execute(statement, _row(job)).first() is not None:
            return Submitted(id=job.id, fresh=True, due=_due(job))
        existing = connection.execute(holder).scalar()
        if existing is not None:  # else the holder ended between the two statements
            return Submitted(id=existing, fresh=False, due=False)


def _later(job: NewJob) -> bool:
    return job.delay > 0 or job.due_at is not None


def _due(job: NewJob) -> bool:
    return not _later(job) and not job.blocked


def _row(job: NewJob) -> dict[str, Any]:
    return {
        "id": job.id,
        "name": job.name,
        "kind": job.kind,
        "lane": job.lane,
        "priority": int(job.priority),
        "effort": job.effort,
        "status": JobStatus.BLOCKED if job.blocked else JobStatus.PENDING,
        "args": {"args": list(job.args), "kwargs": dict(job.kwargs)},
        "max_retries": job.max_retries,
        "retry_base": job.retry_base,
        "time_limit": job.time_limit,
        "unique_key": job.unique_key,
        "canvas": null() if job.canvas is None else dict(job.canvas),
        "plan_id": job.plan_id,
        "task_id": job.task_id,
        "round": job.round,
        "delay": job.delay,
        "due": job.due_at or 0.0,
    }


# --- claiming ---------------------------------------------------------------------------------

_TAKEN = {
    "status": JobStatus.PROCESSING,
    "attempt": _J.attempt + 1,
    "worker": bindparam("by"),
    "lease_until": now() + bindparam("lease"),
    "backoff_until": None,
    "started_at": now(),
    "status_updated_at": now(),
    "error": None,
}
_CLAIM = (
    update(jobs)
    .where(_J.id == bindparam("job"), _J.status == JobStatus.PENDING, _DUE)
    .values(_TAKEN)
    .returning(*_CLAIM_COLUMNS)
)
_MOST_URGENT = (
    select(_J.seq)
    .where(_J.lane == bindparam("of"), _J.status == JobStatus.PENDING, _J.backoff_until.is_(None))
    .order_by(_J.priority, _J.seq)
    .limit(1)
    .with_for_update(skip_locked=True)
    .scalar_subquery()
)
_CLAIM_NEXT = (
    update(jobs).where(_J.seq == _MOST_URGENT).values(_TAKEN).returning(*_CLAIM_COLUMNS)
)
_PROMOTE = (
    update(jobs)
    .where(
        _J.seq.in_(
            select(_J.seq)
            .where(
                _J.status == JobStatus.PENDING,
                _J.backoff_until.is_not(None),
                _J.backoff_until <= now(),
            )
            .limit(bindparam("most"))
            .with_for_update(skip_locked=True)
        )
    )
    .values(backoff_until=None, published_at=None)
)


def claim(connection: Connection, job_id: str, *, worker: str, lease: float) -> Claim | None:
    """Take this job for one attempt, or None when it is not to be had.

    A lost claim is a normal outcome: the message was a duplicate, came early, or the job
    was cancelled.

    Args:
        connection: A writing transaction.
        job_id: The job.
        worker: Who takes it.
        lease: Seconds until the claim ends without a heartbeat.
    """
    row = connection.execute(_CLAIM, {"job": job_id, "by": worker, "lease": lease}).first()
    return None if row is None else _claim_of(row)


def claim_next_job(
    connection: Connection, lane: str, *, worker: str, lease: float
) -> Claim | None:
    """Take the most urgent due job of a lane, oldest first among equals, or None."""
    promote(connection)
    row = connection.execute(_CLAIM_NEXT, {"of": lane, "by": worker, "lease": lease}).first()
    return None if row is None else _claim_of(row)


def promote(connection: Connection, *, most: int = 1_000) -> int:
    """Make jobs ready whose wait is over; how many."""
    return connection.execute(_PROMOTE, {"most": most}).rowcount


def _claim_of(row: Row[Any]) -> Claim:
    fields = dict(row._mapping)  # noqa: SLF001  SQLAlchemy's public name for it
    arguments = fields.pop("args")
    return Claim(
        **{**fields, "priority": Priority(fields["priority"])},
        args=tuple(arguments["args"]),
        kwargs=arguments["kwargs"],
    )


# --- the end of an attempt --------------------------------------------------------------------


def _attempts_own(target: JobStatus, **values: Any) -> Update:
    """A write of one attempt: refused unless the job is still in that attempt."""
    return (
        update(jobs)
        .where(
            _J.id == bindparam("job"),
            _J.status == JobStatus.PROCESSING,
            _J.attempt == bindparam("of_attempt"),
        )
        .values(status=target, lease_until=None, status_updated_at=now(), **values)
    )


_COMPLETE = _attempts_own(JobStatus.COMPLETED, result=bindparam("outcome"))
_AGAIN = _attempts_own(
    JobStatus.PENDING,
    backoff_until=case((bindparam("wait") > 0, now() + bindparam("wait")), else_=None),
    published_at=None,
    retry_count=_J.retry_count + bindparam("counted"),
    error=bindparam("why"),
)
_BURY = _attempts_own(
    JobStatus.FAILED, retry_count=_J.retry_count + 1, error=bindparam("why"), dead_at=now()
)
_END = _attempts_own(JobStatus.CANCELLED, error=bindparam("why"))
_CURRENT = select(
    _J.attempt, _J.status, _J.retry_count, _J.max_retries, _J.retry_base
).where(_J.id == bindparam("job"))


def complete_job(connection: Connection, job_id: str, attempt: int, result: Any) -> None:
    """Record the result of an attempt.

    Raises:
        LeaseLostError: The attempt is no longer the job's current one.
    """
    _apply(connection, _COMPLETE, job_id, attempt, outcome=result)


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
    row = connection.execute(_CURRENT, {"job": job_id}).first()
    if row is None:
        raise UnknownJobError(f"no job {job_id}")
    policy = RetryPolicy(max_retries=row.max_retries, base=row.retry_base)
    failures = row.retry_count + 1
    if permanent or policy.gives_up_after(failures):
        _apply(connection, _BURY, job_id, attempt, why=bounded(error))
        return False
    seconds = policy.wait_after(failures, uniform=uniform) if wait is None else wait
    _apply(connection, _AGAIN, job_id, attempt, why=bounded(error), wait=seconds, counted=1)
    return True


def snooze_job(
    connection: Connection, job_id: str, attempt: int, seconds: float, reason: str
) -> None:
    """Put the job back for later without counting a failure.

    Raises:
        LeaseLostError: The attempt is no longer the job's current one.
    """
    _apply(connection, _AGAIN, job_id, attempt, why=bounded(reason), wait=seconds, counted=0)


def end_job(connection: Connection, job_id: str, attempt: int, reason: str) -> None:
    """Cancel the job from inside its attempt.

    Raises:
        LeaseLostError: The attempt is no longer the job's current one.
    """
    _apply(connection, _END, job_id, attempt, why=bounded(reason))


def check_lease(connection: Connection, job_id: str, attempt: int) -> None:
    """The fence: call it right before an effect outside the ledger.

    Raises:
        LeaseLostError: The attempt is no longer the job's current one.
    """
    row = connection.execute(_CURRENT, {"job": job_id}).first()
    if row is None or row.status != JobStatus.PROCESSING or row.attempt != attempt:
        raise _lost(job_id, attempt, row)


def _apply(
    connection: Connection, statement: Update, job_id: str, attempt: int, **values: Any
) -> None:
    values |= {"job": job_id, "of_attempt": attempt}
    if connection.execute(statement, values).rowcount != 1:
        raise _lost(job_id, attempt, connection.execute(_CURRENT, {"job": job_id}).first())


def _lost(job_id: str, attempt: int, row: Row[Any] | None) -> LeaseLostError:
    if row is None:
        return LeaseLostError(f"job {job_id} is not in the ledger")
    return LeaseLostError(
        f"attempt {attempt} of job {job_id} is over: the job is {row.status} in attempt {row.attempt}"
    )


# --- moves from outside -----------------------------------------------------------------------

_CANCEL = (
    update(jobs)
    .where(_J.id == bindparam("job"), _J.status.in_(sources(JobStatus.CANCELLED)))
    .values(
        status=JobStatus.CANCELLED, lease_until=None, dead_at=None,
        error=bindparam("why"), status_updated_at=now(),
    )
)  # fmt: skip
_REVIVE = (
    update(jobs)
    .where(_J.id == bindparam("job"), _J.status.in_((JobStatus.FAILED, JobStatus.CANCELLED)))
    .values(
        status=JobStatus.PENDING, retry_count=0, backoff_until=None, published_at=None,
        dead_at=None, error=None, worker=None, status_updated_at=now(),
    )
)  # fmt: skip
_UNBLOCK = (
    update(jobs)
    .where(_J.id == bindparam("job"), _J.status == JobStatus.BLOCKED)
    .values(
        status=JobStatus.PENDING,
        published_at=case((bindparam("publish") > 0, now()), else_=None),
        status_updated_at=now(),
    )
)
_MARK_DEAD = (
    update(jobs)
    .where(_J.id == bindparam("job"))
    .values(dead_at=case((bindparam("dead") > 0, now()), else_=None))
)


def cancel_job(connection: Connection, job_id: str, reason: str) -> None:
    """End a job that has not ended; a running attempt loses its lease.

    A dead letter is cancelled too: that is its discard.

    Raises:
        UnknownJobError: No such job.
        IllegalMoveError: It has ended already.
    """
    _move(connection, _CANCEL, job_id, JobStatus.CANCELLED, why=bounded(reason))


def revive_job(connection: Connection, job_id: str) -> None:
    """Give a failed or cancelled job all its attempts back.

    Raises:
        UnknownJobError: No such job.
        IllegalMoveError: It has not failed.
    """
    _move(connection, _REVIVE, job_id, JobStatus.PENDING)


def unblock_job(connection: Connection, job_id: str, *, published: bool = False) -> None:
    """Let a blocked job start; `published` as in `submit`.

    Raises:
        UnknownJobError: No such job.
        IllegalMoveError: It is not blocked.
    """
    _move(connection, _UNBLOCK, job_id, JobStatus.PENDING, publish=int(published))


def mark_dead_letter(connection: Connection, job_id: str, *, dead: bool) -> None:
    """List a job that ended among the dead letters, or take it off that list."""
    connection.execute(_MARK_DEAD, {"job": job_id, "dead": int(dead)})


def _move(
    connection: Connection, statement: Update, job_id: str, target: JobStatus, **values: Any
) -> None:
    if connection.execute(statement, {"job": job_id, **values}).rowcount == 1:
        return
    row = connection.execute(_CURRENT, {"job": job_id}).first()
    if row is None:
        raise UnknownJobError(f"no job {job_id}")
    raise IllegalMoveError(f"job {job_id} is {row.status} and cannot become {target}")


# --- looking ----------------------------------------------------------------------------------


def find_job(connection: Connection, job_id: str) -> dict[str, Any]:
    """The whole row of a job.

    Raises:
        UnknownJobError: No such job.
    """
    row = connection.execute(select(jobs).where(_J.id == job_id)).mappings().first()
    if row is None:
        raise UnknownJobError(f"no job {job_id}")
    return dict(row)


def list_jobs(
    connection: Connection,
    *,
    where: Mapping[str, str] | None = None,
    dead: bool = False,
    limit: int = 100,
    before: int | None = None,
) -> tuple[dict[str, Any], ...]:
    """Jobs, newest first.

    Args:
        connection: A connection.
        where: Column names and the values they must have (`lane`, `status`, `plan_id`, …).
        dead: Dead letters only.
        limit: At most so many.
        before: Only jobs with a lower `seq`: the next page.
    """
    statement = select(jobs).order_by(_J.seq.desc()).limit(limit)
    for name, value in (where or {}).items():
        statement = statement.where(_J[name] == value)
    if dead:
        statement = statement.where(_J.dead_at.is_not(None))
    if before is not None:
        statement = statement.where(_J.seq < before)
    return tuple(dict(row) for row in connection.execute(statement).mappings())


def results_of(connection: Connection, job_ids: Iterable[str]) -> dict[str, Row[Any]]:
    """Status, result and error of these jobs, by id; unknown ids are absent."""
    statement = select(
        _J.id, _J.status, _J.result, _J.error, _J.attempt, _J.retry_count, _J.status_updated_at
    ).where(_J.id.in_(list(job_ids)))
    return {row.id: row for row in connection.execute(statement)}
