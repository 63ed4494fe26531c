"""Jobs whose deadline passed before they ever started; the claim refuses them from that moment."""

from __future__ import annotations

from sqlalchemy import Connection, and_, bindparam, literal_column, null, select, update

from vibe_tasks.jobs import JobStatus
from vibe_tasks.store.engine import now
from vibe_tasks.store.redacting import kept_text
from vibe_tasks.store.schema import has_status, jobs, status
from vibe_tasks.store.statement import Statement

_J = jobs.c
_JOB = bindparam("job", type_=_J.id.type)
# In the words of the partial index.
_LATE = and_(has_status(JobStatus.PENDING), _J.attempt == literal_column("0"), _J.start_by <= now())
_ALL_LATE = select(_J.id).where(_LATE).order_by(_J.start_by).limit(bindparam("most"))
_IS_LATE = Statement(select(_J.id).where(_J.id == _JOB, _LATE))
_EXPIRE = Statement(
    update(jobs)
    .where(_J.id == _JOB, _LATE)
    .values(
        status=status(JobStatus.CANCELLED),
        error=bindparam("why", type_=_J.error.type),
        held_at=null(),
        held_for=null(),
        status_updated_at=now(),
    )
)


def late_jobs(connection: Connection, *, most: int = 100) -> tuple[str, ...]:
    """Jobs that have not started by their deadline, longest ago first."""
    return tuple(connection.execute(_ALL_LATE, {"most": most}).scalars())


def is_late(connection: Connection, job_id: str) -> bool:
    """Whether this job waits, has never started, and its deadline has passed."""
    return _IS_LATE.first(connection, {"job": job_id}) is not None


def expire_job(connection: Connection, job_id: str, reason: str) -> bool:
    """Cancel a job that is late; False where it is not."""
    return _EXPIRE.count(connection, {"job": job_id, "why": kept_text(connection, reason)}) == 1
