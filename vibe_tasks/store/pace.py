"""How long the jobs of a lane take, as those show that ended last."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from vibe_tasks.jobs import JobStatus
from vibe_tasks.store.schema import has_status, job_history, jobs

_J, _H = jobs.c, job_history.c

MOVES = 500
"""Moves of the ledger that are looked through, those of all lanes: a lane that ended nothing among
them has no pace. So the query costs the same on every ledger."""

JOBS = 50
"""Jobs that are enough."""


def job_seconds(connection: Connection, lane: str) -> float | None:
    """The mean length of the lane's latest completed jobs, in seconds; None where none is among
    the latest moves. Of a job that was tried again the last attempt counts.
    """
    latest = select(_H.id, _H.job_id, _H.status).order_by(_H.id.desc()).limit(MOVES).subquery()
    lengths = (
        select((_J.status_updated_at - _J.started_at).label("seconds"))
        .join(latest, latest.c.job_id == _J.id)
        .where(
            latest.c.status == JobStatus.COMPLETED, _J.lane == lane,
            has_status(JobStatus.COMPLETED), _J.started_at.is_not(None),
        )
        .order_by(latest.c.id.desc())
        .limit(JOBS)
        .subquery()
    )  # fmt: skip
    mean = connection.execute(select(func.avg(lengths.c.seconds))).scalar_one()
    return None if mean is None else max(0.0, float(mean))
