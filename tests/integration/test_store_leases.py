from __future__ import annotations

import pytest

from tests.ledgers import backdate, claim, new_job, row, submit
from vibe_tasks.jobs import JobStatus
from vibe_tasks.store import jobs, leases
from vibe_tasks.store.engine import Database, server_time


def held(database: Database, *names: str, worker: str = "w1", lease: float = 30) -> None:
    submit(database, *(new_job(id=name) for name in names))
    for name in names:
        claim(database, name, worker=worker, lease=lease)


def test_a_heartbeat_renews_exactly_the_attempts_that_run(database: Database) -> None:
    """Other attempts of the same job and unknown ones are named; completed ones are done."""
    held(database, "mine", "ended", "other")
    for name in ("mine", "ended", "other"):
        backdate(database, name, ["lease_until"], 20)
    with database.begin() as connection:
        jobs.complete_job(connection, "ended", 1, 1)
        attempts = [("unknown", 1), ("other", 2), ("mine", 1), ("ended", 1)]
        over = leases.renew(connection, attempts, lease=30)
        assert over == {("unknown", 1), ("other", 2)}
    assert row(database, "mine")["lease_until"] == pytest.approx(server_time(database) + 30, abs=5)
    assert row(database, "other")["lease_until"] < server_time(database) + 15
    assert row(database, "ended")["lease_until"] is None


def test_a_heartbeat_is_no_transition(database: Database) -> None:
    """A lease changes neither `status_updated_at` nor the history."""
    held(database, "a")
    before = row(database, "a")
    with database.begin() as connection:
        assert leases.renew(connection, [("a", 1)], lease=60) == frozenset()
        assert leases.renew(connection, [], lease=60) == frozenset()
    after = row(database, "a")
    assert after["status_updated_at"] == before["status_updated_at"]


def test_expired_leases_are_found_longest_ago_first(database: Database) -> None:
    """Only running jobs whose lease is over, and no more than asked for."""
    held(database, "a", "b", "c", "alive")
    submit(database, new_job(id="waiting"))
    for name, age in (("a", 40), ("b", 60), ("c", 50)):
        backdate(database, name, ["lease_until"], age)
    with database.read() as connection:
        found = leases.expired(connection)
        assert [each.id for each in found] == ["b", "c", "a"]
        assert (found[0].attempt, found[0].worker, found[0].name) == (1, "w1", "test.add")
        assert [each.id for each in leases.expired(connection, most=2)] == ["b", "c"]


def test_a_lease_that_was_renewed_meanwhile_is_not_expired(database: Database) -> None:
    """The second look, before an attempt is taken back, sees a late heartbeat."""
    held(database, "a")
    backdate(database, "a", ["lease_until"], 60)
    with database.begin() as connection:
        assert leases.is_expired(connection, "a", 1)
        assert not leases.is_expired(connection, "a", 2)
        leases.renew(connection, [("a", 1)], lease=30)
        assert not leases.is_expired(connection, "a", 1)


def test_a_workers_jobs_are_found(database: Database) -> None:
    """Those it runs, not those it has ended."""
    held(database, "a", "b")
    held(database, "c", worker="w2")
    with database.begin() as connection:
        jobs.complete_job(connection, "b", 1, 1)
        assert [each.id for each in leases.held_by(connection, "w1")] == ["a"]
        assert leases.held_by(connection, "nobody") == ()


def test_an_attempt_past_its_lease_may_end_until_it_is_taken_back(database: Database) -> None:
    """The fence is the attempt, not the clock: good work that is late is not thrown away."""
    held(database, "a")
    backdate(database, "a", ["lease_until"], 60)
    with database.begin() as connection:
        jobs.complete_job(connection, "a", 1, "late")
    assert row(database, "a")["status"] == JobStatus.COMPLETED
