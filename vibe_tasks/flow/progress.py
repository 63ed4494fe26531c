"""Moving a plan on: writes what `pipeline.step_after` decides, in the caller's transaction.

Whoever changes a plan's tasks locks the plan's row first and its jobs after, so that workers
that finish at the same time queue up instead of deadlocking.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from vibe_tasks import consensus
from vibe_tasks.events import EventType
from vibe_tasks.failures import bounded
from vibe_tasks.jobs import NewJob, Publication
from vibe_tasks.pipeline import JobKind, Outcome, Step, TaskStatus, step_after
from vibe_tasks.priority import Priority, parse_priority
from vibe_tasks.store import events, jobs, outbox, plans, result_cache
from vibe_tasks.store.engine import Transaction
from vibe_tasks.store.job_rows import trace_of

LANES = {JobKind.QA: "qa", JobKind.REVIEW: "qa", JobKind.DEPLOY: "deploy"}
"""Lanes of the pipeline's own jobs; dev and fix jobs go to the task's lane."""


REPOSITORY_POINTS = 15.0
"""Points of a worker on whose host the repository is already."""


def new_job(task: Mapping[str, Any], kind: JobKind, *, round: int = 0, **extra: Any) -> NewJob:  # noqa: A002
    """A job of a plan's task.

    Args:
        task: The task's row.
        kind: What it is to do.
        round: Fix round it belongs to.
        extra: Keyword arguments of the job, `blocked`, and `trace`.
    """
    spec = task["spec"]
    blocked = bool(extra.pop("blocked", False))
    trace: str | None = extra.pop("trace", None)
    return NewJob(
        id=str(uuid4()),
        name=f"vibe.{kind}",
        kind=kind,
        lane=LANES.get(kind, spec["lane"]),
        priority=Priority.FIX if kind is JobKind.FIX else parse_priority(spec["priority"]),
        effort=spec["effort"],
        kwargs=extra,
        max_retries=consensus.FAILURES if kind is JobKind.REVIEW else spec["max_retries"],
        retry_base=spec["retry_base"],
        blocked=blocked,
        plan_id=task["plan_id"],
        task_id=task["id"],
        round=round,
        concurrency_key=_alone(task, kind),
        trace=trace,
        **_asks(spec, kind),
    )


def _asks(spec: Mapping[str, Any], kind: JobKind) -> dict[str, Any]:
    """What a job says about its worker: a host that has the repository need not fetch it. What the
    task says is about programs that work on its files, so for a merge or a vote it means nothing.
    """
    own = kind in {JobKind.DEV, JobKind.FIX, JobKind.QA}
    labels = dict(spec.get("labels") or {}) if own else {}
    if spec.get("repo_label"):
        labels.setdefault(spec["repo_label"], REPOSITORY_POINTS)
    return {"labels": labels, "required": tuple(spec.get("required") or ()) if own else ()}


def _alone(task: Mapping[str, Any], kind: JobKind) -> str | None:
    """What a job must be the only one with: a merge that a command may make undone must be the
    newest of its branch until the command has ended.
    """
    commanded = kind is JobKind.DEPLOY and task["spec"].get("deploy_command")
    return f"deploy {task['plan_id']}" if commanded else None


def advance(
    connection: Transaction,
    *,
    job_id: str,
    plan_id: str,
    task_id: str,
    kind: JobKind,
    outcome: Outcome,
    commit: str | None = None,
    report: Mapping[str, Any] | None = None,
    error: str | None = None,
) -> tuple[Publication, ...]:
    """A job of a plan has ended: write what follows; the messages to send after the commit.

    The caller holds the plan's lock (`plans.plan_status`) and has written the job's end. From a
    review alone nothing follows: `reviewing.job_ended` takes jobs of all kinds.

    Args:
        connection: The transaction of the job's end.
        job_id: The job that ended.
        plan_id: Its plan.
        task_id: Its task.
        kind: What it did.
        outcome: How it ended.
        commit: The commit that it made or judged.
        report: For a rejected qa or a conflict, what a fix must know; for a qa that reviewers
            decide, what they must know.
        error: For an exhausted job, its last error.
    """
    task = plans.find_task(connection, plan_id, task_id)
    if task["status"] != TaskStatus.RUNNING:  # cancelled meanwhile
        return ()
    step = step_after(
        kind, outcome, fix_round=task["fix_round"], max_fix_rounds=task["max_fix_rounds"]
    )
    commit = commit or task["commit_id"]
    plans.set_task(
        connection, plan_id, task_id,
        status=step.status, stage=step.next_job or kind, fix_round=step.round, commit_id=commit,
        error=_error(step, report, error),
    )  # fmt: skip
    if step.dead_letter:
        jobs.mark_dead_letter(connection, job_id, dead=True)
    for happening in step.happenings:
        record(
            connection, happening, plan_id=plan_id, task_id=task_id, job_id=job_id,
            why=error or _summary(report),
        )  # fmt: skip
    if step.next_job is JobKind.REVIEW:
        following = _start_reviews(connection, task, commit, report or {}, job_id)
    else:
        following = _start(connection, task, step, commit, report, after=job_id)
    if step.status is TaskStatus.DEPLOYED:
        following += release(connection, plan_id, task_id)
    elif step.status is TaskStatus.DEAD:
        block(connection, plan_id)
    close_if_ended(connection, plan_id)
    if step.status is TaskStatus.DEAD:
        # An agent that is asked once more shall not get its own old answer back.
        for key in plans.change_keys(connection, plan_id, task_id):
            result_cache.drop(connection, key)
    return following


def _start(
    connection: Transaction,
    task: Mapping[str, Any],
    step: Step,
    commit: str | None,
    report: Mapping[str, Any] | None,
    *,
    after: str,
) -> tuple[Publication, ...]:
    if step.next_job is None:
        return ()
    extra: dict[str, Any] = {"commit": commit, "trace": trace_of(connection, after)}
    if step.next_job is JobKind.FIX:
        extra["report"] = dict(report or {})
    if step.next_job is JobKind.DEPLOY:
        extra["blocked"] = task["spec"].get("approval") == "manual"
    job = new_job(task, step.next_job, round=step.round, **extra)
    submitted = jobs.submit(connection, [job], published=True)[0]
    if job.blocked:
        ask_for_approval(connection, task, job.id, commit)
    return (publication_of(job),) if submitted.due else ()


def _start_reviews(
    connection: Transaction,
    task: Mapping[str, Any],
    commit: str | None,
    report: Mapping[str, Any],
    qa_id: str,
) -> tuple[Publication, ...]:
    """A job for each reviewer, so that they work in parallel and fail alone."""
    trace = trace_of(connection, qa_id)
    made = [
        new_job(
            task, JobKind.REVIEW, round=task["fix_round"], commit=commit, report=dict(report),
            qa=qa_id, seat=number, agent=seat["agent"], trace=trace,
        )
        for number, seat in enumerate(task["spec"]["reviewers"], start=1)
    ]  # fmt: skip
    submitted = jobs.submit(connection, made, published=True)
    return tuple(publication_of(job) for job, each in zip(made, submitted, strict=True) if each.due)


def ask_for_approval(
    connection: Transaction, task: Mapping[str, Any], job_id: str, commit: str | None
) -> None:
    """A deploy waits for a person from now on: say so."""
    events.record(
        connection, EventType.APPROVAL_NEEDED, session=task["plan_id"],
        payload={"task": task["id"], "job_id": job_id, "commit": commit},
        summary=f"{task['id']}: waits for an approval",
    )  # fmt: skip


def publication_of(job: NewJob) -> Publication:
    """The message of a job that was just submitted."""
    return Publication(
        id=job.id,
        name=job.name,
        queue=job.lane,
        priority=job.priority,
        time_limit=job.time_limit,
        canvas=job.canvas,
        shown=f"{job.task_id}" if job.task_id else outbox.shown(job.args, dict(job.kwargs)),
        effort=job.effort,
        required=job.required,
        labels=job.labels,
        trace=job.trace,
    )


def release(connection: Transaction, plan_id: str, task_id: str) -> tuple[Publication, ...]:
    """This task is deployed: start the dev jobs of those that waited for it alone."""
    following = []
    for ready in plans.satisfy(connection, plan_id, task_id):
        job_id = plans.job_of(connection, plan_id, ready, JobKind.DEV, status="blocked")
        if job_id is not None:
            following.append(job_id)
            jobs.unblock_job(connection, job_id, published=True)
    return outbox.publications(connection, following, as_submitted=True)


def block(connection: Transaction, plan_id: str) -> None:
    """A task is dead or cancelled: block what needs it."""
    for task_id in plans.block_dependants(connection, plan_id):
        record(connection, EventType.TASK_BLOCKED, plan_id=plan_id, task_id=task_id)


def close_if_ended(connection: Transaction, plan_id: str) -> None:
    """End the plan when none of its tasks can get further."""
    counts = plans.task_counts(connection, plan_id)
    if counts.get(TaskStatus.RUNNING) or counts.get(TaskStatus.WAITING):
        return
    if plans.plan_status(connection, plan_id) != "running":
        return  # it ends once: a blocked job that is cancelled afterwards changes nothing of that
    total = sum(counts.values())
    if counts.get(TaskStatus.DEPLOYED) == total:
        status, happening = "completed", EventType.PLAN_COMPLETED
    elif counts.get(TaskStatus.DEAD) or counts.get(TaskStatus.BLOCKED):
        status, happening = "failed", EventType.PLAN_FAILED
    else:
        status, happening = "cancelled", EventType.PLAN_CANCELLED
    if plans.set_plan_status(connection, plan_id, status):
        events.record(
            connection, happening, session=plan_id, payload={"tasks": counts},
            summary=f"plan {status}: {counts.get(TaskStatus.DEPLOYED, 0)} of {total} deployed",
        )  # fmt: skip


def record(
    connection: Transaction,
    happening: EventType,
    *,
    plan_id: str,
    task_id: str,
    job_id: str | None = None,
    why: str = "",
) -> None:
    """Write an event of a task."""
    words = happening.lower().replace("_", " ")
    events.record(
        connection, happening, session=plan_id,
        payload={"task": task_id, "job_id": job_id, "why": why},
        summary=f"{task_id}: {words}",
    )  # fmt: skip


def _error(step: Step, report: Mapping[str, Any] | None, error: str | None) -> str | None:
    if step.status is TaskStatus.DEAD:
        return error or _summary(report) or "dead"
    return None


def _summary(report: Mapping[str, Any] | None) -> str:
    # A consumer outside may have handed in anything.
    return bounded(str(report.get("summary", ""))) if report else ""
