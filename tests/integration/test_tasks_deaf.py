"""Workers that are connected and hear nothing, and event loops that do not turn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import Cluster, ready, running_cluster, said
from tests.half_open import door_to
from tests.ledgers import new_job, submit
from tests.long import long
from tests.processes import until

SETTINGS = {"VIBE_LEASE_SECONDS": "2", "VIBE_DEAF_SECONDS": "4"}
NO_WATCHDOG = {"VIBE_LEASE_SECONDS": "1", "VIBE_DEAF_SECONDS": "3600"}

SLOW_LOOP = """
from cluster_jobs import wait_for
from vibe_tasks.tasks.request import LedgerRequest

accepted = LedgerRequest.on_accepted


def late(self, *args):
    wait_for("{gate}")
    return accepted(self, *args)


LedgerRequest.on_accepted = late
"""
"""Imported by a worker whose event loop does not turn until the gate is open."""


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A dispatcher; each test has a worker of its own."""
    with running_cluster(request, "sqlite") as made:
        made.dispatcher()
        yield made


def test_a_worker_whose_connection_is_half_open_gets_a_new_one(cluster: Cluster) -> None:
    """The other side is gone and nobody said so: it reconnects, and its jobs run again."""
    add = cluster.jobs.add
    with door_to(cluster.socket) as door:
        address = {"VIBE_BROKER_URL": f"redis://127.0.0.1:{door.port}/0"}
        with cluster.worker("deaf", environ=SETTINGS | address) as worker:
            assert add.apply_async((1, 2), lane="deaf").get(timeout=60) == 3
            door.swallow()
            results = [add.apply_async((number, 1), lane="deaf") for number in range(5)]
            assert [result.get(timeout=60) for result in results] == [1, 2, 3, 4, 5]
            assert "reconnecting" in said(worker)
            assert worker.exit_code() is None


def test_a_broker_that_hangs_costs_no_lease(cluster: Cluster, tmp_path: Path) -> None:
    """The watchdog asks it about a job that waits, in vain; the job that runs keeps its lease."""
    log, gate = tmp_path / "log", tmp_path / "gate"
    settings = SETTINGS | {"VIBE_LEASE_SECONDS": "3", "VIBE_DEAF_SECONDS": "1"}
    with cluster.worker("leased", processes=2, environ=settings):
        held = cluster.jobs.hold.apply_async((str(log), str(gate)), lane="leased")
        until(log.exists)
        with cluster.stopped_broker():
            submit(cluster.ledger, new_job(id="waits", name="cluster_jobs.add", lane="leased"))
            with cluster.ledger.begin() as connection:
                connection.exec_driver_sql("UPDATE jobs SET published_at = 1 WHERE id = 'waits'")
            lease = cluster.row(held.id)["lease_until"]
            until(lambda: cluster.row(held.id)["lease_until"] > lease + 9)
        gate.touch()
        assert held.get(timeout=60) == "started"
    assert cluster.row(held.id)["attempt"] == 1


@long
def test_without_the_watchdog_it_stays_deaf(cluster: Cluster) -> None:
    """What the test above shows is the watchdog's work, and not Celery's."""
    add = cluster.jobs.add
    with door_to(cluster.socket) as door:
        address = {"VIBE_BROKER_URL": f"redis://127.0.0.1:{door.port}/0"}
        with cluster.worker("hung", environ=NO_WATCHDOG | address) as worker:
            assert add.apply_async((1, 2), lane="hung").get(timeout=60) == 3
            door.swallow()
            result = add.apply_async((2, 3), lane="hung")
            # The dispatcher has sent it again, and so it waits in the broker.
            until(lambda: cluster.messages("hung") == 1)
            watched = cluster.start_worker("elsewhere", environ=SETTINGS)
            ready(watched)  # as long as a worker takes to start, several times `deaf_seconds`
            assert cluster.status(result.id) == "pending"
            assert worker.exit_code() is None
            watched.kill()


def test_a_job_keeps_its_lease_while_the_event_loop_is_busy(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Also when it has not read yet that a process took the job."""
    log, gate = tmp_path / "log", tmp_path / "gate"
    (cluster.folder / "slow_loop.py").write_text(SLOW_LOOP.format(gate=str(gate)))
    settings = {"VIBE_LEASE_SECONDS": "2", "VIBE_IMPORTS": "cluster_jobs,slow_loop"}
    with cluster.worker("busy", environ=settings):
        result = cluster.jobs.hold.apply_async((str(log), str(gate)), lane="busy")
        until(log.exists)
        lease = cluster.row(result.id)["lease_until"]
        until(lambda: cluster.row(result.id)["lease_until"] > lease + 4)
        gate.touch()
        assert result.get(timeout=60) == "started"
    assert cluster.row(result.id)["attempt"] == 1
    assert cluster.jobs.lines(log) == ["started"]


def test_a_worker_whose_event_loop_is_stuck_ends_and_hands_its_jobs_back(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Uncounted, with an exit code that asks for a new start."""
    log, gate = tmp_path / "log", tmp_path / "gate"
    with cluster.worker("stuck", environ=SETTINGS) as worker:
        result = cluster.jobs.hold.apply_async((str(log), str(gate)), lane="stuck")
        until(log.exists)
        cluster.app.control.broadcast("block_event_loop")
        until(lambda: worker.exit_code() is not None)
        assert worker.exit_code() == 75
        assert "its event loop does not turn" in said(worker)
    row = cluster.until(result.id, "pending")
    assert (row["attempt"], row["retry_count"]) == (1, 0)
    gate.touch()
    with cluster.worker("stuck"):
        assert result.get(timeout=60) == "started"
