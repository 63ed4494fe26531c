from __future__ import annotations

import random
from collections.abc import Callable
from statistics import mean

import pytest
from sqlalchemy import Connection

from tests.ledgers import backdate, claim, history, middle, new_job, row, submit
from vibe_tasks.errors import LeaseLostError, UnknownJobError
from vibe_tasks.store import jobs
from vibe_tasks.store.engine import Database, server_time

Write = Callable[[Connection, str, int], object]

WRITES: dict[str, Write] = {
    "complete": lambda connection, job, attempt: jobs.complete_job(connection, job, attempt, 1),
    "fail": lambda connection, job, attempt: jobs.fail_job(
        connection, job, attempt, "boom", uniform=middle
    ),
    "fail for good": lambda connection, job, attempt: jobs.fail_job(
        connection, job, attempt, "boom", uniform=middle, permanent=True
    ),
    "snooze": lambda connection, job, attempt: jobs.snooze_job(connection, job, attempt, 5, "z"),
    "end": lambda connection, job, attempt: jobs.end_job(connection, job, attempt, "stop"),
    "check": jobs.check_lease,
}


def running(database: Database, **fields: object) -> str:
    job = new_job(**fields)
    submit(database, job)
    claim(database, job.id)
    return job.id


def fail(database: Database, job_id: str, attempt: int, **options: object) -> bool:
    arguments = {"uniform": middle} | options
    with database.begin() as connection:
        return jobs.fail_job(connection, job_id, attempt, f"boom {attempt}", **arguments)  # type: ignore[arg-type]


def wait_of(database: Database, job_id: str) -> float:
    until = row(database, job_id)["backoff_until"]
    return float(until) - server_time(database)


def test_completion_records_the_result(database: Database) -> None:
    """The result is in the row, the lease is gone, the way is in the history."""
    job_id = running(database)
    with database.write_once() as connection:
        jobs.complete_job(connection, job_id, 1, {"sum": 3})
    found = row(database, job_id)
    assert (found["status"], found["result"], found["lease_until"]) == (
        "completed", {"sum": 3}, None,
    )  # fmt: skip
    assert history(database, job_id) == [
        (None, "pending"), ("pending", "processing"), ("processing", "completed"),
    ]  # fmt: skip


@pytest.mark.parametrize("result", [1.0, 10**60, "7", True, [], None])
def test_a_plain_value_is_a_result(database: Database, result: object) -> None:
    """Numbers keep their type and all their digits."""
    job_id = running(database)
    with database.begin() as connection:
        jobs.complete_job(connection, job_id, 1, result)
    found = row(database, job_id)["result"]
    assert (found, type(found)) == (result, type(result))


def test_a_result_that_is_no_json_changes_nothing(database: Database) -> None:
    """The attempt goes on, so that its failure can be recorded."""
    job_id = running(database)
    with pytest.raises(TypeError), database.begin() as connection:
        jobs.complete_job(connection, job_id, 1, {1, 2})
    assert row(database, job_id)["status"] == "processing"
    assert fail(database, job_id, 1) is True


def test_failures_are_counted_up_to_the_dead_letter(database: Database) -> None:
    """The failure of number `max_retries` is the last; the waits double before it."""
    job_id = running(database, max_retries=3, retry_base=1.0)
    for number in (1, 2):
        assert fail(database, job_id, number) is True
        assert wait_of(database, job_id) == pytest.approx(2**number, abs=0.9)
        found = row(database, job_id)
        assert (found["status"], found["retry_count"], found["error"]) == (
            "pending", number, f"boom {number}",
        )  # fmt: skip
        backdate(database, job_id, ["backoff_until"], 60)
        assert claim(database, job_id).attempt == number + 1
    assert fail(database, job_id, 3) is False
    found = row(database, job_id)
    assert (found["status"], found["retry_count"]) == ("failed", 3)
    assert found["dead_at"] == pytest.approx(server_time(database), abs=5)
    with database.read() as connection:
        dead = connection.exec_driver_sql("SELECT id, attempts, error FROM view_dead_letter_queue")
        assert dead.all() == [(job_id, 3, "boom 3")]


