"""One child program: bounded in time and output, and gone when we are.

The program runs in a session, and so in a process group, of its own under a small shell. A subshell
of that shell reads from a pipe whose other end only this process holds, the lifeline: when this
process dies, killed or not, the read ends and the subshell kills the whole group. Linux's
PR_SET_PDEATHSIG was not enough: it reaches the first child alone, acts when the starting thread
ends, needs code between fork and exec, and macOS has nothing like it.

A program that leaves the group by setsid() of its own is not followed; it can only not hold us up.
"""

from __future__ import annotations

import errno
import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vibe_tasks.errors import AttemptError, PermanentError, TransientError
from vibe_tasks.workspace.output import Kept, readable_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# The program is the shell's foreground child: it keeps standard input and default signals, and has
# no child that it did not start. The shell outlives SIGTERM to hand on the exit code; `trap :` is
# reset in the program, `trap ""` is not.
_LAUNCHER = """
exec 3<"/dev/fd/$1"
shift
(trap "" HUP INT QUIT TERM; read -r _ <&3; kill -KILL 0) </dev/null >/dev/null 2>&1 &
trap : HUP INT QUIT TERM
"$@" 3<&-
code=$?
{ kill -KILL $!; wait $!; } 2>/dev/null
exit $code
"""
_CHUNK = 65_536
_LOOK = 0.05  # seconds between two looks at a program whose output somebody else holds open
# Seconds to wait for a killed group to be gone; its zombies count until somebody reaps them.
_GONE = 0.1
_EXHAUSTED = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC})


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How a program ended.

    Attributes:
        exit_code: The exit code, 128 + n when signal n ended it; None when it ran past its timeout.
        timed_out: Whether it was ended because of its timeout.
        output: Standard output and error as they came, mixed; the middle is left out past the
            limit.
        stdout_tail: The last 200,000 bytes of standard output alone.
        seconds: From start to end.
        truncated: Whether `output` and the log lack the middle.
    """

    exit_code: int | None
    timed_out: bool
    output: str
    stdout_tail: str
    seconds: float
    truncated: bool


def run(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    timeout: float,
    log: Path,
    stdin: str = "",
    output_limit: int = 1_000_000,
    grace: float = 2.0,
) -> Finished:
    """Run a program to its end and return how it ended.

    Whatever it left running in its process group is killed then.

    Args:
        argv: The program, looked up on the PATH of `env`, and its arguments.
        cwd: Working directory.
        env: The whole environment; nothing else is inherited.
        timeout: Seconds until the group gets SIGTERM.
        log: File that the output is added to, as it comes up to half the limit.
        stdin: What the program reads from standard input.
        output_limit: Bytes of output to keep: one half from the beginning, one from the end.
        grace: Seconds between SIGTERM and SIGKILL.

    Raises:
        PermanentError: The program or the working directory does not exist, or cannot be run.
        TransientError: The machine has no room for another process.
    """
    command = [_find(argv, cwd=cwd, env=env), *argv[1:]]
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with log.open("ab", buffering=0) as file:
        kept = Kept(file, limit=output_limit)
        with _started(command, cwd=cwd, env=env, stdin=stdin) as process:
            in_time = _follow(process, kept, deadline=started + timeout, grace=grace)
        kept.close()
    return Finished(
        exit_code=_exit_code(process.returncode) if in_time else None,
        timed_out=not in_time,
        output=readable_text(kept.output),
        stdout_tail=readable_text(kept.stdout),
        seconds=time.monotonic() - started,
        truncated=kept.cut > 0,
    )


def _find(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> str:
    """Absolute path of the program: no shell built-in can take its place."""
    if not argv or not argv[0]:
        raise PermanentError("no program given: the argument list is empty")
    if not cwd.is_dir():
        raise PermanentError(f"working directory {cwd} does not exist")
    if os.sep in argv[0]:
        found = shutil.which(Path.cwd() / cwd / argv[0])
    else:
        found = shutil.which(argv[0], path=env.get("PATH", os.defpath))
    if found is None:
        raise PermanentError(f"program {argv[0]!r} was not found or is not executable")
    return str(Path.cwd() / found)


@contextmanager
def _started(
    command: Sequence[str], *, cwd: Path, env: Mapping[str, str], stdin: str
) -> Iterator[subprocess.Popen[bytes]]:
    """The running program; at the end its group is dead, whatever was raised."""
    lifeline, held = os.pipe()
    try:
        process = _popen(command, cwd=cwd, env=env, stdin=stdin, lifeline=lifeline)
    except BaseException:
        os.close(held)
        raise
    finally:
        os.close(lifeline)
    with process:
        try:
            yield process
        finally:
            os.close(held)  # first: the group may still be there when something was raised


def _popen(
    command: Sequence[str], *, cwd: Path, env: Mapping[str, str], stdin: str, lifeline: int
) -> subprocess.Popen[bytes]:
    """Start it. Input comes from a file without a name: nobody has to feed a pipe."""
    try:
        with tempfile.TemporaryFile() as given:
            given.write(stdin.encode(errors="replace"))
            given.seek(0)
            return subprocess.Popen(
                ["/bin/sh", "-c", _LAUNCHER, "sh", str(lifeline), *command],
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=cwd,
                env=dict(env),
                pass_fds=(lifeline,),
                start_new_session=True,
                # Celery's pool processes ignore SIGINT, which a shell cannot undo; tests run as
                # checks need it. The function takes no lock, so threads do not matter.
                preexec_fn=_restore_interrupt if _interrupt_ignored() else None,  # noqa: PLW1509
            )
    except (OSError, ValueError) as error:
        kind: type[AttemptError] = PermanentError
        if isinstance(error, OSError) and error.errno in _EXHAUSTED:
            kind = TransientError
        raise kind(f"program {command[0]!r} cannot be started: {error}") from error


def _interrupt_ignored() -> bool:
    return signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def _restore_interrupt() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _follow(process: subprocess.Popen[bytes], kept: Kept, *, deadline: float, grace: float) -> bool:
    """Read until the program is over or had to be ended; whether it was over in time."""
    with selectors.DefaultSelector() as selector:
        for stream in filter(None, (process.stdout, process.stderr)):
            os.set_blocking(stream.fileno(), False)
            selector.register(stream.fileno(), selectors.EVENT_READ, data=stream is process.stdout)
        try:
            in_time = _until(process, selector, kept, deadline=deadline)
            if not in_time:
                _signal_group(process, signal.SIGTERM)
                _until(process, selector, kept, deadline=time.monotonic() + grace)
        finally:
            _end_group(process)
        # A pipe holds 64 KiB as a rule and at most 1 MiB: this empties it, and a runaway writer
        # cannot keep us.
        for _ in range(1 + (1 << 20) // _CHUNK):
            _read(selector, kept, seconds=0)
    return in_time


def _until(
    process: subprocess.Popen[bytes],
    selector: selectors.BaseSelector,
    kept: Kept,
    *,
    deadline: float,
) -> bool:
    """Read until the program is over; False when the deadline (monotonic) came first."""
    while process.poll() is None:
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        _wait(process, selector, kept, seconds=min(left, _LOOK))
    return True


def _wait(
    process: subprocess.Popen[bytes],
    selector: selectors.BaseSelector,
    kept: Kept,
    *,
    seconds: float,
) -> None:
    """Wait for output, or for the end when no more output can come."""
    if selector.get_map():
        _read(selector, kept, seconds=seconds)
    else:
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=seconds)


def _read(selector: selectors.BaseSelector, kept: Kept, *, seconds: float) -> None:
    for key, _ in selector.select(seconds):
        chunk = os.read(key.fd, _CHUNK)
        if chunk:
            kept.add(chunk, stdout=key.data)
        else:
            selector.unregister(key.fd)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the group, and wait until none of it can write any more."""
    if _signal_group(process, signal.SIGKILL):
        process.wait()
        until = time.monotonic() + _GONE
        while _signal_group(process, 0) and time.monotonic() < until:
            with selectors.DefaultSelector() as nothing:
                nothing.select(0.001)


def _signal_group(process: subprocess.Popen[bytes], number: int) -> bool:
    """Signal the group; whether there was anybody. The group's id stays taken while it has a
    member.
    """
    try:
        os.killpg(process.pid, number)
    except (
        ProcessLookupError,
        PermissionError,
    ):  # macOS says the latter where only zombies are left
        return False
    return True


def _exit_code(returncode: int) -> int:
    """The shell reports a signal as 128 + n; so do we when the shell itself got it."""
    return returncode if returncode >= 0 else 128 - returncode
