"""Jobs that wait, by the thousand: for their time, or behind others (docs/cured.md)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.cluster import Cluster, ready, running_cluster
from tests.long import long
from tests.processes import descendants, until
from vibe_tasks.stack.children import Child

MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A broker and a ledger."""
    with running_cluster(request, "sqlite", measured=False) as made:
        yield made


def memory(*children: Child) -> int:
    """Bytes that these processes and their children have in memory."""
    processes = [psutil.Process(child.pid) for child in children]
    return sum(
        each.memory_info().rss for first in processes for each in (first, *descendants(first))
    )


def submit(cluster: Cluster, lane: str, log: Path, count: int, **options: Any) -> None:
    """Write jobs into the ledger in one transaction, for the dispatcher to publish."""
    note = cluster.jobs.note
    with cluster.ledger.begin() as connection:
        cluster.module("task").jobs.submit(
            connection,
            [
                note.new_job((str(log), n), {}, None, {"lane": lane, **options})
                for n in range(count)
            ],
        )


def test_ten_thousand_countdowns_wait_in_the_ledger(cluster: Cluster, tmp_path: Path) -> None:
    """An hour each: no message, no start, and neither worker nor dispatcher grows."""
    log, add = tmp_path / "log", cluster.jobs.add
    worker, dispatcher = cluster.start_worker("hour", processes=1), cluster.dispatcher()
    ready(worker)

    def some_work() -> None:
        for result in [add.apply_async((n, 1), lane="hour", countdown=0.2) for n in range(10)]:
            result.get(timeout=60)

    some_work()
    before = memory(worker, dispatcher)
    submit(cluster, "hour", log, 10_000, countdown=3600)
    some_work()
    assert memory(worker, dispatcher) - before < 10 * MEGABYTE
    assert cluster.messages("hour") == 0
    with cluster.ledger.read() as connection:
        (count,) = connection.exec_driver_sql(
            "SELECT count(*) FROM jobs WHERE lane = 'hour' AND status = 'pending' "
            "AND attempt = 0 AND published_at IS NULL"
        ).one()
    assert count == 10_000
    assert not log.exists()
    worker.terminate(20)
    dispatcher.terminate(10)


@long
def test_an_urgent_job_behind_ten_thousand_is_next(cluster: Cluster, tmp_path: Path) -> None:
    """The one process is busy, ten thousand messages wait in the broker, then the urgent one."""
    log, gate = tmp_path / "log", tmp_path / "gate"
    note = cluster.jobs.note
    with cluster.worker("crowd"):
        cluster.jobs.hold.apply_async((str(log), str(gate), "gate"), lane="crowd")
        until(lambda: cluster.jobs.lines(log) == ["gate"])
        dispatcher = cluster.dispatcher()
        submit(cluster, "crowd", log, 10_000)
        until(lambda: cluster.messages("crowd") == 10_000)
        note.apply_async((str(log), "urgent"), lane="crowd", priority="critical")
        gate.touch()
        until(lambda: len(cluster.jobs.lines(log)) > 1)
    assert cluster.jobs.lines(log)[1] == "urgent"
    dispatcher.terminate(10)
    with cluster.broker() as broker:
        broker.flushall()


def test_a_due_job_starts_at_its_time(cluster: Cluster) -> None:
    """At the default settings, and behind ten thousand others: never early, and soon."""
    usual = {"VIBE_DISPATCH_SECONDS": "0.5", "VIBE_REPUBLISH_SECONDS": "5"}
    dispatcher = cluster.start(
        "dispatcher", sys.executable, "-m", "vibe_tasks.tasks.dispatcher", environ=usual
    )
    with cluster.worker("due"):
        results = [
            cluster.jobs.add.apply_async((n, 1), lane="due", countdown=1 + n / 10)
            for n in range(10)
        ]
        created = {each.id: cluster.row(each.id)["created_at"] for each in results}
        for each in results:
            cluster.until(each.id, "completed")
    for number, each in enumerate(results):
        started = cluster.row(each.id)["started_at"]
        assert started >= created[each.id] + 1 + number / 10
    dispatcher.terminate(10)
