"""Notifications of jobs: from PostgreSQL's triggers, and for SQLite through the broker."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.cluster import Cluster, running_cluster
from tests.ledgers import backdate, claim, middle, new_job, submit
from tests.listening import NEVER, feed, listening
from tests.processes import until
from vibe_tasks.errors import UnknownJobError
from vibe_tasks.store import jobs, lanes
from vibe_tasks.store.engine import Database
from vibe_tasks.store.held import give_turns

DATABASES = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.fixture(scope="module", params=DATABASES)
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A broker and a ledger, without workers."""
    with running_cluster(request, request.param, measured=False) as made:
        yield made


# --- what is told ---


def unblocked(ledger: Database) -> str:
    """A blocked job that may start now."""
    job = new_job(blocked=True)
    submit(ledger, job)
    with ledger.begin() as connection:
        jobs.unblock_job(connection, job.id)
    return job.id


def retried(ledger: Database) -> str:
    """A job that failed and may run again at once."""
    job = new_job()
    submit(ledger, job)
    claim(ledger, job.id)
    with ledger.begin() as connection:
        jobs.fail_job(connection, job.id, 1, "boom", uniform=middle, wait=0.0)
    return job.id


def put_off(ledger: Database) -> str:
    """A job that failed and waits."""
    job = new_job()
    submit(ledger, job)
    claim(ledger, job.id)
    with ledger.begin() as connection:
        jobs.fail_job(connection, job.id, 1, "boom", uniform=middle)
    return job.id


def due(ledger: Database) -> str:
    """A job whose wait is over."""
    job = new_job(delay=60.0, priority=2)
    submit(ledger, job)
    backdate(ledger, job.id, ["backoff_until"], 61)
    with ledger.begin() as connection:
        jobs.promote(connection)
    return job.id


def held(ledger: Database) -> str:
    """A job that was refused at the claim, and then has its turn."""
    job = new_job(lane="held")
    submit(ledger, job)
    with ledger.begin() as connection:
        lanes.pause(connection, "held")
    with ledger.write_once() as connection:
        assert jobs.claim(connection, job.id, worker="w1", lease=30) is None
    with ledger.begin() as connection:
        lanes.resume(connection, "held")
        give_turns(connection)
    return job.id


def completed(ledger: Database) -> str:
    """A job that was done; the claim and the end in statements of their own."""
    job = new_job()
    submit(ledger, job)
    with ledger.write_once() as connection:
        jobs.claim(connection, job.id, worker="w1", lease=30)
    with ledger.write_once() as connection:
        jobs.complete_job(connection, job.id, 1, None)
    return job.id


def cancelled_and_revived(ledger: Database) -> str:
    """A job that was cancelled and given back its attempts."""
    job = new_job()
    submit(ledger, job)
    with ledger.begin() as connection:
        jobs.cancel_job(connection, job.id, "why")
    with ledger.begin() as connection:
        jobs.revive_job(connection, job.id)
    return job.id


NEW, HIGH = ("new_job", 3, None, None), ("new_job", 2, None, None)
TAKEN = ("job_status_changed", None, "pending", "processing")
RETURNED = ("job_status_changed", None, "processing", "pending")


@pytest.mark.parametrize(
    ("happen", "expected"),
    [
        (unblocked, [("job_status_changed", None, "blocked", "pending"), NEW]),
        (retried, [NEW, TAKEN, RETURNED, NEW]),
        (put_off, [NEW, TAKEN, RETURNED]),
        (due, [HIGH]),
        (held, [NEW, NEW]),
        (completed, [NEW, TAKEN, ("job_status_changed", None, "processing", "completed")]),
        (
            cancelled_and_revived,
            [
                NEW,
                ("job_status_changed", None, "pending", "cancelled"),
                ("job_status_changed", None, "cancelled", "pending"),
                NEW,
            ],
        ),
    ],
)
def test_each_change_is_told(
    cluster: Cluster, happen: Callable[[Database], str], expected: list[Any]
) -> None:
    """Both databases say the same: that a job is ready, and each change of a status."""
    with listening(cluster) as wakeups, feed(cluster, wakeups, "code", "held") as seen:
        job_id = happen(cluster.ledger)

        def told() -> list[Any]:
            return [
                (each.channel, each.priority, each.old_status, each.new_status)
                for each in seen
                if each.job_id == job_id  # what other tests did may still be on its way
            ]

        until(lambda: len(told()) >= len(expected))
    assert told() == expected


