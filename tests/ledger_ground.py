"""The ground of the ledger's state machine: the two worlds, what compares them, and what happens
without anybody's wish: a broker that forgets, dispatchers, clocks and death.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.faults import START, World
from tests.ledger_model import GRACE, LEASE, Model, ModelBroker, ModelJob
from tests.ledgers import middle
from vibe_tasks.flow import attempts, deadlines
from vibe_tasks.jobs import LIVE, Claim, JobStatus
from vibe_tasks.store import held, leases, outbox

ROWS = (
    "SELECT id, status, attempt, retry_count, dead_at, worker, lease_until, backoff_until, "
    "published_at, held_at, held_for, unique_key, concurrency_key FROM jobs"
)
EVENTS = "SELECT hook_event_type, count(*) FROM events GROUP BY hook_event_type"
PENDING = "SELECT id FROM jobs WHERE status = 'pending'"
HISTORY = (
    "SELECT id, job_id, from_status, status, attempt FROM job_history WHERE id > {} ORDER BY id"
)

MOST_JOBS = 10
"""In one history; with more of them its rules would seldom meet the same job."""

Thing = TypeVar("Thing")

which = st.integers(0, MOST_JOBS - 1)
steps = st.sampled_from([1.0, GRACE + 1, GRACE + 1, LEASE + 1, 700.0, -1.0, -LEASE, -700.0])


class LedgerGround(RuleBasedStateMachine):
    """A ledger and its model, side by side.

    Attributes:
        taken: All claims that ever succeeded, and whose they are.
        agreed: Whether ledger and model were compared after the last step, and agreed.
        armed: What strikes the next processes: after how many statements, and whether deadly.
    """

    def __init__(self, world: World) -> None:
        super().__init__()
        world.reset()
        self.world = world
        self.model = Model(START, promotes=world.ledger.is_sqlite)
        self.broker = ModelBroker()
        self.taken: list[tuple[Claim, str]] = []
        self.agreed = True
        self.armed: list[tuple[int, bool]] = []
        with world.ledger.read() as connection:
            last = connection.exec_driver_sql("SELECT max(id) FROM job_history").scalar()
        self.seen = last or 0

    # --- what always holds ---

    def process(self) -> Any:
        """Everything in the block is left out from the statement on where the process dies."""
        self.agreed = False
        if self.armed:
            statements, deadly = self.armed.pop()
            self.world.fault.arm(statements, deadly=deadly)
        return self.world.process()

    @invariant()
    def agree(self) -> None:
        """Rows and history are the model's; a unique key has one live job at most, a concurrency
        key one that runs.
        """
        with self.world.ledger.read() as connection:
            rows = connection.exec_driver_sql(ROWS).all()
            moved = connection.exec_driver_sql(HISTORY.format(self.seen)).all()
            told = connection.exec_driver_sql(EVENTS).all()
        found = {row.id: facts(row) for row in rows}
        assert found == {job.id: job.facts() for job in self.model.jobs.values()}
        assert dict(map(tuple, told)) == self.model.events
        assert by_job(tuple(row)[1:] for row in moved) == by_job(self.model.moves)
        busy = [row.concurrency_key for row in rows if row.status == "processing"]
        assert len(set(busy)) + max(0, busy.count(None) - 1) == len(busy)
        keys = [row.unique_key for row in rows if row.unique_key and row.status in LIVE]
        assert len(keys) == len(set(keys))
        self.model.moves.clear()
        self.seen = moved[-1].id if moved else self.seen
        self.agreed = True

    # --- the broker ---

    @precondition(lambda self: any(self.broker.filled()))
    @rule(which=which, what=st.sampled_from(["lose one", "lose queue", "duplicate", "reorder"]))
    def err_in_broker(self, which: int, what: str) -> None:
        """A message, or a queue, is lost; one is delivered twice; the order changes."""
        queue = pick(self.broker.filled(), which)
        match what:
            case "lose one":
                queue.pop(which % len(queue))
            case "lose queue":
                queue.clear()
            case "duplicate":
                queue.append(queue[0])
                self.broker.in_order = False
            case "reorder":
                queue.reverse()
                self.broker.in_order = False

    @precondition(lambda self: any(self.broker.filled()))
    @rule()
    def flush_broker(self) -> None:
        """It is emptied, or killed and started again."""
        self.broker.queues.clear()

    # --- the dispatcher ---

    @precondition(lambda self: self.model.live())
    @rule(fate=st.sampled_from(["sent", "sent", "sent", "broker away", "died before sending"]))
    def dispatch(self, fate: str) -> None:
        """A look of the dispatcher: what is due is sent, what was lost goes to the outbox."""
        due: list[ModelJob] = []
        with self.process() as ledger:
            with ledger.begin() as connection:
                taken = [each.id for each in outbox.take_unpublished(connection)]
            due = self.model.take_unpublished()
            assert taken == [job.id for job in due]
        if fate == "sent":
            self.broker.publish(due)
        elif fate == "broker away":
            with self.world.ledger.begin() as connection:
                outbox.give_back(connection, [job.id for job in due])
            for job in due:
                job.published_at = None
        self.give_turns()
        self.find_lost()

    def give_turns(self) -> None:
        """Jobs that waited for their concurrency key are sent when it is free."""
        with self.process() as ledger:
            with ledger.begin() as connection:
                turns = held.give_turns(connection)
            given = self.model.give_turns()
            assert set(turns.job_ids) == {job.id for job in given}
            self.broker.publish(given)

    @precondition(lambda self: any(map(self.model.late, self.model.jobs.values())))
    @rule()
    def give_up_late(self) -> None:
        """What has not started by its deadline is cancelled, in a transaction for each."""
        late = [job for job in self.model.jobs.values() if self.model.late(job)]
        with self.process() as ledger:
            deadlines.give_up_late(ledger)
        with self.world.ledger.read() as connection:
            kept = {row[0] for row in connection.exec_driver_sql(PENDING)}
        assert self.world.fault.struck or not kept & {job.id for job in late}
        for job in late:
            if job.id not in kept:
                self.model.give_up(job)

    def find_lost(self) -> None:
        """As the dispatcher does it: each queue is judged by its oldest message."""
        with self.world.ledger.read() as connection:
            queues = outbox.awaited(connection, grace=GRACE)
            wait = outbox.seconds_to_next(connection)
        assert {(lane, int(priority)) for lane, priority in queues} == self.model.awaited()
        waits = [job.backoff_until for job in self.model.jobs.values()
                 if job.status is JobStatus.PENDING and job.backoff_until is not None]  # fmt: skip
        assert wait == (min(waits) - self.model.now if waits else None)
        for lane, priority in sorted(queues):
            queue = (lane, int(priority))
            oldest = self.broker.oldest(queue)
            gone = self.model.missing(queue, oldest)
            if self.broker.in_order:
                assert not [job.id for job in gone if self.broker.holds(job)]
            with self.world.ledger.begin() as connection:
                before = None if oldest is None else outbox.sent_at(connection, oldest)
                if oldest is None or before is not None:
                    found = outbox.lost(connection, lane, priority, grace=GRACE, before=before)
                    assert found == len(gone)
            for job in gone:
                job.published_at = None

    @precondition(lambda self: self.model.running())
    @rule()
    def reap(self) -> None:
        """Leases that ran out count as failures, each in a transaction of its own."""
        late = self.model.expired()
        done = None
        with self.process() as ledger:
            done = attempts.reap(ledger, uniform=middle)
        if done is None:  # died on the way: what it had committed is done
            with self.world.ledger.read() as connection:
                late = [j for j in late if not leases.is_expired(connection, j.id, j.attempt)]
        dead = {job.id for job in late if not self.model.fail(job, wait=0.0)}
        if done is not None:
            assert (done.taken, set(done.dead)) == (len(late), dead)

    # --- time and chance ---

    @precondition(lambda self: self.model.live())
    @rule(seconds=steps)
    def step_clock(self, seconds: float) -> None:
        """Time passes, or somebody sets the clock."""
        self.model.now += seconds
        self.world.set_clock(self.model.now)
        self.broker.in_order &= seconds > 0

    @precondition(lambda self: self.model.live() and not self.armed)
    @rule(
        strikes=st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=4),
    )  # fmt: skip
    def strike_next(self, strikes: list[tuple[int, bool]]) -> None:
        """The next processes die, or meet an error, before one of their statements."""
        self.armed = strikes


def pick(things: Iterable[Thing], which: int) -> Thing:
    """One of these."""
    found = list(things)
    return found[which % len(found)]


@contextmanager
def refused(expected: bool, error: type[Exception]) -> Iterator[None]:
    """What is done in here must be refused, or must not."""
    if not expected:
        yield
        return
    with pytest.raises(error):
        yield


def facts(row: Any) -> tuple[object, ...]:
    """A row of the ledger as `ModelJob.facts` tells it."""
    return (
        row.status, row.attempt, row.retry_count, row.dead_at is not None,
        (row.worker, row.lease_until) if row.status == "processing" else None,
        (row.backoff_until, row.published_at, row.held_at is not None, row.held_for is not None)
        if row.status == "pending" else None,
    )  # fmt: skip


def by_job(moves: Iterable[tuple[Any, ...]]) -> dict[str, list[tuple[Any, ...]]]:
    """The moves of each job; those of different jobs have no order, as one statement moves many."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    for job_id, *move in moves:
        found.setdefault(job_id, []).append(tuple(move))
    return found
