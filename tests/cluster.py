"""A small deployment for tests: Valkey, Celery workers and the dispatcher, all of them real.

The producer is the test's own process. `vibe_tasks.tasks` reads its settings when it is imported,
so a cluster imports it anew and puts the old modules back at its end: reach everything of that
package through the cluster (`cluster.app`, `cluster.jobs`, `cluster.module`).
"""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from types import ModuleType
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from celery import _state
from celery.app import builtins
from psycopg import sql
from redis import Redis

from tests.forked_child import ForkedChild, can_be_forked
from tests.long import FULL
from tests.processes import PATIENCE, is_measured, unmeasured, until
from vibe_tasks.flow import control
from vibe_tasks.stack.broker import broker_program, broker_ready
from vibe_tasks.stack.children import Child, Program
from vibe_tasks.store import history, jobs, leases, version, workers
from vibe_tasks.store.engine import DATABASE_ERRORS, Database, open_database

ROOT = Path(__file__).parents[1]
JOBS = "cluster_jobs"
PRODUCERS_PACKAGE = "vibe_tasks.tasks"

QUICK = {
    "VIBE_DISPATCH_SECONDS": "0.1",
    "VIBE_REPUBLISH_SECONDS": "1",
    "VIBE_RETRY_BASE": "0.05",
    "VIBE_LEASE_SECONDS": "20",
}
"""A deployment's waits, shortened. The lease is long: a loaded machine must not lose one."""

SHORT_LEASE = {"VIBE_LEASE_SECONDS": "1"}
"""For workers whose leases are meant to run out."""


def end(child: Child) -> None:
    """End a process; softly where coverage is measured, for what is killed leaves no figures."""
    if is_measured(child.program.environ):
        child.terminate(5)
    child.kill()


