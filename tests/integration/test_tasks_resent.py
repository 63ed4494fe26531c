"""What an old message, or a broker that hangs, must not bring about."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import chord

from tests.cluster import Cluster, running_cluster
from tests.processes import until
from vibe_tasks.flow import control


@pytest.fixture
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A broker of its own, and a ledger, without workers."""
    with running_cluster(request, "sqlite", measured=False) as made:
        yield made


def test_a_job_that_was_sent_again_does_not_repeat_a_backlog(cluster: Cluster) -> None:
    """The oldest message is the first one of a job that has a second one: it says when it was
    sent, so what was sent after it is known to be there.
    """
    look, grace = cluster.module("dispatcher").dispatch, 0.5
    made = [cluster.jobs.add.delay(1, 2).id for _ in range(5)]
    pause = cluster.row(made[-1])["published_at"] + 2 * grace
    until(lambda: cluster.module("resources").wall_clock() > pause)
    control.cancel_job(cluster.ledger, made[0], "oops")
    control.retry_job(cluster.ledger, made[0])
    assert look(cluster.app, cluster.ledger, grace=grace).sent == 1
    pause = cluster.row(made[0])["published_at"] + 2 * grace
    until(lambda: cluster.module("resources").wall_clock() > pause)
    assert look(cluster.app, cluster.ledger, grace=grace).lost == 0
    assert cluster.messages("code") == 6


def ends(work: Callable[[], Any]) -> list[Any]:
    """What this comes to, in a thread of its own, long before Celery's two minutes."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(work())
        except Exception as error:  # noqa: BLE001  it is handed on
            found.append(error)

    threading.Thread(target=run, daemon=True).start()
    until(lambda: bool(found))
    return found


def test_telling_of_a_dead_job_does_not_hold_up_a_dispatcher(cluster: Cluster) -> None:
    """The broker hangs while a member of a chord is found dead."""
    chord([cluster.jobs.fail.s(os.devnull), cluster.jobs.add.s(1, 2)])(cluster.jobs.total.s())
    with cluster.ledger.begin() as connection:
        (job_id,) = connection.exec_driver_sql(
            "UPDATE jobs SET status = 'processing', attempt = 3, retry_count = 2, "
            "worker = 'gone', lease_until = 1 WHERE name LIKE '%.fail' RETURNING id"
        ).scalars()
    look = cluster.module("dispatcher").dispatch
    with cluster.stopped_broker():
        (seen,) = ends(lambda: look(cluster.app, cluster.ledger, grace=5.0))
    assert (seen.reaped, cluster.status(job_id)) == (1, "failed")


def test_who_waits_for_what_is_no_job_does_not_wait_for_the_broker(cluster: Cluster) -> None:
    """An unknown id is looked for in the broker, which hangs."""
    with cluster.stopped_broker():
        (error,) = ends(lambda: cluster.app.AsyncResult("unknown").get(timeout=1))
    assert isinstance(error, Exception)


def test_a_forked_child_leaves_a_queues_own_database_alone(cluster: Cluster) -> None:
    """Its connections are the parent's; the child makes its own."""
    url = cluster.environ["VIBE_DATABASE_URL"]
    with cluster.module("consumers.job_queue").JobQueue(url) as queue:
        job_id = queue.submit("do", lane="forked")
        assert queue.ledger.engine.pool.checkedin() > 0
        child = os.fork()
        if child == 0:
            inherited = queue.ledger.engine.pool.checkedin()
            os._exit(inherited)
        assert os.waitpid(child, 0)[1] == 0
        assert queue.claim("forked").id == job_id
