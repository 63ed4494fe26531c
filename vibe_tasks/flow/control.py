"""What people do to work: cancel, retry by hand, discard, approve."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from vibe_tasks.consensus import Verdict
from vibe_tasks.errors import IllegalMoveError
from vibe_tasks.events import EventType
from vibe_tasks.flow import chords, progress, reviewing
from vibe_tasks.jobs import JobStatus, Publication
from vibe_tasks.pipeline import JobKind, TaskStatus
from vibe_tasks.store import events, jobs, outbox, plans
from vibe_tasks.store.audit import By, note
from vibe_tasks.store.chords import waits_in_chord
from vibe_tasks.store.engine import Database, Transaction


def cancel_job(
    ledger: Database,
    job_id: str,
    reason: str,
    *,
    status: JobStatus | None = None,
    attempt: int | None = None,
    by: By | None = None,
) -> None:
    """Cancel a job; a plan's task ends with it. The worker that runs it notices at its heartbeat.

    With a review no task ends: the others decide without that vote.

    Args:
        ledger: The ledger.
        job_id: The job.
        reason: Why.
        status: Only while it has this status.
        attempt: Only while this is its current attempt.
        by: Who does it, for the audit trail; None: a program by itself.

    Raises:
        UnknownJobError: No such job.
        IllegalMoveError: It has ended already, or is not as it should be.
    """
    with ledger.begin() as connection:
        row = locked(connection, job_id)
        if status not in {None, row["status"]} or attempt not in {None, row["attempt"]}:
            raise IllegalMoveError(f"job {job_id} is {row['status']} in attempt {row['attempt']}")
        jobs.cancel_job(connection, job_id, reason)
        chords.member_ended(connection, row["canvas"], job_id, reason)
        if row["plan_id"] is not None and row["status"] != JobStatus.FAILED:
            if row["kind"] == JobKind.REVIEW:
                following = reviewing.seat_ended(connection, row)
                outbox.give_back(connection, [each.id for each in following])
            else:
                end_task(connection, row["plan_id"], row["task_id"], reason)
        note(connection, by, "job.cancel", job_id, {"was": row["status"], "reason": reason})


def cancel_plan(ledger: Database, plan_id: str, reason: str, *, by: By | None = None) -> int:
    """Cancel all of a plan that has not ended; how many jobs that were. `by` as in `cancel_job`.

    Raises:
        UnknownJobError: No such plan.
        IllegalMoveError: It has ended already.
    """
    with ledger.begin() as connection:
        plan = plans.find_plan(connection, plan_id)
        if plans.plan_status(connection, plan["id"]) != "running":
            raise IllegalMoveError(f"plan {plan_id} is {plan['status']} and cannot be cancelled")
        count = _stop(connection, plan["id"], reason)
        plans.set_plan_status(connection, plan["id"], "cancelled")
        events.record(
            connection, EventType.PLAN_CANCELLED, session=plan["id"], payload={"why": reason},
            summary=f"plan cancelled: {reason}",
        )  # fmt: skip
        note(connection, by, "plan.cancel", plan["id"], {"jobs": count, "reason": reason})
    return count


def replace_plan(connection: Transaction, plan_id: str) -> None:
    """Stop a plan for good, because one of the same name takes its place."""
    plans.plan_status(connection, plan_id)
    _stop(connection, plan_id, "replaced by a fresh start")
    plans.set_plan_status(connection, plan_id, "replaced")


def retry_job(ledger: Database, job_id: str, *, by: By | None = None) -> tuple[Publication, ...]:
    """Bring a job back: its attempts if it failed or was cancelled, one more fix round if qa
    refused its task for the last time, the reviewers that did not vote if too few did.

    What was cancelled while it waited, for the tasks that it needs or for an approval, waits again.

    Raises:
        UnknownJobError: No such job.
        IllegalMoveError: It has not ended like that, or another run took its plan's place.
    """
    with ledger.begin() as connection:
        row = locked(connection, job_id)
        if row["plan_id"] is not None:
            _refuse_replaced(connection, row["plan_id"])
        following: tuple[Publication, ...] = ()
        if row["status"] == JobStatus.COMPLETED and row["dead_at"] is not None:
            if row["result"].get("verdict") == Verdict.UNDECIDED:
                _ask_again(connection, row, row["id"])
            else:
                following = _another_round(connection, row)
        elif row["kind"] == JobKind.REVIEW and row["plan_id"] is not None:
            if row["status"] not in {JobStatus.FAILED, JobStatus.CANCELLED}:
                raise IllegalMoveError(f"job {job_id} is {row['status']} and cannot become pending")
            _ask_again(connection, row, row["args"]["kwargs"]["qa"])
        elif row["plan_id"] is None:
            waits = row["attempt"] == 0 and waits_in_chord(connection, job_id)
            jobs.revive_job(connection, job_id, blocked=waits)
        else:
            _revive(connection, row)
        note(connection, by, "job.retry", job_id, {"was": row["status"]})
        return following


def discard_job(ledger: Database, job_id: str, *, by: By | None = None) -> None:
    """Take a dead letter off the list; its job stays in the ledger as cancelled or completed.

    Raises:
        UnknownJobError: No such job.
        IllegalMoveError: It is no dead letter.
    """
    with ledger.begin() as connection:
        row = locked(connection, job_id)
        if row["dead_at"] is None:
            raise IllegalMoveError(f"job {job_id} is {row['status']} and no dead letter")
        if row["status"] == JobStatus.FAILED:
            jobs.cancel_job(connection, job_id, f"discarded; was: {row['error']}")
        else:
            jobs.mark_dead_letter(connection, job_id, dead=False)
        note(connection, by, "job.discard", job_id, {"error": row["error"]})


def approve(
    ledger: Database,
    plan_id: str,
    task_id: str | None = None,
    *,
    only: Collection[str] | None = None,
    by: By | None = None,
) -> tuple[Publication, ...]:
    """Let deploys go on that wait for a person, of one task or of all; the messages to send.

    Args:
        ledger: The ledger.
        plan_id: The plan's id or name.
        task_id: The task; None: all of the plan.
        only: These jobs alone, which a person has looked at; None: all that wait.
        by: Who does it, for the audit trail.

    Raises:
        UnknownJobError: No such plan.
        IllegalMoveError: Nothing of it waits for an approval.
    """
    with ledger.begin() as connection:
        plan = plans.find_plan(connection, plan_id)
        plans.plan_status(connection, plan["id"])
        waiting = sorted(
            str(job["id"])
            for job in plans.live_jobs(connection, plan["id"], task_id)
            if job["kind"] == JobKind.DEPLOY and job["status"] == JobStatus.BLOCKED
            and (only is None or job["id"] in only)
        )  # fmt: skip
        if not waiting:
            what = f"task {task_id} of plan {plan_id}" if task_id else f"plan {plan_id}"
            raise IllegalMoveError(f"{what} has no deploy that waits for an approval")
        for job_id in waiting:
            jobs.unblock_job(connection, job_id, published=True)
        note(connection, by, "plan.approve", plan["id"], {"jobs": waiting})
        return outbox.publications(connection, waiting)


def locked(connection: Transaction, job_id: str) -> dict[str, Any]:
    """The job's row, locked; its plan is locked first, as everywhere."""
    plan_id = jobs.find_job(connection, job_id)["plan_id"]
    if plan_id is not None:
        plans.plan_status(connection, plan_id)
    jobs.lock_job(connection, job_id)
    return jobs.find_job(connection, job_id)