def test_what_was_rolled_back_is_not_told(cluster: Cluster) -> None:
    """Nobody hears of a job that is not in the ledger."""
    with listening(cluster) as wakeups, feed(cluster, wakeups, "code") as seen:

        def doomed() -> None:
            with cluster.ledger.begin() as connection:
                jobs.submit(connection, [new_job(id="never")])
                jobs.cancel_job(connection, "nobody", "why")

        with pytest.raises(UnknownJobError):
            doomed()
        submit(cluster.ledger, new_job(id="kept"))
        until(lambda: bool(seen))
    assert [each.job_id for each in seen] == ["kept"]


def test_long_names_are_cut(cluster: Cluster) -> None:
    """A payload stays below PostgreSQL's 8,000 bytes, whatever a job is called."""
    with listening(cluster) as wakeups, feed(cluster, wakeups) as seen:
        submit(cluster.ledger, new_job(id="ä" * 5000, lane="l" * 5000))
        until(lambda: any(each.job_id.startswith("ä") for each in seen))
    assert [len(each.job_id) for each in seen if each.job_id.startswith("ä")] == [500]


def test_workers_tell_what_they_do(cluster: Cluster) -> None:
    """Claims and completions of a Celery worker's child processes are heard too."""
    with (
        listening(cluster) as wakeups,
        cluster.worker("code"),
        feed(cluster, wakeups, "code") as seen,
    ):
        job_id = cluster.jobs.add.delay(1, 2).id
        cluster.until(job_id, "completed")

        def known() -> bool:
            return any((each.job_id, each.new_status) == (job_id, "completed") for each in seen)

        until(known)


# --- what a wait does ---


def test_a_wait_ends_with_a_new_job_of_its_lane_alone(cluster: Cluster) -> None:
    """Jobs of other lanes wake nobody; what came since the mark is not missed."""
    with listening(cluster) as wakeups:
        mark = wakeups.mark()
        submit(cluster.ledger, new_job(lane="other"))
        until(lambda: wakeups.mark() > mark)
        assert not wakeups.wait(mark, lanes=["mine"], timeout=0.05)
        submit(cluster.ledger, new_job(lane="mine"))
        assert wakeups.wait(mark, lanes=["mine"], timeout=60)
        assert wakeups.wait(mark, lanes=["mine"], timeout=60), "it came after the mark"


def test_a_wait_ends_with_a_change_of_its_job(cluster: Cluster) -> None:
    """Who waits for a job's end need not ask again and again."""
    job = new_job()
    submit(cluster.ledger, job, new_job())
    with listening(cluster) as wakeups:
        mark = wakeups.mark()
        waiter = threading.Thread(target=lambda: claim(cluster.ledger, job.id))
        waiter.start()
        assert wakeups.wait(mark, jobs=[job.id], timeout=60)
        waiter.join()


@pytest.mark.parametrize("works", [True, False])
def test_either_way_alone_finds_the_job(cluster: Cluster, *, works: bool) -> None:
    """With polling off a notification brings the job; with notifications off polling does."""
    lane = f"either-{works}"
    looked = threading.Event()
    wakeups = cluster.module("wakeups").Wakeups
    with ExitStack() as stack:
        if works:
            made = stack.enter_context(listening(cluster, poll=NEVER))
        else:
            made = stack.enter_context(wakeups(cluster.ledger, None, poll=0.1))

        def look() -> Any:
            with cluster.ledger.begin() as connection:
                taken = jobs.claim_next_job(connection, lane, worker="w", lease=30)
            looked.set()
            return taken

        def produce() -> None:
            looked.wait(60)
            submit(cluster.ledger, new_job(lane=lane))

        producer = threading.Thread(target=produce)
        producer.start()
        found = made.look_until(look, lanes=[lane], timeout=60)
        producer.join()
    assert found is not None


def test_a_due_job_ends_a_wait_that_would_last_longer(cluster: Cluster) -> None:
    """Without a notification and long before the next poll."""
    submit(cluster.ledger, new_job(lane="later", delay=0.3))

    def look() -> Any:
        with cluster.ledger.begin() as connection:
            return jobs.claim_next_job(connection, "later", worker="w", lease=30)

    with cluster.module("wakeups").Wakeups(cluster.ledger, None, poll=NEVER) as wakeups:
        assert wakeups.look_until(look, lanes=["later"], timeout=60) is not None


def test_closing_ends_every_wait(cluster: Cluster) -> None:
    """Threads that wait return when the program stops, connected or not."""
    with listening(cluster) as wakeups:
        waiters = [
            threading.Thread(target=wakeups.wait, args=(wakeups.mark(),), kwargs={"lanes": ["x"]})
            for _ in range(3)
        ]
        for waiter in waiters:
            waiter.start()
    for waiter in waiters:
        waiter.join(60)
    assert not any(waiter.is_alive() for waiter in waiters)
