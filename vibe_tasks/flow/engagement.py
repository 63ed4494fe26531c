"""Setting an agent to work: the one way from a job to an agent and back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from vibe_tasks.agents.agent import Answer, Assignment
from vibe_tasks.agents.build import build_agent
from vibe_tasks.flow.workplace import Bench
from vibe_tasks.plan import AgentSpec
from vibe_tasks.workspace.worktree import Worktree

_SPEC: TypeAdapter[Any] = TypeAdapter(AgentSpec)


def engage(
    bench: Bench,
    tree: Worktree,
    *,
    agent: str,
    spec: Mapping[str, Any],
    prompt: str,
    report: Mapping[str, Any] | None = None,
) -> Answer:
    """Let an agent do the job of this bench in this worktree.

    Args:
        bench: The attempt.
        tree: Where the agent works.
        agent: What the plan calls it.
        spec: Its description, as JSON values.
        prompt: What it is asked.
        report: The QA report or merge conflict that a fix answers.

    Raises:
        AttemptError: The agent failed.
        Snooze: Its provider takes no work now.
        BudgetReachedError: There is nothing left to pay it with.
    """
    described = _SPEC.validate_python(spec)
    plan_dir = Path(bench.plan["plan_dir"])
    return build_agent(agent, described, plan_dir=plan_dir).work(
        Assignment(
            job_id=bench.claim.id,
            plan=bench.plan["name"],
            task_id=str(bench.claim.task_id),
            kind=bench.claim.kind,
            attempt=bench.claim.attempt,
            fix_round=bench.claim.round,
            prompt=prompt,
            task=bench.spec["task"],
            report=report,
            worktree=tree.path,
            plan_dir=plan_dir,
            scratch=bench.scratch,
            timeout=described.timeout,
            idle_timeout=described.idle_timeout,
        )
    )