def _refuse_replaced(connection: Transaction, plan_id: str) -> None:
    if plans.plan_status(connection, plan_id) == "replaced":
        raise IllegalMoveError(f"plan {plan_id} was replaced by a fresh start; its jobs stay ended")


def _stop(connection: Transaction, plan_id: str, reason: str) -> int:
    # In the order of their ids, as heartbeats lock them: else the two could lock crosswise.
    live = sorted(plans.live_jobs(connection, plan_id), key=lambda job: str(job["id"]))
    for job in live:
        jobs.cancel_job(connection, job["id"], reason)
    for task in plans.tasks_of(connection, plan_id):
        if task["status"] in {TaskStatus.WAITING, TaskStatus.RUNNING, TaskStatus.BLOCKED}:
            plans.set_task(
                connection, plan_id, task["id"], status=TaskStatus.CANCELLED, error=reason
            )
    return len(live)


def end_task(connection: Transaction, plan_id: str, task_id: str, reason: str) -> None:
    """A plan's task ends with its job, which was cancelled; the caller has locked the plan."""
    plans.set_task(connection, plan_id, task_id, status=TaskStatus.CANCELLED, error=reason)
    progress.block(connection, plan_id)
    progress.close_if_ended(connection, plan_id)


def _revive(connection: Transaction, row: dict[str, Any]) -> None:
    task = plans.find_task(connection, row["plan_id"], row["task_id"])
    # Once it has run, what it waited for had come.
    waited = row["status"] == JobStatus.CANCELLED and row["attempt"] == 0
    for_needs = waited and row["kind"] == JobKind.DEV and task["waiting_on"] > 0
    for_person = (
        waited and row["kind"] == JobKind.DEPLOY and task["spec"].get("approval") == "manual"
    )
    jobs.revive_job(connection, row["id"], blocked=for_needs or for_person)
    if for_person:
        progress.ask_for_approval(connection, task, row["id"], task["commit_id"])
    if for_needs:
        _wake_task(connection, row, stage=None, status=TaskStatus.WAITING)
    else:
        _wake_task(connection, row, stage=row["kind"])


