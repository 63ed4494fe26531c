"""Leases: how a running attempt keeps its job, and what happens when it stops doing so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, select, update

from vibe_tasks.jobs import JobStatus
from vibe_tasks.store.engine import now
from vibe_tasks.store.schema import jobs

_J = jobs.c
_RENEW = (
    update(jobs)
    .where(
        _J.id == bindparam("job"),
        _J.status == JobStatus.PROCESSING,
        _J.worker == bindparam("by"),
    )
    .values(lease_until=now() + bindparam("lease"))
)
_HELD = (_J.id, _J.attempt, _J.worker, _J.name)
_EXPIRED = (
    select(*_HELD)
    .where(_J.status == JobStatus.PROCESSING, _J.lease_until < now())
    .order_by(_J.lease_until)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_HELD_BY = select(*_HELD).where(
    _J.status == JobStatus.PROCESSING, _J.worker == bindparam("by")
)


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
    rows = [{"job": job_id, "by": worker, "lease": lease} for job_id in job_ids]
    return connection.execute(_RENEW, rows).rowcount if rows else 0


def expired(connection: Connection, *, most: int = 100) -> tuple[Held, ...]:
    """Jobs whose lease has run out, longest ago first, locked for this transaction."""
    return _held(connection.execute(_EXPIRED, {"most": most}))


def held_by(connection: Connection, worker: str) -> tuple[Held, ...]:
    """Jobs that this worker holds."""
    return _held(connection.execute(_HELD_BY, {"by": worker}))


def _held(rows: Iterable[object]) -> tuple[Held, ...]:
    return tuple(
        Held(id=row.id, attempt=row.attempt, worker=row.worker or "", name=row.name)  # type: ignore[attr-defined]
        for row in rows
    )
