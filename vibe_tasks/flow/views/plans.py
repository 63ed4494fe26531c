"""Plans as people see them: in listings, and one with its tasks and what it waits for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vibe_tasks.errors import GitError, RepositoryError
from vibe_tasks.flow.approval import waiting
from vibe_tasks.flow.report import run_report
from vibe_tasks.flow.views.asking import asked
from vibe_tasks.flow.views.lacking import lacking
from vibe_tasks.flow.workplace import repository_of
from vibe_tasks.jobs import JobStatus
from vibe_tasks.masking import masked
from vibe_tasks.pipeline import JobKind
from vibe_tasks.settings import Settings
from vibe_tasks.store import job_rows, plans, watching
from vibe_tasks.store.engine import Database, Transaction
from vibe_tasks.store.plan_list import list_plans
from vibe_tasks.store.plans import plan_heading
from vibe_tasks.store.watching import TaskView

MOST_APPROVALS = 1_000
"""Waiting deploys that are told of at once."""


def listed(
    connection: Transaction, *, limit: int, before: tuple[float, str] | None = None
) -> list[dict[str, Any]]:
    """Plans, newest first, each with how many of its `tasks` have each status.

    Args:
        connection: A connection.
        limit: At most so many.
        before: Only those that come after the one with this `created_at` and `id`: the next page.
    """
    return [
        {**row, "remote": masked(row["remote"]), "tasks": plans.task_counts(connection, row["id"])}
        for row in list_plans(connection, limit=limit, before=before)
    ]


def report_of(ledger: Database, plan_id: str, *, home: Path, branch: bool = True) -> dict[str, Any]:
    """The run report of a plan, with where its branch stands now.

    Args:
        ledger: The ledger.
        plan_id: The plan.
        home: This host's.
        branch: Whether to ask git where the branch stands; else it is None.

    Raises:
        UnknownJobError: No such plan.
    """
    with ledger.read() as connection:
        plan = plan_heading(connection, plan_id)
        try:
            commit = _tip(plan, home) if branch else None
        except (RepositoryError, GitError, OSError):  # the plan may be older than its repository
            commit = None
        return run_report(connection, plan_id, commit=commit)


def _tip(plan: Mapping[str, Any], home: Path) -> str | None:
    """Where the plan's branch stands. One that was replaced and whose branch was not there to be
    set aside has none: the name is its successor's.
    """
    if plan["status"] == "replaced" and plan["branch"] == f"vibe/{plan['name']}":
        return None
    return repository_of(plan, home).glance(plan["branch"])


def shown(
    ledger: Database, plan: str, *, settings: Settings, home: Path, start: str | None = None,
    program: str = "vibe", branch: bool = True,
) -> dict[str, Any]:  # fmt: skip
    """Everything of a plan: its report, its tasks with what they need and their latest jobs, and
    what waits for a person.

    Args:
        ledger: The ledger.
        plan: The plan's id or name.
        settings: The settings.
        home: This host's.
        start: The command that starts its worker; None where workers may come to a stack that runs.
        program: The word that starts this program.
        branch: Whether to ask git where the plan's branch stands.

    Raises:
        UnknownJobError: No such plan.
    """
    with ledger.read() as connection:
        found = plans.find_plan(connection, plan)
        plan_id = found["id"]
        board = {task.id: task for task in watching.plan_board(connection, plan_id)}
        reasons = watching.priorities_of(connection, plan_id)
        needs = watching.needs_of(connection, plan_id)
        working = bool(watching.workers_online(connection, lease=settings.lease_seconds))
        waits = asked(connection, plan_id, found["name"], program=program)
        lacks = lacking(connection, plan_id, settings=settings, start=start)
    report = report_of(ledger, plan_id, home=home, branch=branch)
    return {
        "id": plan_id, "status": found["status"], "repo": found["repo"],
        "remote": masked(found["remote"]), "base_commit": found["base_commit"],
        "created_at": found["created_at"], "ended_at": found["ended_at"],
        "workers_online": working, "waits": (*waits, *lacks), **report,
        "tasks": [
            {
                **task, "title": board[task["id"]].title,
                "effort": board[task["id"]].effort, "needs": needs.get(task["id"], ()),
                **reasons[task["id"]], "job": _latest(board[task["id"]]),
            }
            for task in report["tasks"]
        ],
    }  # fmt: skip


def _latest(task: TaskView) -> dict[str, Any] | None:
    """The task's latest job, as JSON values; None where it has none yet."""
    if task.job_id is None:
        return None
    return {
        "id": task.job_id, "kind": task.kind, "status": task.job_status, "attempt": task.attempt,
        "elapsed": task.elapsed, "wait": task.wait, "error": task.job_error, "seats": task.seats,
        "votes": task.votes, "reused": task.reused,
    }  # fmt: skip


def approvals(connection: Transaction) -> list[dict[str, Any]]:
    """The deploys of all plans that wait for a person, each with its plan's id and name."""
    blocked = {"kind": str(JobKind.DEPLOY), "status": str(JobStatus.BLOCKED)}
    rows = job_rows.list_jobs(connection, where=blocked, limit=MOST_APPROVALS)
    found = []
    for plan_id in sorted({row["plan_id"] for row in rows if row["plan_id"] is not None}):
        name = plan_heading(connection, plan_id)["name"]
        found += [
            {"plan_id": plan_id, "plan": name, **asdict(each)}
            for each in waiting(connection, plan_id)
        ]
    return found
