"""Jobs that require labels, with real workers: they run where those are, or wait in sight."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import Cluster, ready, running_cluster
from tests.own_queues import believing_in, name_of, waiting_for
from tests.processes import until

GPU = {"VIBE_WORKER_LABELS": "gpu,lang:rust"}


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A worker without labels and a dispatcher; tests add one with labels."""
    with running_cluster(request, "sqlite") as made:
        plain = made.start_worker("code", processes=1)
        made.dispatcher()
        ready(plain)
        yield made


def held_for(cluster: Cluster, job_id: str) -> str | None:
    """What a job is held for at this moment."""
    row = cluster.row(job_id)
    return row["held_for"] if row["held_at"] is not None else None


def test_a_job_runs_where_its_labels_are_and_waits_for_them(
    cluster: Cluster, tmp_path: Path
) -> None:
    """It waits in the ledger while no worker has them, while others run, and goes on when one
    comes; it waits when that one is full, and follows when its job ends.
    """
    log, gate = tmp_path / "log", tmp_path / "gate"
    first = cluster.jobs.hold.apply_async((str(log), str(gate)), required=["gpu"])
    never = cluster.jobs.echo.apply_async((1,), required=["gpu", "quantum"])
    other = cluster.jobs.echo.apply_async((2,))
    assert other.get(timeout=60) == 2
    until(lambda: held_for(cluster, first.id) == held_for(cluster, never.id) == "worker")
    with cluster.worker("code", environ=GPU) as able:
        until(log.exists)
        assert cluster.row(first.id)["worker"] == name_of(able)
        second = cluster.jobs.echo.apply_async((3,), required="lang:rust", priority="low")
        until(lambda: held_for(cluster, second.id) == "worker")
        assert cluster.messages("code") == waiting_for(cluster, able) == 0
        gate.touch()
        assert second.get(timeout=60) == 3
        assert cluster.row(second.id)["worker"] == name_of(able)
    assert held_for(cluster, never.id) == "worker"
    cluster.app.control.revoke(never.id)


def test_a_wrong_belief_brings_no_job_to_a_worker_without_its_labels(
    cluster: Cluster, tmp_path: Path
) -> None:
    """One that is sent to such a worker is held again; one that is sent to a worker that is full
    does not enter the lane, where anybody would take it.
    """
    log, gate = tmp_path / "log", tmp_path / "gate"
    with cluster.worker("code", environ=GPU) as able:
        with believing_in(cluster, able):
            long = cluster.jobs.hold.delay(str(log), str(gate))
        until(log.exists)
        assert cluster.row(long.id)["worker"] == name_of(able)
        with cluster.worker("code") as unable, believing_in(cluster, unable):
            result = cluster.jobs.echo.apply_async((4,), required=["gpu"])
            until(lambda: held_for(cluster, result.id) == "worker")
        with believing_in(cluster, able):
            other = cluster.jobs.echo.apply_async((5,), required=["gpu"])
        until(lambda: held_for(cluster, other.id) == "worker")
        assert cluster.messages("code") == waiting_for(cluster, able) == 0
        gate.touch()
        assert (result.get(timeout=60), other.get(timeout=60)) == (4, 5)
        for each in (result, other):
            row = cluster.row(each.id)
            assert (row["worker"], row["attempt"]) == (name_of(able), 1)
