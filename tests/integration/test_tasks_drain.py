"""Draining workers: nothing new is taken, what runs goes on, and then they end."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import Cluster, ready, running_cluster, said
from tests.processes import until
from vibe_tasks.store import workers
from vibe_tasks.tasks.pool.drain import Drain


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A broker and a ledger."""
    with running_cluster(request, "sqlite", measured=True) as started:
        yield started


def command(cluster: Cluster, *words: str) -> tuple[int, str, str]:
    """What `vibe` answers in this cluster: exit code, output, errors."""
    done = subprocess.run(
        [sys.executable, "-m", "vibe_tasks.cli.main", *words], cwd=cluster.folder,
        env=cluster.environ, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def registry(cluster: Cluster) -> dict[str, dict[str, object]]:
    """The registry's rows by worker."""
    with cluster.ledger.read() as connection:
        return {row["worker_id"]: row for row in workers.list_workers(connection)}


def test_a_drained_worker_takes_nothing_new_and_ends_when_idle(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Its long job completes in its first attempt; what came meanwhile waits for the next worker;
    it leaves with exit code 0.
    """
    log, gate = tmp_path / "log", tmp_path / "gate"
    child = cluster.start_worker("code", "-n", "leaving@test", processes=2)
    ready(child)
    running = cluster.jobs.hold.delay(str(log), str(gate))
    until(log.exists)
    assert command(cluster, "workers", "drain", "leaving@test")[0] == 0
    until(lambda: "draining: nothing new is taken, 1 in hand" in said(child))
    later = [cluster.jobs.add.delay(1, number) for number in range(4)]
    until(lambda: registry(cluster)["leaving@test"]["status"] == "draining")
    assert child.exit_code() is None
    gate.touch()
    until(lambda: child.exit_code() is not None)
    assert child.exit_code() == 0
    assert cluster.row(running.id)["status"] == "completed"
    assert cluster.row(running.id)["attempt"] == 1
    assert {cluster.status(each.id) for each in later} == {"pending"}
    assert registry(cluster)["leaving@test"]["status"] == "offline"
    repeated = command(cluster, "workers", "drain", "leaving@test", "--wait", "5")
    assert repeated == (0, "worker leaving@test has ended already\n", "")
    cluster.dispatcher()
    with cluster.worker("code", "-n", "leaving@test") as again:
        for each in later:
            cluster.until(each.id, "completed")
        assert "draining" not in said(again)


def test_a_worker_hears_of_it_from_the_ledger_alone(cluster: Cluster, tmp_path: Path) -> None:
    """Whoever drains need not reach the broker: the next heartbeat brings the news. `--wait` waits,
    and says so where the worker is still at work.
    """
    log, gate = tmp_path / "log", tmp_path / "gate"
    quick = {"VIBE_LEASE_SECONDS": "2", "VIBE_WORKER_LABELS": "gpu,lang:rust"}
    child = cluster.start_worker("qa", "-n", "deaf@test", environ=quick)
    ready(child)
    listed = command(cluster, "workers", "list")[1]
    assert "gpu, lang:rust" in listed
    cluster.jobs.hold.apply_async((str(log), str(gate)), lane="qa")
    until(log.exists)
    with cluster.stopped_broker():
        code, told, why = command(cluster, "workers", "drain", "deaf@test", "--wait", "0", "--json")
    assert code == 1
    assert "1 of 1 still at work after 0.0 s: deaf@test" in why
    assert [each["status"] for each in json.loads(told)] == ["draining"]
    gate.touch()
    until(lambda: child.exit_code() == 0)


def test_names_that_are_wrong_are_refused(cluster: Cluster) -> None:
    """One line, exit code 2, nobody is drained."""
    with cluster.ledger.begin() as connection:
        own = workers.Registered(worker="code@there", host=None, process="1")
        workers.register(connection, own, ["code"], tier="standard", capacity=1)
    code, _, told = command(cluster, "workers", "drain", "code@there", "code@their")
    assert code == 2
    assert told.startswith("vibe: no worker code@their, did you mean 'code@there'?")
    assert registry(cluster)["code@there"]["status"] == "online"


def test_a_processor_drains_too(cluster: Cluster) -> None:
    """A program that claims jobs by itself finishes the one in hand, however long, and ends."""
    job_queue = cluster.module("consumers.job_queue")
    processor_of = cluster.module("consumers.job_processor").JobProcessor
    begun, gate = threading.Event(), threading.Event()

    def handle() -> str:
        begun.set()
        assert gate.wait(60)
        return "done"

    with job_queue.JobQueue() as queue:
        processor = processor_of(queue, ["outside"], {"outside.hold": handle}, grace=0.0)
        processor.start()
        job_id = queue.submit("outside.hold", lane="outside")
        assert begun.wait(60)
        assert command(cluster, "workers", "drain", processor.worker)[0] == 0
        until(lambda: processor._draining)
        gate.set()
        cluster.until(job_id, "completed")
        until(lambda: processor.worker not in registry(cluster))


def test_a_worker_without_a_connection_drains_later() -> None:
    """While Celery connects anew there is no consumer to tell."""

    class Worker:
        consumer = None

    drain = Drain()
    drain.ask()
    drain.turn(Worker())
    assert drain.asked
