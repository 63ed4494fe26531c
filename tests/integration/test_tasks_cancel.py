"""Jobs that are cancelled or overrun while they run: their processes end, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.cluster import Cluster, databases, ready, running_cluster, said
from tests.processes import until
from vibe_tasks.flow import control
from vibe_tasks.store import workers


@pytest.fixture(scope="module", params=databases("sqlite"))
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A worker with two processes and a short heartbeat, and a dispatcher."""
    with running_cluster(request, request.param) as made:
        made.environ["VIBE_LEASE_SECONDS"] = "4"
        worker = made.start_worker("code", processes=2)
        made.dispatcher()
        ready(worker)
        yield made


def pids(cluster: Cluster, log: Path) -> list[int]:
    """What `hold_children` wrote: its process, a child, and a child in a session of its own."""
    return [int(pid) for line in cluster.jobs.lines(log) for pid in line.split()]


def test_a_cancelled_job_ends_with_all_its_processes(cluster: Cluster, tmp_path: Path) -> None:
    """On any host: the row says so, and the worker sees it at its next heartbeat."""
    log = tmp_path / "log"
    result = cluster.jobs.hold_children.delay(str(log))
    until(lambda: len(pids(cluster, log)) == 3)
    control.cancel_job(cluster.ledger, result.id, "changed my mind")
    until(lambda: not any(map(psutil.pid_exists, pids(cluster, log))))
    assert cluster.jobs.add.submit_many([(1, 2)] * 8)[-1].get(timeout=60) == 3
    row = cluster.row(result.id)
    assert (row["status"], row["retry_count"], row["error"]) == ("cancelled", 0, "changed my mind")


def test_a_job_that_is_cancelled_and_retried_runs_in_its_new_attempt_alone(
    cluster: Cluster, tmp_path: Path
) -> None:
    """On the same worker: the old attempt's process is ended, the new one's is not touched."""
    log, first, second = (tmp_path / name for name in ("log", "first", "second"))
    result = cluster.jobs.hold_in_turn.delay(str(log), str(first), str(second))
    until(log.exists)
    control.cancel_job(cluster.ledger, result.id, "again, please")
    cluster.retry_by_hand(result.id)
    until(lambda: len(cluster.jobs.lines(log)) == 2)
    lease = cluster.row(result.id)["lease_until"]
    until(lambda: cluster.row(result.id)["lease_until"] > lease + 2)
    second.touch()
    until(lambda: cluster.status(result.id) == "completed")
    row = cluster.row(result.id)
    assert (row["result"], row["attempt"], row["retry_count"]) == (2, 2, 0)
    assert len(cluster.jobs.lines(log)) == 2


def test_a_job_that_was_revoked_and_retried_is_not_dropped_again(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Though every worker remembers the revoke for hours."""
    log = tmp_path / "log"
    cluster.app.control.broadcast("revoke", arguments={"task_id": "revoked"}, reply=True, limit=1)
    cluster.jobs.note.apply_async((str(log),), task_id="revoked")
    cluster.until("revoked", "cancelled")
    cluster.retry_by_hand("revoked")
    cluster.until("revoked", "completed")
    assert cluster.jobs.lines(log) == ["started"]


def test_a_job_that_was_terminated_and_retried_runs(cluster: Cluster, tmp_path: Path) -> None:
    """The workers do not remember that it was to be ended, whoever told them."""
    log, first, second = (tmp_path / name for name in ("log", "first", "second"))
    result = cluster.jobs.hold_in_turn.delay(str(log), str(first), str(second))
    until(log.exists)
    result.revoke(terminate=True)
    cluster.app.control.broadcast(
        "revoke", arguments={"task_id": result.id, "terminate": True}, reply=True, limit=1
    )
    cluster.until(result.id, "cancelled")
    second.touch()
    cluster.retry_by_hand(result.id)
    row = cluster.until(result.id, "completed")
    assert (row["result"], row["attempt"]) == (2, 2)


def test_a_pool_of_threads_lets_a_cancelled_job_run_and_refuses_its_result(
    cluster: Cluster, tmp_path: Path
) -> None:
    """A thread cannot be ended; the log says so."""
    log, gate = tmp_path / "log", tmp_path / "gate"
    with cluster.worker("threads", "-P", "threads") as worker:
        result = cluster.jobs.hold.apply_async((str(log), str(gate)), lane="threads")
        until(log.exists)
        control.cancel_job(cluster.ledger, result.id, "no")
        until(lambda: "this pool cannot end it" in said(worker))
        seen = last_seen(cluster, "threads")
        until(lambda: last_seen(cluster, "threads") > seen + 3)
        gate.touch()
        assert cluster.jobs.add.apply_async((1, 2), lane="threads").get(timeout=60) == 3
        assert said(worker).count("this pool cannot end it") == 1  # not once for each beat
    assert cluster.status(result.id) == "cancelled"


def last_seen(cluster: Cluster, lane: str) -> float:
    """When the worker of this lane beat last, in epoch seconds."""
    with cluster.ledger.read() as connection:
        (found,) = [each for each in workers.list_workers(connection) if each["lane"] == lane]
    return float(found["last_seen"])


def test_a_time_limit_ends_what_has_left_the_process_group(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Also a child in a session of its own, of a job that does not heed SIGTERM."""
    log = tmp_path / "log"
    result = cluster.jobs.hold_children.apply_async((str(log),), time_limit=1.5)
    until(lambda: len(cluster.errors(result.id)) >= 1)
    assert "TimeLimitExceeded: 1.5 s" in cluster.errors(result.id)[0]
    control.cancel_job(cluster.ledger, result.id, "enough")
    until(lambda: not any(map(psutil.pid_exists, pids(cluster, log))))
