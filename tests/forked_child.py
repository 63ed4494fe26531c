"""A child that is forked from a process with its imports done, where it would start `python -m`.

It saves two thirds of a worker's start. Linux only; elsewhere, and where coverage is measured, a
child starts as any program does.
"""

from __future__ import annotations

import array
import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from tests.processes import is_measured, unmeasured
from vibe_tasks.stack import tether
from vibe_tasks.stack.children import Child, Program

ROOT = Path(__file__).parents[1]


class Forked:
    """What `subprocess.Popen` offers, of a process whose parent is the nursery.

    Attributes:
        pid: Process id. Nobody else gets it before the exit code is known here.
        returncode: None while it runs; -n where signal n ended it.
        stdin: None; it reads nothing.
    """

    stdin = None

    def __init__(self, channel: socket.socket) -> None:
        self._lines = channel.makefile("rb")
        self._channel = channel
        self.pid = int(self._lines.readline())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, if there is one."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code.

        Raises:
            TimeoutExpired: It still runs after this many seconds.
        """
        if self.returncode is None:
            if not select.select([self._channel], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(["forked"], timeout or 0)
            # Nothing where the nursery was killed: so were all its children.
            self.returncode = int(self._lines.readline() or -signal.SIGKILL)
            self._lines.close()
            self._channel.close()
        return self.returncode

    def terminate(self) -> None:
        """Send SIGTERM, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)


class ForkedChild(Child):
    """A `Child` that runs `python` with these arguments, in this folder.

    Args:
        program: What to run; its `argv` begins with `python -m`.
        logs: An existing folder for the log file.
        folder: Where it runs.
    """

    def __init__(self, program: Program, *, logs: Path, folder: Path) -> None:
        self.program = program
        self.log = logs / f"{program.name}.log"
        self._killed = False
        ours, theirs = socket.socketpair()
        asked = {
            "argv": program.argv[1:], "environ": dict(program.environ), "folder": str(folder),
        }  # fmt: skip
        with self.log.open("ab") as output, theirs:
            self._log_start = output.tell()
            given = array.array("i", [output.fileno(), theirs.fileno()])
            _nursery().sendmsg(
                [json.dumps(asked).encode()],
                [(socket.SOL_SOCKET, socket.SCM_RIGHTS, given)],
            )
        self._process: Any = Forked(ours)


def can_be_forked(program: Program, *, usual: dict[str, str]) -> bool:
    """Whether the nursery can be this program's beginning.

    Args:
        program: What is to run.
        usual: The environment of its deployment, whose modules the nursery has.
    """
    return (
        sys.platform == "linux"
        and program.argv[:2] == (sys.executable, "-m")
        and not is_measured(program.environ)
        and program.environ["PYTHONPATH"] == usual["PYTHONPATH"]
    )


@cache
def _nursery() -> socket.socket:
    """Where children are asked for: one nursery for each process that runs tests."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        nursery = subprocess.Popen(
            [
                sys.executable, "-I", "-S", tether.__file__, str(os.getpid()),
                sys.executable, "-m", "tests.nursery", str(theirs.fileno()),
            ],
            cwd=ROOT, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], start_new_session=True,
            env={**unmeasured(os.environ), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip

    @atexit.register
    def end() -> None:
        ours.close()
        nursery.wait(60)

    return ours
