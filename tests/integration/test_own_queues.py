"""Workers' own queues with real workers: nothing waits there, and nothing is lost there."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import Cluster, end, ready, running_cluster
from tests.own_queues import believing_in, name_of, waiting_for
from tests.processes import until
from vibe_tasks.stack.children import Child

LANES = "code,tests"


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """Two workers of one process each, and a dispatcher that soon misses who is silent."""

    cluster: Cluster
    first: Child
    second: Child


@pytest.fixture(scope="module")
def crew(request: pytest.FixtureRequest) -> Iterator[Crew]:
    """For all tests of this module; they serve the same lanes."""
    with running_cluster(request, "sqlite") as made:
        first, second = (made.start_worker(LANES, processes=1) for _ in range(2))
        made.start(
            "dispatcher", sys.executable, "-m", "vibe_tasks.tasks.dispatcher",
            environ={"VIBE_LEASE_SECONDS": "7"},  # workers beat every five seconds
        )  # fmt: skip
        ready(first)
        ready(second)
        yield Crew(cluster=made, first=first, second=second)


@contextmanager
def full(crew: Crew, worker: Child, folder: Path) -> Iterator[None]:
    """This worker's only process has a long job in hand."""
    log, gate = folder / f"log-{name_of(worker)}", folder / f"gate-{name_of(worker)}"
    with believing_in(crew.cluster, worker):
        held = crew.cluster.jobs.hold.delay(str(log), str(gate))
    until(log.exists)
    assert crew.cluster.row(held.id)["worker"] == name_of(worker)
    try:
        yield
    finally:
        gate.touch()
        crew.cluster.until(held.id, "completed")


def test_each_worker_takes_its_own_queue_and_no_other(crew: Crew) -> None:
    """What is sent to one of two idle workers that one runs; the ledger keeps why. Neither queue is
    a lane: the registry does not list it, and no job can be submitted to it.
    """
    for worker in [crew.first, crew.second] * 3:
        with believing_in(crew.cluster, worker):
            result = crew.cluster.jobs.echo.delay(1)
        assert result.get(timeout=60) == 1
        row = crew.cluster.row(result.id)
        assert row["worker"] == row["routing"]["choice"] == name_of(worker)
    with crew.cluster.ledger.read() as connection:
        lanes = connection.exec_driver_sql("SELECT DISTINCT lane FROM worker_health").scalars()
        assert sorted(lanes) == sorted(LANES.split(","))
    names = (name_of(crew.first), name_of(crew.second))
    queues = crew.cluster.app.control.inspect(timeout=60, limit=2).active_queues()
    assert {worker: [each["name"] for each in queues[worker]] for worker in names} == {
        worker: [f"worker.{worker}", *LANES.split(",")] for worker in names
    }


def test_a_call_by_name_may_be_sent_to_one_worker(crew: Crew) -> None:
    """By plain Celery: its job is of the task's lane, as no lane has such a queue's name."""
    name, queues = crew.cluster.jobs.echo.name, crew.cluster.module("queues")
    own = queues.lane_queue(queues.own_queue(name_of(crew.second)))
    sent = crew.cluster.app.send_task(name, (1,), queue=own)
    assert sent.get(timeout=60) == 1
    row = crew.cluster.row(sent.id)
    assert (row["lane"], row["worker"]) == ("code", name_of(crew.second))


def test_no_job_waits_for_a_full_worker_while_another_is_idle(crew: Crew, tmp_path: Path) -> None:
    """A producer whose belief is out of date sends to a worker that is full with a long job: the
    other one runs them, while that one is still full.
    """
    with full(crew, crew.first, tmp_path), believing_in(crew.cluster, crew.first):
        results = [crew.cluster.jobs.echo.delay(number) for number in range(5)]
        assert [each.get(timeout=60) for each in results] == list(range(5))
        assert waiting_for(crew.cluster, crew.first) == 0
        for each in results:
            row = crew.cluster.row(each.id)
            assert (row["worker"], row["attempt"]) == (name_of(crew.second), 1)


def test_a_job_that_waits_for_a_worker_is_found_in_the_broker(crew: Crew, tmp_path: Path) -> None:
    """By its message, with how many come before it; in no queue once it was taken."""
    ask_broker = crew.cluster.module("whereabouts").ask_broker

    def ask(row: dict[str, Any]) -> Any:
        with crew.cluster.ledger.read() as connection:
            return ask_broker(connection, row)

    with full(crew, crew.first, tmp_path), full(crew, crew.second, tmp_path):
        results = [crew.cluster.jobs.echo.delay(number) for number in range(3)]
        waiting = [crew.cluster.row(each.id) for each in results]
        until(lambda: all(ask(row).queue == "code" for row in waiting))
        assert sorted(ask(row).ahead for row in waiting) == [0, 1, 2]
    assert [each.get(timeout=60) for each in results] == [0, 1, 2]
    found = ask(waiting[0])
    assert (found.answers, found.queue, found.sure) == (True, None, True)


