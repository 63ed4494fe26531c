"""How an attempt ends that did not complete, written down with all that follows from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from vibe_tasks.events import EventType
from vibe_tasks.failures import bounded
from vibe_tasks.flow import chords, progress
from vibe_tasks.jobs import Claim, JobStatus, Publication
from vibe_tasks.pipeline import JobKind, Outcome
from vibe_tasks.store import events, jobs, leases, plans
from vibe_tasks.store.engine import Database, Transaction
from vibe_tasks.store.retries import OUTCOME, Retries

Uniform = Callable[[float, float], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an attempt ended.

    Attributes:
        kind: `failure` is counted and retried, `permanent` is not retried; `snooze` waits
            without being counted; `block` waits for a person; `cancel` ends the job.
        text: The error or the reason.
        wait: Seconds to wait instead of the retry policy's.
    """

    kind: Literal["failure", "permanent", "snooze", "block", "cancel"]
    text: str
    wait: float | None = None


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
            if end is not None and end[1] == bounded(ending.text):
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
            jobs.snooze_job(connection, place.id, place.attempt, ending.wait or 0.0, ending.text)
            return True, ()
        case "block":
            jobs.block_job(connection, place.id, place.attempt, ending.text)
            return True, ()
        case "cancel":
            jobs.end_job(connection, place.id, place.attempt, ending.text)
            return False, _consequences(connection, place, ending.text, dead=False)
        case _:
            again = jobs.fail_job(
                connection, place.id, place.attempt, ending.text, uniform=uniform,
                permanent=ending.kind == "permanent", wait=ending.wait,
            )  # fmt: skip
            return again, () if again else _consequences(connection, place, ending.text, dead=True)


def _consequences(
    connection: Transaction, place: Place | Claim, error: str, *, dead: bool
) -> tuple[Publication, ...]:
    chords.member_ended(connection, jobs.find_job(connection, place.id)["canvas"], place.id, error)
    if place.plan_id is None or place.task_id is None:
        if not dead:
            return ()
        events.record(
            connection, EventType.JOB_DEAD, session=place.id,
            payload={"job_id": place.id, "why": error}, summary=f"job {place.id} is dead",
        )  # fmt: skip
        return ()
    return progress.advance(
        connection, job_id=place.id, plan_id=place.plan_id, task_id=place.task_id,
        kind=JobKind(place.kind), outcome=Outcome.EXHAUSTED, error=error,
    )  # fmt: skip
