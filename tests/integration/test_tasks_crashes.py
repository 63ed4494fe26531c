"""Workers that are killed, stopped or cut off in the middle of their jobs."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import chain, chord
from celery.exceptions import ChordError
from psutil import Process

from tests.cluster import SHORT_LEASE, Cluster, ready, running_cluster, said
from tests.processes import runs, until

LONG_LEASE = {"VIBE_LEASE_SECONDS": "600"}
"""For workers that nobody is to wait for."""


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A worker with two processes, and a dispatcher; each test has a worker of its own beside."""
    with running_cluster(request, "sqlite") as made:
        worker = made.start_worker("code", processes=2)
        made.dispatcher()
        ready(worker)
        yield made


def test_a_killed_workers_job_is_taken_back_and_another_does_it(
    cluster: Cluster, tmp_path: Path
) -> None:
    """At once and not when the lease runs out; it counts as a failure, with the worker's name."""
    log, gate = tmp_path / "log", tmp_path / "gate"
    with cluster.worker("doomed", environ=LONG_LEASE) as worker:
        result = cluster.jobs.hold.apply_async((str(log), str(gate)), lane="doomed")
        until(log.exists)
        worker.kill()
    gate.touch()
    with cluster.worker("doomed"):
        assert result.get(timeout=60) == "started"
    assert cluster.jobs.lines(log) == ["started"] * 2
    (error,) = cluster.errors(result.id)
    assert error.startswith("WorkerLost: its process is gone: doomed-")
    assert cluster.row(result.id)["retry_count"] == 1


def test_a_job_that_outlives_many_leases_is_run_once(cluster: Cluster, tmp_path: Path) -> None:
    """The heartbeat renews the lease three times over."""
    log, gate = tmp_path / "log", tmp_path / "gate"
    with cluster.worker("long", environ=SHORT_LEASE):
        result = cluster.jobs.hold.apply_async((str(log), str(gate)), lane="long")
        until(log.exists)
        first = cluster.row(result.id)["lease_until"]
        until(lambda: cluster.row(result.id)["lease_until"] > first + 3)
        gate.touch()
        assert result.get(timeout=60) == "started"
    assert cluster.row(result.id)["attempt"] == 1
    assert cluster.jobs.lines(log) == ["started"]


def test_a_member_whose_worker_dies_for_the_last_time_fails_its_chord(
    cluster: Cluster, tmp_path: Path
) -> None:
    """The dispatcher tells the chord, as the worker cannot."""
    jobs, log = cluster.jobs, tmp_path / "log"
    told = tmp_path / "told"
    hold = jobs.hold_once.s(str(log), str(tmp_path / "never")).set(lane="lost")
    hold.link_error(jobs.note_failure.s(str(told)))
    with cluster.worker("lost", environ=SHORT_LEASE) as worker:
        result = chord([jobs.add.s(1, 1), hold])(jobs.total.s())
        until(log.exists)
        worker.kill()
    with pytest.raises(ChordError, match="WorkerLost"):
        jobs.total.AsyncResult(result.id).get(timeout=60)
    until(lambda: len(jobs.lines(told)) == 1)


def test_what_follows_is_written_with_the_completion(cluster: Cluster, tmp_path: Path) -> None:
    """The worker is killed when a job of a chain has ended: the chain goes on all the same.

    The broker is stopped by a signal, so that nothing of the next link can have been sent.
    """
    log, gate = tmp_path / "log", tmp_path / "gate"
    hold, note = cluster.jobs.hold, cluster.jobs.note
    with cluster.worker("chained", environ=SHORT_LEASE) as worker:
        first = hold.s(str(log), str(gate)).set(lane="chained")
        result = chain(first, note.si(str(log), "second").set(lane="chained")).apply_async()
        until(log.exists)
        with cluster.stopped_broker():
            gate.touch()
            cluster.until(result.parent.id, "completed")
            row = cluster.row(result.id)
            worker.kill()
    assert row["status"] == "pending"
    with cluster.worker("chained"):
        assert result.get(timeout=60) == "second"
    assert cluster.jobs.lines(log) == ["started", "second"]


