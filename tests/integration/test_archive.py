"""What is old goes to the archive, is found there, and is deleted where that is wanted."""

from __future__ import annotations

import pytest
from sqlalchemy import text, update

from tests.archives import JOBS, age, ended, left, plan, tidied
from tests.ledgers import claim, middle, new_job, submit
from vibe_tasks.errors import UnknownJobError
from vibe_tasks.metrics import RUN, WAIT
from vibe_tasks.retention import Keeping
from vibe_tasks.store import (
    chords,
    consensus,
    job_archival,
    job_archive,
    job_rows,
    jobs,
    metric_totals,
    plans,
    version,
)
from vibe_tasks.store.engine import Database, open_database, server_time
from vibe_tasks.store.history import count_history, history_of
from vibe_tasks.store.job_archival import old_jobs
from vibe_tasks.store.operation_tables import jobs_archive
from vibe_tasks.store.plan_list import outcomes_of
from vibe_tasks.store.retention import tidying
from vibe_tasks.store.statement import driver

DAY = 86_400.0


def test_an_archived_job_is_found_as_it_was(database: Database) -> None:
    """The whole row, by its id or the beginning of it; also its result, and that it has ended."""
    ended(database, "job-one", args=(1, "ü\u0001"), kwargs={"deep": [None, 1.5e300]}, lane="qa")
    submit(database, new_job(id="young"))
    with database.read() as connection:
        before = job_rows.find_job(connection, "job-one")
        outcome = job_rows.results_of(connection, ["job-one"])["job-one"]
    assert tidied(database, JOBS) == {("jobs", "archived"): 1}
    assert left(database) == {"young"}
    with database.read() as connection:
        found = job_archive.job_anywhere(connection, "job-on")
        assert found.pop("archived_at") > 0
        assert found == before
        again = job_rows.results_of(connection, ["job-one", "nobody"])
        assert job_rows.ended_of(connection, ["job-one", "young"]) == ["job-one"]
        (listed,) = job_archive.list_archived(connection, where={"lane": "qa"}, limit=5)
        assert job_archive.list_archived(connection, before=listed["seq"]) == ()
        with pytest.raises(UnknownJobError, match="is archived"):
            job_rows.whole_job_id(connection, "job-one")
        with pytest.raises(UnknownJobError, match="no job nobody"):
            job_archive.job_anywhere(connection, "nobody")
    assert list(again) == ["job-one"]
    assert (again["job-one"].status, again["job-one"].result) == (outcome.status, outcome.result)


def test_what_somebody_may_need_stays(database: Database) -> None:
    """Dead letters, living jobs, what ended lately, members and bodies of chords that are open, and
    the newest of all.
    """
    ended(database, "gone", "member")
    ended(database, "late", days=1)
    submit(database, new_job(id="dead", max_retries=1), new_job(id="waits"),
           new_job(id="body", blocked=True))  # fmt: skip
    claim(database, "dead")
    with database.begin() as connection:
        jobs.fail_job(connection, "dead", 1, "boom", uniform=middle)
        chords.open_chord(
            connection, "group", body_id="body", members=["member"], takes_results=True
        )
    ended(database, "newest")
    age(database, ("dead", "waits", "body"), 31)
    assert tidied(database, JOBS) == {("jobs", "archived"): 1}
    assert left(database) == {"member", "late", "dead", "waits", "body", "newest"}
    assert tidied(database, JOBS) == {}


def test_a_plan_stays_while_it_runs_or_has_a_dead_letter(database: Database) -> None:
    """All its jobs do, for they are needed when it goes on. The archived ones are in its report,
    and reviews with what they reviewed.
    """
    for name, status in (("over", "completed"), ("runs", "running"), ("failed", "failed")):
        plan(database, name, status=status)
        of = {"plan_id": name, "task_id": "a"}
        ended(database, f"{name}-qa", kind="qa", **of)
        ended(database, f"{name}-review", kind="review", **of,
              kwargs={"qa": f"{name}-qa", "seat": 1, "agent": "x"})  # fmt: skip
    with database.begin() as connection:
        jobs.mark_dead_letter(connection, "failed-qa", dead=True)
    ended(database, "newest")
    assert tidied(database, JOBS) == {("jobs", "archived"): 2}
    assert left(database) == {"runs-qa", "runs-review", "failed-qa", "failed-review", "newest"}
    with database.read() as connection:
        assert [each["kind"] for each in outcomes_of(connection, "over")] == ["qa", "review"]
        qa = job_archive.job_anywhere(connection, "over-qa")
        assert [seat.agent for seat in consensus.seats_of(connection, qa)] == ["x"]
        listed = job_archive.list_archived(connection, where={"plan_id": "over"})
        assert [row["id"] for row in listed] == ["over-review", "over-qa"]


def test_the_jobs_of_a_plan_are_not_looked_through_for_each_of_them(sqlite_url: str) -> None:
    """SQLite finds plans with dead letters by the index of these, once for a batch. PostgreSQL does
    so by itself, from what it knows of the tables.
    """
    database = open_database(sqlite_url)
    version.create(database)
    given = {"before": 1.0, "after": 0, "bound": 9, "most": 9}
    with database.read() as connection:
        query = f"EXPLAIN QUERY PLAN {job_archival._LOOK.text('sqlite')}"
        steps = [row[3] for row in driver(connection).execute(query, given)]
    assert any("idx_jobs_dead" in step for step in steps), steps
    assert not any("idx_jobs_plan" in step for step in steps), steps
    database.close()


