"""How an attempt ends that did not complete, written down with all that follows from it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from vibe_tasks.errors import UnknownJobError
from vibe_tasks.events import EventType
from vibe_tasks.flow import budgets, chords, reviewing
from vibe_tasks.flow.escalation import audience_of_death
from vibe_tasks.jobs import Claim, JobStatus, Publication
from vibe_tasks.pipeline import JobKind, Outcome
from vibe_tasks.store import events, jobs, leases, plans
from vibe_tasks.store.consensus import WAITS
from vibe_tasks.store.engine import Database, Transaction
from vibe_tasks.store.redacting import kept_text
from vibe_tasks.store.retries import OUTCOME, Retries

Uniform = Callable[[float, float], float]

RAISED = "its budget was raised meanwhile"
"""What is written for a job that a budget has stopped, and stops no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an attempt ended.

    Attributes:
        kind: `failure` is counted and retried, `permanent` is not retried; `snooze` waits
            without being counted; `block` waits for a person; `cancel` ends the job.
        text: The error or the reason.
        wait: Seconds to wait instead of the retry policy's.
        away: Whether its agent cannot be had for so long: a breaker is open, a provider refuses.
    """

    kind: Literal["failure", "permanent", "snooze", "block", "cancel"]
    text: str
    wait: float | None = None
    away: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an attempt belongs: what `settle` needs to know of a job."""

    id: str
    attempt: int
    kind: str
    plan_id: str | None
    task_id: str | None


def settle(
    ledger: Database,
    place: Place | Claim,
    ending: Ending,
    *,
    uniform: Uniform,
    retries: Retries | None = None,
) -> tuple[bool, tuple[Publication, ...]]:
    """Write how an attempt ended; whether the job runs again, and the messages to send.

    Args:
        ledger: The ledger.
        place: The attempt.
        ending: How it ended.
        uniform: Draws the jitter (`random.uniform`).
        retries: Tries again, for as long as an outcome is worth; None: it is tried once.

    Raises:
        LeaseLostError: The attempt is no longer the job's current one.
    """

    def write(unsure: bool) -> tuple[bool, tuple[Publication, ...]]:
        with ledger.begin() as connection:
            end = leases.end_of(connection, place.id, place.attempt) if unsure else None
            if end is not None and end[1] in {kept_text(connection, _said(place, ending)), RAISED}:
                return end[0] == JobStatus.PENDING, ()  # the dispatcher sends what follows
            return settle_in(connection, place, ending, uniform=uniform)

    return write(False) if retries is None else retries.call(write, OUTCOME)


def settle_in(
    connection: Transaction, place: Place | Claim, ending: Ending, *, uniform: Uniform
) -> tuple[bool, tuple[Publication, ...]]:
    """As `settle`, in the caller's transaction."""
    if place.plan_id is not None:
        plans.plan_status(connection, place.plan_id)
    match ending.kind:
        case "snooze":
            said = _said(place, ending)
            jobs.snooze_job(connection, place.id, place.attempt, ending.wait or 0.0, said)
            return True, _without(connection, place)
        case "block":
            # Under the plan's lock: the budget may have been raised while the agent was ended, and
            # whoever raises it later finds the job blocked.
            if _may_go_on(connection, place):
                jobs.snooze_job(connection, place.id, place.attempt, 0.0, RAISED)
                return True, ()
            jobs.block_job(connection, place.id, place.attempt, _said(place, ending))
            _tell_of_budget(connection, place, ending.text)
            return True, _without(connection, place)
        case "cancel":
            jobs.end_job(connection, place.id, place.attempt, ending.text)
            return False, _consequences(connection, place, ending.text, dead=False)
        case _:
            again = jobs.fail_job(
                connection, place.id, place.attempt, ending.text, uniform=uniform,
                permanent=ending.kind == "permanent", wait=ending.wait,
            )  # fmt: skip
            return again, () if again else _consequences(connection, place, ending.text, dead=True)


def _tell_of_budget(connection: Transaction, place: Place | Claim, why: str) -> None:
    """Say that work waits for a person; once, not again for all that waits for the same budget."""
    if place.plan_id is None:
        return
    live = plans.live_jobs(connection, place.plan_id)
    stopped = (job for job in live if job["status"] == JobStatus.BLOCKED and job["error"])
    if any(job["id"] != place.id and _budget(job["error"]) == _budget(why) for job in stopped):
        return
    events.record(
        connection, EventType.BUDGET_REACHED, session=place.plan_id,
        payload={"task": place.task_id, "job_id": place.id, "why": why},
        summary=f"{place.task_id}: waits for a person: {why}",
    )  # fmt: skip


def _budget(why: str) -> str:
    """Which budget a job waits for: its reason without the figures."""
    return why.removeprefix(WAITS).rpartition(": ")[0]


def _may_go_on(connection: Transaction, place: Place | Claim) -> bool:
    """Whether no budget stops this job of a plan any more."""
    if place.plan_id is None or place.task_id is None:
        return False
    with suppress(UnknownJobError):
        return budgets.stopped_by(connection, jobs.find_job(connection, place.id)) is None
    return False


def _said(place: Place | Claim, ending: Ending) -> str:
    """The text that is written; that of a review that is put off says so to the others."""
    put_off = ending.away or ending.kind == "block"
    return f"{WAITS}{ending.text}" if put_off and place.kind == JobKind.REVIEW else ending.text


def _without(connection: Transaction, place: Place | Claim) -> tuple[Publication, ...]:
    """A job was put off: where it is a review, the others may decide without it."""
    if place.kind != JobKind.REVIEW or place.plan_id is None or place.task_id is None:
        return ()
    row = jobs.find_job(connection, place.id)
    return reviewing.without_waiting(connection, place.plan_id, place.task_id, row["round"])


def _consequences(
    connection: Transaction, place: Place | Claim, error: str, *, dead: bool
) -> tuple[Publication, ...]:
    row = jobs.find_job(connection, place.id)
    chords.member_ended(connection, row["canvas"], place.id, error)
    if place.plan_id is None or place.task_id is None:
        if not dead:
            return ()
        events.record(
            connection, EventType.JOB_DEAD, session=place.id,
            payload={"job_id": place.id, "name": row["name"], "why": error},
            summary=f"job {place.id} ({row['name']}) is dead", to=audience_of_death(row),
        )  # fmt: skip
        return ()
    return reviewing.job_ended(
        connection, job_id=place.id, plan_id=place.plan_id, task_id=place.task_id,
        kind=JobKind(place.kind), outcome=Outcome.EXHAUSTED, error=error,
    )  # fmt: skip
