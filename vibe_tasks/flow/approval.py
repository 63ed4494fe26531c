"""Deploys that wait for a person: which they are, and what each would merge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vibe_tasks.flow.workplace import repository_of
from vibe_tasks.jobs import JobStatus
from vibe_tasks.pipeline import JobKind
from vibe_tasks.store import jobs, plans
from vibe_tasks.store.engine import Transaction
from vibe_tasks.workspace.change import Change, change_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A deploy that waits.

    Attributes:
        job_id: The deploy.
        task_id: The task.
        title: The task's title.
        commit: What qa has passed.
    """

    job_id: str
    task_id: str
    title: str
    commit: str


def waiting(
    connection: Transaction, plan_id: str, task_id: str | None = None
) -> tuple[Waiting, ...]:
    """The deploys that wait, of one task or of the whole plan, in the plan's order."""
    found = {
        job["task_id"]: str(job["id"])
        for job in plans.live_jobs(connection, plan_id, task_id)
        if job["kind"] == JobKind.DEPLOY and job["status"] == JobStatus.BLOCKED
    }
    return tuple(
        Waiting(
            job_id=found[task["id"]], task_id=task["id"], title=task["title"],
            commit=_commit(connection, found[task["id"]]),
        )
        for task in plans.tasks_of(connection, plan_id)
        if task["id"] in found
    )  # fmt: skip


def difference(plan: Mapping[str, Any], deploy: Waiting, *, home: Path) -> Change:
    """What a deploy would bring to the plan's branch as it is now.

    Args:
        plan: The plan's row.
        deploy: The deploy.
        home: This host's.

    Raises:
        RepositoryError: The repository is gone, or on another host.
        GitError: git failed, or the remote cannot be reached.
    """
    repository = repository_of(plan, home)
    onto = repository.branch_commit(plan["branch"]) or plan["base_commit"]
    repository.bring(deploy.commit)
    return change_of(repository, onto=onto, commit=deploy.commit)


def _commit(connection: Transaction, job_id: str) -> str:
    return str(jobs.find_job(connection, job_id)["args"]["kwargs"]["commit"])
