"""Moves of a job from outside of its attempts: cancelled, brought back, let go."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    case,
    literal_column,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from vibe_tasks.errors import IllegalMoveError, UnknownJobError
from vibe_tasks.jobs import ENDED, JobStatus, sources
from vibe_tasks.store.engine import now
from vibe_tasks.store.job_rows import find_job
from vibe_tasks.store.redacting import kept_text
from vibe_tasks.store.schema import has_status, jobs, status
from vibe_tasks.store.sealing import sealed
from vibe_tasks.store.statement import Statement

_J = jobs.c
_JOB = bindparam("job", type_=_J.id.type)
_WHY = bindparam("why", type_=_J.error.type)
_ZERO: ColumnElement[int] = literal_column("0")
_STATUS = Statement(select(_J.status).where(_J.id == _JOB))

_PUBLISHED = case((bindparam("publish") > _ZERO, now()), else_=null())


def _from_outside(target: JobStatus, *origins: JobStatus, **values: Any) -> Statement:
    return Statement(
        update(jobs)
        .where(_J.id == _JOB, has_status(*origins))
        .values(status=status(target), status_updated_at=now(), **values)
    )


_CANCEL = _from_outside(
    JobStatus.CANCELLED, *sources(JobStatus.CANCELLED),
    lease_until=null(), dead_at=null(), error=_WHY, held_at=null(), held_for=null(),
)  # fmt: skip
# A deadline that has passed would end it again at once.
_AS_NEW = {
    "retry_count": _ZERO, "backoff_until": null(), "published_at": null(), "dead_at": null(),
    "error": null(), "worker": null(), "start_by": null(), "held_at": null(), "held_for": null(),
}  # fmt: skip
_REVIVE = _from_outside(JobStatus.PENDING, JobStatus.FAILED, JobStatus.CANCELLED, **_AS_NEW)
_REVIVE_BLOCKED = _from_outside(JobStatus.BLOCKED, JobStatus.CANCELLED, **_AS_NEW)
_UNBLOCK = _from_outside(JobStatus.PENDING, JobStatus.BLOCKED, published_at=_PUBLISHED)
_MARK_DEAD = Statement(
    update(jobs)
    .where(_J.id == _JOB, has_status(*ENDED))
    .values(dead_at=case((bindparam("dead") > _ZERO, now()), else_=null()))
)


def cancel_job(connection: Connection, job_id: str, reason: str) -> None:
    """End a job that has not ended; a running attempt loses its lease.

    A dead letter is cancelled too: that is its discard.

    Raises:
        UnknownJobError: No such job.
        IllegalMoveError: It has ended already.
    """
    _move(connection, _CANCEL, job_id, JobStatus.CANCELLED, why=kept_text(connection, reason))


def revive_job(connection: Connection, job_id: str, *, blocked: bool = False) -> None:
    """Give a failed or cancelled job all its attempts back.

    Args:
        connection: A writing transaction.
        job_id: The job.
        blocked: It was cancelled before what it waits for had come: it waits again.

    Raises:
        UnknownJobError: No such job.
        IllegalMoveError: It has not failed and was not cancelled, or another job lives under its
            unique key.
    """
    try:
        if blocked:
            _move(connection, _REVIVE_BLOCKED, job_id, JobStatus.BLOCKED)
        else:
            _move(connection, _REVIVE, job_id, JobStatus.PENDING)
    except IntegrityError as error:
        raise IllegalMoveError(
            f"job {job_id} cannot come back while another live job has its unique key"
        ) from error


def unblock_job(connection: Connection, job_id: str, *, published: bool = False) -> None:
    """Let a blocked job start; `published` as in `submit`.

    Raises:
        UnknownJobError: No such job.
        IllegalMoveError: It is not blocked.
    """
    _move(connection, _UNBLOCK, job_id, JobStatus.PENDING, publish=int(published))


CHORD_ERROR = "ChordError: "
"""How the error of a chord's body begins that cannot run because of a member."""


def start_body(
    connection: Connection, job_id: str, results: list[Any] | None, *, lane: str
) -> bool:
    """Let the body of a chord start that waited for its members; whether it did.

    One that a person has cancelled stays so, and has its results should it be retried.

    Args:
        connection: A writing transaction; its caller sends the message.
        job_id: The body.
        results: Put before the body's other arguments, unless None.
        lane: Where a job of kind `follow` runs, which belongs to no lane.

    Raises:
        UnknownJobError: No such job.
    """
    row = find_job(connection, job_id)
    values: dict[str, Any] = {"lane": lane} if row["kind"] == "follow" else {}
    if results is not None:
        given = {**row["args"], "args": [results, *row["args"]["args"]]}
        values["args"] = sealed(connection, given)
    if values:
        connection.execute(
            update(jobs)
            .where(_J.id == job_id, has_status(JobStatus.BLOCKED, JobStatus.CANCELLED))
            .values(values)
        )
    failed = and_(has_status(JobStatus.CANCELLED), _J.error.startswith(CHORD_ERROR))
    started = connection.execute(
        update(jobs)
        .where(_J.id == job_id, or_(has_status(JobStatus.BLOCKED), failed))
        .values(
            status=status(JobStatus.PENDING), error=None, published_at=now(),
            status_updated_at=now(),
        )
    )  # fmt: skip
    return started.rowcount == 1


def lock_job(connection: Connection, job_id: str) -> None:
    """Keep others from moving this job until the end of the transaction; SQLite has one writer."""
    connection.execute(select(_J.seq).where(_J.id == job_id).with_for_update())


def wake(connection: Connection, why: str) -> int:
    """Let jobs start now that were put off for this reason; how many. The dispatcher sends them.

    Args:
        connection: A writing transaction.
        why: The end of what was written as their error when they were put off.
    """
    waiting = (
        select(_J.seq)
        .where(has_status(JobStatus.PENDING), _J.backoff_until.is_not(None),
               _J.error.endswith(why, autoescape=True))
        .order_by(_J.id)
        .with_for_update(skip_locked=True)
    )  # fmt: skip
    found = connection.execute(waiting).scalars().all()
    if found:
        connection.execute(
            update(jobs).where(_J.seq.in_(found)).values(backoff_until=null(), published_at=null())
        )
    return len(found)


def mark_dead_letter(connection: Connection, job_id: str, *, dead: bool) -> None:
    """List a job that ended among the dead letters, or take it off that list."""
    _MARK_DEAD.count(connection, {"job": job_id, "dead": int(dead)})


def _move(
    connection: Connection, statement: Statement, job_id: str, target: JobStatus, **values: Any
) -> None:
    if statement.count(connection, {"job": job_id, **values}) == 1:
        return
    row = _STATUS.first(connection, {"job": job_id})
    if row is None:
        raise UnknownJobError(f"no job {job_id}")
    raise IllegalMoveError(f"job {job_id} is {row[0]} and cannot become {target}")
