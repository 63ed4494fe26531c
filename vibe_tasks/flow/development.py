"""Dev and fix jobs: an agent changes a worktree, its changes become a commit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vibe_tasks.agents.agent import Answer
from vibe_tasks.errors import TransientError
from vibe_tasks.flow.engagement import engage
from vibe_tasks.flow.workplace import Bench, Following
from vibe_tasks.pipeline import JobKind, Outcome
from vibe_tasks.workspace.worktree import checkout


def develop(bench: Bench) -> tuple[Mapping[str, Any], Following]:
    """Run the task's agent for a dev or fix job and keep its change as a commit.

    A dev starts from the plan's branch as it is now, a fix from the commit that was refused;
    where that commit did not merge, from the merge with its conflicts left in the files.

    Raises:
        AttemptError: The agent failed, or left conflict markers.
        LeaseLostError: The attempt is no longer the job's current one.
    """
    fix = bench.claim.kind == JobKind.FIX
    report = bench.claim.kwargs.get("report") if fix else None
    start = bench.commit if fix else bench.tip()
    with checkout(bench.repository, start, bench.worktree) as tree:
        conflicted = tree.merge_in(bench.tip()) if report and report.get("conflict") else ()
        task = bench.spec["task"]
        answer = engage(
            bench, tree, agent=bench.spec["agent"], spec=bench.spec["agent_spec"],
            prompt=task["prompt"] or task["title"], report=report,
        )  # fmt: skip
        left = tree.unresolved(conflicted)
        if left:
            raise TransientError(f"conflict markers left in {', '.join(left)}")
        commit = tree.commit_all(_message(bench))
        # The commit must be on a ref before its worktree goes.
        bench.repository.pin(_ref(bench), commit)
    return bench.finish(_result(bench, answer, commit, start), Outcome.DONE, commit=commit)


def _message(bench: Bench) -> str:
    task = bench.spec["task"]
    subject = task["title"] or f"Task {task['id']}"
    if bench.claim.kind == JobKind.FIX:
        subject = f"{subject} (fix {bench.claim.round})"
    return (
        f"{subject}\n\nVibe-Plan: {bench.plan['name']}\nVibe-Task: {task['id']}\n"
        f"Vibe-Job: {bench.claim.id}\n"
    )


def _ref(bench: Bench) -> str:
    return f"refs/vibe/{bench.plan['name']}/{bench.mark}"


def _result(bench: Bench, answer: Answer, commit: str, start: str) -> dict[str, Any]:
    return {
        "branch": bench.plan["branch"],
        "commit": commit,
        "changed": commit != start,
        "summary": answer.summary,
        "input_tokens": answer.input_tokens,
        "output_tokens": answer.output_tokens,
        "cost_usd": answer.cost_usd,
    }
