"""The probes of the manifests, asked of real workers and beats, while servers come and go."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import psycopg
import pytest
from psycopg import sql

from tests.cluster import Cluster, end, ready, running_cluster, said
from tests.manifests import Workload, workload
from tests.processes import until
from vibe_tasks.stack.children import Child
from vibe_tasks.store.engine import DATABASE_ERRORS

pytestmark = pytest.mark.postgres

WORKER = workload("overlays/small", "vibe-worker-code")
BEAT = workload("overlays/small", "vibe-beat")

PROGRAMS = {"vibe": "vibe_tasks.cli.main", "celery": "celery"}


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A broker and a ledger on PostgreSQL, which can be cut off; programs as in the image."""
    with running_cluster(request, "postgres") as made:
        programs = made.folder / "bin"
        programs.mkdir()
        for name, module in PROGRAMS.items():
            (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} -m {module} "$@"\n')
            (programs / name).chmod(0o755)
        made.environ["PATH"] = f"{programs}{os.pathsep}{os.environ['PATH']}"
        made.environ["VIBE_BEAT_LOCK_SECONDS"] = "4"
        yield made


class Container:
    """A container of a pod, as a process of this machine.

    Args:
        cluster: Where it runs.
        spec: What the manifests say of it.
    """

    def __init__(self, cluster: Cluster, spec: Workload) -> None:
        self._cluster = cluster
        self._spec = spec
        self.alive = cluster.folder / f"alive-{spec.name}"
        self._environ = {
            "VIBE_ALIVE_FILE": str(self.alive),
            **{name: value for name, value in spec.environ.items()
               if value is not None and name == "REMAP_SIGTERM"},
        }  # fmt: skip
        self.child: Child = cluster.start(spec.name, *spec.command, environ=self._environ)

    def asked(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """A command inside of it, to its end."""
        return subprocess.run(
            ["/usr/bin/env", "-C", str(self._cluster.folder), *command],
            env={**self._cluster.environ, **self._environ}, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip

    @contextmanager
    def started(self, command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
        """A command inside of it; killed at the end if it still runs."""
        process = subprocess.Popen(
            ["/usr/bin/env", "-C", str(self._cluster.folder), *command],
            env={**self._cluster.environ, **self._environ},
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait(60)

    def passes(self, probe: str) -> bool:
        """Whether a probe of the manifest is content."""
        return self.asked(self._spec.probes[probe]).returncode == 0

    def health(self, part: str, *options: str) -> tuple[int, str]:
        """Exit code and line of `vibe health`."""
        done = self.asked(["vibe", "health", part, *options])
        return done.returncode, done.stdout.strip() or done.stderr

    def turns(self) -> None:
        """Wait until its loop has turned once more."""
        before = self.alive.stat().st_mtime_ns
        until(lambda: self.alive.stat().st_mtime_ns > before)


@contextmanager
def ledger_away(cluster: Cluster, server: str) -> Iterator[None]:
    """Nobody gets a connection to the ledger, and those that there were are gone."""
    name = cluster.ledger.engine.url.database
    assert name
    with psycopg.connect(server, autocommit=True) as admin:
        allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
        admin.execute(allow.format(sql.Identifier(name), sql.SQL("false")))
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
        )
        try:
            yield
        finally:
            admin.execute(allow.format(sql.Identifier(name), sql.SQL("true")))


@pytest.fixture(scope="module")
def workers() -> list[Container]:
    """Those that were started so far; one test ends its own."""
    return []


@pytest.fixture
def worker(cluster: Cluster, workers: list[Container]) -> Container:
    """A worker of the role `code`, started by the command of the manifests."""
    if workers and workers[-1].child.exit_code() is None:
        return workers[-1]
    started = Container(cluster, WORKER)
    started.alive.unlink(missing_ok=True)
    assert not started.passes("startupProbe")  # it has not begun yet
    until(started.alive.exists)
    assert started.passes("startupProbe")
    ready(started.child)
    workers.append(started)
    return started


def test_a_worker_is_ready_once_it_is_in_the_registry(worker: Container) -> None:
    """The names agree: the probe asks for the name that Celery has given itself."""
    assert worker.passes("readinessProbe")
    assert worker.passes("livenessProbe")
    code, line = worker.health("worker", "--name", "celery@elsewhere")
    assert (code, "celery@elsewhere has not registered; online: celery@" in line) == (1, True)
    code, line = worker.health("worker", "--json")
    assert (code, json.loads(line)["healthy"]) == (0, True)
    assert worker.health("broker")[0] == 0
    assert worker.health("ledger")[0] == 0


def beaten(cluster: Cluster) -> bool:
    """Whether a heartbeat of the worker has come to the ledger within a second."""
    query = "SELECT 1 FROM worker_health WHERE last_seen > vibe_now() - 1.0"
    try:
        with cluster.ledger.read() as connection:
            return connection.exec_driver_sql(query).first() is not None
    except DATABASE_ERRORS:  # this process was cut off too
        return False


def drains(cluster: Cluster) -> bool:
    """Whether the worker of `code` takes nothing new."""
    query = "SELECT 1 FROM worker_health WHERE lane = 'code' AND status = 'draining'"
    with cluster.ledger.read() as connection:
        return connection.exec_driver_sql(query).first() is not None


def ticked(cluster: Cluster) -> bool:
    """Whether a worker has done what beat sends."""
    with cluster.ledger.read() as connection:
        return connection.exec_driver_sql("SELECT 1 FROM upkeep").first() is not None


def test_no_outage_ends_a_worker(cluster: Cluster, worker: Container, postgres_server: str) -> None:
    """Ledger and broker away: it is not ready, and its loop turns, and it works again after."""
    cluster.broker_down()
    with ledger_away(cluster, postgres_server):
        assert not worker.passes("readinessProbe")
        code, line = worker.health("ledger")
        assert (code, line.startswith("ledger: not healthy, ")) == (1, True)
        assert worker.health("broker")[0] == 1
        worker.turns()
        assert worker.passes("livenessProbe")
        assert worker.child.exit_code() is None
    cluster.broker_up()
    until(lambda: beaten(cluster))
    assert worker.passes("readinessProbe")


def test_a_worker_that_is_frozen_does_not_live(worker: Container) -> None:
    """A file that nobody has touched for five minutes: the probe fails."""
    os.kill(worker.child.pid, signal.SIGSTOP)
    try:
        long_ago = worker.alive.stat().st_mtime - 301
        os.utime(worker.alive, (long_ago, long_ago))
        assert not worker.passes("livenessProbe")
    finally:
        os.kill(worker.child.pid, signal.SIGCONT)
    worker.turns()
    assert worker.passes("livenessProbe")


def test_beats_turn_and_the_fleet_is_healthy_once_a_tick_was_worked_off(cluster: Cluster) -> None:
    """Of two beats one leads: both live, and the ledger knows when what they send was last done."""
    control = cluster.start_worker("control")
    first = Container(cluster, BEAT)
    second = Container(cluster, replace(BEAT, name="vibe-beat-2"))
    for each in (first, second):
        until(each.alive.exists)
        assert each.passes("startupProbe")
    until(lambda: ticked(cluster))
    assert first.health("beat")[0] == 0
    end(control)
    cluster.broker_down()
    try:
        for each in (first, second):
            each.turns()
            assert each.passes("livenessProbe")
    finally:
        cluster.broker_up()
    for each in (first, second):
        each.child.terminate(10)
        assert each.child.exit_code() is not None, said(each.child)


def test_a_pod_that_goes_hands_back_what_it_cannot_end(cluster: Cluster, worker: Container) -> None:
    """First it drains, for as long as the hook waits; then SIGTERM, and what runs still goes back
    uncounted, long before SIGKILL.
    """
    log, gate = cluster.folder / "held.log", cluster.folder / "never"
    result = cluster.jobs.hold.delay(str(log), str(gate))
    until(log.exists)
    with worker.started(WORKER.probes["preStop"]) as hook:
        until(lambda: drains(cluster))
        os.kill(worker.child.pid, signal.SIGTERM)
        compose = workload("docker-compose.yml", "code")
        until(lambda: worker.child.exit_code() is not None, seconds=compose.grace)
        assert hook.wait(60) == 0
    row = cluster.row(result.id)
    assert (row["status"], row["retry_count"]) == ("pending", 0)