def test_priorities_hold_across_own_queues_and_the_lane(crew: Crew, tmp_path: Path) -> None:
    """What was given back, what was sent to the lane and what comes to an own queue later start in
    the order of their urgency.
    """
    log = tmp_path / "log"

    def send(worker: Child | None, priority: str) -> str:
        options = {"priority": priority, "lane": "tests"}
        arguments = (str(log), priority)
        if worker is None:
            return str(crew.cluster.jobs.note.apply_async(arguments, **options).id)
        with believing_in(crew.cluster, worker):
            return str(crew.cluster.jobs.note.apply_async(arguments, **options).id)

    with full(crew, crew.first, tmp_path):
        with full(crew, crew.second, tmp_path):
            sent = [send(crew.first, "low"), send(None, "high"), send(crew.second, "critical")]
            sent += [send(None, "normal"), send(crew.first, "normal")]
            until(lambda: crew.cluster.messages("tests") == 5)
        for job_id in sent:
            crew.cluster.until(job_id, "completed")
    assert crew.cluster.jobs.lines(log) == ["critical", "high", "normal", "normal", "low"]


def test_nothing_is_lost_or_done_twice_with_a_worker_that_stops(crew: Crew, tmp_path: Path) -> None:
    """Jobs in the own queue of a worker that is stopped, whose broker is emptied, that wakes up and
    that is killed at last are all done by others, each once.
    """
    log, cluster = tmp_path / "log", crew.cluster
    doomed = cluster.start_worker(LANES, processes=1)
    try:
        ready(doomed)
        done = [*stopped(crew, doomed, log, "found silent")]
        until(lambda: _awake(cluster, doomed, log) == name_of(doomed))
        awake = len([line for line in cluster.jobs.lines(log) if line == "awake"])
        os.kill(doomed.pid, signal.SIGSTOP)
        with believing_in(cluster, doomed):
            lost = [cluster.jobs.note.delay(str(log), f"flushed {each}") for each in range(3)]
        with cluster.broker() as broker:
            broker.flushall()
        assert [each.get(timeout=60) for each in lost] == [f"flushed {each}" for each in range(3)]
        with believing_in(cluster, doomed):
            left = [cluster.jobs.note.delay(str(log), f"left {each}") for each in range(3)]
        os.kill(doomed.pid, signal.SIGKILL)
        done += [each.get(timeout=60) for each in left]
        until(lambda: waiting_for(cluster, doomed) == 0)
    finally:
        end(doomed)
    wanted = [*done, *["awake"] * awake, *(f"flushed {each}" for each in range(3))]
    assert sorted(cluster.jobs.lines(log)) == sorted(wanted)


def stopped(crew: Crew, worker: Child, log: Path, line: str) -> Iterator[str]:
    """Jobs that are sent to a stopped worker, which wakes when others have done them."""
    os.kill(worker.pid, signal.SIGSTOP)
    try:
        with believing_in(crew.cluster, worker):
            results = [crew.cluster.jobs.note.delay(str(log), f"{line} {n}") for n in range(3)]
        for each in results:
            yield each.get(timeout=60)
        until(lambda: waiting_for(crew.cluster, worker) == 0)
    finally:
        os.kill(worker.pid, signal.SIGCONT)


def _awake(cluster: Cluster, worker: Child, log: Path) -> str:
    """Who did what was sent to this worker; it may still be busy dropping what others have done."""
    with believing_in(cluster, worker):
        result = cluster.jobs.note.delay(str(log), "awake")
    result.get(timeout=60)
    return str(cluster.row(result.id)["worker"])


@pytest.mark.parametrize("how", ["stop", "drain"])
def test_a_worker_that_is_told_to_end_gives_its_own_queue_back(
    crew: Crew, tmp_path: Path, how: str
) -> None:
    """At once, though it finishes the job in its hands first; and nobody believes in it longer."""
    leaving = crew.cluster.start_worker(LANES, processes=1)
    try:
        ready(leaving)
        with full(crew, leaving, tmp_path):
            if how == "stop":
                leaving.ask_to_end()
            else:
                crew.cluster.app.control.broadcast("drain", destination=[name_of(leaving)])
            with believing_in(crew.cluster, leaving):
                results = [crew.cluster.jobs.echo.delay(number) for number in range(3)]
            assert [each.get(timeout=60) for each in results] == [0, 1, 2]
            assert leaving.exit_code() is None
        until(lambda: leaving.exit_code() == 0)
    finally:
        end(leaving)
    with crew.cluster.broker() as broker:
        assert broker.get(f"vibe.free.{name_of(leaving)}") in {None, b"0"}