class Cluster:
    """A broker, a ledger, and whatever the test starts beside them.

    Attributes:
        folder: Working directory of all children; the job module is there.
        home: `VIBE_HOME` of all.
        environ: Environment of all.
    """

    def __init__(
        self,
        folder: Path,
        database_url: str,
        commands: ExitStack,
        *,
        broker_url: str = "",
        measured: bool = False,
    ) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.logs = self.home / "logs"
        self.logs.mkdir(parents=True)
        base = os.environ if measured else unmeasured(os.environ)
        self.environ = {
            **{name: value for name, value in base.items() if not name.startswith("VIBE_")},
            **QUICK,
            "VIBE_HOME": str(self.home),
            "VIBE_DATABASE_URL": database_url,
            "VIBE_IMPORTS": JOBS,
            "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
            "PYTHONUNBUFFERED": "1",
        }
        if broker_url:
            self.environ["VIBE_BROKER_URL"] = broker_url
        self.socket = self.home / "broker.sock"
        self._broker: Child | None = None
        self._running = commands
        self._numbers = count(1)

    # --- processes ---

    def start(self, name: str, *argv: str, environ: Mapping[str, str] | None = None) -> Child:
        """Start a program; it ends with the cluster at the latest."""
        program = Program(
            name=f"{name}-{next(self._numbers)}", argv=argv,
            environ={**self.environ, **(environ or {})},
        )  # fmt: skip
        if can_be_forked(program, usual=self.environ):
            child: Child = ForkedChild(program, logs=self.logs, folder=self.folder)
        else:
            there = replace(program, argv=("/usr/bin/env", "-C", str(self.folder), *argv))
            child = Child(there, logs=self.logs)
        self._running.callback(end, child)
        return child

    def broker_up(self) -> None:
        """Start the broker, empty, and wait until it answers; again: until this process asks it."""
        again = self._broker is not None
        self._broker = Child(broker_program(self.socket, environ=self.environ), logs=self.logs)
        self._running.callback(self._broker.kill)
        assert broker_ready(self.socket, 10)
        if again:
            self._until_asked()

    def _until_asked(self) -> None:
        """Wait until this producer asks the broker again, after an outage."""
        reach = self.module("publisher")._broker
        until(lambda: not reach.rests(monotonic()))

    def broker_down(self) -> None:
        """Kill the broker; what it held is gone."""
        assert self._broker is not None
        self._broker.kill()

    @contextmanager
    def stopped_broker(self) -> Iterator[None]:
        """The broker's process is stopped meanwhile: it takes connections and does not answer."""
        assert self._broker is not None
        os.kill(self._broker.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._broker.pid, signal.SIGCONT)
            self._until_asked()

    def dispatcher(self) -> Child:
        """Start a dispatcher."""
        return self.start("dispatcher", sys.executable, "-m", "vibe_tasks.tasks.dispatcher")

    def celery(self, *arguments: str, environ: Mapping[str, str] | None = None) -> Child:
        """Start `celery` with these arguments."""
        name = next(word for word in arguments if not word.startswith("-") and "_" not in word)
        return self.start(
            name.replace(".", "-"), sys.executable, "-m", "celery", *arguments, environ=environ
        )

    @contextmanager
    def worker(
        self,
        lanes: str,
        *options: str,
        app: str = "vibe_tasks",
        processes: int = 1,
        environ: Mapping[str, str] | None = None,
    ) -> Iterator[Child]:
        """A worker of its own for these lanes, ready; killed at the end if it still runs."""
        child = self.start_worker(lanes, *options, app=app, processes=processes, environ=environ)
        try:
            ready(child)
            yield child
        finally:
            end(child)
            self._sign_off_killed()

    def _sign_off_killed(self) -> None:
        """Do for killed workers what they would have done at their end.

        Where no dispatcher runs, the producer would send them jobs for a lease, and in a lease's
        time nobody would take them back. Those that hold jobs stay as they are: to find those out
        is what the tests of crashes are about.
        """
        host = self.module("processes").this_host()
        is_gone = self.module("main_process.steps").is_gone
        with suppress(*DATABASE_ERRORS), self.ledger.begin() as connection:
            for each in workers.online_at(connection, host) if host else ():
                if is_gone(each) and not leases.held_by(connection, each.worker):
                    workers.sign_off(connection, each)
        self.module("routing.router").invalidate_worker_cache()

    def start_worker(
        self,
        lanes: str,
        *options: str,
        app: str = "vibe_tasks",
        processes: int = 1,
        environ: Mapping[str, str] | None = None,
    ) -> Child:
        """A worker that is about to be ready."""
        queues = ["-Q", lanes] if lanes else []
        pool = [] if "-P" in options else ["-c", str(processes)]
        return self.start(
            "worker", sys.executable, "-m", "tests.lone_celery", "-A", app, "worker",
            *queues, *pool,
            "-n", f"{lanes.replace(',', '-')}-{uuid4().hex[:6]}@test", "--loglevel", "INFO",
            "--without-gossip", "--without-mingle", "--without-heartbeat", *options,
            environ=environ,
        )  # fmt: skip

    # --- the producer's side ---

    @property
    def app(self) -> Any:
        """The application of this process, on this cluster's broker and ledger."""
        return self.module("app").app

    @property
    def jobs(self) -> Any:
        """The job module that the workers import too."""
        return sys.modules[JOBS]

    @property
    def ledger(self) -> Database:
        """The ledger."""
        found: Database = self.module("resources").ledger()
        return found

    def module(self, name: str) -> ModuleType:
        """A module of `vibe_tasks.tasks`, as this cluster's producer imported it."""
        return importlib.import_module(f"{PRODUCERS_PACKAGE}.{name}")

    def retry_by_hand(self, job_id: str) -> None:
        """What `vibe dlq retry` does."""
        self.module("publisher").publish(
            self.app, self.ledger, control.retry_job(self.ledger, job_id)
        )

    # --- looking ---

    def row(self, job_id: str) -> dict[str, Any]:
        """The job's row."""
        with self.ledger.read() as connection:
            return jobs.find_job(connection, job_id)

    def status(self, job_id: str) -> str:
        """The job's status."""
        return str(self.row(job_id)["status"])

    def until(self, job_id: str, status: str, *, seconds: float = PATIENCE) -> dict[str, Any]:
        """Wait until the job has this status; its row."""
        try:
            until(lambda: self.status(job_id) == status, seconds=seconds)
        except AssertionError as error:
            raise AssertionError(f"not {status} within {seconds} s: {self.row(job_id)}") from error
        return self.row(job_id)

    def history(self, job_id: str) -> tuple[dict[str, Any], ...]:
        """The job's transitions."""
        return history.history_of(self.ledger, job_id)

    def errors(self, job_id: str) -> list[str]:
        """The errors of the job's failed attempts, oldest first."""
        rows = self.history(job_id)
        return [row["details"] for row in rows if row["details"] and row["status"] != "cancelled"]

    def dead_letters(self) -> dict[str, dict[str, Any]]:
        """The dead letters, by job."""
        with self.ledger.read() as connection:
            rows = connection.exec_driver_sql("SELECT * FROM view_dead_letter_queue")
            return {row["id"]: dict(row) for row in rows.mappings()}

    def count_jobs(self) -> int:
        """Rows in the ledger."""
        with self.ledger.read() as connection:
            return int(connection.exec_driver_sql("SELECT count(*) FROM jobs").scalar_one())

    def messages(self, lane: str) -> int:
        """Messages of this lane in the broker."""
        keys = self.module("queues").broker_keys(lane)
        with self.broker() as broker:
            return sum(int(broker.llen(key)) for key in keys.values())

    def broker(self) -> Redis:
        """A connection to the broker."""
        if url := self.environ.get("VIBE_BROKER_URL"):
            return Redis.from_url(url)
        return Redis(unix_socket_path=str(self.socket))


