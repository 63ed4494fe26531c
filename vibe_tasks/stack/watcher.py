"""Run a program and end it when the parent ends, on systems without Linux's death signal.

Run as a script, by path: `python -I -S watcher.py PARENT PROGRAM [ARGUMENT ...]` in a process group
of its own, with a pipe as standard input that the parent holds open and never writes to. When the
pipe closes, the whole group is killed. SIGTERM is handed on to PROGRAM; its exit code becomes ours,
128 + n where signal n ended it. PARENT is not looked at: the pipe says more.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence

CANNOT_START = 127
"""Exit code where the program could not be started, as in a shell."""


def watch(program: Sequence[str]) -> int:
    """Run the program to its end; returns its exit code."""
    child = subprocess.Popen(program, stdin=subprocess.DEVNULL)
    signal.signal(signal.SIGTERM, lambda number, _frame: child.send_signal(number))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    code = child.wait()
    return code if code >= 0 else 128 - code


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGKILL)


def main(arguments: Sequence[str]) -> int:
    """Run as `PARENT PROGRAM [ARGUMENT ...]`; returns the exit code."""
    _parent, *program = arguments
    try:
        return watch(program)
    except OSError as error:
        sys.stderr.write(f"cannot start {program[0]}: {error.strerror}\n")
        return CANNOT_START


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
