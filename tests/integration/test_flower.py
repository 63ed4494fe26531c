"""A real Flower beside the embedded stack, as `vibe up --flower` starts it."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from celery.exceptions import TaskRevokedError

from tests.cluster import Cluster, running_cluster, said
from tests.flower import LOGIN, Flower, addresses
from tests.processes import command_line, descendants, until
from vibe_tasks.priority import Priority
from vibe_tasks.stack.children import Child
from vibe_tasks.store import lanes

LANE = "qa"
"""A lane that nothing else uses here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """What `vibe up --flower` runs.

    Attributes:
        cluster: Its broker's and ledger's other users: this process.
        up: The command.
        flower: Its Flower.
        worker: The name of its worker, which has two processes.
    """

    cluster: Cluster
    up: Child
    flower: Flower
    worker: str

    def processes(self) -> list[int]:
        """The pool's processes, as Flower shows them."""
        found = self.flower.workers().get(self.worker, {}).get("stats", {}).get("pool", {})
        return list(found.get("processes", ()))

    def hold(self, count: int, folder: Path) -> tuple[list[Any], Path]:
        """So many jobs that have started, and the gate that they wait at."""
        gate, logs = folder / "gate", [folder / f"log{number}" for number in range(count)]
        held = [self.cluster.jobs.hold.delay(str(log), str(gate)) for log in logs]
        until(lambda: all(log.exists() for log in logs))
        return held, gate


def free_port() -> int:
    """One that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture(scope="module")
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """One for all tests: they leave it as they find it."""
    flower = Flower(port=free_port())
    environ = {
        "FLOWER_PORT": str(flower.port), "FLOWER_BASIC_AUTH": LOGIN, "VIBE_LEASE_SECONDS": "4"
    }  # fmt: skip
    with running_cluster(request, "sqlite") as cluster:
        cluster.broker_down()  # the stack brings its own
        command = ("-m", "vibe_tasks.cli.main", "up", "--workers", "2", "--flower")
        up = cluster.start("up", sys.executable, *command, environ=environ)
        until(lambda: "ready; " in said(up) or up.exit_code() is not None)
        assert f"http://127.0.0.1:{flower.port}" in said(up)
        until(lambda: len(flower.workers()) == 1)
        yield Stack(cluster=cluster, up=up, flower=flower, worker=next(iter(flower.workers())))


def test_it_shows_workers_with_their_pool_and_queues(stack: Stack) -> None:
    """By the names that the ledger's registry has; alive by their heartbeats."""
    found = stack.flower.workers()[stack.worker]
    assert found["stats"]["pool"]["max-concurrency"] == 2
    assert {"code", "qa", "deploy", "control"} <= {each["name"] for each in found["active_queues"]}
    until(lambda: stack.flower.get("/api/workers?status=1") == {stack.worker: True})
    with stack.cluster.ledger.read() as connection:
        rows = connection.exec_driver_sql("SELECT DISTINCT worker_id FROM worker_health")
        assert list(rows.scalars()) == [stack.worker]


def test_it_shows_jobs_as_the_ledger_has_them(stack: Stack, tmp_path: Path) -> None:
    """Names, arguments, results and states; those too that Celery sends no event for: a job that
    cancels itself, and one that waits for its lane.
    """
    jobs, flower = stack.cluster.jobs, stack.flower
    with stack.cluster.ledger.begin() as connection:
        lanes.pause(connection, LANE)
    good, bad = jobs.add.delay(20, 22), jobs.refuse.delay(str(tmp_path / "log"))
    again = jobs.fail_until.delay(str(tmp_path / "tries"), 2)
    gone = jobs.give_up.delay(str(tmp_path / "gone"))
    held = jobs.echo.apply_async((1,), lane=LANE)
    ends = {good: "SUCCESS", bad: "FAILURE", again: "SUCCESS", gone: "REVOKED", held: "RETRY"}
    for result, state in ends.items():
        until(flower.shows(result.id, state))
    shown = flower.task(good.id)
    assert (shown["name"], shown["args"], shown["result"]) == (
        "cluster_jobs.add", "(20, 22)", "42"
    )  # fmt: skip
    assert "it will never work" in flower.task(bad.id)["exception"]
    assert "attempt 1 fails" in flower.task(again.id)["exception"]
    assert flower.task(held.id)["exception"] == f"lane {LANE} is paused"
    with stack.cluster.ledger.begin() as connection:
        lanes.resume(connection, LANE)
    until(flower.shows(held.id, "SUCCESS"))
    assert flower.get(f"/api/task/result/{good.id}")["result"] == 42  # from the ledger


