"""The ledger against a model: whatever happens in whatever order, the two agree.

`VIBE_FULL=1` tries thirty times as many histories. A failure prints the shortest history that
shows it, as a program of rule calls, and a line that repeats it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule, run_state_machine_as_test

from tests.faults import World
from tests.ledger_ground import MOST_JOBS, LedgerGround, pick, refused, which
from tests.ledger_model import GRACE, LEASE
from tests.ledgers import middle, new_job
from vibe_tasks.errors import IllegalMoveError, LeaseLostError
from vibe_tasks.flow import attempts, control
from vibe_tasks.flow.attempts import Ending, Place
from vibe_tasks.jobs import Claim, JobStatus
from vibe_tasks.priority import Priority
from vibe_tasks.store import jobs, leases

FULL = bool(os.environ.get("VIBE_FULL"))
EXAMPLES = {"sqlite": 15, "postgresql": 5}
"""A step costs PostgreSQL several round trips, SQLite none."""
lanes = st.sampled_from(["code", "code", "qa"])
workers = st.sampled_from(["w1", "w2"])
often = st.sampled_from([True, True, True, False])
endings = st.sampled_from(["failure", "permanent", "snooze", "cancel"])
new_jobs = {
    "lane": lanes,
    "priority": st.sampled_from([Priority.NORMAL, Priority.NORMAL, Priority.CRITICAL]),
    "max_retries": st.integers(1, 3),
    "concurrency_key": st.sampled_from([None, None, "a", "b"]),
}


class LedgerMachine(LedgerGround):
    """Producers, workers and people, on that ground."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.numbers = count(1)

    # --- producers ---

    @initialize(jobs=st.lists(st.fixed_dictionaries(new_jobs), min_size=2, max_size=4))
    def begin(self, jobs: list[dict[str, Any]]) -> None:
        """Something is there from the start; a history of nothing shows nothing."""
        for fields in jobs:
            self.submit(sent=True, delay=0.0, key=None, late_after=None, **fields)

    @precondition(lambda self: len(self.model.jobs) < MOST_JOBS)
    @rule(
        sent=often, delay=st.sampled_from([0.0, 0.0, 2.0, 60.0]),
        key=st.sampled_from([None, None, "k1", "k2"]),
        late_after=st.sampled_from([None, GRACE + 1]), **new_jobs,
    )  # fmt: skip
    def submit(
        self, sent: bool, delay: float, key: str | None, late_after: float | None, **fields: Any
    ) -> None:
        """One call of `.delay()`; it may die between the commit and the message."""
        new = new_job(
            id=f"j{next(self.numbers)}", delay=delay, unique_key=key,
            start_by=late_after and self.model.now + late_after, **fields,
        )  # fmt: skip
        with self.process() as ledger:
            with ledger.begin() as connection:
                (said,) = jobs.submit(connection, [new], published=True)
            holder = self.model.holder_of(key)
            made = self.model.submit(new)
            assert (said.fresh, said.due) == (made is not None, made is not None and not delay)
            assert said.id == (new.id if holder is None else holder.id)
            if made is not None and sent and not delay:
                self.broker.publish([made])

    @precondition(lambda self: len(self.model.jobs) < MOST_JOBS - 2)
    @rule(number=st.integers(2, 3), sent=often, **new_jobs)
    def submit_many(self, number: int, sent: bool, **fields: Any) -> None:
        """Several jobs in one transaction: all of them or none."""
        new = [new_job(id=f"j{next(self.numbers)}", **fields) for _ in range(number)]
        with self.process() as ledger:
            with ledger.begin() as connection:
                jobs.submit(connection, new, published=True)
            made = [job for each in new if (job := self.model.submit(each))]
            if sent:
                self.broker.publish(made)

    # --- workers ---

    @precondition(lambda self: any(self.broker.filled()))
    @rule(which=which, worker=workers)
    def deliver(self, which: int, worker: str) -> None:
        """A worker takes a message and claims its job."""
        self.claim(pick(self.broker.filled(), which).pop(0), worker)

    @precondition(lambda self: self.model.jobs)
    @rule(which=which, worker=workers)
    def deliver_stray(self, which: int, worker: str) -> None:
        """A message turns up that nobody expects any more."""
        self.claim(pick(self.model.jobs, which), worker)

    def claim(self, job_id: str, worker: str) -> Claim | None:
        """Claim a job that is to be had, and only then."""
        taken = None
        with self.process() as ledger:
            with ledger.write_once() as connection:
                taken = jobs.claim(connection, job_id, worker=worker, lease=LEASE)
            expected = self.model.claim(job_id, worker)
            assert (None if taken is None else taken.attempt) == expected
        if taken is not None:
            self.taken.append((taken, worker))
        return taken

    @precondition(lambda self: self.model.live())
    @rule(lane=lanes, worker=workers)
    def claim_next(self, lane: str, worker: str) -> None:
        """A consumer without messages takes the most urgent job."""
        with self.process() as ledger:
            with ledger.begin() as connection:
                taken = jobs.claim_next_job(connection, lane, worker=worker, lease=LEASE)
            job = self.model.most_urgent(lane)
            assert (taken.id if taken else None) == (job.id if job else None)
            if job is not None and taken is not None:
                assert self.model.claim(job.id, worker) == taken.attempt
                self.taken.append((taken, worker))

    @precondition(lambda self: self.model.running())
    @rule(which=which)
    def complete(self, which: int) -> None:
        """An attempt ends well."""
        job = pick(self.model.running(), which)
        with self.process() as ledger:
            with ledger.write_once() as connection:
                jobs.complete_job(connection, job.id, job.attempt, {"by": job.attempt})
            self.model.complete(job)

    @precondition(lambda self: self.model.running())
    @rule(which=which, kind=endings, wait=st.sampled_from([None, 0.0, 3.0]))
    def settle(self, which: int, kind: Any, wait: float | None) -> None:
        """An attempt ends otherwise."""
        job = pick(self.model.running(), which)
        with self.process() as ledger:
            ending = Ending(kind=kind, text="so it ended", wait=wait)
            again, following = attempts.settle(
                ledger, place(job.id, job.attempt), ending, uniform=middle
            )
            assert following == ()
            if kind == "snooze":
                self.model.put_back(job, wait or 0.0)
                assert again
            elif kind == "cancel":
                self.model.cancel(job)
                assert not again
            else:
                assert again == self.model.fail(job, permanent=kind == "permanent", wait=wait)

    @precondition(lambda self: self.stale())
    @rule(which=st.integers(0, 30), kind=endings | st.sampled_from(["complete", "look"]))
    def write_too_late(self, which: int, kind: Any) -> None:
        """An attempt whose job has moved on is refused, whatever it tries; so is its fence."""
        job_id, attempt = pick(self.stale(), which)
        with self.process() as ledger, refused(True, LeaseLostError):
            if kind == "look":
                with ledger.read() as connection:
                    jobs.check_lease(connection, job_id, attempt)
            elif kind == "complete":
                with ledger.write_once() as connection:
                    jobs.complete_job(connection, job_id, attempt, None)
            else:
                ending = Ending(kind=kind, text="too late")
                attempts.settle(ledger, place(job_id, attempt), ending, uniform=middle)

    def stale(self) -> list[tuple[str, int]]:
        """Attempts that are over; none is ever forgotten."""
        found = [(claim.id, claim.attempt) for claim, _ in self.taken]
        return [each for each in found if self.model.current(*each) is None]

    @precondition(lambda self: self.taken)
    @rule(worker=workers)
    def heartbeat(self, worker: str) -> None:
        """A worker renews all that it thinks it holds."""
        mine = {(claim.id, claim.attempt) for claim, by in self.taken if by == worker}
        with self.process() as ledger:
            with ledger.begin() as connection:
                over = leases.renew(connection, mine, lease=LEASE)
            assert over == mine - self.model.renew(mine)

    @precondition(lambda self: self.taken)
    @rule(which=which, worker=workers, counted=often)
    def lose_process(self, which: int, worker: str, counted: bool) -> None:
        """A worker's main process says that a pool process is gone; it may be mistaken."""
        claim, _ = pick(self.taken, which)
        with self.process() as ledger:
            attempts.lose(ledger, claim.id, worker, "killed", uniform=middle, counted=counted)
            job = self.model.jobs[claim.id]
            if job.status is JobStatus.PROCESSING and job.worker == worker:
                if counted:
                    self.model.fail(job)
                else:
                    self.model.put_back(job, 0.0)

    @precondition(lambda self: self.model.running())
    @rule(worker=workers)
    def interrupt(self, worker: str) -> None:
        """A worker is stopped in good order: nothing is counted."""
        with self.process() as ledger:
            mine = self.model.held_by(worker)
            assert attempts.interrupt(ledger, worker, "stopped") == len(mine)
            for job in mine:
                self.model.put_back(job, 0.0)

    # --- people ---

    @precondition(lambda self: self.model.jobs)
    @rule(which=which, what=st.sampled_from(["cancel", "retry", "retry", "discard"]))
    def intervene(self, which: int, what: str) -> None:
        """A person cancels, retries or discards; what is not allowed is refused."""
        job = pick(self.model.jobs.values(), which)
        ended = job.status in {JobStatus.COMPLETED, JobStatus.CANCELLED}
        with self.process() as ledger:
            if what == "cancel":
                with refused(ended, IllegalMoveError):
                    control.cancel_job(ledger, job.id, "not wanted")
                allowed = not ended
            elif what == "retry":
                allowed = job.status in {JobStatus.FAILED, JobStatus.CANCELLED}
                allowed &= self.model.holder_of(job.new.unique_key) is None
                with refused(not allowed, IllegalMoveError):
                    assert control.retry_job(ledger, job.id) == ()
            else:
                allowed = job.dead
                with refused(not allowed, IllegalMoveError):
                    control.discard_job(ledger, job.id)
            if allowed:
                (self.model.revive if what == "retry" else self.model.cancel)(job)

    def teardown(self) -> None:
        """One fair dispatcher and one fair worker bring every job to its end, once."""
        if not self.agreed:
            return
        self.armed = []
        for _ in range(4 * MOST_JOBS):
            if not self.model.live():
                break
            self.step_clock(self.model.horizon() - self.model.now)
            self.reap()
            self.give_up_late()
            self.dispatch("sent")
            while (message := next(self.broker.filled(), None)) is not None:
                self.claim(message.pop(0), "fair")
            while self.model.running():
                self.complete(0)
            self.agree()
        assert not [job.id for job in self.model.live()], "forgotten"


def place(job_id: str, attempt: int) -> Place:
    """Where an attempt at a job without a plan belongs."""
    return Place(id=job_id, attempt=attempt, kind="call", plan_id=None, task_id=None)


@pytest.fixture
def world(empty_url: str) -> Iterator[World]:
    """An empty ledger under our clock; SQLite, then PostgreSQL."""
    made = World(empty_url)
    yield made
    made.ledger.close()


def test_the_ledger_does_what_the_model_does(world: World) -> None:
    """Every history of submissions, claims, ends, losses, deaths and clock steps: the ledger's
    rows are the model's after each step, and in the end every job has ended.
    """
    chosen = settings(
        max_examples=EXAMPLES[world.ledger.engine.dialect.name] * (30 if FULL else 1),
        stateful_step_count=80,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(lambda: LedgerMachine(world), settings=chosen)
