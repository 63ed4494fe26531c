"""Jobs that were put off start now: for tests, which do not wait for retries."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, select, update

from vibe_tasks.jobs import JobStatus
from vibe_tasks.store.engine import now
from vibe_tasks.store.schema import has_status, jobs

_J = jobs.c


def hurry(connection: Connection, job_ids: Collection[str] | None = None) -> dict[str, float]:
    """Let jobs start now that wait for their time; the seconds that each would have waited.

    Their messages count as sent: the caller sends them.

    Args:
        connection: A writing transaction.
        job_ids: These alone; None: all that wait.
    """
    waits = [has_status(JobStatus.PENDING), _J.backoff_until.is_not(None)]
    if job_ids is not None:
        waits.append(_J.id.in_(sorted(job_ids)))
    found = connection.execute(
        select(_J.seq, _J.id, _J.backoff_until - now()).where(*waits).order_by(_J.id)
    ).all()
    if found:
        connection.execute(
            update(jobs)
            .where(_J.seq.in_([seq for seq, _, _ in found]))
            .values(backoff_until=None, published_at=now())
        )
    return {job_id: max(0.0, float(seconds)) for _, job_id, seconds in found}