def test_a_job_that_somebody_holds_is_left_for_the_next_time(database: Database) -> None:
    """Nobody waits for the archive, and the archive for nobody. On SQLite there is one writer."""
    plan(database, "busy")
    ended(database, "held", "of-plan", "free", "newest", plan_id=None)
    with database.begin() as connection:
        connection.execute(text("UPDATE jobs SET plan_id = 'busy' WHERE id = 'of-plan'"))
    if database.is_sqlite:
        return
    with database.begin() as other:
        jobs.lock_job(other, "held")
        assert plans.plan_status(other, "busy") == "completed"
        assert tidied(database, JOBS) == {("jobs", "archived"): 1}
    assert left(database) == {"held", "of-plan", "newest"}
    assert tidied(database, JOBS) == {("jobs", "archived"): 2}


def test_a_job_that_comes_back_meanwhile_is_not_archived(database: Database) -> None:
    """It was looked at, and retried before it was moved."""
    submit(database, new_job(id="back"), new_job(id="newest"))
    with database.begin() as connection:
        jobs.cancel_job(connection, "back", "not now")
    age(database, ("back",), 31)
    with database.read() as connection:
        walk = old_jobs(connection, server_time(database) - 30 * DAY)
        found = walk.look(connection, None, 10)
    assert [each.row["id"] for each in found] == ["back"]
    with database.begin() as connection:
        jobs.revive_job(connection, "back")
    with database.begin() as connection:
        assert walk.act(connection, found) == 0
    assert left(database) == {"back", "newest"}


def test_too_many_are_archived_whatever_their_age(database: Database) -> None:
    """The oldest go, until so many ended jobs and rows of history are left."""
    ended(database, "a", "b", "c", "d", days=0)
    submit(database, new_job(id="waits"))
    few = Keeping(history_days=None, history_keep=4, jobs_days=None, jobs_keep=3)
    assert tidied(database, few) == {("job_history", "archived"): 9, ("jobs", "archived"): 1}
    assert left(database) == {"b", "c", "d", "waits"}
    assert count_history(database) == (4, 9)
    assert len(history_of(database, "a")) == 3
    assert tidied(database, few) == {}


def test_large_jobs_go_in_small_batches(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch copies no more than so much, whatever the number of its rows; one alone may."""
    monkeypatch.setattr(job_archival, "BATCH_CHARACTERS", 10_000)
    names = [f"job-{number}" for number in range(7)]
    ended(database, *names[:3], args=("x" * 3_000,))
    ended(database, names[3], args=("x" * 40_000,))
    ended(database, *names[4:], args=("x",))
    submit(database, new_job(id="newest"))
    done = [step.rows for step in tidying(database, JOBS, monotonic=lambda: 0.0) if step.rows]
    assert done == [2, 1, 1, 2, 1]  # from a small one on each has at most twice as many
    assert left(database) == {"newest"}


def test_an_id_that_is_given_again_is_the_later_job(database: Database) -> None:
    """Whoever chooses ids may take one again once its job is archived."""
    for lane in ("first", "second"):
        ended(database, "again", lane=lane)
        ended(database, f"after-{lane}", days=0)
        assert tidied(database, JOBS) == {("jobs", "archived"): 1}
    with database.read() as connection:
        (row,) = job_archive.list_archived(connection)
    assert row["lane"] == "second"


def test_counters_have_what_was_archived_before_they_looked(database: Database) -> None:
    """Kind, lane and length come from the archives too."""
    ended(database, "a", "b", lane="qa", kind="qa")
    ended(database, "newest", days=0)
    assert tidied(database, Keeping()) == {
        ("job_history", "archived"): 6, ("jobs", "archived"): 2,
    }  # fmt: skip
    assert metric_totals.sum_history(database)
    with database.read() as connection:
        found = metric_totals.totals(connection)
        assert metric_totals.unsummed(connection) == 0
    whose = (("agent", ""), ("kind", "qa"))
    assert found[f"{RUN}_count", whose] == 2
    assert found[f"{WAIT}_count", (("queue", "qa"),)] == 2


def test_an_archived_job_that_cannot_be_opened_is_still_known(database: Database) -> None:
    """Sealed with a key that is not here: what it was and how it ended is told, not its values."""
    ended(database, "closed", "newest", lane="qa")
    tidied(database, JOBS)
    with database.begin() as connection:
        connection.execute(update(jobs_archive).values(row={"$sealed": "v1.key.data"}))
    with database.read() as connection:
        row = job_archive.job_anywhere(connection, "closed")
        outcome = job_rows.results_of(connection, ["closed"])["closed"]
    assert (row["lane"], row["status"], row["args"], row["attempt"]) == ("qa", "completed", None, 0)
    assert (outcome.status, outcome.result) == ("completed", None)
