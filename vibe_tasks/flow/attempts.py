"""How attempts end that did not complete: failures, snoozes, cancels and lost workers.

All go through one path, so that a worker that was killed counts as a failure like any other
and a job that kills its workers ends as a dead letter.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from vibe_tasks.errors import LeaseLostError
from vibe_tasks.flow import progress
from vibe_tasks.jobs import Claim, Publication
from vibe_tasks.pipeline import Happening, JobKind, Outcome
from vibe_tasks.store import events, jobs, leases, plans
from vibe_tasks.store.engine import Database, Transaction

Uniform = Callable[[float, float], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an attempt ended.

    Attributes:
        kind: `failure` is counted and retried, `permanent` is not retried; `snooze` waits
            without being counted; `cancel` ends the job.
        text: The error or the reason.
        wait: Seconds to wait instead of the retry policy's.
    """

    kind: Literal["failure", "permanent", "snooze", "cancel"]
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaped:
    """What became of attempts that lost their lease.

    Attributes:
        taken: Attempts taken back.
        dead: Jobs that this made dead letters.
        following: Messages to send.
    """

    taken: int = 0
    dead: tuple[str, ...] = ()
    following: tuple[Publication, ...] = ()


def settle(
    ledger: Database, place: Place | Claim, ending: Ending, *, uniform: Uniform
) -> tuple[bool, tuple[Publication, ...]]:
    """Write how an attempt ended; whether the job runs again, and the messages to send.

    Raises:
        LeaseLostError: The attempt is no longer the job's current one.
    """
    with ledger.begin() as connection:
        return settle_in(connection, place, ending, uniform=uniform)


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
    if place.plan_id is None or place.task_id is None:
        if not dead:
            return ()
        events.record(
            connection, Happening.JOB_DEAD, session=place.id,
            payload={"job_id": place.id, "why": error}, summary=f"job {place.id} is dead",
        )  # fmt: skip
        return ()
    return progress.advance(
        connection, job_id=place.id, plan_id=place.plan_id, task_id=place.task_id,
        kind=JobKind(place.kind), outcome=Outcome.EXHAUSTED, error=error,
    )  # fmt: skip


def reap(ledger: Database, *, uniform: Uniform, most: int = 100) -> Reaped:
    """Count as failed what runs without a lease.

    A transaction for each, so that a worker never waits long for its turn to write.
    """
    with ledger.read() as connection:
        late = leases.expired(connection, most=most)
    taken = 0
    dead: list[str] = []
    following: list[Publication] = []
    for held in late:
        with ledger.begin() as connection:
            outcome = _take_back(
                connection, held, "lease expired: no heartbeat of", uniform, only_late=True
            )
        if outcome is None:
            continue
        again, messages = outcome
        taken += 1
        following.extend(messages)
        if not again:
            dead.append(held.id)
    return Reaped(taken=taken, dead=tuple(dead), following=tuple(following))


def lose(
    ledger: Database, job_id: str, worker: str, why: str, *, uniform: Uniform, counted: bool = True
) -> tuple[Publication, ...]:
    """The process that ran this job for this worker is gone; the messages to send.

    Nothing happens when the attempt has ended or the job is in other hands. It is not counted as
    a failure where somebody has ended the process on purpose.
    """
    # The attempt may end between the look and the write, where others write at the same time.
    with suppress(LeaseLostError), ledger.begin() as connection:
        for held in leases.held_by(connection, worker):
            if held.id == job_id:
                if not counted:
                    jobs.snooze_job(connection, held.id, held.attempt, 0.0, why)
                    return ()
                outcome = _take_back(connection, held, f"{why};", uniform)
                return outcome[1] if outcome else ()
    return ()


def _take_back(
    connection: Transaction,
    held: leases.Held,
    why: str,
    uniform: Uniform,
    *,
    only_late: bool = False,
) -> tuple[bool, tuple[Publication, ...]] | None:
    row = jobs.find_job(connection, held.id)
    if row["plan_id"] is not None:
        plans.plan_status(connection, row["plan_id"])
    # Looked at again under the plan's lock: the attempt may have ended or beaten meanwhile.
    if only_late and not leases.is_expired(connection, held.id, held.attempt):
        return None
    place = Place(
        id=held.id, attempt=held.attempt, kind=row["kind"],
        plan_id=row["plan_id"], task_id=row["task_id"],
    )  # fmt: skip
    ending = Ending(kind="failure", text=f"WorkerLost: {why} {held.worker}")
    return settle_in(connection, place, ending, uniform=uniform)


def interrupt(ledger: Database, worker: str, why: str) -> int:
    """Return what this worker held without counting a failure; how many jobs.

    For workers that are known to have been stopped by somebody, not by their jobs.
    """
    returned = 0
    with ledger.begin() as connection:
        # In the order of their ids, as heartbeats lock them: else the two could lock crosswise.
        for each in sorted(leases.held_by(connection, worker), key=lambda held: held.id):
            with suppress(LeaseLostError):  # it has ended since the look
                jobs.snooze_job(connection, each.id, each.attempt, 0.0, why)
                returned += 1
    return returned
