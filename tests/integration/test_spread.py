"""How jobs spread over real workers: evenly, or to the one that suits them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from threading import Event

import pytest

from tests.cluster import Cluster, ready, running_cluster
from tests.own_queues import name_of
from tests.processes import until


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A broker, a ledger and a dispatcher; each test has its workers."""
    with running_cluster(request, "sqlite") as made:
        made.dispatcher()
        yield made


def done_by(cluster: Cluster, lane: str) -> Counter[str]:
    """How many jobs of the lane each worker has completed."""
    with cluster.ledger.read() as connection:
        rows = connection.exec_driver_sql(
            "SELECT worker, count(*) AS number FROM jobs "
            "WHERE lane = :lane AND status = 'completed' GROUP BY worker",
            {"lane": lane},
        )
        return Counter({row.worker: row.number for row in rows})


def test_a_burst_spreads_evenly_over_equal_workers(cluster: Cluster) -> None:
    """A thousand jobs at once over three workers: nobody does a fifth more than another, and each
    is sent once. Jobs that wait a while: of those that compute, the worker does most that the
    operating system lets run most.
    """
    crew = [cluster.start_worker("burst", processes=2) for _ in range(3)]
    for each in crew:
        ready(each)
    results = cluster.jobs.ponder.submit_many([(0.08,)] * 1_000, lane="burst")
    for each in results:
        each.get(timeout=120)
    shares = done_by(cluster, "burst")
    assert set(shares) == {name_of(each) for each in crew}
    assert max(shares.values()) <= 1.2 * min(shares.values()), shares


def test_hard_jobs_at_a_bearable_pace_go_to_the_senior(cluster: Cluster) -> None:
    """It has a free slot for each; the cache alone, ten seconds old, would have it full soon."""
    environ = {"VIBE_WORKER_TIER": "senior"}
    senior = cluster.start_worker("hard", processes=4, environ=environ)
    standard = cluster.start_worker("hard", processes=4)
    ready(senior)
    ready(standard)
    pace = Event()
    for sent in range(60):
        pace.wait(0.05)  # workers post their free slots as often
        until(lambda sent=sent: sent - done_by(cluster, "hard").total() < 3)  # type: ignore[misc]
        cluster.jobs.ponder.delay(0.02)
    until(lambda: done_by(cluster, "hard").total() == 60)
    shares = done_by(cluster, "hard")
    assert shares[name_of(senior)] > 0.9 * 60, shares
