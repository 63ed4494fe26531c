"""Start a program that lives on when we end.

It leads a session of its own, has no parent but the system's first process, and is no descendant of
ours: ending our whole tree leaves it alone. Run as a script by itself, it is what stands between
the two for a moment.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

START_LIMIT = 30.0
"""Seconds for the script, which takes 20 ms; more means a machine that is out of breath."""


def start_detached(argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path) -> None:
    """Start this program; whether it goes well, only its log tells.

    Args:
        argv: Program and arguments.
        env: Its whole environment.
        cwd: Where it starts.
        log: A file that its output is appended to; its folder exists.

    Raises:
        OSError: It could not be started.
    """
    script = [sys.executable, "-I", "-S", __file__, *argv]
    with log.open("ab") as output:
        try:
            subprocess.run(
                script, env=dict(env), cwd=cwd, stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True, timeout=START_LIMIT, check=True,
            )  # fmt: skip
        except subprocess.SubprocessError as error:
            raise OSError(f"cannot start {argv[0]}: {error}") from error


def main(argv: Sequence[str]) -> int:
    """Become an orphan, then this program; our own exit code is 0 at once."""
    if os.fork():
        return 0
    os.setsid()
    try:
        os.execvp(argv[0], list(argv))  # noqa: S606  an argument list, no shell
    except OSError as error:
        sys.stderr.write(f"cannot start {argv[0]}: {error.strerror}\n")
        os._exit(127)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
