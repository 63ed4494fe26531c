"""Workers that die or are stopped for a while: how soon their jobs go on, and what they may do."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from psutil import Process

from tests.cluster import Cluster, databases, ready, running_cluster, said
from tests.processes import runs, until

DEFAULTS = {
    "VIBE_LEASE_SECONDS": "8",
    "VIBE_DISPATCH_SECONDS": "0.5",
    "VIBE_REPUBLISH_SECONDS": "5",
    "VIBE_RETRY_BASE": "1",
}
"""The settings of a deployment that nobody has tuned."""

LONG_LEASE = {"VIBE_LEASE_SECONDS": "600"}
"""For what must not wait for a lease."""

SHORT_LEASE = {"VIBE_LEASE_SECONDS": "1"}


@pytest.fixture(scope="module", params=databases("postgres"))
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A worker with two processes for the lane `code`, and a dispatcher."""
    with running_cluster(request, request.param) as made:
        made.environ |= DEFAULTS
        worker = made.start_worker("code", processes=2)
        made.dispatcher()
        ready(worker)
        yield made


def test_twenty_running_jobs_of_a_killed_worker_do_not_wait_for_their_leases(
    cluster: Cluster, tmp_path: Path
) -> None:
    """At default settings; each is run to its end once, and the loss counts as a failure."""
    log, gate = tmp_path / "log", tmp_path / "gate"
    with cluster.worker("twenty", processes=20) as worker:
        results = [
            cluster.jobs.hold.apply_async((str(log), str(gate)), lane="twenty") for _ in range(20)
        ]
        until(lambda: len(cluster.jobs.lines(log)) == 20)
        with cluster.worker("twenty", processes=4):
            os.kill(worker.pid, signal.SIGKILL)
            worker.wait(60)
            gate.touch()
            until(lambda: len(cluster.jobs.lines(log)) == 40)
            assert [result.get(timeout=60) for result in results] == ["started"] * 20
    rows = [cluster.row(result.id) for result in results]
    assert {(row["attempt"], row["retry_count"]) for row in rows} == {(2, 1)}
    lost = [error for result in results for error in cluster.errors(result.id)]
    assert all("its process is gone" in each for each in lost), lost


def test_a_living_worker_of_the_same_name_keeps_its_jobs(cluster: Cluster, tmp_path: Path) -> None:
    """When a second one comes, and when that goes again, killed or not; a third may come once the
    living one has beaten: until then the name's process is the second's, which is gone.
    """
    log, gate = tmp_path / "log", tmp_path / "gate"
    name = ("-n", "twins@test")

    def beaten() -> None:
        lease = cluster.row(result.id)["lease_until"]
        until(lambda: cluster.row(result.id)["lease_until"] > lease + 3)

    with cluster.worker("twins", *name) as first:
        result = cluster.jobs.hold.apply_async((str(log), str(gate)), lane="twins")
        until(log.exists)
        with cluster.worker("other", *name) as second:
            assert "another worker is called twins@test" in said(second)
            second.ask_to_end()
            assert second.wait(60) == 0
        beaten()
        with cluster.worker("other", *name) as third:
            third.kill()
            beaten()
        gate.touch()
        assert result.get(timeout=60) == "started"
        assert first.exit_code() is None
    assert cluster.row(result.id)["attempt"] == 1
    assert cluster.jobs.lines(log) == ["started"]


def test_a_job_that_kills_its_worker_ends_as_a_dead_letter(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Three workers die of it, each is started again by its supervisor, and the last one lives."""
    log = tmp_path / "log"
    result = cluster.jobs.kill_worker.apply_async((str(log),), lane="poison")
    for _ in range(3):
        with cluster.worker("poison", environ=LONG_LEASE) as worker:
            until(lambda worker=worker: worker.exit_code() is not None)  # type: ignore[misc]
    cluster.until(result.id, "failed")
    assert cluster.jobs.lines(log) == ["started"] * 3
    assert result.id in cluster.dead_letters()
    with cluster.worker("poison") as survivor:
        assert cluster.jobs.add.apply_async((1, 2), lane="poison").get(timeout=60) == 3
        assert survivor.exit_code() is None


def test_a_paused_worker_that_wakes_up_cannot_complete(cluster: Cluster, tmp_path: Path) -> None:
    """Its lease is over and another has done the job; its process is ended, the worker goes on."""
    log, gate, second = tmp_path / "log", tmp_path / "gate", tmp_path / "second"
    with cluster.worker("paused", environ=SHORT_LEASE) as worker:
        result = cluster.jobs.hold_in_turn.apply_async(
            (str(log), str(gate), str(second)), lane="paused"
        )
        until(log.exists)
        tree = [Process(worker.pid), *Process(worker.pid).children(recursive=True)]
        for each in tree:
            each.suspend()
        with cluster.worker("paused"):
            until(lambda: len(cluster.jobs.lines(log)) == 2)
            assert cluster.row(result.id)["attempt"] == 2
            for each in tree:
                each.resume()
            until(lambda: not runs(tree[1]))
            assert runs(tree[0])
            assert cluster.row(result.id)["status"] == "processing"
            second.touch()
            assert result.get(timeout=60) == 2
    assert cluster.row(result.id)["attempt"] == 2
    assert "was taken away, ending process" in said(worker)
