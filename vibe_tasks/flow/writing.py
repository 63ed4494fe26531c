"""Writing a job's beginning and its claim so that it is done once, however often it takes.

A transaction whose connection broke may have been committed. The next try looks first.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

from vibe_tasks.errors import LeaseLostError
from vibe_tasks.jobs import Claim, NewJob
from vibe_tasks.store import jobs, leases
from vibe_tasks.store.engine import Database, Transaction
from vibe_tasks.store.retries import Retries


def submit(
    ledger: Database,
    new: Sequence[NewJob],
    *,
    retries: Retries,
    published: bool = False,
    once: bool = False,
) -> tuple[jobs.Submitted, ...]:
    """Write these jobs, all or none; as `store.jobs.submit`.

    Args:
        ledger: The ledger.
        new: The jobs.
        retries: Tries again.
        published: As for `store.jobs.submit`.
        once: They may have been written before, under the same ids.
    """
    alone = len(new) == 1 and new[0].unique_key is None

    def write(unsure: bool) -> tuple[jobs.Submitted, ...]:
        # One statement is a transaction of its own; a key takes two.
        look = unsure or once
        with ledger.write_once() if alone and not look else ledger.begin() as connection:
            known = jobs.results_of(connection, [job.id for job in new]) if look else {}
            rest = [job for job in new if job.id not in known]
            made = jobs.submit(connection, rest, published=published) if rest else ()
        written = {job.id: each for job, each in zip(rest, made, strict=True)}
        return tuple(written.get(job.id) or written_before(job) for job in new)

    return retries.call(write)


def claim(
    ledger: Database,
    job_id: str,
    *,
    worker: str,
    lease: float,
    retries: Retries,
    in_use: Callable[[str, int], bool],
    labels: Collection[str] = (),
    routing: Mapping[str, Any] | None = None,
) -> Claim | None:
    """Take this job for one attempt, or None when it is not to be had.

    Args:
        ledger: The ledger.
        job_id: The job.
        worker: Who takes it.
        lease: Seconds until the claim ends without a heartbeat.
        retries: Tries again.
        in_use: Whether another process or thread of this worker runs this attempt.
        labels: What the worker has that a job may require.
        routing: Why the job's message came to this worker.
    """

    def write(unsure: bool) -> Claim | None:
        if unsure:
            with suppress(LeaseLostError), ledger.begin() as connection:
                _give_up_orphan(connection, job_id, worker, in_use)
        with ledger.write_once() as connection:
            return jobs.claim(
                connection, job_id, worker=worker, lease=lease, labels=labels, routing=routing
            )

    return retries.call(write)


def _give_up_orphan(
    connection: Transaction, job_id: str, worker: str, in_use: Callable[[str, int], bool]
) -> None:
    """Return an attempt of this worker that nobody runs: its claim was done, its answer lost.

    The new claim gets a new number, so that at the worst of all moments the other process that
    runs it after all is refused, and not doubled.
    """
    for held in leases.held_by(connection, worker):
        if held.id == job_id and not in_use(job_id, held.attempt):
            jobs.snooze_job(connection, job_id, held.attempt, 0.0, "the claim's answer was lost")


def written_before(job: NewJob) -> jobs.Submitted:
    """What became of a job that an earlier try has written."""
    waits = job.delay > 0 or job.due_at is not None or job.blocked
    return jobs.Submitted(id=job.id, fresh=True, due=not waits)
