from __future__ import annotations

import pytest
from sqlalchemy import text

from tests.ledgers import claim, new_job, submit
from vibe_tasks.store import jobs
from vibe_tasks.store.engine import Database
from vibe_tasks.store.history import archive_old_history, count_history, history_of

DAY = 86_400


def aged(database: Database, count: int, days: float) -> list[str]:
    """Jobs whose history rows are so old."""
    made = [new_job() for _ in range(count)]
    submit(database, *made)
    with database.begin() as connection:
        connection.execute(
            text('UPDATE job_history SET "timestamp" = "timestamp" - :age WHERE job_id = :id'),
            [{"age": days * DAY, "id": job.id} for job in made],
        )
    return [job.id for job in made]


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_old_rows_move_and_young_ones_stay(database: Database, batch: int) -> None:
    """Whatever the batch: each row is in one table, unchanged, and the second run finds nothing."""
    old, young = aged(database, 20, 8), aged(database, 5, 6)
    before = {job_id: history_of(database, job_id) for job_id in old + young}
    assert archive_old_history(database, 7, batch=batch) == 20
    assert count_history(database) == (5, 20)
    assert archive_old_history(database, 7, batch=batch) == 0
    assert {job_id: history_of(database, job_id) for job_id in old + young} == before


def test_a_job_keeps_its_whole_history_over_an_archival(database: Database) -> None:
    """What was archived comes first, what happened since follows."""
    (job_id,) = aged(database, 1, 30)
    archive_old_history(database, 7)
    claim(database, job_id)
    with database.begin() as connection:
        jobs.complete_job(connection, job_id, 1, 1)
    assert [each["status"] for each in history_of(database, job_id)] == [
        "pending", "processing", "completed",
    ]  # fmt: skip


def test_archived_ids_are_not_given_out_again(database: Database) -> None:
    """Emptying the history does not make SQLite begin at 1 again."""
    (old,) = aged(database, 1, 30)
    assert archive_old_history(database, 0) == 1
    (new,) = aged(database, 1, 30)
    assert history_of(database, new)[0]["id"] > history_of(database, old)[0]["id"]
    assert archive_old_history(database, 0) == 1


def test_zero_days_archive_all_there_is(database: Database) -> None:
    """The bound is a look at the clock at the start, so the call ends under load too."""
    submit(database, *(new_job() for _ in range(5)))
    assert archive_old_history(database, 0, batch=2) == 5


@pytest.mark.parametrize(("days", "batch"), [(-1, 1), (float("nan"), 1), (1, 0)])
def test_senseless_bounds_are_refused(database: Database, days: float, batch: int) -> None:
    """The message names the value."""
    with pytest.raises(ValueError, match="must be"):
        archive_old_history(database, days, batch=batch)
