from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from tests.ledgers import backdate, history, middle, new_job, put_into, row, submit
from vibe_tasks.errors import IllegalMoveError, LeaseLostError, UnknownJobError
from vibe_tasks.jobs import MOVES, JobStatus
from vibe_tasks.store import jobs
from vibe_tasks.store.engine import Database, server_time

OPERATIONS: dict[str, Callable[[Connection, str], object]] = {
    "claim": lambda connection, job: jobs.claim(connection, job, worker="w", lease=30),
    "claim next": lambda connection, _job: jobs.claim_next_job(
        connection, "code", worker="w", lease=30
    ),
    "complete": lambda connection, job: jobs.complete_job(connection, job, 1, 1),
    "retry": lambda connection, job: jobs.snooze_job(connection, job, 1, 1, "again"),
    "bury": lambda connection, job: jobs.fail_job(connection, job, 1, "boom", uniform=middle),
    "end": lambda connection, job: jobs.end_job(connection, job, 1, "stop"),
    "block": lambda connection, job: jobs.block_job(connection, job, 1, "no money left"),
    "cancel": lambda connection, job: jobs.cancel_job(connection, job, "stop"),
    "revive": jobs.revive_job,
    "revive to wait": lambda connection, job: jobs.revive_job(connection, job, blocked=True),
    "unblock": jobs.unblock_job,
}


@pytest.mark.parametrize("status", list(JobStatus))
def test_the_store_allows_exactly_the_legal_moves(database: Database, status: JobStatus) -> None:
    """From each status the operations lead where `MOVES` says and nowhere else; each move has
    one history row and a new `status_updated_at`, and what is refused leaves no trace.
    """
    reached = set()
    for name, operation in OPERATIONS.items():
        job_id = put_into(database, status)
        backdate(database, job_id, ["status_updated_at"], 1000)
        before, way = row(database, job_id), history(database, job_id)
        try:
            with database.begin() as connection:
                operation(connection, job_id)
        except (IllegalMoveError, LeaseLostError):
            pass
        after, new_way = row(database, job_id), history(database, job_id)
        if after["status"] == status:
            assert (after, new_way) == (before, way), name
        else:
            reached.add(JobStatus(after["status"]))
            assert new_way == [*way, (status, after["status"])], name
            assert after["status_updated_at"] > before["status_updated_at"] + 900, name
        with database.begin() as connection:  # out of the way of the next one's `claim next`
            connection.exec_driver_sql("DELETE FROM jobs")
    assert reached == MOVES[status]


def test_the_database_knows_the_same_statuses(database: Database) -> None:
    """Whoever adds a status to `JobStatus` must write a migration that widens the CHECK."""
    submit(database, new_job(id="a"))
    for status in JobStatus:
        with database.begin() as connection:
            connection.exec_driver_sql(f"UPDATE jobs SET status = '{status}'")  # noqa: S608
    with pytest.raises(IntegrityError), database.begin() as connection:
        connection.exec_driver_sql("UPDATE jobs SET status = 'sleeping'")


def test_a_cancel_takes_a_running_attempt_its_lease(database: Database) -> None:
    """The reason is recorded, the lease is gone."""
    job_id = put_into(database, JobStatus.PROCESSING)
    with database.begin() as connection:
        jobs.cancel_job(connection, job_id, "no longer wanted")
    found = row(database, job_id)
    assert (found["status"], found["error"], found["lease_until"]) == (
        "cancelled", "no longer wanted", None,
    )  # fmt: skip


def test_a_revived_job_has_all_its_attempts_again(database: Database) -> None:
    """Failures are forgotten, attempts go on counting, the dead letter is off the list."""
    job_id = put_into(database, JobStatus.FAILED)
    with database.begin() as connection:
        jobs.revive_job(connection, job_id)
        taken = jobs.claim(connection, job_id, worker="w2", lease=30)
        assert connection.exec_driver_sql("SELECT * FROM view_dead_letter_queue").all() == []
    assert taken is not None
    assert (taken.attempt, taken.retry_count) == (2, 0)


def test_a_discarded_dead_letter_is_off_the_list(database: Database) -> None:
    """Cancelling a dead letter is its discard; its history stays."""
    job_id = put_into(database, JobStatus.FAILED)
    with database.begin() as connection:
        jobs.cancel_job(connection, job_id, "discarded")
        assert connection.exec_driver_sql("SELECT * FROM view_dead_letter_queue").all() == []
    assert history(database, job_id)[-1] == ("failed", "cancelled")


def test_an_ended_job_can_be_listed_as_dead_letter(database: Database) -> None:
    """A qa job that completes with the last rejection is one; a running job never is."""
    ended, running = (
        put_into(database, JobStatus.COMPLETED),
        put_into(database, JobStatus.PROCESSING),
    )
    with database.begin() as connection:
        jobs.mark_dead_letter(connection, ended, dead=True)
        jobs.mark_dead_letter(connection, running, dead=True)
        assert [each["id"] for each in jobs.list_jobs(connection, dead=True)] == [ended]
        jobs.mark_dead_letter(connection, ended, dead=False)
        assert jobs.list_jobs(connection, dead=True) == ()


@pytest.mark.parametrize("published", [True, False])
def test_an_unblocked_job_may_start(database: Database, published: bool) -> None:
    """`published` says who sends its message."""
    job_id = put_into(database, JobStatus.BLOCKED)
    with database.begin() as connection:
        jobs.unblock_job(connection, job_id, published=published)
    assert (row(database, job_id)["published_at"] is not None) is published


@pytest.mark.parametrize("name", ["cancel", "revive", "unblock"])
def test_an_unknown_job_is_an_error(database: Database, name: str) -> None:
    """A move of nothing names what was not found."""
    with pytest.raises(UnknownJobError, match="nobody"), database.begin() as connection:
        OPERATIONS[name](connection, "nobody")


def test_history_tells_who_when_and_why(database: Database) -> None:
    """Each row has attempt, worker, time and error of its transition."""
    job_id = put_into(database, JobStatus.FAILED)
    with database.read() as connection:
        rows = connection.exec_driver_sql(
            "SELECT status, attempt, worker_id, details, timestamp FROM job_history ORDER BY id"
        ).all()
    assert [tuple(each[:4]) for each in rows] == [
        ("pending", 0, None, None), ("processing", 1, "w1", None), ("failed", 1, "w1", "boom"),
    ]  # fmt: skip
    assert rows[-1].timestamp == row(database, job_id)["status_updated_at"]
    assert rows[0].timestamp <= rows[1].timestamp <= rows[2].timestamp <= server_time(database)


def test_jobs_are_listed_newest_first_and_in_pages(database: Database) -> None:
    """Filters name columns; `before` is the next page."""
    submit(database, *(new_job(id=f"j{number}", lane="qa") for number in range(5)), new_job(id="x"))
    with database.read() as connection:
        first = jobs.list_jobs(connection, where={"lane": "qa"}, limit=2)
        second = jobs.list_jobs(connection, where={"lane": "qa"}, limit=2, before=first[-1]["seq"])
    assert [each["id"] for each in first + second] == ["j4", "j3", "j2", "j1"]


def test_results_of_many_jobs_are_read_at_once(database: Database) -> None:
    """Unknown ids are absent."""
    done = put_into(database, JobStatus.COMPLETED)
    with database.read() as connection:
        found = jobs.results_of(connection, [done, "nobody"])
    assert set(found) == {done}
    assert (found[done].status, found[done].result) == ("completed", 2)
