"""Dev and fix jobs: an agent changes a worktree, its changes become a commit."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

from vibe_tasks.agents.agent import Answer
from vibe_tasks.errors import GitError, TransientError
from vibe_tasks.flow.engagement import engage, prepare
from vibe_tasks.flow.quality import checks_of
from vibe_tasks.flow.recall import (
    LARGEST_VALUE,
    Remembered,
    forget,
    hold,
    key_of_step,
    making,
    note_cached,
    remember,
)
from vibe_tasks.flow.workplace import Bench, Following
from vibe_tasks.pipeline import JobKind, Outcome
from vibe_tasks.workspace.patch import apply_change, change_between
from vibe_tasks.workspace.worktree import Worktree, checkout

USED_AGAIN = {"summary": "used again"}
"""What the event of a change that came from the cache says of it."""

log = logging.getLogger(__name__)


def develop(bench: Bench) -> tuple[Mapping[str, Any], Following]:
    """Run the task's agent for a dev or fix job and keep its change as a commit.

    A dev starts from the plan's branch as it is now, a fix from the commit that was refused;
    where that commit did not merge, from the merge with its conflicts left in the files. A change
    that the agent made before under the same conditions is used again.

    Raises:
        AttemptError: The agent failed, or left conflict markers.
        Snooze: The agent cannot be had now, or another attempt is making the same.
        LeaseLostError: The attempt is no longer the job's current one.
    """
    fix = bench.claim.kind == JobKind.FIX
    report = bench.claim.kwargs.get("report") if fix else None
    start = bench.commit if fix else bench.tip()
    key = _key(bench, report)
    with making(bench, key) as known:
        if known is None:
            prepare(bench, agent=bench.spec["agent"], spec=bench.spec["agent_spec"])
        with checkout(bench.repository, start, bench.worktree) as tree:
            conflict = report.get("conflict") if report else None
            conflicted = tree.merge_in(bench.opposite(conflict)) if conflict else ()
            answer, cached = _change(bench, tree, report, key, known)
            left = tree.unresolved(conflicted)
            if left:
                raise TransientError(f"conflict markers left in {', '.join(left)}")
            commit = tree.commit_all(_message(bench))
            # The commit must be on a ref before its worktree goes.
            bench.repository.pin(_ref(bench), commit)
        if key is not None and known is None:
            _keep(bench, key, answer, start, commit)
    result = _result(bench, answer, commit, start) | {"cache_key": key, "cached": cached}
    return bench.finish(result, Outcome.DONE, commit=commit, report=USED_AGAIN if cached else None)


def _keep(bench: Bench, key: str, answer: Answer, start: str, commit: str) -> None:
    """Keep the change for whoever needs the same; the work is safe without it."""
    try:
        change = change_between(bench.repository, start, commit, most=LARGEST_VALUE)
    except GitError as error:
        log.warning("cannot keep the change of job %s: %s", bench.claim.id, error)
        change = None
    if change is None:
        forget(bench, key)
    else:
        remember(bench, key, answer, change=change)


def _key(bench: Bench, report: Mapping[str, Any] | None) -> str | None:
    """What the change can be found under again; None where it is not to be.

    What was made on top of a merge with conflicts fits on nothing else.
    """
    spec = bench.spec["agent_spec"]
    conflict = report is not None and report.get("conflict")
    if conflict or not spec.get("cache", True) or not bench.place.cache_entries:
        return None
    refused = None if report is None else _refused(report)
    return key_of_step(bench, agent=bench.spec["agent"], spec=spec, refused=refused)


def _refused(report: Mapping[str, Any]) -> object:
    """Why a commit was refused, without what differs from run to run, such as times."""
    failed = [
        [each["command"], each.get("exit_code")]
        for each in checks_of(report)
        if not each.get("passed")
    ]
    return [failed, report.get("findings")]


def _change(
    bench: Bench,
    tree: Worktree,
    report: Mapping[str, Any] | None,
    key: str | None,
    known: Remembered | None,
) -> tuple[Answer, bool]:
    """Make the change in the worktree, from memory or by the agent; which of the two."""
    if known is not None and apply_change(tree, known.value["change"], scratch=bench.scratch):
        note_cached(bench, bench.spec["agent"])
        return known.answer, True
    task = bench.spec["task"]
    answer = engage(
        bench, tree, agent=bench.spec["agent"], spec=bench.spec["agent_spec"],
        prompt=task["prompt"] or task["title"], report=report,
        stay=partial(hold, bench, key) if key is not None and known is None else None,
    )  # fmt: skip
    return answer, False


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
        "base": start,
        "commit": commit,
        "changed": commit != start,
        "summary": answer.summary,
        "input_tokens": answer.input_tokens,
        "output_tokens": answer.output_tokens,
        "cost_usd": answer.cost_usd,
    }
