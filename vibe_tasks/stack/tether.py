"""Become a program that ends when its parent does, even when the parent is killed with SIGKILL.

Linux only; elsewhere `watcher.py` does it. Run as a script, by path:
`python -I -S tether.py PARENT PROGRAM [ARGUMENT ...]`, where PARENT is the caller's process id.
The kernel is asked to kill us when the parent dies, then PROGRAM takes our place; the request
survives exec. It is meant for the *thread* that started us: when that one ends, we are killed too.

A script, and not a function run between fork and exec: the parent may have threads, and Python
code in a forked copy of a threaded program can hang. It costs 20 ms, so it imports little.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1
"""From linux/prctl.h; the standard library does not offer it."""

SIGKILL = 9
"""Written out, as the module `signal` would be a quarter of the start-up time."""

CANNOT_START = 127
"""Exit code where the program could not be started, as in a shell."""


def become(program: list[str], *, parent: int) -> str:
    """Replace this process by the program; returns, with the reason, only where that failed."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0:
        return os.strerror(ctypes.get_errno())
    if os.getppid() != parent:
        return "its parent has ended"  # before the kernel knew of our wish
    try:
        os.execvp(program[0], program)  # noqa: S606 - an argument list, no shell
    except OSError as error:
        return error.strerror or str(error)


def main(arguments: Sequence[str]) -> int:
    """Run as `PARENT PROGRAM [ARGUMENT ...]`; returns an exit code where that failed."""
    parent, *program = arguments
    reason = become(program, parent=int(parent))
    sys.stderr.write(f"cannot start {program[0]}: {reason}\n")
    return CANNOT_START


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