def ready(worker: Child) -> None:
    """Wait until a worker takes messages."""
    until(lambda: " ready." in said(worker) or worker.exit_code() is not None)
    assert worker.exit_code() is None, said(worker)


def said(child: Child) -> str:
    """What a child has written so far."""
    return child.log.read_text(encoding="utf-8", errors="replace")


def databases(usual: str) -> list[Any]:
    """The databases that a module's cluster runs on: the usual one, and both with VIBE_FULL=1.

    What the database decides is tested on both where it is decided, in the tests of the store.
    """
    every = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]
    if os.environ.get("VIBE_FULL"):
        return every
    return every[:1] if usual == "sqlite" else every[1:]


@contextmanager
def running_cluster(
    request: pytest.FixtureRequest,
    database: str,
    *,
    broker_url: str = "",
    measured: bool = False,
    settings: Mapping[str, str] | None = None,
) -> Iterator[Cluster]:
    """A cluster with a broker and an empty ledger, on `sqlite` or `postgres`; no worker yet.

    `settings` are variables that all of it has. With `broker_url` the broker is somebody else's.
    Coverage is measured in its processes where `measured` says so, unless all tests run: it takes
    nearly as long as what is measured.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="vibe-", dir="/tmp")))
        shutil.copy(Path(__file__).with_name(f"{JOBS}.py"), folder)
        url = f"sqlite:///{folder / 'ledger.db'}"
        if database == "postgres":
            url = stack.enter_context(_new_database(request.getfixturevalue("postgres_server")))
            ledger = open_database(url)
            version.create(ledger)
            ledger.close()
        measured = measured and not FULL
        cluster = Cluster(folder, url, stack, broker_url=broker_url, measured=measured)
        cluster.environ |= settings or {}
        if not broker_url:
            cluster.broker_up()
        stack.enter_context(_imported(cluster))
        yield cluster


@contextmanager
def _new_database(server: str) -> Iterator[str]:
    name = f"cluster_{uuid4().hex[:8]}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield server.replace("/postgres?", f"/{name}?").replace(
            "postgresql:", "postgresql+psycopg:"
        )
    finally:  # the server may have been restarted
        with psycopg.connect(server, autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def _imported(cluster: Cluster) -> Iterator[None]:
    """The producer's modules, imported under the cluster's settings."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("VIBE_")]:
            patch.delenv(name)
        for name, value in cluster.environ.items():
            if name.startswith("VIBE_"):
                patch.setenv(name, value)
        patch.syspath_prepend(str(cluster.folder))
        # Celery gives every task to every application of the process: not those of the others.
        own = {each for each in _state._on_app_finalizers if each.__module__ == builtins.__name__}
        patch.setattr(_state, "_on_app_finalizers", own)
        before = _take_away()
        try:
            cluster.module("work")
            importlib.import_module(JOBS)
            yield
            cluster.app.close()
            cluster.module("resources").database().close()
        finally:
            _take_away()
            sys.modules.update(before)
            if PRODUCERS_PACKAGE in before:
                sys.modules["vibe_tasks"].tasks = before[PRODUCERS_PACKAGE]  # type: ignore[attr-defined]
            if f"{PRODUCERS_PACKAGE}.app" in before:
                before[f"{PRODUCERS_PACKAGE}.app"].app.set_current()


def _take_away() -> dict[str, ModuleType]:
    ours = (PRODUCERS_PACKAGE, JOBS)
    names = [
        name for name in sys.modules if name in ours or name.startswith(f"{PRODUCERS_PACKAGE}.")
    ]
    return {name: sys.modules.pop(name) for name in names}
