"""Our application on pytest-celery's nodes: what they do in good order."""

from __future__ import annotations

from pathlib import Path

import pytest
from celery import chain, chord, group
from celery.exceptions import TaskRevokedError
from pytest_celery import CeleryTestSetup

from tests.cluster import Cluster
from tests.processes import until
from vibe_tasks.errors import AttemptError

pytestmark = pytest.mark.usefixtures("celery_setup")


def test_the_setup_is_ready(celery_setup: CeleryTestSetup) -> None:
    """Broker, backend and two workers run, and both workers answer a ping by their names."""
    assert len(celery_setup) == 4
    replies = celery_setup.app.control.ping(timeout=60, limit=2)
    answers = {name for each in replies for name in each}
    assert answers == {worker.hostname() for worker in celery_setup.worker_cluster}


def test_a_job_runs_and_its_result_comes_back(deployment: Cluster) -> None:
    """One attempt, on one of the two workers."""
    result = deployment.jobs.add.delay(2, 3)
    assert result.get(timeout=60) == 5
    row = deployment.row(result.id)
    assert (row["status"], row["attempt"]) == ("completed", 1)


def test_an_ordinary_celery_task_runs_beside(deployment: Cluster) -> None:
    """Its result is in the backend node."""
    assert deployment.jobs.plain_add.apply_async((2, 3), queue="code").get(timeout=60) == 5


def test_a_group_a_chain_and_a_chord(deployment: Cluster) -> None:
    """Over two workers."""
    add, total = deployment.jobs.add, deployment.jobs.total
    assert group(add.s(n, n) for n in range(5))().get(timeout=60) == [0, 2, 4, 6, 8]
    assert chain(add.s(1, 2), add.s(3), add.s(4))().get(timeout=60) == 10
    assert chord([add.s(n, n) for n in range(5)])(total.s()).get(timeout=60) == 20


def test_a_failing_job_is_tried_again_and_ends_as_a_dead_letter(
    deployment: Cluster, tmp_path: Path
) -> None:
    """Three attempts."""
    log = tmp_path / "log"
    result = deployment.jobs.fail.delay(str(log))
    with pytest.raises(AttemptError, match="no luck 3"):
        result.get(timeout=60)
    assert result.id in deployment.dead_letters()


def test_a_job_that_kills_its_process_is_tried_again(
    celery_setup: CeleryTestSetup, deployment: Cluster, tmp_path: Path
) -> None:
    """As the out-of-memory killer does to a pool's child; the worker lives on."""
    result = deployment.jobs.die.delay(str(tmp_path / "log"), 1)
    assert result.get(timeout=60) == "survived"
    assert deployment.row(result.id)["attempt"] == 2
    for worker in celery_setup.worker_cluster:
        worker.container.reload()
        assert worker.container.status == "running"


def test_a_job_past_its_time_limit_has_failed(deployment: Cluster, tmp_path: Path) -> None:
    """Its process is ended, and the attempt counts."""
    result = deployment.jobs.overrun.delay(str(tmp_path / "log"))
    with pytest.raises(AttemptError, match=r"(?i)time"):
        result.get(timeout=60)


def test_revoke_reaches_the_worker_that_runs_the_job(deployment: Cluster, tmp_path: Path) -> None:
    """With terminate: cancelled in the ledger, not tried again, its process is free."""
    log = tmp_path / "log"
    result = deployment.jobs.hold.delay(str(log), str(tmp_path / "never"))
    until(log.exists)
    result.revoke(terminate=True)
    with pytest.raises(TaskRevokedError):
        result.get(timeout=60)
    assert deployment.status(result.id) == "cancelled"
    assert deployment.jobs.lines(log) == ["started"]
