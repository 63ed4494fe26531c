from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tests.ledgers import claim, history, new_job, row, submit
from vibe_tasks.errors import DuplicateJobError
from vibe_tasks.jobs import JobStatus, NewJob
from vibe_tasks.priority import Priority
from vibe_tasks.store import jobs, outbox
from vibe_tasks.store.engine import Database, server_time

AWKWARD = {
    "nul": "a\x00b",
    "lone surrogate": "\ud800",
    "emoji": "🦀",
    "huge": 10**60,
    "negative": -(2**63) - 1,
    "float": 0.1 + 0.2,
    "nothing": None,
    "nested": [[{"": []}]],
    "quotes": "'; DROP TABLE jobs; --",
    "percent": "%(job)s :job ?",
}


def test_a_job_is_written_with_all_its_fields(database: Database) -> None:
    """What was submitted is what the row holds."""
    before = server_time(database)
    job = new_job(
        args=(1, "two"), kwargs={"three": 3}, priority=Priority.HIGH, effort=5, max_retries=7,
        retry_base=0.5, time_limit=9.0, canvas={"chain": []}, plan_id="p", task_id="t",
        kind="dev", round=2,
    )  # fmt: skip
    submit(database, job)
    found = row(database, job.id)
    assert found["args"] == {"args": [1, "two"], "kwargs": {"three": 3}}
    assert found["canvas"] == {"chain": []}
    for name in ("id", "name", "kind", "lane", "effort", "max_retries", "retry_base", "time_limit",
                 "plan_id", "task_id", "round", "priority"):  # fmt: skip
        assert found[name] == getattr(job, name), name
    assert (found["status"], found["attempt"], found["retry_count"]) == (JobStatus.PENDING, 0, 0)
    assert before <= found["created_at"] <= found["status_updated_at"] <= server_time(database)
    assert found["published_at"] is found["backoff_until"] is found["result"] is None


@pytest.mark.parametrize("name", AWKWARD)
def test_every_json_value_comes_back_as_it_went_in(database: Database, name: str) -> None:
    """Arguments survive the ledger, whatever JSON can write; results likewise."""
    job = new_job(args=(AWKWARD[name],), kwargs={"k": AWKWARD[name]}, canvas={"c": AWKWARD[name]})
    submit(database, job)
    taken = claim(database, job.id)
    assert taken.args == (AWKWARD[name],)
    assert taken.kwargs == {"k": AWKWARD[name]}
    with database.begin() as connection:
        jobs.complete_job(connection, job.id, 1, AWKWARD[name])
        assert jobs.find_job(connection, job.id)["result"] == AWKWARD[name]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, b"x", object()])
def test_what_is_no_json_is_refused(database: Database, value: object) -> None:
    """A value that JSON cannot write is a TypeError, and nothing is written."""
    with pytest.raises(TypeError), database.begin() as connection:
        jobs.submit(connection, [new_job(id="bad", args=(value,))])
    with database.read() as connection:
        assert jobs.list_jobs(connection) == ()


def test_a_value_that_holds_itself_is_refused(database: Database) -> None:
    """A circle is no JSON value either."""
    circle: list[object] = []
    circle.append(circle)
    with pytest.raises(TypeError), database.begin() as connection:
        jobs.submit(connection, [new_job(args=(circle,))])


def test_no_result_and_the_result_none_are_two_things(database: Database) -> None:
    """Until a job completes its result is SQL's NULL; None is a result."""
    job = new_job()
    submit(database, job)
    null = "SELECT count(*) FROM jobs WHERE result IS NULL"
    with database.begin() as connection:
        assert connection.exec_driver_sql(null).scalar() == 1
        jobs.claim(connection, job.id, worker="w", lease=30)
        jobs.complete_job(connection, job.id, 1, None)
        assert connection.exec_driver_sql(null).scalar() == 0
        assert jobs.find_job(connection, job.id)["result"] is None


def test_many_jobs_are_written_together_or_not_at_all(database: Database) -> None:
    """One bad job in a batch leaves no trace of the others."""
    batch = [new_job(id="a"), new_job(id="b"), new_job(id="a")]
    with (
        pytest.raises(DuplicateJobError, match="one of these jobs is in the ledger already"),
        database.begin() as connection,
    ):
        jobs.submit(connection, batch)
    with database.read() as connection:
        assert jobs.list_jobs(connection) == ()
        assert connection.exec_driver_sql("SELECT count(*) FROM job_history").scalar() == 0


