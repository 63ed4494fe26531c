"""Figures, workers and events."""

from __future__ import annotations

import pytest

from tests.ledgers import backdate, new_job, put_into, submit
from vibe_tasks.jobs import JobStatus
from vibe_tasks.store import events, workers
from vibe_tasks.store.engine import Database, server_time
from vibe_tasks.store.lane_list import list_lanes
from vibe_tasks.store.stats import get_queue_stats
from vibe_tasks.store.watching import oldest_unsent


def test_an_empty_queue_has_no_figures(database: Database) -> None:
    """Every status is named all the same."""
    with database.read() as connection:
        stats = get_queue_stats(connection)
    assert stats.by_status == {str(status): 0 for status in JobStatus}
    assert (dict(stats.lanes), dict(stats.oldest_pending_seconds), stats.dead_letters) == (
        {},
        {},
        0,
    )


def test_the_figures_count_each_job_once(database: Database) -> None:
    """By lane and status; one lane alone on request."""
    for status in JobStatus:
        put_into(database, status)
    submit(database, new_job(lane="qa"), new_job(lane="qa", delay=60))
    with database.read() as connection:
        stats = get_queue_stats(connection)
        alone = get_queue_stats(connection, lane="qa")
    assert dict(stats.lanes["code"]) == {str(status): 1 for status in JobStatus}
    assert stats.by_status["pending"] == 3
    assert stats.dead_letters == 1
    assert {name: dict(counts) for name, counts in alone.lanes.items()} == {"qa": {"pending": 2}}
    assert alone.dead_letters == 0


def test_whatever_a_job_waits_for_it_is_counted_once(database: Database) -> None:
    """Ready, held in any line, past its time or before it: each is pending, and due or not."""
    held = ("lane", "key", "worker")
    submit(
        database, new_job(id="ready"), *(new_job(id=name) for name in held),
        new_job(id="later", delay=60), new_job(id="past", delay=60),
    )  # fmt: skip
    with database.begin() as connection:
        for name in held:
            connection.exec_driver_sql(
                f"UPDATE jobs SET held_for = '{name}', held_at = 1 WHERE id = '{name}'"  # noqa: S608
            )
    backdate(database, "past", ["backoff_until"], 70)
    with database.read() as connection:
        stats = get_queue_stats(connection)
        (lane,) = list_lanes(connection)
    assert dict(stats.lanes["code"]) == {"pending": 6}
    assert stats.due == {"code": 5}
    assert (lane.ready, lane.held, lane.running) == (2, 3, 0)
    assert lane.oldest == pytest.approx(stats.oldest_pending_seconds["code"], abs=1)
    with database.begin() as connection:  # what is held is no neglect of the dispatcher's
        connection.exec_driver_sql("UPDATE jobs SET published_at = 1 WHERE id = 'ready'")
        assert oldest_unsent(connection) == pytest.approx(10, abs=5)


def test_the_oldest_due_job_tells_the_age(database: Database) -> None:
    """Waiting for its time does not make a job old; being due does."""
    submit(database, new_job(id="a"), new_job(id="b"), new_job(id="later", delay=60, lane="qa"))
    backdate(database, "a", ["status_updated_at"], 40)
    backdate(database, "later", ["status_updated_at"], 400)
    with database.read() as connection:
        ages = get_queue_stats(connection).oldest_pending_seconds
    assert ages == {"code": pytest.approx(40, abs=5)}
    backdate(database, "later", ["backoff_until"], 70)
    with database.read() as connection:
        ages = get_queue_stats(connection).oldest_pending_seconds
    assert ages["qa"] == pytest.approx(10, abs=5)


def test_a_worker_is_registered_for_each_lane(database: Database) -> None:
    """A second registration replaces the first; a beat and a farewell reach all its rows."""
    with database.begin() as connection:
        first, second = (
            workers.Registered(worker=name, host="here", process=f"{name}:1")
            for name in ("w1", "w2")
        )
        workers.register(connection, first, ["code", "qa"], tier="senior", capacity=4)
        workers.register(connection, first, ["code", "deploy"], tier="standard", capacity=2)
        workers.register(connection, second, [], tier="standard", capacity=1)
        workers.beat(connection, "w1", active=2)
        rows = workers.list_workers(connection)
    assert [(each["worker_id"], each["lane"], each["active_tasks"]) for each in rows] == [
        ("w1", "code", 2), ("w1", "deploy", 2),
    ]  # fmt: skip
    assert all(each["status"] == "online" and each["age"] < 5 for each in rows)
    with database.begin() as connection:
        workers.leave(connection, "w1")
        rows = workers.list_workers(connection)
    assert {(each["status"], each["active_tasks"]) for each in rows} == {("offline", 0)}


def test_events_are_read_as_they_were_written(database: Database) -> None:
    """Oldest of the newest first, in milliseconds, with their payload."""
    with database.begin() as connection:
        for number in range(5):
            events.record(
                connection, "QA_PASSED", session=f"p{number % 2}", payload={"n": number, "x": "🦀"},
                summary=f"event {number}",
            )  # fmt: skip
        found = events.recent(connection, limit=3)
        mine = events.recent(connection, session="p1")
    assert [each["payload"]["n"] for each in found] == [2, 3, 4]
    assert [each["payload"]["n"] for each in mine] == [1, 3]
    assert found[0]["payload"]["x"] == "🦀"
    assert found[0]["timestamp"] == pytest.approx(server_time(database) * 1000, abs=10_000)


def test_an_event_is_part_of_the_transaction_it_tells_of(database: Database) -> None:
    """What did not happen is not told."""
    with pytest.raises(ValueError, match="no"), database.begin() as connection:  # noqa: PT012
        events.record(connection, "DEPLOYED", session="p", payload={}, summary="")
        raise ValueError("no")
    with database.read() as connection:
        assert events.recent(connection) == ()


def test_workers_of_long_ago_are_forgotten(database: Database) -> None:
    """Pods come and go under new names: the registry does not grow for ever."""
    old, new = (workers.Registered(worker=name, host=None, process=None) for name in ("old", "new"))
    with database.begin() as connection:
        workers.register(connection, old, ["code"], tier="standard", capacity=1)
        connection.exec_driver_sql("UPDATE worker_health SET last_seen = last_seen - 90000")
        workers.register(connection, new, ["code"], tier="standard", capacity=1)
        assert [each["worker_id"] for each in workers.list_workers(connection)] == ["new"]