def _ask_again(connection: Transaction, row: dict[str, Any], qa_id: str) -> None:
    """The reviewers of a qa job that have not voted are asked again."""
    reviewing.ask_again(connection, qa_id)
    _wake_task(connection, row, stage=JobKind.REVIEW)


def _another_round(connection: Transaction, row: dict[str, Any]) -> tuple[Publication, ...]:
    """One more fix after the last qa or merge of a task was refused."""
    task = plans.find_task(connection, row["plan_id"], row["task_id"])
    jobs.mark_dead_letter(connection, row["id"], dead=False)
    rounds = task["fix_round"] + 1
    plans.set_task(
        connection, row["plan_id"], row["task_id"], fix_round=rounds,
        max_fix_rounds=max(rounds, task["max_fix_rounds"]),
    )  # fmt: skip
    _wake_task(connection, row, stage=JobKind.FIX)
    report = {
        key: value
        for key, value in row["result"].items()
        if key not in {"verdict", "merged", "checked", "consensus"}
    }
    job = progress.new_job(
        task, JobKind.FIX, round=rounds, commit=task["commit_id"], report=report,
        trace=row["trace"],
    )  # fmt: skip
    jobs.submit(connection, [job], published=True)
    return (progress.publication_of(job),)


def _wake_task(
    connection: Transaction,
    row: dict[str, Any],
    *,
    stage: str | None,
    status: TaskStatus = TaskStatus.RUNNING,
) -> None:
    plan_id = row["plan_id"]
    plans.set_task(connection, plan_id, row["task_id"], status=status, stage=stage, error=None)
    plans.unblock_dependants(connection, plan_id)
    if plans.set_plan_status(connection, plan_id, "running"):
        events.record(
            connection, EventType.PLAN_RESUMED, session=plan_id, payload={"job_id": row["id"]},
            summary=f"{row['task_id']}: tried again by hand",
        )  # fmt: skip
    progress.close_if_ended(connection, plan_id)  # it may wait for a task that stays ended
