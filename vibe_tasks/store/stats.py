"""Figures of the queue: how much waits where, and for how long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection, func, or_, select

from vibe_tasks.jobs import JobStatus
from vibe_tasks.store.engine import now
from vibe_tasks.store.schema import has_status, jobs

_J = jobs.c


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStats:
    """The queue at one moment.

    Attributes:
        lanes: For each lane with jobs, the number of jobs by status.
        oldest_pending_seconds: For each lane with due jobs, how long the oldest has been due.
        dead_letters: Jobs in the dead-letter view.
        due: For each lane with due jobs, how many they are.
    """

    lanes: Mapping[str, Mapping[str, int]]
    oldest_pending_seconds: Mapping[str, float]
    dead_letters: int
    due: Mapping[str, int] = field(default_factory=dict)

    @property
    def by_status(self) -> dict[str, int]:
        """Jobs by status over all lanes; every status is named."""
        total = {str(status): 0 for status in JobStatus}
        for counts in self.lanes.values():
            for status, count in counts.items():
                total[status] += count
        return total


def get_queue_stats(connection: Connection, *, lane: str | None = None) -> QueueStats:
    """Counts by lane and status, and the age of each lane's oldest due job."""
    counts = select(_J.lane, _J.status, func.count()).group_by(_J.lane, _J.status)
    # A job is due since its status last changed: when it was submitted, returned or unblocked.
    oldest = (
        select(
            _J.lane,
            now() - func.min(func.coalesce(_J.backoff_until, _J.status_updated_at)),
            func.count(),
        )
        .where(
            has_status(JobStatus.PENDING),
            or_(_J.backoff_until.is_(None), _J.backoff_until <= now()),
        )
        .group_by(_J.lane)
    )
    dead = select(func.count()).select_from(jobs).where(_J.dead_at.is_not(None))
    if lane is not None:
        counts = counts.where(_J.lane == lane)
        oldest = oldest.where(_J.lane == lane)
        dead = dead.where(_J.lane == lane)
    lanes: dict[str, dict[str, int]] = {}
    for name, status, number in connection.execute(counts):
        lanes.setdefault(name, {})[status] = number
    waiting = connection.execute(oldest).all()
    return QueueStats(
        lanes=lanes,
        oldest_pending_seconds={name: max(0.0, float(age)) for name, age, _ in waiting},
        dead_letters=connection.execute(dead).scalar_one(),
        due={name: number for name, _, number in waiting},
    )
