"""What the ledger and the broker ought to do, in plain Python without a database.

The state machine of `test_ledger_model` does everything twice, in a real ledger and here, and
compares the two after each step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from vibe_tasks.jobs import LIVE, MOVES, JobStatus, NewJob

GRACE = 5.0
"""Seconds a message may be on its way."""

LEASE = 30.0
"""Seconds of a lease."""

Queue = tuple[str, int]
"""A lane and a priority: one list of the broker."""


@dataclass(slots=True)
class ModelJob:
    """One job as it ought to be."""

    new: NewJob
    seq: int
    status: JobStatus = JobStatus.PENDING
    attempt: int = 0
    failures: int = 0
    worker: str | None = None
    lease_until: float | None = None
    backoff_until: float | None = None
    published_at: float | None = None
    start_by: float | None = None
    held: bool = False
    waits_for_key: bool = False
    dead: bool = False

    @property
    def id(self) -> str:
        """Its id."""
        return self.new.id

    @property
    def queue(self) -> Queue:
        """Where its messages go."""
        return self.new.lane, int(self.new.priority)

    @property
    def ready(self) -> bool:
        """Whether it may start now."""
        return self.status is JobStatus.PENDING and self.backoff_until is None and not self.held

    @property
    def key(self) -> str | None:
        """Of the jobs with this key one runs at a time."""
        return self.new.concurrency_key

    def facts(self) -> tuple[object, ...]:
        """What the ledger's row must say; what means nothing in this status is left out."""
        runs, waits = self.status is JobStatus.PROCESSING, self.status is JobStatus.PENDING
        return (
            self.status.value, self.attempt, self.failures, self.dead,
            (self.worker, self.lease_until) if runs else None,
            (self.backoff_until, self.published_at, self.held, self.waits_for_key)
            if waits else None,
        )  # fmt: skip


