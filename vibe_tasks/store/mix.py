"""How much of the work is development and how much mends what failed."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from vibe_tasks.pipeline import JobKind
from vibe_tasks.store.schema import jobs

_J = jobs.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """Jobs of plans that were started, in all lanes and for as long as the ledger keeps them.

    Source: phase-1.6-components, UnifiedWorkerPool.

    Attributes:
        dev_tasks: Those that develop.
        fix_tasks: Those that mend what a check found.
    """

    dev_tasks: int = 0
    fix_tasks: int = 0

    @property
    def dev_percentage(self) -> float:
        """Development's share of both, in percent with one decimal; 0.0 where there is none."""
        return _percentage(self.dev_tasks, self.dev_tasks + self.fix_tasks)

    @property
    def fix_percentage(self) -> float:
        """The fixes' share of both, in percent with one decimal; 0.0 where there is none."""
        return _percentage(self.fix_tasks, self.dev_tasks + self.fix_tasks)

    def to_json(self) -> dict[str, float]:
        """The figures by name."""
        return {
            "dev_tasks": self.dev_tasks, "fix_tasks": self.fix_tasks,
            "dev_percentage": self.dev_percentage, "fix_percentage": self.fix_percentage,
        }  # fmt: skip


def mix(connection: Connection) -> Mix:
    """What the ledger knows of both; it reads the jobs of plans alone."""
    wanted = (
        select(_J.kind, func.count())
        .where(_J.plan_id.is_not(None), _J.kind.in_([JobKind.DEV, JobKind.FIX]), _J.attempt > 0)
        .group_by(_J.kind)
    )
    found = {row[0]: int(row[1]) for row in connection.execute(wanted)}
    return Mix(dev_tasks=found.get(JobKind.DEV, 0), fix_tasks=found.get(JobKind.FIX, 0))


def _percentage(part: int, whole: int) -> float:
    return round(100 * part / whole, 1) if whole else 0.0
