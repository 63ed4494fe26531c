"""Deploy jobs: exactly the approved commit is merged into the plan's branch, once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vibe_tasks.errors import TransientError
from vibe_tasks.flow.quality import summary_of
from vibe_tasks.flow.workplace import Bench, Following
from vibe_tasks.pipeline import Outcome
from vibe_tasks.workspace.checks import run_checks
from vibe_tasks.workspace.merge import MergeConflict, merge
from vibe_tasks.workspace.worktree import checkout


def deploy(bench: Bench) -> tuple[Mapping[str, Any], Following]:
    """Merge the commit and run the plan's command; a conflict goes back for a fix.

    Killed at any point it can be done again: a commit that is on the branch already is not
    merged a second time.

    Raises:
        TransientError: The command after the merge failed.
        PermanentError: The branch is gone, and with it what was merged.
        LeaseLostError: The attempt is no longer the job's current one.
    """
    task = bench.spec["task"]
    subject = task["title"] or f"Task {task['id']}"
    message = f"Merge {task['id']}: {subject}\n\nVibe-Job: {bench.claim.id}\n"
    if bench.repository.branch_commit(bench.plan["branch"]) is None:
        start = bench.tip()
        bench.fence()
        bench.repository.create_branch(bench.plan["branch"], start)
    try:
        merged = merge(
            bench.repository, branch=bench.plan["branch"], commit=bench.commit,
            message=message, fence=bench.fence,
        )  # fmt: skip
    except MergeConflict as conflict:
        summary = f"does not merge: conflict in {', '.join(conflict.paths)}"
        report = {
            "summary": summary,
            "commit": bench.commit,
            "conflict": {"paths": list(conflict.paths), "text": conflict.text},
        }
        return bench.finish(
            {"merged": False, **report}, Outcome.CONFLICT, commit=bench.commit, report=report
        )
    _after(bench, merged.commit)
    return bench.finish(
        {"merged": True, "commit": bench.commit, "merge_commit": merged.commit},
        Outcome.DONE,
        commit=bench.commit,
    )


def _after(bench: Bench, commit: str) -> None:
    command = bench.spec["deploy_command"]
    if command is None:
        return
    with checkout(bench.repository, commit, bench.worktree) as tree:
        bench.fence()  # a merge that was there already has asked for none
        results = run_checks(
            [command], cwd=tree.path, env=bench.place.child_environment(),
            timeout=bench.spec["qa_timeout"], log=bench.scratch / "deploy.log",
        )  # fmt: skip
    if not results[0].passed:
        raise TransientError(f"deploy command: {summary_of(results)}\n{results[0].output}")