def test_the_answers_come_in_the_order_of_the_jobs(database: Database) -> None:
    """Mixed batches (plain, delayed, keyed, blocked) are answered in order, each rightly."""
    batch = [
        new_job(id="plain"), new_job(id="later", delay=60), new_job(id="keyed", unique_key="k"),
        new_job(id="blocked", blocked=True), new_job(id="twin", unique_key="k"),
    ]  # fmt: skip
    with database.begin() as connection:
        answers = jobs.submit(connection, batch, published=True)
    assert [(each.id, each.fresh, each.due) for each in answers] == [
        ("plain", True, True), ("later", True, False), ("keyed", True, True),
        ("blocked", True, False), ("keyed", False, False),
    ]  # fmt: skip


def test_the_caller_that_publishes_is_trusted_once(database: Database) -> None:
    """Jobs whose message the caller sends are not in the outbox; the others are."""
    submit(
        database, new_job(id="plain"), new_job(id="keyed", unique_key="k"),
        new_job(id="blocked", blocked=True), new_job(id="past", due_at=1.0), published=True,
    )  # fmt: skip
    with database.begin() as connection:
        assert [each.id for each in outbox.take_unpublished(connection)] == ["past"]


def test_a_delay_is_counted_from_the_databases_clock(database: Database) -> None:
    """`delay` and `due_at` become `backoff_until`; a moment in the past means now."""
    now = server_time(database)
    submit(
        database, new_job(id="delay", delay=60), new_job(id="due", due_at=now + 90),
        new_job(id="past", due_at=now - 5),
    )  # fmt: skip
    assert row(database, "delay")["backoff_until"] == pytest.approx(now + 60, abs=5)
    assert row(database, "due")["backoff_until"] == pytest.approx(now + 90)
    assert row(database, "past")["backoff_until"] is None


def test_a_submission_has_a_history_row(database: Database) -> None:
    """The first transition is from nothing."""
    submit(database, new_job(id="a"), new_job(id="b", blocked=True))
    assert history(database, "a") == [(None, "pending")]
    assert history(database, "b") == [(None, "blocked")]


@pytest.mark.parametrize("end", ["complete", "fail", "cancel"])
def test_a_key_is_free_again_after_the_end(database: Database, end: str) -> None:
    """While a job with the key lives, it is answered; after its end a new one is made."""
    submit(database, new_job(id="first", unique_key="k", max_retries=1))
    with database.begin() as connection:
        again = jobs.submit(connection, [new_job(id="second", unique_key="k")])[0]
        assert (again.id, again.fresh) == ("first", False)
        taken = jobs.claim(connection, "first", worker="w", lease=30)
        assert taken is not None
        if end == "complete":
            jobs.complete_job(connection, "first", 1, 1)
        elif end == "fail":
            jobs.fail_job(connection, "first", 1, "boom", uniform=max)
        else:
            jobs.cancel_job(connection, "first", "enough")
        third = jobs.submit(connection, [new_job(id="third", unique_key="k")])[0]
    assert (third.id, third.fresh) == ("third", True)


def test_one_key_has_one_live_job_under_concurrency(database: Database) -> None:
    """Of eight submitters at once one makes the job, the others get its id."""
    start = Barrier(8)

    def one(number: int) -> tuple[str, bool]:
        job = new_job(id=f"job-k{number}", unique_key="k")
        start.wait(timeout=60)
        with database.begin() as connection:
            answer = jobs.submit(connection, [job])[0]
        return answer.id, answer.fresh

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(one, range(8)))
    assert sum(fresh for _, fresh in answers) == 1
    assert len({job_id for job_id, _ in answers}) == 1


def test_two_batches_with_the_same_keys_do_not_lock_crosswise(database: Database) -> None:
    """Keys are taken in one order, whatever the order of the jobs."""
    start = Barrier(2)
    keys = [f"k{number}" for number in range(50)]

    def batch(order: Iterator[str]) -> int:
        made: list[NewJob] = [new_job(unique_key=key) for key in order]
        start.wait(timeout=60)
        with database.begin() as connection:
            return sum(each.fresh for each in jobs.submit(connection, made))

    with ThreadPoolExecutor(2) as pool:
        fresh = list(pool.map(batch, (iter(keys), reversed(keys))))
    assert sorted(fresh) == [0, 50]


def test_one_job_is_one_statement(database: Database) -> None:
    """A plain submission needs no transaction around it."""
    with database.write_once() as connection:
        jobs.submit(connection, [new_job(id="alone")], published=True)
    assert row(database, "alone")["published_at"] is not None
