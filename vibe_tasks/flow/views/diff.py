"""What a job of a plan has changed, or is to judge or merge."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vibe_tasks.errors import UnknownJobError
from vibe_tasks.flow.workplace import repository_of
from vibe_tasks.pipeline import JobKind
from vibe_tasks.store import job_rows, plans
from vibe_tasks.store.engine import Database, Transaction
from vibe_tasks.store.job_archive import job_anywhere, list_archived
from vibe_tasks.workspace.change import Change, change_of


def diff_of(ledger: Database, job_id: str, *, home: Path) -> Change:
    """The job's commit against its base: of dev and fix what they have changed, of other jobs all
    that their task has changed since it began.

    Args:
        ledger: The ledger.
        job_id: The job's id, or the beginning of it.
        home: This host's.

    Raises:
        UnknownJobError: No such job, or it has no commit.
        RepositoryError: The repository is gone, or on another host.
        GitError: git failed, or the remote cannot be reached.
    """
    with ledger.read() as connection:
        row = job_anywhere(connection, job_id)
        commit = _commit(row)
        if row["plan_id"] is None or commit is None:
            raise UnknownJobError(f"job {row['id']} has no commit")
        plan = plans.plan_heading(connection, row["plan_id"])
        began = _base(connection, row)
    repository = repository_of(plan, home)
    repository.bring(commit)
    return change_of(repository, onto=began or str(plan["base_commit"]), commit=commit)


def _commit(row: Mapping[str, Any]) -> str | None:
    result = row["result"] if isinstance(row["result"], Mapping) else {}
    if row["kind"] in {JobKind.DEV, JobKind.FIX}:
        found = result.get("commit")
    else:
        found = row["args"]["kwargs"].get("commit")
    return found if isinstance(found, str) else None


def _base(connection: Transaction, row: Mapping[str, Any]) -> str | None:
    """Where the change began; None where nobody noted it, such as a worker outside."""
    kind = row["kind"] if row["kind"] in {JobKind.DEV, JobKind.FIX} else str(JobKind.DEV)
    where = {"plan_id": row["plan_id"], "task_id": row["task_id"], "kind": kind}
    made = list_archived if "archived_at" in row else job_rows.list_jobs
    own = [row] if kind == row["kind"] else made(connection, where=where, limit=100)
    for each in own:
        result = each["result"] if isinstance(each["result"], Mapping) else {}
        if isinstance(result.get("base"), str):
            return str(result["base"])
    return None