def test_it_submits_jobs(stack: Stack) -> None:
    """With the task's function at hand or by its name alone: the ledger has them all the same."""
    for way in ("async-apply", "send-task"):
        status, answer = stack.flower.ask(f"/api/task/{way}/cluster_jobs.add", '{"args": [20, 22]}')
        assert status == 200
        job = stack.cluster.jobs.add.AsyncResult(json.loads(answer)["task-id"])
        assert job.get(timeout=60) == 42
        assert stack.cluster.status(job.id) == "completed"


def test_it_is_not_filled_with_what_happens_every_second(stack: Stack) -> None:
    """Beat's look for what is due would be all that it remembers after a day."""
    assert "vibe.dispatch" in stack.flower.workers()[stack.worker]["stats"]["total"]
    names = {each["name"] for each in stack.flower.get("/api/tasks").values()}
    assert "vibe.dispatch" not in names


def test_a_queues_length_is_that_of_all_its_priorities(stack: Stack, tmp_path: Path) -> None:
    """Each of our levels is a list of its own in the broker."""
    held, gate = stack.hold(2, tmp_path)
    echo = stack.cluster.jobs.echo
    waiting = [echo.apply_async((1,), lane=LANE, priority=level) for level in Priority]
    until(lambda: stack.flower.lengths()[LANE] == len(Priority))
    gate.touch()
    for each in [*held, *waiting]:
        each.get(timeout=60)
    until(lambda: stack.flower.lengths()[LANE] == 0)


def test_a_rate_limit_holds_and_hoards_nothing(stack: Stack) -> None:
    """What waits for it takes a place of the worker; the rest stays in the broker for others, and
    goes on at once when the limit is lifted.
    """
    flower, jobs = stack.flower, stack.cluster.jobs

    def limit(rate: str) -> None:
        path = "/api/task/rate-limit/cluster_jobs.echo"
        assert flower.ask(path, {"workername": stack.worker, "ratelimit": rate})[0] == 200

    limit("1/h")
    results = [jobs.echo.delay(number) for number in range(8)]
    until(lambda: sum(each.ready() for each in results) == 1)
    until(lambda: flower.lengths()["code"] == 5)
    assert sum(each.ready() for each in results) == 1
    limit("0")
    assert [each.get(timeout=60) for each in results] == list(range(8))


def test_revoke_cancels_the_job_in_the_ledger(stack: Stack, tmp_path: Path) -> None:
    """One that waits; with `terminate` also one that runs, whose process ends at a heartbeat."""
    held, gate = stack.hold(2, tmp_path)
    waiting = stack.cluster.jobs.note.delay(str(tmp_path / "note"))
    for result, fields in ((waiting, {}), (held[0], {"terminate": "true"})):
        assert stack.flower.ask(f"/api/task/revoke/{result.id}", fields)[0] == 200
        assert stack.cluster.status(result.id) == "cancelled"
        with pytest.raises(TaskRevokedError):
            result.get(timeout=60)
    gate.touch()
    assert held[1].get(timeout=60) == "started"
    for result in (waiting, held[0]):  # Flower hears of a message when a worker takes it
        until(stack.flower.shows(result.id, "REVOKED"))
    assert not (tmp_path / "note").exists()