class Model:
    """All jobs, the clock, and the moves since the last comparison.

    Args:
        now: The clock.
        promotes: Whether `claim_next_job` makes all jobs ready whose wait is over, as on SQLite,
            or takes one of them as it is.
    """

    def __init__(self, now: float, *, promotes: bool) -> None:
        self.now = now
        self._promotes = promotes
        self.jobs: dict[str, ModelJob] = {}
        self.events: Counter[str] = Counter()
        self.moves: list[tuple[str, str | None, str, int]] = []

    # --- submission ---

    def submit(self, new: NewJob) -> ModelJob | None:
        """A new job, sent by its producer where it is due; None where its key is taken."""
        if self.holder_of(new.unique_key) is not None:
            return None
        job = ModelJob(new=new, seq=len(self.jobs), start_by=new.start_by)
        if new.delay > 0:
            job.backoff_until = self.now + new.delay
        else:
            job.published_at = self.now
        self.jobs[new.id] = job
        self.moves.append((new.id, None, job.status.value, 0))
        return job

    def holder_of(self, key: str | None) -> ModelJob | None:
        """The live job with this unique key."""
        alike = (job for job in self.jobs.values() if key is not None and job.new.unique_key == key)
        return next((job for job in alike if job.status in LIVE), None)

    # --- attempts ---

    def claim(self, job_id: str, worker: str) -> int | None:
        """The attempt that begins, None where the job is not to be had."""
        job = self.jobs[job_id]
        if not self._due(job):
            return None
        if not self.free(job.key):
            job.held = job.waits_for_key = True
            job.backoff_until = job.published_at = None
            return None
        job.attempt += 1
        job.worker, job.lease_until, job.backoff_until = worker, self.now + LEASE, None
        job.held = job.waits_for_key = False
        self._move(job, JobStatus.PROCESSING)
        return job.attempt

    def most_urgent(self, lane: str) -> ModelJob | None:
        """The job that the lane's next consumer gets."""
        if self._promotes:
            self.promote()
        first = self._first(lane)
        if first is None or first.key is not None:
            self.promote()
            for job in self.jobs.values():  # whose key is busy are passed over
                if job.ready and job.new.lane == lane and not self.free(job.key):
                    job.held = job.waits_for_key = True
                    job.published_at = None
            for job in self.give_turns(lane):
                job.published_at = None  # nobody sends it: we are about to look ourselves
            first = self._first(lane)
        return first

    def _first(self, lane: str) -> ModelJob | None:
        alike = (job for job in self.jobs.values() if job.new.lane == lane and not job.held)
        return min((job for job in alike if self._due(job)), key=_urgency, default=None)

    def _due(self, job: ModelJob) -> bool:
        waited = job.backoff_until is None or job.backoff_until <= self.now
        return job.status is JobStatus.PENDING and waited and not self.late(job)

    def late(self, job: ModelJob) -> bool:
        """Whether its deadline passed before it ever started."""
        waits = job.status is JobStatus.PENDING and job.attempt == 0
        return waits and job.start_by is not None and job.start_by <= self.now

    def free(self, key: str | None) -> bool:
        """Whether no job of this concurrency key runs."""
        return key is None or all(job.key != key for job in self.running())

    def give_turns(self, lane: str | None = None) -> list[ModelJob]:
        """The first of each free key's waiting jobs may start, unless it has its turn already; for
        a consumer of one lane, the first of that lane.
        """
        waiting = [job for job in self.jobs.values() if job.waits_for_key]
        waiting = [job for job in waiting if lane in {None, job.new.lane}]
        heads = [min((j for j in waiting if j.key == key), key=_urgency)
                 for key in {job.key for job in waiting}]  # fmt: skip
        given = [job for job in heads if job.held and self.free(job.key)]
        for job in given:
            job.held, job.published_at = False, self.now
        return given

    def current(self, job_id: str, attempt: int) -> ModelJob | None:
        """The job, where it still is in this attempt: only then may the attempt write."""
        job = self.jobs[job_id]
        return job if job.status is JobStatus.PROCESSING and job.attempt == attempt else None

    def complete(self, job: ModelJob) -> None:
        """The attempt ended well."""
        self._move(job, JobStatus.COMPLETED)

    def fail(self, job: ModelJob, *, permanent: bool = False, wait: float | None = None) -> bool:
        """The attempt failed; whether there is another one."""
        job.failures += 1
        if permanent or job.failures >= job.new.max_retries:
            job.dead = True
            self.events["JOB_DEAD"] += 1
            self._move(job, JobStatus.FAILED)
            return False
        self.put_back(job, job.new.retry_base * 2**job.failures if wait is None else wait)
        return True

    def put_back(self, job: ModelJob, wait: float) -> None:
        """It runs again, after a wait or at once."""
        job.backoff_until = self.now + wait if wait > 0 else None
        job.published_at = None
        self._move(job, JobStatus.PENDING)

    def cancel(self, job: ModelJob) -> None:
        """It will not run any more."""
        job.dead = False
        self._move(job, JobStatus.CANCELLED)

    def give_up(self, job: ModelJob) -> None:
        """Its deadline has passed."""
        self.events["JOB_EXPIRED"] += 1
        self.cancel(job)

    def revive(self, job: ModelJob) -> None:
        """A person brought it back."""
        job.failures, job.dead, job.start_by = 0, False, None
        job.backoff_until = job.published_at = None
        self._move(job, JobStatus.PENDING)

    def renew(self, attempts: Iterable[tuple[str, int]]) -> set[tuple[str, int]]:
        """A heartbeat; those of these attempts that go on or have completed."""
        held = {(job.id, job.attempt): job for job in self.running()}
        found = held.keys() & set(attempts)
        for each in found:
            held[each].lease_until = self.now + LEASE
        done = {(job.id, job.attempt) for job in self.jobs.values()
                if job.status is JobStatus.COMPLETED}  # fmt: skip
        return found | (done & set(attempts))

    def held_by(self, worker: str) -> list[ModelJob]:
        """What this worker holds."""
        return [job for job in self.running() if job.worker == worker]

    def running(self) -> list[ModelJob]:
        """What is in somebody's hands."""
        return [job for job in self.jobs.values() if job.status is JobStatus.PROCESSING]

    def expired(self) -> list[ModelJob]:
        """What runs without a lease."""
        return [job for job in self.running() if (job.lease_until or 0.0) < self.now]

    # --- the outbox ---

    def promote(self) -> None:
        """Waits that are over make their jobs ready, and unsent."""
        for job in self.jobs.values():
            waits = job.status is JobStatus.PENDING and job.backoff_until is not None
            if waits and job.backoff_until <= self.now:  # type: ignore[operator]
                job.backoff_until = job.published_at = None

    def take_unpublished(self) -> list[ModelJob]:
        """Due jobs that nobody has undertaken to send, most urgent first."""
        self.promote()
        due = [job for job in self.jobs.values() if job.ready and job.published_at is None]
        for job in due:
            job.published_at = self.now
        return sorted(due, key=_urgency)

    def awaited(self) -> set[Queue]:
        """Queues with messages that were sent a while ago."""
        return {job.queue for job in self.jobs.values() if self._overdue(job, self.now)}

    def missing(self, queue: Queue, oldest: str | None) -> list[ModelJob]:
        """What was sent and cannot be in this queue any more, whose oldest message is given."""
        before = self.now
        if oldest is not None:
            sent = self.jobs[oldest].published_at
            if sent is None:
                return []
            before = min(before, sent)
        alike = [job for job in self.jobs.values() if job.queue == queue]
        return [job for job in alike if self._overdue(job, before)]

    def _overdue(self, job: ModelJob, before: float) -> bool:
        return job.ready and job.published_at is not None and job.published_at < before - GRACE

    # --- looking ---

    def live(self) -> list[ModelJob]:
        """What is still to end."""
        return [job for job in self.jobs.values() if job.status in LIVE]

    def horizon(self) -> float:
        """A moment after everything that any job waits for."""
        times = [self.now]
        for job in self.jobs.values():
            times += [job.lease_until or 0.0, job.backoff_until or 0.0, job.published_at or 0.0]
        return max(times) + 2 * GRACE

    def _move(self, job: ModelJob, status: JobStatus) -> None:
        if status is not JobStatus.PENDING:
            job.held = job.waits_for_key = False
        assert status in MOVES[job.status], f"the model itself moved {job.status} to {status}"
        self.moves.append((job.id, job.status.value, status.value, job.attempt))
        job.status = status


class ModelBroker:
    """Lists of messages, oldest first; what a message carries is a job's id.

    Attributes:
        in_order: Whether each queue has held each message once, in the order of sending. Only
            then must the dispatcher take nothing for lost that is there.
    """

    def __init__(self) -> None:
        self.queues: dict[Queue, list[str]] = {}
        self.in_order = True

    def publish(self, jobs: Iterable[ModelJob]) -> None:
        """Send these jobs' messages."""
        for job in jobs:
            queue = self.queues.setdefault(job.queue, [])
            self.in_order &= job.id not in queue
            queue.append(job.id)

    def oldest(self, queue: Queue) -> str | None:
        """The message that is taken next."""
        return next(iter(self.queues.get(queue, ())), None)

    def holds(self, job: ModelJob) -> bool:
        """Whether a message of this job is there."""
        return job.id in self.queues.get(job.queue, ())

    def filled(self) -> Iterator[list[str]]:
        """The lists that hold something, in a fixed order."""
        return (self.queues[queue] for queue in sorted(self.queues) if self.queues[queue])


def _urgency(job: ModelJob) -> tuple[int, int]:
    return int(job.new.priority), job.seq