def test_a_warm_shutdown_finishes_the_job_in_hand(cluster: Cluster, tmp_path: Path) -> None:
    """SIGTERM: no new job is taken, the running one keeps its lease to its end, then we leave."""
    log, gate = tmp_path / "log", tmp_path / "gate"
    with cluster.worker("warm", environ=SHORT_LEASE) as worker:
        hold = cluster.jobs.hold
        first = hold.apply_async((str(log), str(gate), "first"), lane="warm")
        until(log.exists)
        worker.ask_to_end()
        until(lambda: "Warm shutdown" in said(worker))
        second = hold.apply_async((str(log), str(gate), "second"), lane="warm")
        lease = cluster.row(first.id)["lease_until"]
        until(lambda: cluster.row(first.id)["lease_until"] > lease + 2)
        gate.touch()
        assert worker.wait(60) == 0
    assert cluster.row(first.id)["attempt"] == 1
    assert cluster.status(first.id) == "completed"
    assert cluster.status(second.id) == "pending"
    assert cluster.jobs.lines(log) == ["first"]
    assert not working(cluster, "warm")
    with cluster.worker("warm"):
        assert second.get(timeout=60) == "second"


def test_a_cold_shutdown_hands_the_job_back_uncounted(cluster: Cluster, tmp_path: Path) -> None:
    """SIGQUIT: the job goes back at once and not when its lease runs out; it is no failure."""
    log, gate = tmp_path / "log", tmp_path / "gate"
    with cluster.worker("cold") as worker:
        result = cluster.jobs.hold.apply_async((str(log), str(gate)), lane="cold")
        until(log.exists)
        os.kill(worker.pid, signal.SIGQUIT)
        assert worker.wait(60) is not None
    row = cluster.row(result.id)
    assert (row["status"], row["attempt"], row["retry_count"]) == ("pending", 1, 0), row["error"]
    gate.touch()
    with cluster.worker("cold"):
        assert result.get(timeout=60) == "started"


def test_no_pool_process_outlives_a_killed_worker(cluster: Cluster, tmp_path: Path) -> None:
    """Else the job would run twice: here, and where the lease goes."""
    log = tmp_path / "log"
    with cluster.worker("orphans", processes=2) as worker:
        pool = Process(worker.pid).children(recursive=True)
        assert len(pool) == 2
        cluster.jobs.hold.apply_async((str(log), str(tmp_path / "never")), lane="orphans")
        until(log.exists)
        os.kill(worker.pid, signal.SIGKILL)
        until(lambda: not any(map(runs, pool)))


def test_a_pool_of_threads_or_none_runs_jobs(cluster: Cluster) -> None:
    """`-P solo` and `-P threads` claim, run and complete like prefork."""
    with cluster.worker("solo", "-P", "solo"), cluster.worker("threads", "-P", "threads"):
        for lane in ("solo", "threads"):
            assert cluster.jobs.add.apply_async((1, 2), lane=lane).get(timeout=60) == 3


def test_a_full_worker_under_a_ledger_that_is_busy_loses_nothing(cluster: Cluster) -> None:
    """Five hundred jobs at once, from one transaction: each is run once."""
    results = cluster.jobs.add.submit_many([(number, 0) for number in range(500)])
    assert [result.get(timeout=60) for result in results] == list(range(500))
    assert {cluster.row(result.id)["attempt"] for result in results} == {1}


def working(cluster: Cluster, lane: str) -> list[str]:
    """Workers that are registered as online for this lane."""
    with cluster.ledger.read() as connection:
        return list(
            connection.exec_driver_sql(
                f"SELECT worker_id FROM worker_health WHERE lane = '{lane}' AND status = 'online'"  # noqa: S608
            ).scalars()
        )