def test_a_pool_grows_and_shrinks_and_busy_processes_stay(stack: Stack, tmp_path: Path) -> None:
    """A third process takes a third job; while all are busy none ends."""
    first, gate = stack.hold(2, tmp_path)
    grow, shrink = (f"/api/worker/pool/{word}/{stack.worker}" for word in ("grow", "shrink"))
    assert stack.flower.ask(grow, {"n": 1})[0] == 200
    (tmp_path / "more").mkdir()
    second, other_gate = stack.hold(1, tmp_path / "more")
    busy = stack.processes()
    assert len(busy) == 3
    stack.flower.ask(shrink, {"n": 1})
    assert stack.processes() == busy
    gate.touch()
    other_gate.touch()
    assert [each.get(timeout=60) for each in first + second] == ["started"] * 3
    assert {stack.cluster.row(each.id)["attempt"] for each in first + second} == {1}

    def is_shrunk() -> bool:
        if len(stack.processes()) == 3:  # nothing ends while something is in the worker's hands
            assert stack.flower.ask(shrink, {"n": 1})[0] == 200
        return len(stack.processes()) == 2

    until(is_shrunk)
    assert stack.cluster.jobs.add.delay(1, 2).get(timeout=60) == 3


def test_a_worker_that_is_shut_down_finishes_and_is_started_again(
    stack: Stack, tmp_path: Path
) -> None:
    """What runs goes on to its end, what waits is done by the worker's successor."""
    held, gate = stack.hold(2, tmp_path)
    waiting = stack.cluster.jobs.add.delay(1, 2)
    assert stack.flower.ask(f"/api/worker/shutdown/{stack.worker}", {})[0] == 200
    gate.touch()
    assert [each.get(timeout=60) for each in held] == ["started"] * 2
    assert waiting.get(timeout=60) == 3
    rows = [stack.cluster.row(each.id) for each in [*held, waiting]]
    assert [row["attempt"] for row in rows] == [1, 1, 1]
    until(lambda: len(stack.processes()) == 2)


def test_without_the_password_it_says_and_does_nothing(stack: Stack) -> None:
    """401 for everything that shows or changes anything."""
    for stranger in (
        Flower(port=stack.flower.port, login=""), Flower(port=stack.flower.port, login="ada:no"),
    ):  # fmt: skip
        for path in [*addresses("get"), "/", "/workers", "/tasks", "/broker"]:
            assert stranger.ask(path)[0] == 401, path
        for path in addresses("post"):
            assert stranger.ask(path, {})[0] == 401, path


def test_a_flower_that_may_only_read_changes_nothing(stack: Stack) -> None:
    """403 from every address that writes; a second Flower on the same broker is no trouble."""
    reader = Flower(port=free_port())
    child = stack.cluster.celery(
        "-A", "vibe_tasks", "flower", "--address=127.0.0.1",
        environ={
            "FLOWER_PORT": str(reader.port), "FLOWER_BASIC_AUTH": LOGIN, "FLOWER_READ_ONLY": "true"
        },
    )  # fmt: skip
    until(lambda: stack.worker in reader.workers())
    paths = addresses("post")
    assert "/api/worker/shutdown/NAME" in paths
    for path in paths:
        status, why = reader.ask(path.replace("NAME", stack.worker), {})
        assert (status, "Read only" in why) == (403, True), (path, why)
    assert LANE in reader.lengths()
    child.terminate(5)


def test_a_killed_flower_costs_what_it_had_seen(stack: Stack, tmp_path: Path) -> None:
    """Jobs go on; the next Flower, started at once, sees what happens from then on, and results in
    the ledger. What the killed one left in the broker goes away.
    """
    before = stack.cluster.jobs.add.delay(20, 22)
    until(stack.flower.shows(before.id, "SUCCESS"))
    held, gate = stack.hold(1, tmp_path)
    (running,) = (
        each for each in descendants(psutil.Process(stack.up.pid)) if "flower" in command_line(each)
    )
    os.kill(running.pid, signal.SIGKILL)
    gate.touch()
    assert held[0].get(timeout=60) == "started"
    until(lambda: stack.worker in stack.flower.workers())
    assert not stack.flower.task(before.id)
    assert stack.flower.get(f"/api/task/result/{before.id}")["result"] == 42
    after = stack.cluster.jobs.add.delay(1, 2)
    until(stack.flower.shows(after.id, "SUCCESS"))
    with stack.cluster.broker() as broker:
        until(lambda: not list(broker.scan_iter("*reply.celery.pidbox*")))
