"""Leases: how a running attempt keeps its job, and what happens when it stops doing so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, not_, select, update

from vibe_tasks.jobs import JobStatus
from vibe_tasks.store.engine import now
from vibe_tasks.store.schema import has_status, jobs
from vibe_tasks.store.statement import Statement

_J = jobs.c
_BY = bindparam("by", type_=_J.worker.type)
_RUNNING = has_status(JobStatus.PROCESSING)
_RENEW = Statement(
    update(jobs)
    .where(
        _J.id == bindparam("job", type_=_J.id.type),
        _RUNNING,
        _J.attempt == bindparam("of_attempt", type_=_J.attempt.type),
    )
    .values(lease_until=now() + bindparam("lease"))
)
_HELD = (_J.id, _J.attempt, _J.worker, _J.name)
_EXPIRED = (
    select(*_HELD)
    .where(_RUNNING, _J.lease_until < now())
    .order_by(_J.lease_until)
    .limit(bindparam("most"))
)
_LATE = (
    select(_J.seq)
    .where(
        _J.id == bindparam("job"),
        _J.attempt == bindparam("of_attempt"),
        _RUNNING,
        _J.lease_until < now(),
    )
    .with_for_update()
)
_AT_ONCE = 500
"""Jobs in one query; both databases bound the parameters of a statement."""
_HELD_BY = select(*_HELD).where(_RUNNING, _J.worker == _BY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A job in somebody's hands.

    Attributes:
        id: The job.
        attempt: Its current attempt.
        worker: Who holds it.
        name: Its Celery task.
    """

    id: str
    attempt: int
    worker: str
    name: str


def renew(
    connection: Connection, attempts: Iterable[tuple[str, int]], *, lease: float
) -> frozenset[tuple[str, int]]:
    """Renew the leases of these attempts; those that were taken away.

    One that has completed was not: its process is about to notice that it is done.

    Args:
        connection: A writing transaction.
        attempts: Jobs, each with the number of the attempt.
        lease: Seconds from now until the leases end without another heartbeat.
    """
    # In one order everywhere: two transactions that share two rows must not lock crosswise.
    held = sorted(set(attempts))
    rows = [{"job": job, "of_attempt": number, "lease": float(lease)} for job, number in held]
    if not rows or _RENEW.many(connection, rows) == len(rows):
        return frozenset()
    kept = has_status(JobStatus.PROCESSING, JobStatus.COMPLETED)
    taken = set(held)
    for start in range(0, len(held), _AT_ONCE):
        some = [job for job, _ in held[start : start + _AT_ONCE]]
        found = connection.execute(select(_J.id, _J.attempt).where(_J.id.in_(some), kept))
        taken -= {(row.id, row.attempt) for row in found}
    return frozenset(taken)


def expired(connection: Connection, *, most: int = 100) -> tuple[Held, ...]:
    """Jobs whose lease has run out, longest ago first."""
    return _held(connection.execute(_EXPIRED, {"most": most}))


def is_expired(connection: Connection, job_id: str, attempt: int) -> bool:
    """Whether this attempt still runs and its lease has run out; the row is locked."""
    return connection.execute(_LATE, {"job": job_id, "of_attempt": attempt}).first() is not None


def held_by(connection: Connection, worker: str) -> tuple[Held, ...]:
    """Jobs that this worker holds."""
    return _held(connection.execute(_HELD_BY, {"by": worker}))


def _held(rows: Iterable[object]) -> tuple[Held, ...]:
    return tuple(
        Held(id=row.id, attempt=row.attempt, worker=row.worker or "", name=row.name)  # type: ignore[attr-defined]
        for row in rows
    )


def end_of(connection: Connection, job_id: str, attempt: int) -> tuple[str, str | None] | None:
    """Status and error of a job whose latest attempt was this one and is over; else None."""
    row = connection.execute(
        select(_J.status, _J.error).where(_J.id == job_id, _J.attempt == attempt, not_(_RUNNING))
    ).first()
    return None if row is None else (row.status, row.error)
