"""Figures of the queue: how much waits where, and for how long."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection, func, select

from vibe_tasks.jobs import JobStatus
from vibe_tasks.store import counts
from vibe_tasks.store.schema import jobs

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
        for numbers in self.lanes.values():
            for status, count in numbers.items():
                total[status] += count
        return total


def get_queue_stats(connection: Connection, *, lane: str | None = None) -> QueueStats:
    """Counts by lane and status, and the age of each lane's oldest due job."""
    live, ended = select(counts.LIVE), counts.ENDED
    dead = select(func.count()).select_from(jobs).where(_J.dead_at.is_not(None))
    if lane is not None:
        live = live.where(counts.LIVE.c.lane == lane)
        ended = ended.where(_J.lane == lane)
        dead = dead.where(_J.lane == lane)
    lanes: dict[str, Counter[str]] = defaultdict(Counter)
    due: Counter[str] = Counter()
    oldest: dict[str, float] = {}
    for name, status, number in connection.execute(ended):
        lanes[name][status] = number
    for name, part, number, age in connection.execute(live):
        lanes[name][JobStatus.PENDING if part in counts.PENDING else part] += number
        if part in counts.DUE:
            due[name] += number
            oldest[name] = max(oldest.get(name, 0.0), float(age))
    return QueueStats(
        lanes=lanes,
        oldest_pending_seconds=oldest,
        dead_letters=connection.execute(dead).scalar_one(),
        due=due,
    )
