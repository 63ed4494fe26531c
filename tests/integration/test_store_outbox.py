from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tests.ledgers import backdate, claim, new_job, put_into, row, submit
from vibe_tasks.jobs import JobStatus
from vibe_tasks.priority import Priority
from vibe_tasks.store import jobs, outbox
from vibe_tasks.store.engine import Database


def take(database: Database, most: int = 500) -> list[str]:
    with database.begin() as connection:
        return [each.id for each in outbox.take_unpublished(connection, most=most)]


def test_a_message_says_what_the_broker_must_know(database: Database) -> None:
    """Queue, priority, limit and canvas; the arguments only as a person reads them."""
    submit(
        database,
        new_job(id="a", lane="qa", priority=Priority.HIGH, time_limit=9.0, canvas={"chain": [1]},
                args=(1, "x"), kwargs={"k": None}),
    )  # fmt: skip
    with database.begin() as connection:
        (message,) = outbox.take_unpublished(connection)
    assert (message.id, message.name, message.queue) == ("a", "test.add", "qa")
    assert (message.priority, message.time_limit) == (Priority.HIGH, 9.0)
    assert message.canvas == {"chain": [1]}
    assert message.shown == "1, 'x', k=None"


def test_due_jobs_are_taken_once_most_urgent_first(database: Database) -> None:
    """What is taken is gone from the outbox; what is not due, blocked or ended was never there."""
    submit(
        database, new_job(id="low", priority=Priority.LOW), new_job(id="old"), new_job(id="new"),
        new_job(id="fix", priority=Priority.FIX), new_job(id="later", delay=60),
        new_job(id="blocked", blocked=True),
    )  # fmt: skip
    for status in (JobStatus.PROCESSING, JobStatus.COMPLETED, JobStatus.FAILED):
        put_into(database, status)
    assert take(database, most=2) == ["fix", "old"]
    assert take(database) == ["new", "low"]
    assert take(database) == []
    backdate(database, "later", ["backoff_until"], 61)
    assert take(database) == ["later"]


def test_what_could_not_be_sent_comes_back(database: Database) -> None:
    """Jobs that were claimed meanwhile stay as they are."""
    submit(database, *(new_job(id=name) for name in "abc"))
    take(database)
    claim(database, "b")
    with database.begin() as connection:
        outbox.give_back(connection, ["c", "b", "a", "unknown"])
        outbox.give_back(connection, [])
    assert take(database) == ["a", "c"]


@pytest.mark.parametrize("again", ["failure", "snooze", "revival", "promotion"])
def test_a_job_that_returns_is_in_the_outbox_again(database: Database, again: str) -> None:
    """Its old message is spent: every way back to pending asks for a new one."""
    submit(database, new_job(id="a"))
    assert take(database) == ["a"]
    claim(database, "a")
    with database.begin() as connection:
        if again == "revival":
            jobs.cancel_job(connection, "a", "no")
            jobs.revive_job(connection, "a")
        elif again == "snooze":
            jobs.snooze_job(connection, "a", 1, 0, "z")
        elif again == "failure":
            jobs.fail_job(connection, "a", 1, "boom", uniform=max, wait=0)
        else:
            jobs.snooze_job(connection, "a", 1, 60, "z")
    if again == "promotion":
        assert take(database) == []
        backdate(database, "a", ["backoff_until"], 61)
    assert take(database) == ["a"]


def test_several_dispatchers_share_the_outbox(database: Database) -> None:
    """Four at once: each job is taken by one of them."""
    submit(database, *(new_job(id=f"j{number}") for number in range(300)))
    start = Barrier(4)

    def one(_: int) -> list[str]:
        start.wait(timeout=60)
        taken: list[str] = []
        while found := take(database, most=20):
            taken += found
        return taken

    with ThreadPoolExecutor(4) as pool:
        taken = [job_id for part in pool.map(one, range(4)) for job_id in part]
    assert sorted(taken) == sorted(f"j{number}" for number in range(300))


def test_the_next_due_time_is_known(database: Database) -> None:
    """None without a waiting job, zero or less when one is due."""
    with database.begin() as connection:
        assert outbox.seconds_to_next(connection) is None
    submit(database, new_job(id="a", delay=60), new_job(id="b", delay=90))
    with database.begin() as connection:
        assert outbox.seconds_to_next(connection) == pytest.approx(60, abs=5)
    backdate(database, "b", ["backoff_until"], 100)
    with database.begin() as connection:
        assert (outbox.seconds_to_next(connection) or 0) < 0


def test_lost_messages_return_to_the_outbox(database: Database) -> None:
    """With an empty queue all that was sent before the grace is lost, of that lane and level."""
    submit(
        database, new_job(id="old"), new_job(id="fresh"), new_job(id="qa", lane="qa"),
        new_job(id="high", priority=Priority.HIGH), published=True,
    )  # fmt: skip
    for name in ("old", "qa", "high"):
        backdate(database, name, ["published_at"], 20)
    with database.begin() as connection:
        waiting = outbox.awaited(connection, grace=5)
        assert set(waiting) == {
            ("code", Priority.NORMAL), ("qa", Priority.NORMAL), ("code", Priority.HIGH),
        }  # fmt: skip
        lost = outbox.lost(connection, "code", Priority.NORMAL, grace=5, before=None)
    assert lost == 1
    assert take(database) == ["old"]


def test_a_backlog_is_not_sent_twice(database: Database) -> None:
    """What was sent after the oldest message in the queue is still behind it."""
    submit(database, *(new_job(id=name) for name in "abc"), published=True)
    for name, age in (("a", 100), ("b", 60), ("c", 50)):
        backdate(database, name, ["published_at"], age)
    with database.begin() as connection:
        oldest = outbox.sent_at(connection, "b")
        assert outbox.lost(connection, "code", Priority.NORMAL, grace=5, before=oldest) == 1
    assert take(database) == ["a"]
    assert row(database, "b")["published_at"] is not None


def test_messages_of_known_jobs_are_read_in_the_order_asked_for(database: Database) -> None:
    """Unknown ids are left out."""
    submit(database, *(new_job(id=name) for name in "abc"))
    with database.read() as connection:
        found = outbox.publications(connection, ["c", "nobody", "a"])
        assert [each.id for each in found] == ["c", "a"]
        assert outbox.publications(connection, []) == ()


def test_long_arguments_are_shown_in_one_line() -> None:
    """Flower gets two hundred characters, not a file."""
    assert len(outbox.shown(("x" * 1000,), {})) == 200