def test_waits_are_spread(database: Database) -> None:
    """Jobs that fail together come back over the whole of 0.5 to 1.5 times the wait."""
    made = [new_job(retry_base=4.0) for _ in range(60)]
    submit(database, *made)
    dice = random.Random(7)
    waits = []
    for job in made:
        claim(database, job.id)
        fail(database, job.id, 1, uniform=dice.uniform)
        waits.append(
            wait_of(database, job.id)
        )  # at once: a wait that is looked at later is shorter
    assert min(waits) >= 4 - 3
    assert max(waits) <= 12
    assert max(waits) - min(waits) > 5
    assert mean(waits) == pytest.approx(8, abs=1.5)


@pytest.mark.parametrize("wait", [float("nan"), float("inf"), -1.0])
def test_a_senseless_wait_is_replaced_by_the_policys(database: Database, wait: float) -> None:
    """What a server asked for is obeyed unless nobody could."""
    job_id = running(database, retry_base=4.0)
    fail(database, job_id, 1, wait=wait)
    assert wait_of(database, job_id) == pytest.approx(8, abs=2)


def test_a_wait_that_was_asked_for_is_obeyed(database: Database) -> None:
    """A `Retry-After` wins over the policy, zero included."""
    first, second = running(database), running(database)
    fail(database, first, 1, wait=100.0)
    fail(database, second, 1, wait=0.0)
    assert wait_of(database, first) == pytest.approx(100, abs=5)
    assert row(database, second)["backoff_until"] is None


def test_a_permanent_failure_is_the_last(database: Database) -> None:
    """It is counted and not tried again."""
    job_id = running(database, max_retries=10)
    assert fail(database, job_id, 1, permanent=True) is False
    assert row(database, job_id)["status"] == "failed"


def test_a_snooze_counts_nothing(database: Database) -> None:
    """The job waits, its failures stay as they were."""
    job_id = running(database, max_retries=1)
    with database.begin() as connection:
        jobs.snooze_job(connection, job_id, 1, 50, "breaker open")
    found = row(database, job_id)
    assert (found["status"], found["retry_count"], found["error"]) == ("pending", 0, "breaker open")
    assert wait_of(database, job_id) == pytest.approx(50, abs=5)


def test_a_snooze_of_nothing_is_due_at_once(database: Database) -> None:
    """Zero seconds put the job back for anybody."""
    job_id = running(database)
    with database.begin() as connection:
        jobs.snooze_job(connection, job_id, 1, 0, "interrupted")
    assert claim(database, job_id).attempt == 2


def test_an_awkward_error_is_recorded(database: Database) -> None:
    """NUL, lone surrogates and length cannot keep a failure out of the ledger."""
    job_id = running(database)
    with database.begin() as connection:
        jobs.fail_job(connection, job_id, 1, "\x00\ud800" + "x" * 100_000, uniform=middle)
    assert 100 < len(row(database, job_id)["error"]) <= 8_100


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("taken_by", ["another attempt", "a cancel", "a revival", "its own end"])
def test_a_stale_attempt_writes_nothing(database: Database, name: str, taken_by: str) -> None:
    """Whatever happened to the job, its old attempt is refused and changes nothing."""
    job_id = running(database)
    with database.begin() as connection:
        if taken_by == "its own end":
            jobs.complete_job(connection, job_id, 1, 1)
        elif taken_by == "another attempt":
            jobs.snooze_job(connection, job_id, 1, 0, "lost")
            jobs.claim(connection, job_id, worker="w2", lease=30)
        else:
            jobs.cancel_job(connection, job_id, "enough")
            if taken_by == "a revival":
                jobs.revive_job(connection, job_id)
    before, way = row(database, job_id), history(database, job_id)
    with pytest.raises(LeaseLostError, match=job_id), database.begin() as connection:
        WRITES[name](connection, job_id, 1)
    assert row(database, job_id) == before
    assert history(database, job_id) == way


@pytest.mark.parametrize("name", WRITES)
def test_an_attempt_at_no_job_is_refused(database: Database, name: str) -> None:
    """An unknown job is an error that names it."""
    with pytest.raises((LeaseLostError, UnknownJobError), match="nobody"):  # noqa: SIM117
        with database.begin() as connection:
            WRITES[name](connection, "nobody", 1)


def test_the_fence_lets_the_current_attempt_through(database: Database) -> None:
    """An attempt that holds the job may act outside the ledger."""
    job_id = running(database)
    with database.read() as connection:
        jobs.check_lease(connection, job_id, 1)
