"""Leases: how a running attempt keeps its job, and what happens when it stops doing so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, select, update

from vibe_tasks.jobs import JobStatus
from vibe_tasks.store.engine import now
from vibe_tasks.store.schema import has_status, jobs
from vibe_tasks.store.statement import Statement

_J = jobs.c
_BY = bindparam("by", type_=_J.worker.type)
_RUNNING = has_status(JobStatus.PROCESSING)
_RENEW = Statement(
    update(jobs)
    .where(_J.id == bindparam("job", type_=_J.id.type), _RUNNING, _J.worker == _BY)
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


def renew(connection: Connection, worker: str, job_ids: Sequence[str], *, lease: float) -> int:
    """Renew the leases of these jobs where this worker still holds them; how many."""
    # In one order everywhere: two transactions that share two rows must not lock crosswise.
    rows = [{"job": job_id, "by": worker, "lease": float(lease)} for job_id in sorted(job_ids)]
    return _RENEW.many(connection, rows) if rows else 0


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
