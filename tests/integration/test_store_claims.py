from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tests.ledgers import backdate, claim, new_job, put_into, row, submit
from vibe_tasks.jobs import Claim, JobStatus
from vibe_tasks.priority import Priority
from vibe_tasks.store import jobs
from vibe_tasks.store.engine import Database, server_time


def take_next(database: Database, lane: str = "code") -> Claim | None:
    with database.begin() as connection:
        return jobs.claim_next_job(connection, lane, worker="w1", lease=30)


def test_a_claim_starts_an_attempt(database: Database) -> None:
    """Status, attempt, worker, lease and start change in one step."""
    job = new_job(args=(1,), kwargs={"x": 2}, time_limit=5.0, max_retries=4, retry_base=0.25)
    submit(database, job)
    now = server_time(database)
    taken = claim(database, job.id, worker="w7", lease=30)
    assert (taken.id, taken.attempt, taken.args, taken.kwargs) == (job.id, 1, (1,), {"x": 2})
    assert (taken.max_retries, taken.retry_base, taken.time_limit) == (4, 0.25, 5.0)
    assert taken.priority is Priority.NORMAL
    found = row(database, job.id)
    assert (found["status"], found["attempt"], found["worker"]) == ("processing", 1, "w7")
    assert found["lease_until"] == pytest.approx(now + 30, abs=5)
    assert found["started_at"] == pytest.approx(found["status_updated_at"], abs=0.01)
    assert found["started_at"] >= now


def test_a_claim_in_one_statement_is_committed(database: Database) -> None:
    """`write_once` is enough for a claim: another connection sees it afterwards."""
    submit(database, new_job(id="a"))
    with database.write_once() as connection:
        assert jobs.claim(connection, "a", worker="w", lease=30) is not None
        with database.read() as other:
            assert jobs.find_job(other, "a")["status"] == "processing"


@pytest.mark.parametrize("status", [each for each in JobStatus if each != "pending"])
def test_what_is_not_pending_is_not_to_be_had(database: Database, status: JobStatus) -> None:
    """A lost claim is None, and nothing changes."""
    job_id = put_into(database, status)
    before = row(database, job_id)
    with database.begin() as connection:
        assert jobs.claim(connection, job_id, worker="w2", lease=30) is None
        assert jobs.claim(connection, "unknown", worker="w2", lease=30) is None
    assert row(database, job_id) == before
    assert take_next(database) is None


def test_one_of_many_claimers_gets_the_job(database: Database) -> None:
    """Eight claim the same job at once: one attempt begins."""
    submit(database, new_job(id="a"))
    start = Barrier(8)

    def one(number: int) -> bool:
        start.wait(timeout=60)
        with database.write_once() as connection:
            return jobs.claim(connection, "a", worker=f"w{number}", lease=30) is not None

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(one, range(8))) == 1
    assert row(database, "a")["attempt"] == 1


def test_the_most_urgent_is_next_then_the_oldest(database: Database) -> None:
    """Priority decides, then age; other lanes are left alone."""
    order = [(Priority.LOW, "e"), (Priority.NORMAL, "c"), (Priority.FIX, "a"),
             (Priority.NORMAL, "d"), (Priority.HIGH, "b")]  # fmt: skip
    submit(database, *(new_job(id=name, priority=priority) for priority, name in order))
    submit(database, new_job(id="other", lane="qa", priority=Priority.FIX))
    taken = [take_next(database) for _ in range(6)]
    assert [each and each.id for each in taken] == ["a", "b", "c", "d", "e", None]


def test_a_job_that_waits_is_not_to_be_had_until_due(database: Database) -> None:
    """`backoff_until` holds against both ways to claim, and no longer."""
    submit(database, new_job(id="later", delay=60, priority=Priority.FIX), new_job(id="now"))
    with database.begin() as connection:
        assert jobs.claim(connection, "later", worker="w", lease=30) is None
    first = take_next(database)
    assert first is not None
    assert first.id == "now"
    assert take_next(database) is None
    backdate(database, "later", ["backoff_until"], 61)
    second = take_next(database)
    assert second is not None
    assert second.id == "later"
    assert row(database, "later")["backoff_until"] is None


def test_a_due_job_is_claimed_by_id_before_anybody_promotes_it(database: Database) -> None:
    """The message of a due job need not wait for the dispatcher's next look."""
    submit(database, new_job(id="a", delay=60))
    backdate(database, "a", ["backoff_until"], 61)
    assert claim(database, "a").attempt == 1


def test_promotion_takes_no_more_than_its_limit(database: Database) -> None:
    """A thousand due jobs are made ready in bites, so that nobody waits long."""
    submit(database, *(new_job(id=f"p{number}", delay=60) for number in range(20)))
    for number in range(15):
        backdate(database, f"p{number}", ["backoff_until"], 61)
    with database.begin() as connection:
        assert jobs.promote(connection, most=10) == 10
        assert jobs.promote(connection, most=10) == 5
        assert jobs.promote(connection, most=10) == 0


def test_promotion_is_no_transition(database: Database) -> None:
    """Becoming due changes neither `status_updated_at` nor the history."""
    submit(database, new_job(id="a", delay=60))
    backdate(database, "a", ["backoff_until"], 61)
    before = row(database, "a")["status_updated_at"]
    with database.begin() as connection:
        jobs.promote(connection)
        assert jobs.find_job(connection, "a")["status_updated_at"] == before
        found = connection.exec_driver_sql("SELECT count(*) FROM job_history").scalar()
    assert found == 1
