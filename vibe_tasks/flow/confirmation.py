"""Merges that a plan's deploy command has not confirmed yet: they may still be taken back.

Nothing is built upon them. A commit that has one among its ancestors would bring it to the branch
again after it was taken back.
"""

from __future__ import annotations

from dataclasses import dataclass

from vibe_tasks.errors import UnknownJobError
from vibe_tasks.jobs import JobStatus
from vibe_tasks.pipeline import JobKind
from vibe_tasks.store import jobs
from vibe_tasks.store.engine import Database
from vibe_tasks.workspace.merge import origin_of
from vibe_tasks.workspace.repository import Repository


@dataclass(frozen=True, slots=True, kw_only=True)
class Unconfirmed:
    """A merge that may still be taken back.

    Attributes:
        before: Where the branch stood before it.
        job_id: The deploy that made it.
        task_id: What it deploys.
    """

    before: str
    job_id: str
    task_id: str


def unconfirmed(
    ledger: Database, repository: Repository, plan_id: str, tip: str
) -> Unconfirmed | None:
    """This commit, if it is a merge by a deploy of this plan that has not completed.

    Args:
        ledger: The ledger.
        repository: The plan's repository.
        plan_id: The plan.
        tip: A commit on its branch.
    """
    origin = origin_of(repository, tip)
    if origin.before is None or not origin.job_id:
        return None
    try:
        with ledger.read() as connection:
            row = jobs.find_job(connection, origin.job_id)
    except UnknownJobError:
        return None
    if row["plan_id"] != plan_id or row["kind"] != JobKind.DEPLOY:
        return None
    if row["status"] == JobStatus.COMPLETED:
        return None
    return Unconfirmed(before=origin.before, job_id=origin.job_id, task_id=str(row["task_id"]))
