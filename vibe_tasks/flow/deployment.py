"""Deploy jobs: exactly the approved commit is merged into the plan's branch, once.

Where the plan has a command, a merge counts when the command has passed. Its deploys run one at a
time (`progress.new_job`), so the newest merge on the branch is the one that the command judges, and
it can be taken back without taking another one with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vibe_tasks.errors import AttemptError, GitError, PermanentError, TransientError
from vibe_tasks.events import EventType
from vibe_tasks.failures import bounded
from vibe_tasks.flow.confirmation import Unconfirmed, unconfirmed
from vibe_tasks.flow.workplace import Bench, Following
from vibe_tasks.pipeline import Outcome
from vibe_tasks.store import events
from vibe_tasks.workspace.checks import run_checks
from vibe_tasks.workspace.merge import MergeConflict, merge, origin_of
from vibe_tasks.workspace.worktree import checkout


def deploy(bench: Bench) -> tuple[Mapping[str, Any], Following]:
    """Merge the commit and run the plan's command; a conflict goes back for a fix.

    Killed at any point it can be done again: a commit that is on the branch already is not
    merged a second time. Where there is a command, the merge of an attempt that did not confirm it
    is taken back and made anew: a push of that attempt may still be under way that takes back the
    very commit it had made, and must not find it confirmed.

    Raises:
        TransientError: The command after the merge failed; the merge is taken back.
        PermanentError: The branch is gone, and with it what was merged.
        LeaseLostError: The attempt is no longer the job's current one.
    """
    task = bench.spec["task"]
    subject = task["title"] or f"Task {task['id']}"
    message = (
        f"Merge {task['id']}: {subject}\n\nVibe-Job: {bench.claim.id}\n"
        f"Vibe-Attempt: {bench.claim.attempt}\n"
    )
    if bench.repository.branch_commit(bench.plan["branch"]) is None:
        start = bench.tip()
        bench.fence()
        bench.repository.create_branch(bench.plan["branch"], start)
    if bench.spec["deploy_command"] is not None:
        _clear(bench)
    try:
        with bench.place.span("merge", {"vibe.commit": bench.commit}):
            merged = merge(
                bench.repository, branch=bench.plan["branch"], commit=bench.commit,
                message=message, fence=bench.fence,
            )  # fmt: skip
    except MergeConflict as conflict:
        return _conflict(bench, conflict)
    if bench.spec["deploy_command"] is not None:
        _confirm(bench, merged.commit)
    return bench.finish(
        {"merged": True, "commit": bench.commit, "merge_commit": merged.commit},
        Outcome.DONE,
        commit=bench.commit,
    )


def _conflict(bench: Bench, conflict: MergeConflict) -> tuple[Mapping[str, Any], Following]:
    report = {
        "summary": f"does not merge: conflict in {', '.join(conflict.paths)}",
        "commit": bench.commit,
        "conflict": {
            "paths": list(conflict.paths), "text": conflict.text, "onto": conflict.onto,
        },
    }  # fmt: skip
    return bench.finish(
        {"merged": False, **report}, Outcome.CONFLICT, commit=bench.commit, report=report
    )


def _confirm(bench: Bench, merged: str) -> None:
    """Run the command on the merged commit; where it does not pass, take the merge back."""
    try:
        with bench.place.span("command", {"vibe.command": bench.spec["deploy_command"]}):
            _run(bench, merged)
    except (AttemptError, GitError, OSError) as error:
        origin = origin_of(bench.repository, merged)
        if origin.before is None or origin.merged != bench.commit:
            raise  # it was on the branch without a merge: nothing of ours to take back
        ours = Unconfirmed(
            before=origin.before, job_id=bench.claim.id, task_id=str(bench.claim.task_id)
        )
        taken = _take_back(bench, merged, ours, why=str(error))
        fate = "is taken back" if taken else "stays: the branch cannot be moved back"
        kind = PermanentError if isinstance(error, PermanentError) else TransientError
        first, _, rest = str(error).partition("\n")
        more = f".\n{rest}" if rest else ""
        raise kind(f"{first}; the merge {fate}{more}") from error


def _run(bench: Bench, commit: str) -> None:
    with checkout(bench.repository, commit, bench.worktree) as tree:
        bench.fence()  # a merge that was there already has asked for none
        results = run_checks(
            [bench.spec["deploy_command"]], cwd=tree.path,
            held=bench.surrounded({"env": bench.spec.get("deploy_env", ())}),
            timeout=bench.spec["qa_timeout"], log=bench.scratch / "deploy.log",
        )  # fmt: skip
    (result,) = results
    if not result.passed:
        how = result.why or f"exit code {result.exit_code}"
        said = f"\nIt said: {result.output.strip()}" if result.output.strip() else ""
        raise TransientError(f"deploy command failed: {result.command} ({how}){said}")


def _clear(bench: Bench) -> None:
    """Take back what deploys of this plan have merged and not confirmed, this one's earlier
    attempts among them: they were killed, or failed where the branch could not be moved. Those
    that are tried again merge again.
    """
    ledger, plan_id = bench.place.ledger, str(bench.claim.plan_id)
    while (tip := bench.repository.branch_commit(bench.plan["branch"])) is not None:
        left = unconfirmed(ledger, bench.repository, plan_id, tip)
        if left is None:
            return
        if not _take_back(bench, tip, left, why=f"job {left.job_id} has not confirmed it"):
            return


def _take_back(bench: Bench, merged: str, left: Unconfirmed, *, why: str) -> bool:
    """Move the branch back to where it stood before this merge; False where it has moved on since,
    or the remote lets nobody move it back.
    """
    bench.fence()
    ref = f"refs/heads/{bench.plan['branch']}"
    try:
        if not bench.repository.move_ref(ref, new=left.before, old=merged, fence=bench.fence):
            return False
    except GitError:
        if bench.repository.address is None:
            raise
        return False

    def write(_unsure: bool) -> None:
        with bench.place.ledger.begin() as connection:
            events.record(
                connection, EventType.ROLLED_BACK, session=str(bench.claim.plan_id),
                payload={"task": left.task_id, "job_id": left.job_id, "merge_commit": merged,
                         "commit": left.before, "why": bounded(why)},
                summary=f"{left.task_id}: merge taken back",
            )  # fmt: skip

    bench.place.insist(write)
    return True
