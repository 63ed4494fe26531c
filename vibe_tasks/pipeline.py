"""The way of a task: from a finished job to the next ones. A pure function.

dev → qa → deploy; a failed qa makes a fix, then qa again, at most `max_fix_rounds` times. A
merge conflict makes a fix as well, told so. After the last round, or when a job exhausts its
retries, the task is dead.

Where a plan has reviewers, qa runs the checks and a review follows for each of them; what their
votes come to (`consensus`) is how the qa ends. No step follows from a review alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from vibe_tasks.events import EventType


class JobKind(StrEnum):
    """What a job of a plan's task does."""

    DEV = "dev"
    QA = "qa"
    REVIEW = "review"  #: one reviewer's vote on what a qa job has checked
    FIX = "fix"
    DEPLOY = "deploy"


class TaskStatus(StrEnum):
    """Where a plan's task stands."""

    WAITING = "waiting"  #: for the tasks it needs
    RUNNING = "running"  #: some job of it is to be done
    DEPLOYED = "deployed"  #: merged into the plan's branch
    DEAD = "dead"  #: will not get further by itself
    BLOCKED = "blocked"  #: needs a task that is dead
    CANCELLED = "cancelled"


class Outcome(StrEnum):
    """How a job of a plan's task ended."""

    DONE = "done"  #: a dev or fix job has its commit; a deploy has merged it
    PASSED = "passed"  #: qa approves the commit
    REJECTED = "rejected"  #: qa does not
    VOTING = "voting"  #: qa has run the checks, reviewers are to vote
    UNDECIDED = "undecided"  #: too few of them did
    CONFLICT = "conflict"  #: the commit does not merge
    EXHAUSTED = "exhausted"  #: the job failed for the last time


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What follows from a job's end.

    Attributes:
        next_job: Kind of the job that follows, of each of the reviews; None at the end of the way.
        round: Fix round that the task is in from now on.
        status: The task's status from now on.
        dead_letter: Whether the finished job becomes a dead letter.
        happenings: Events to record, in order.
    """

    next_job: JobKind | None
    round: int
    status: TaskStatus
    dead_letter: bool = False
    happenings: tuple[EventType, ...] = ()


def step_after(kind: JobKind, outcome: Outcome, *, fix_round: int, max_fix_rounds: int) -> Step:
    """The step that follows a job.

    Args:
        kind: Kind of the job that ended.
        outcome: How it ended.
        fix_round: Fix rounds begun so far.
        max_fix_rounds: Fix rounds allowed.

    Raises:
        ValueError: A job of this kind cannot end like that.
    """
    if outcome is Outcome.EXHAUSTED and kind is not JobKind.REVIEW:
        # The job's own status says that it is dead: it is in the dead-letter view already.
        file = (EventType.FILE_FAILED,) if kind in {JobKind.DEV, JobKind.FIX} else ()
        return Step(
            next_job=None, round=fix_round, status=TaskStatus.DEAD,
            happenings=(*file, EventType.JOB_DEAD, EventType.TASK_DEAD),
        )  # fmt: skip
    match kind, outcome:
        case ((JobKind.DEV | JobKind.FIX), Outcome.DONE):
            return _on(JobKind.QA, fix_round, EventType.FILE_COMPLETED)
        case JobKind.QA, _:
            return _after_qa(kind, outcome, fix_round, max_fix_rounds)
        case JobKind.DEPLOY, Outcome.CONFLICT:
            return _fix(fix_round, max_fix_rounds, EventType.MERGE_CONFLICT)
        case JobKind.DEPLOY, Outcome.DONE:
            return Step(
                next_job=None, round=fix_round, status=TaskStatus.DEPLOYED,
                happenings=(EventType.DEPLOYED,),
            )  # fmt: skip
        case _:
            raise ValueError(f"a {kind} job cannot end as {outcome}")


def _after_qa(kind: JobKind, outcome: Outcome, fix_round: int, max_fix_rounds: int) -> Step:
    match outcome:
        case Outcome.PASSED:
            return _on(JobKind.DEPLOY, fix_round, EventType.QA_PASSED)
        case Outcome.REJECTED:
            return _fix(fix_round, max_fix_rounds, EventType.QA_FAILED)
        case Outcome.VOTING:
            return _on(JobKind.REVIEW, fix_round)
        case Outcome.UNDECIDED:
            return Step(
                next_job=None, round=fix_round, status=TaskStatus.DEAD, dead_letter=True,
                happenings=(EventType.QA_UNDECIDED, EventType.TASK_DEAD),
            )  # fmt: skip
        case _:
            raise ValueError(f"a {kind} job cannot end as {outcome}")


def _on(kind: JobKind, fix_round: int, *happenings: EventType) -> Step:
    return Step(next_job=kind, round=fix_round, status=TaskStatus.RUNNING, happenings=happenings)


def _fix(fix_round: int, max_fix_rounds: int, happening: EventType) -> Step:
    if fix_round < max_fix_rounds:
        return _on(JobKind.FIX, fix_round + 1, happening)
    return Step(
        next_job=None, round=fix_round, status=TaskStatus.DEAD, dead_letter=True,
        happenings=(happening, EventType.TASK_DEAD),
    )  # fmt: skip
