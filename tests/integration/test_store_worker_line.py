"""Jobs that require labels: who may claim them, and the line in which they wait."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

from tests.ledgers import new_job, row, submit
from vibe_tasks.jobs import Claim
from vibe_tasks.priority import Priority
from vibe_tasks.store import held, jobs, lane_list, lanes, outbox, worker_line, workers
from vibe_tasks.store.engine import Database
from vibe_tasks.store.load import lane_loads


def claim(database: Database, job_id: str, *labels: str) -> Claim | None:
    """What the message of a job leads to."""
    with database.write_once() as connection:
        return jobs.claim(
            connection, job_id, worker="w", lease=30, labels=labels, routing={"choice": "w"}
        )


def claim_next(database: Database, *labels: str) -> str | None:
    """The job that a consumer with these labels gets."""
    with database.write_once() as connection:
        taken = jobs.claim_next_job(connection, "code", worker="w", lease=30, labels=labels)
    return taken and taken.id


def wait_for_worker(database: Database, *required: str, **fields: object) -> str:
    """A job that waits for a worker with these labels."""
    job = new_job(required=required, **fields)
    submit(database, job, published=True)
    with database.begin() as connection:
        held.hold_for_worker(connection, [job.id])
    return job.id


def serve(database: Database, name: str, labels: Collection[str]) -> None:
    """Register a worker with these labels."""
    with database.begin() as connection:
        me = workers.Registered(worker=name, host=None, process=name)
        workers.register(connection, me, ["code"], tier="standard", capacity=1, labels=labels)


def test_the_claim_looks_at_the_labels(database: Database) -> None:
    """Without all of them the job is held again, and not sent; with them it is claimed, and the
    ledger keeps why it went there.
    """
    job = new_job(required=("gpu", "lang:rust"))
    submit(database, job, published=True)
    assert claim(database, job.id, "gpu", "lang:go") is None
    found = row(database, job.id)
    assert (found["status"], found["held_for"]) == ("pending", "worker")
    assert found["published_at"] is None
    with database.begin() as connection:
        assert outbox.take_unpublished(connection) == ()
        assert worker_line.let_go(connection, [job.id, "unknown"]) == (job.id,)
        assert worker_line.let_go(connection, [job.id]) == ()
    assert claim(database, job.id, "lang:rust", "gpu", "ssd") is not None
    found = row(database, job.id)
    assert (found["held_for"], found["routing"]) == (None, {"choice": "w"})


def test_who_polls_gets_what_its_labels_cover(database: Database) -> None:
    """Others' jobs neither come nor stand in the way, due or in the line; and the most urgent of
    its own comes first, wherever it waits.
    """
    urgent = wait_for_worker(database, "gpu", priority=Priority.CRITICAL)
    due, plain = new_job(required=("gpu",)), new_job()
    submit(database, due, plain)
    assert [claim_next(database), claim_next(database)] == [plain.id, None]
    assert [claim_next(database, "gpu") for _ in range(3)] == [urgent, due.id, None]


def steps_of_a_claim(database: Database, *labels: str) -> int:
    """SQLite's work for a claim that finds nothing, in thousands of its steps."""
    steps: list[None] = []
    with database.write_once() as connection:
        driver: Any = connection.connection.dbapi_connection
        driver.set_progress_handler(lambda: steps.append(None), 1000)
        assert jobs.claim_next_job(connection, "code", worker="w", lease=30, labels=labels) is None
        driver.set_progress_handler(None, 0)
    return len(steps)


def test_who_polls_does_not_pay_for_what_waits_for_others(database: Database) -> None:
    """Thousands of jobs wait for labels that nobody has: without labels a poll looks at none of
    them, with labels it compares each set of them once.
    """
    made = [new_job(required=("quantum",)) for _ in range(2000)]
    submit(database, *made, published=True)
    with database.begin() as connection:
        held.hold_for_worker(connection, [each.id for each in made])
    if database.is_sqlite:
        assert steps_of_a_claim(database) < 10
        assert steps_of_a_claim(database, "gpu") < 35
    assert claim_next(database, "gpu", "quantum") == made[0].id


@pytest.mark.parametrize("governed", [False, True])
def test_others_of_its_key_do_not_wait_for_its_worker(database: Database, governed: bool) -> None:
    """A job for a label that nobody has holds up no job of the same key, nor its lane."""
    if governed:
        with database.begin() as connection:
            lanes.limit(connection, "code", concurrency=1)
    wait_for_worker(database, "quantum", concurrency_key="k", priority=Priority.CRITICAL)
    other = new_job(concurrency_key="k")
    submit(database, other)
    assert claim_next(database) == other.id


def test_a_governed_lane_is_asked_after_a_worker_is_found(database: Database) -> None:
    """A job whose worker has come waits for its lane like any other, no longer for the worker."""
    job_id = wait_for_worker(database, "gpu")
    with database.begin() as connection:
        lanes.pause(connection, "code")
        worker_line.let_go(connection, [job_id])
    assert claim(database, job_id, "gpu") is None
    assert row(database, job_id)["held_for"] == "lane"
    with database.begin() as connection:
        lanes.resume(connection, "code")
        assert held.give_turns(connection).job_ids == (job_id,)
    assert claim(database, job_id, "gpu") is not None


def test_what_waits_otherwise_is_left_to_wait(database: Database) -> None:
    """A late message, of an attempt before, cuts no wait between two attempts short; nor does it
    move a job out of the line of its lane.
    """
    waiting, lined = new_job(required=("gpu",)), new_job(required=("gpu",))
    submit(database, waiting, lined, published=True)
    with database.begin() as connection:
        connection.exec_driver_sql(
            f"UPDATE jobs SET backoff_until = 9e9 WHERE id = '{waiting.id}'"  # noqa: S608
        )
        held.hold(connection, lined.id, "lane")
        held.hold_for_worker(connection, [waiting.id, lined.id])
    assert row(database, waiting.id)["backoff_until"] == 9e9
    assert [row(database, each.id)["held_for"] for each in (waiting, lined)] == [None, "lane"]


def test_the_line_is_in_order_and_read_in_parts(database: Database) -> None:
    """The most urgent first, then the oldest; from any place on."""
    low = wait_for_worker(database, "gpu", priority=Priority.LOW)
    high = wait_for_worker(database, "gpu", priority=Priority.HIGH)
    later = wait_for_worker(database, "gpu", priority=Priority.LOW)
    with database.read() as connection:
        first = worker_line.line(connection, most=2)
        rest = worker_line.line(connection, most=2, after=first[-1].order)
    assert [each.id for each in (*first, *rest)] == [high, low, later]


def test_what_is_lacking_is_told(database: Database) -> None:
    """By lane and labels, with how many workers have them; and it is demand for more workers."""
    serve(database, "able", ["gpu", "lang:rust"])
    serve(database, "other", ["gpu"])
    job_id = wait_for_worker(database, "quantum")
    for _ in range(2):
        waiting = wait_for_worker(database, "lang:rust", "gpu")
    with database.read() as connection:
        lacks = worker_line.lacks(connection, lease=8)
        assert [(each.required, each.jobs, each.workers) for each in lacks] == [
            (("gpu", "lang:rust"), 2, 1), (("quantum",), 1, 0),
        ]  # fmt: skip
        why = lane_list.why_held(connection, jobs.find_job(connection, job_id))
        assert why == "no worker of lane code has quantum"
        why = lane_list.why_held(connection, jobs.find_job(connection, waiting))
        assert why == "for a free worker of lane code with gpu, lang:rust"
        assert lane_loads(connection)["code"].waiting == 3
