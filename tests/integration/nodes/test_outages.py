"""Nodes that are killed, restarted and emptied: each job is completed, and once."""

from __future__ import annotations

from pathlib import Path

from pytest_celery import CeleryTestSetup, CeleryTestWorker

from tests.cluster import Cluster
from tests.long import long
from tests.processes import until


def holder(setup: CeleryTestSetup, deployment: Cluster, job_id: str) -> CeleryTestWorker:
    """The worker that runs the job."""
    names = doers(deployment, job_id)
    (found,) = [worker for worker in setup.worker_cluster if worker.hostname() in names[-1]]
    return found


def doers(deployment: Cluster, job_id: str) -> list[str]:
    """The workers of the job's attempts."""
    rows = deployment.history(job_id)
    return [each["worker_id"] for each in rows if each["status"] == "processing"]


def completions(deployment: Cluster, job_id: str) -> int:
    """How often the job was completed."""
    return [each["status"] for each in deployment.history(job_id)].count("completed")


def test_a_killed_workers_job_is_done_by_the_other(
    celery_setup: CeleryTestSetup, deployment: Cluster, tmp_path: Path
) -> None:
    """SIGKILL to the whole node; the job is completed once, by the node that is left."""
    log, gate = tmp_path / "log", tmp_path / "gate"
    result = deployment.jobs.hold.delay(str(log), str(gate))
    until(log.exists)
    dead = holder(celery_setup, deployment, result.id)
    dead.kill()
    gate.touch()
    assert result.get(timeout=60) == "started"
    assert deployment.jobs.lines(log) == ["started"] * 2
    assert completions(deployment, result.id) == 1
    first, second = doers(deployment, result.id)
    assert dead.hostname() in first
    assert dead.hostname() not in second


def test_jobs_of_a_cluster_without_workers_wait_for_one(
    celery_setup: CeleryTestSetup, deployment: Cluster, tmp_path: Path
) -> None:
    """All are killed with a job in hand; after a restart of one it is completed, and once."""
    log, gate = tmp_path / "log", tmp_path / "gate"
    result = deployment.jobs.hold.delay(str(log), str(gate))
    until(log.exists)
    for worker in celery_setup.worker_cluster:
        worker.kill()
    gate.touch()
    later = deployment.jobs.add.delay(1, 2)
    celery_setup.worker.restart()
    assert result.get(timeout=60) == "started"
    assert later.get(timeout=60) == 3
    assert completions(deployment, result.id) == completions(deployment, later.id) == 1


@long
def test_a_broker_that_comes_back_empty_costs_no_job(
    celery_setup: CeleryTestSetup, deployment: Cluster, tmp_path: Path
) -> None:
    """Killed with a queue full of messages, while every worker is busy; none is run twice."""
    log, gate = tmp_path / "log", tmp_path / "gate"
    hold, note = deployment.jobs.hold, deployment.jobs.note
    held = [hold.delay(str(log), str(gate)) for _ in range(4)]
    until(lambda: len(deployment.jobs.lines(log)) == 4)
    queued = note.submit_many([(str(log), number) for number in range(30)])
    until(lambda: deployment.messages("code") == 30)
    celery_setup.broker.kill()
    celery_setup.broker.restart()
    gate.touch()
    for result in [*held, *queued]:
        result.get(timeout=60)
        assert completions(deployment, result.id) == 1
    lines = deployment.jobs.lines(log)[4:]
    assert sorted(lines) == sorted(str(number) for number in range(30))


def test_producers_go_on_without_a_broker(
    celery_setup: CeleryTestSetup, deployment: Cluster
) -> None:
    """Jobs are taken while the broker is down, and run when it is back."""
    celery_setup.broker.kill()
    results = [deployment.jobs.add.delay(number, 0) for number in range(3)]
    assert {deployment.status(result.id) for result in results} == {"pending"}
    celery_setup.broker.restart()
    assert [result.get(timeout=60) for result in results] == [0, 1, 2]


def test_a_restarted_worker_finishes_first(
    celery_setup: CeleryTestSetup, deployment: Cluster, tmp_path: Path
) -> None:
    """A warm shutdown: the job in hand is completed in its first attempt, then the node is back."""
    log, gate = tmp_path / "log", tmp_path / "gate"
    result = deployment.jobs.hold.delay(str(log), str(gate))
    until(log.exists)
    worker = holder(celery_setup, deployment, result.id)
    worker.kill(signal="SIGTERM")
    until(lambda: "Warm shutdown" in worker.logs())
    after = deployment.jobs.add.delay(1, 2)
    assert after.get(timeout=60) == 3  # by the other one
    assert deployment.status(result.id) == "processing"
    gate.touch()
    assert result.get(timeout=60) == "started"
    until(lambda: stopped(worker))
    assert deployment.row(result.id)["attempt"] == 1
    assert worker.container.attrs["State"]["ExitCode"] == 0
    worker.restart()
    assert deployment.jobs.add.delay(2, 3).get(timeout=60) == 5


def test_a_node_that_is_told_to_quit_hands_its_job_over(
    celery_setup: CeleryTestSetup, deployment: Cluster, tmp_path: Path
) -> None:
    """SIGQUIT: the other node has the job at once, and no failure is counted."""
    log, gate = tmp_path / "log", tmp_path / "gate"
    result = deployment.jobs.hold.delay(str(log), str(gate))
    until(log.exists)
    worker = holder(celery_setup, deployment, result.id)
    worker.kill(signal="SIGQUIT")
    until(lambda: len(deployment.jobs.lines(log)) == 2)
    gate.touch()
    assert result.get(timeout=60) == "started"
    assert deployment.errors(result.id) == ["the worker was stopped"]
    assert deployment.row(result.id)["retry_count"] == 0
    assert completions(deployment, result.id) == 1
    until(lambda: stopped(worker))


def stopped(worker: CeleryTestWorker) -> bool:
    """Whether the node's first process has ended."""
    worker.container.reload()
    return bool(worker.container.status == "exited")
