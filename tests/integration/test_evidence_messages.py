"""What Celery on Redis loses or doubles, made to happen (docs/cured.md)."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import Cluster, ready, running_cluster, said
from tests.processes import until

FILLER = 20_000
"""Bytes of one value that fills the broker's memory."""


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A dispatcher; each test starts its own workers."""
    with running_cluster(request, "sqlite", measured=False) as made:
        made.dispatcher()
        yield made


def submitted(cluster: Cluster, lane: str, log: Path, count: int, **options: Any) -> list[str]:
    """Jobs in the ledger, from one transaction, that nobody has published; their ids."""
    note = cluster.jobs.note
    new = [
        note.new_job((str(log), number), {}, None, {"lane": lane, **options})
        for number in range(count)
    ]
    with cluster.ledger.begin() as connection:
        cluster.module("task").jobs.submit(connection, new)
    return [each.id for each in new]


def deliveries(cluster: Cluster, lane: str) -> Counter[str]:
    """How many messages the broker has of each job of a lane."""
    keys = cluster.module("queues").broker_keys(lane).values()
    with cluster.broker() as broker:
        messages = [message for key in keys for message in broker.lrange(key, 0, -1)]
    return Counter(json.loads(message)["headers"]["id"] for message in messages)


def remove_jobs(cluster: Cluster, lane: str) -> None:
    """Take a lane's jobs out of the way of the tests that follow."""
    with cluster.ledger.begin() as connection:
        connection.exec_driver_sql(f"DELETE FROM jobs WHERE lane = '{lane}'")  # noqa: S608
    keys = cluster.module("queues").broker_keys(lane).values()
    with cluster.broker() as broker:
        broker.delete(*keys)


def test_two_deliveries_to_two_workers_are_one_run(cluster: Cluster, tmp_path: Path) -> None:
    """Sixty jobs, each with two messages, two workers that start on them at once."""
    log = tmp_path / "log"
    ids = submitted(cluster, "twice", log, 60)
    until(lambda: cluster.messages("twice") == 60)
    key = cluster.module("queues").broker_keys("twice")[3]
    with cluster.broker() as broker:
        both = [message for each in broker.lrange(key, 0, -1) for message in (each, each)]
        broker.delete(key)
        broker.rpush(key, *both)
    assert set(deliveries(cluster, "twice").values()) == {2}
    workers = [cluster.start_worker("twice", processes=1) for _ in range(2)]
    for worker in workers:
        ready(worker)
    for each in ids:
        cluster.until(each, "completed")
    until(lambda: cluster.messages("twice") == 0)
    for worker in workers:
        worker.terminate(20)
    assert sorted(map(int, cluster.jobs.lines(log))) == list(range(60))
    assert {cluster.row(each)["attempt"] for each in ids} == {1}


def test_a_running_job_has_no_message_that_could_come_back(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Redis keeps nothing unacknowledged, so no visibility timeout can expire."""
    log, gate = tmp_path / "log", tmp_path / "gate"
    with cluster.worker("visible"):
        result = cluster.jobs.hold.apply_async((str(log), str(gate)), lane="visible")
        until(log.exists)
        with cluster.broker() as broker:
            assert not broker.exists("unacked", "unacked_index")
        assert cluster.messages("visible") == 0
        gate.touch()
        assert result.get(timeout=60) == "started"


def test_an_evicted_queue_is_published_again(cluster: Cluster, tmp_path: Path) -> None:
    """A broker with `allkeys-lru` runs out of memory and drops the queue, as Redis is told to."""
    log = tmp_path / "log"
    ids = submitted(cluster, "evicted", log, 40)
    until(lambda: cluster.messages("evicted") == 40)
    with cluster.broker() as broker:
        used = int(broker.info("memory")["used_memory"])
        broker.config_set("maxmemory-policy", "allkeys-lru")
        broker.config_set("maxmemory", used + 50 * FILLER)
        try:
            for number in range(2_000):
                broker.set(f"filler:{number}", b"x" * FILLER)
                if not cluster.messages("evicted"):
                    break
            assert cluster.messages("evicted") == 0
            assert broker.info("stats")["evicted_keys"] > 0
        finally:
            broker.config_set("maxmemory", 0)
            broker.config_set("maxmemory-policy", "noeviction")
            broker.flushall()
    with cluster.worker("evicted"):
        for each in ids:
            cluster.until(each, "completed")
    assert sorted(map(int, cluster.jobs.lines(log))) == list(range(40))


def test_a_full_broker_refuses_and_the_job_waits_in_the_ledger(cluster: Cluster) -> None:
    """`noeviction`: the call succeeds all the same, and the job runs when there is room."""
    with cluster.worker("full"), cluster.broker() as broker:
        broker.config_set("maxmemory", 1)
        try:
            result = cluster.jobs.add.apply_async((1, 2), lane="full")
            assert cluster.status(result.id) == "pending"
        finally:
            broker.config_set("maxmemory", 0)
        assert result.get(timeout=60) == 3


BACKLOG = 50_000 if os.environ.get("VIBE_FULL") else 10_000


def test_a_long_backlog_is_not_published_twice(cluster: Cluster, tmp_path: Path) -> None:
    """Looks that suspect every message leave it alone; fifty thousand of them with VIBE_FULL=1."""
    dispatch = cluster.module("dispatcher").dispatch
    ids = submitted(cluster, "backlog", tmp_path / "log", BACKLOG)
    until(lambda: cluster.messages("backlog") == BACKLOG, seconds=90)
    for _ in range(3):
        done = dispatch(cluster.app, cluster.ledger, grace=0.0, reap=False)
        assert (done.sent, done.lost) == (0, 0)
    found = deliveries(cluster, "backlog")
    assert set(found) == set(ids)
    assert set(found.values()) == {1}
    remove_jobs(cluster, "backlog")


def test_several_dispatchers_publish_each_job_once(cluster: Cluster, tmp_path: Path) -> None:
    """Four at once, on jobs that come in many transactions and on ones that become due."""
    others = [cluster.dispatcher() for _ in range(3)]
    ids: list[str] = []
    for turn in range(20):
        ids += submitted(cluster, "shared", tmp_path / "log", 50, countdown=0.1 * (turn % 5))
    until(lambda: cluster.messages("shared") >= 1_000)
    late = submitted(cluster, "shared", tmp_path / "log", 1, countdown=2.5)
    until(lambda: cluster.row(late[0])["published_at"] is not None)  # looks went by
    until(lambda: cluster.messages("shared") > 1_000)
    found = deliveries(cluster, "shared")
    assert set(found) == {*ids, *late}
    assert set(found.values()) == {1}
    for dispatcher in others:
        assert dispatcher.exit_code() is None, said(dispatcher)
        dispatcher.terminate(10)
    remove_jobs(cluster, "shared")
