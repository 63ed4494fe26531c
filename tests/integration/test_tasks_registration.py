"""Workers in the registry, without a dispatcher that could do their part."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.cluster import ready, running_cluster
from tests.processes import until
from vibe_tasks.store import engine, workers
from vibe_tasks.tasks import processes

LONG_LEASE = {"VIBE_LEASE_SECONDS": "600"}


class Worker:
    """As much of Celery's worker as registering asks for."""

    app, hostname, concurrency = SimpleNamespace(tasks={}), "code@pod-0", 1


def test_a_container_that_starts_again_within_a_lease_signs_off(
    request: pytest.FixtureRequest,
) -> None:
    """Nobody here can tell whether the one before lives, in a name space that is gone."""
    before = workers.Registered(worker="code@pod-0", host="boot/pid:[1]", process="1:100")
    with running_cluster(request, "sqlite", measured=True) as cluster:
        with cluster.ledger.begin() as connection:
            workers.register(connection, before, ["code"], tier="standard", capacity=1)
        me = cluster.module("main_process.steps").register(Worker(), ["code"])
        with cluster.ledger.begin() as connection:
            workers.beat(connection, "code@pod-0", active=0, process=me.process)
            assert not workers.online_at(connection, str(processes.this_host()))
            assert workers.sign_off(connection, me)
            assert workers.registered_as(connection, "code@pod-0") is None


def test_a_worker_leaves_checkpoints_to_others(request: pytest.FixtureRequest) -> None:
    """Whoever runs jobs, in its pool's processes too; whoever submits them does not."""
    with running_cluster(request, "sqlite", measured=True) as cluster:
        ready(cluster.start_worker("code", "-n", "same@test"))
        assert cluster.jobs.checkpoint_pages.delay().get(timeout=60) == engine.LATE
        with cluster.ledger.read() as connection:
            assert connection.exec_driver_sql("PRAGMA wal_autocheckpoint").scalar() == 1000


def test_a_worker_that_starts_again_under_its_name_takes_its_jobs_back(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """What a dead process of this name held is free at once."""
    log, gate = tmp_path / "log", tmp_path / "gate"
    with running_cluster(request, "sqlite", measured=True) as cluster:
        first = cluster.start_worker("code", "-n", "same@test", environ=LONG_LEASE)
        ready(first)
        result = cluster.jobs.hold.delay(str(log), str(gate))
        until(log.exists)
        first.kill()
        assert cluster.status(result.id) == "processing"
        ready(cluster.start_worker("code", "-n", "same@test", environ=LONG_LEASE))
        row = cluster.until(result.id, "pending")
        assert row["error"] == "WorkerLost: its process is gone: same@test"
