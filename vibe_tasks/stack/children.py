"""Child processes that never outlive their parent.

Each child leads a session of its own, so that Ctrl-C in the terminal reaches the parent alone and
the child is stopped in good order. Its output goes to a log file. A small script, the guard, stands
between the two and ends the child when the parent is gone, however that came about.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vibe_tasks.errors import InputError

Guard = Literal["tether", "watcher"]
"""The script of this folder that starts the child and ends it when we are gone."""

GUARD: Guard = "tether" if sys.platform == "linux" else "watcher"
"""The one that works on this system; a watcher works everywhere, for one more process each."""

LOG_LIMIT = 10_000_000
"""Bytes; a log that is longer when its program starts is moved aside to `<name>.log.1`."""

KILL_LIMIT = 5.0
"""Seconds that we wait for a killed process to disappear; more means a hung disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to run.

    Attributes:
        name: Names the log file and messages; no slashes.
        argv: Program and arguments.
        environ: The whole environment of the child.
    """

    name: str
    argv: tuple[str, ...]
    environ: Mapping[str, str]

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name:
            raise ValueError(f"name must be a file name, got {self.name!r}")
        if not self.argv:
            raise ValueError(f"argv of {self.name} is empty")


class Child:
    """One started program.

    Start children from the main thread: on Linux a child ends with the thread that started it.

    Args:
        program: What to run.
        logs: An existing folder for the log file.
        guard: What ends the child when we are gone.

    Raises:
        InputError: The log cannot be written.
        RuntimeError: Not called from the main thread.
    """

    def __init__(self, program: Program, *, logs: Path, guard: Guard = GUARD) -> None:
        if guard == "tether" and threading.current_thread() is not threading.main_thread():
            raise RuntimeError(f"{program.name} must be started from the main thread")
        self.program = program
        self.log = logs / f"{program.name}.log"
        self._killed = False
        script = Path(__file__).with_name(f"{guard}.py")
        argv = [sys.executable, "-I", "-S", str(script), str(os.getpid()), *program.argv]
        try:
            _rotate(self.log)
            with self.log.open("ab") as output:
                self._log_start = output.tell()
                self._process = subprocess.Popen(
                    argv,
                    env=dict(program.environ),
                    stdin=subprocess.PIPE if guard == "watcher" else subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            raise InputError(f"cannot start {program.name}: {error}") from error

    @property
    def pid(self) -> int:
        """Process id, and the id of the child's process group."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """None while it runs; -n where signal n ended it."""
        return self._process.poll()

    def ask_to_end(self) -> None:
        """Send SIGTERM to the child alone: a worker ends its own children when its work is done."""
        self._process.terminate()

    def wait(self, timeout: float) -> int | None:
        """The exit code, or None where it still runs after `timeout` seconds."""
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout)
        return None

    def kill(self) -> None:
        """End whatever is left of the process group at once; does nothing the second time."""
        if self._killed:
            return
        self._killed = True
        # The kernel gives a number to nobody while a group of that number has members. macOS says
        # "not permitted" of a group that has only zombies left.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(KILL_LIMIT)
        if self._process.stdin is not None:
            self._process.stdin.close()

    def terminate(self, grace: float) -> None:
        """Ask to end, and after `grace` seconds kill the group."""
        try:
            self.ask_to_end()
            self.wait(grace)
        finally:
            self.kill()

    def last_words(self) -> str:
        """The last lines of this start in the log, as one line of at most 500 characters."""
        try:
            with self.log.open("rb") as log:
                end = log.seek(0, os.SEEK_END)
                log.seek(max(self._log_start, end - 4096))
                text = log.read().decode(errors="replace")
        except (
            OSError
        ) as error:  # somebody removed the home; the message must come out all the same
            return f"(no log: {error.strerror})"
        lines = [" ".join(line.split()) for line in text.splitlines()]
        return " | ".join([line for line in lines if line][-3:])[-500:]


def _rotate(log: Path) -> None:
    if log.exists() and log.stat().st_size > LOG_LIMIT:
        log.replace(log.with_name(f"{log.name}.1"))
