"""The embedded stack: a broker, a worker and the dispatcher as children of this process.

What `vibe run` and `vibe up` start on one machine. The parts are those of a fleet, only smaller;
they end with this process, however it ends.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Self

from vibe_tasks.addresses import socket_path
from vibe_tasks.errors import InputError, UnavailableError
from vibe_tasks.stack import broker
from vibe_tasks.stack.children import Program
from vibe_tasks.stack.flower import HOST, require_free
from vibe_tasks.stack.lock import StackLock
from vibe_tasks.stack.supervisor import Supervisor

BROKER_START = 10.0
"""Seconds for the broker to answer; it takes 0.1 s on a machine that is not overloaded."""

GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL; a job that takes longer is lost with its lease."""

WORKER = "embedded"
"""Beginning of the worker's name; a mark of its home and the host's name follow."""

BROKER_GRACE = 1.0
"""Seconds for the broker, which has nothing to save."""


def child_commands(
    home: Path,
    *,
    workers: int,
    lanes: Sequence[str],
    beat: bool = False,
    flower: int = 0,
    grow_to: int = 0,
    web: bool = False,
) -> dict[str, tuple[str, ...]]:
    """Name and command line of every child but the broker.

    Args:
        home: The home folder, absolute.
        workers: Processes of the worker. At least 1.
        lanes: The lanes that the worker serves. At least one.
        beat: Whether Celery's beat runs too.
        flower: Flower's port on this machine alone; 0: it does not run.
        grow_to: Processes that the worker may grow to; 0: it does not grow.
        web: Whether the web server runs too, where the settings say.
    """
    if workers < 1:
        raise InputError(f"the stack needs 1 worker process or more, got {workers}")
    if not lanes:
        raise InputError("the stack needs a lane to serve")
    processes = f"{grow_to},{workers}" if grow_to > workers else str(workers)
    celery = (sys.executable, "-m", "celery", "-A", "vibe_tasks")
    commands = {
        "worker": (
            *(sys.executable, "-m", "vibe_tasks.tasks.worker"),
            *(_name_of(home), processes, ",".join(lanes), *(("--watched",) if flower else ())),
        ),
        "dispatcher": (sys.executable, "-m", "vibe_tasks.tasks.dispatcher"),
    }
    if beat:
        schedule = str(home / "beat-schedule")
        commands["beat"] = (*celery, "beat", "--loglevel", "INFO", "--schedule", schedule)
    if flower:
        commands["flower"] = (*celery, "flower", f"--address={HOST}", f"--port={flower}")
    if web:
        commands["web"] = (sys.executable, "-m", "vibe_tasks.web")
    return commands


def worker_name(home: Path) -> str:
    """What the ledger calls the embedded worker of this home.

    Homes may share a ledger: whoever clears up after one must leave the others' jobs alone.
    """
    return f"{_name_of(home.resolve())}@{socket.gethostname()}"


def _name_of(home: Path) -> str:
    return f"{WORKER}-{sha256(os.fsencode(home)).hexdigest()[:6]}"


class EmbeddedStack:
    """One machine's broker, worker and dispatcher; a context manager.

    Call its methods from the main thread.

    Args:
        home: Folder of the broker's socket, the lock and the logs; made where it is missing.
        workers: Processes of the worker.
        lanes: The lanes that it serves.
        environ: Environment of all children; `VIBE_HOME` is set to the resolved home.
        beat: Whether Celery's beat runs too.
        flower: Flower's port on this machine alone; 0: it does not run.
        grow_to: Processes that the worker may grow to; 0: it does not grow.
        web: Whether the web server runs too, where the settings say.
        commands: Other children instead, by name; the broker always runs.
        grace: Seconds between SIGTERM and SIGKILL.
    """

    def __init__(
        self,
        home: Path,
        *,
        workers: int,
        lanes: Sequence[str],
        environ: Mapping[str, str],
        beat: bool = False,
        flower: int = 0,
        grow_to: int = 0,
        web: bool = False,
        commands: Mapping[str, Sequence[str]] | None = None,
        grace: float = GRACE,
    ) -> None:
        self.home = home.resolve()  # as whoever looks for the socket must do
        self.logs = self.home / "logs"
        self.socket = socket_path(self.home, temp_dir=Path(tempfile.gettempdir()), uid=os.getuid())
        if commands is None:
            commands = child_commands(
                self.home, workers=workers, lanes=lanes, beat=beat, flower=flower,
                grow_to=grow_to, web=web,
            )  # fmt: skip
        self._commands = commands
        # Unbuffered: what a child said last is what explains its end.
        self._environ = {**environ, "VIBE_HOME": str(self.home), "PYTHONUNBUFFERED": "1"}
        self._flower = flower
        self._grace = grace
        self._lock = StackLock(self.home)
        self._owns_socket = False
        self._supervisor = Supervisor(logs=self.logs, clock=monotonic)

    @property
    def pids(self) -> Mapping[str, int]:
        """Process ids of the children that run, by name."""
        return self._supervisor.pids

    def start(self, *, first: Callable[[], None] = lambda: None) -> None:
        """Start the broker and, when it answers, everything else at once.

        Args:
            first: Called when the home is ours and nothing works in it yet: the moment to clear
                up after a stack that was killed.

        Raises:
            HomeTakenError: Another stack runs in this home.
            InputError: The home or Flower's port cannot be used.
            UnavailableError: The broker does not start; the message ends with its last words.
        """
        self._make_home()
        self._lock.acquire()
        try:
            if self._flower:
                require_free(self._flower)
            first()
            self._start_broker()
            for name, argv in self._commands.items():
                self._supervisor.start(Program(name=name, argv=tuple(argv), environ=self._environ))
        except BaseException:
            self.stop()
            raise

    def poll(self) -> None:
        """Start again what died and is due; never waits. Call it a few times a second.

        Raises:
            UnavailableError: A child keeps dying.
        """
        self._supervisor.poll()

    def stop(self, *, grace: float | None = None) -> None:
        """End everything, the broker last; does nothing where nothing runs.

        Takes at most a second more than the grace. A Celery worker without work takes about 2 s
        to end in good order: a caller who knows that no job runs can give a shorter grace.

        Args:
            grace: Seconds between SIGTERM and SIGKILL, where it is not to be the usual one.
        """
        if not self._lock.held:
            return
        try:
            self._supervisor.stop(self._commands, grace=self._grace if grace is None else grace)
        finally:
            self._supervisor.stop(grace=BROKER_GRACE)
            if self._owns_socket:
                broker.remove_socket(self.socket, home=self.home)
                self._owns_socket = False
            self._lock.release()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _make_home(self) -> None:
        try:
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.logs.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"cannot use {self.home} as VIBE_HOME: {error.strerror} ({error.filename})"
            ) from error

    def _start_broker(self) -> None:
        broker.prepare_folder(self.socket, home=self.home)
        self._owns_socket = True
        program = broker.broker_program(self.socket, environ=self._environ)
        child = self._supervisor.start(program)
        if not broker.broker_ready(
            self.socket, BROKER_START, alive=lambda: child.exit_code() is None
        ):
            raise UnavailableError(
                f"the broker does not start; {child.log} ends with: {child.last_words()}"
            )
