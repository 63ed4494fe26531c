"""One child program: bounded in time, output and what it uses, and gone when we are.

A small launcher stands between us and the program. It holds one end of a socket pair whose other
end only this process has, the lifeline: when this process dies, killed or not, the launcher kills
whatever the program has started, and ends when nothing is left. On Linux that includes what left
the process group by setsid() or lost its parents (docs/decisions/0015); on macOS it is the group.
"""

from __future__ import annotations

import os
import selectors
import shutil
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING

from vibe_tasks.errors import PermanentError
from vibe_tasks.workspace.bounds import UNBOUNDED, Bounds
from vibe_tasks.workspace.launch import Launched, Order, launched
from vibe_tasks.workspace.output import Kept, Lines, readable_text
from vibe_tasks.workspace.sandbox import not_made, was_made
from vibe_tasks.workspace.watch import EndedBy, Ending, Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from vibe_tasks.workspace.said import Said
    from vibe_tasks.workspace.sandbox import Sandbox

_CHUNK = 65_536
_LOOK = 0.05  # seconds between two looks at a program whose output somebody else holds open
_OVER_CPU = 128 + 24  # SIGXCPU
_OVER_FILE_SIZE = 128 + 25  # SIGXFSZ


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How a program ended.

    Attributes:
        exit_code: The exit code, 128 + n when signal n ended it; None when we ended it.
        ended_by: What we ended it for; None when it ended by itself.
        why: In words, to follow the program's name, such as `said nothing for 60 s`; the text that
            `stop` gave; empty when it ended by itself.
        output: Standard output and error as they came, mixed; the middle is left out past the
            limit.
        stdout_tail: The last 200,000 bytes of standard output alone.
        seconds: From start to end.
        truncated: Whether `output` and the log lack the middle.
    """

    exit_code: int | None
    output: str
    stdout_tail: str
    seconds: float
    truncated: bool
    ended_by: EndedBy | None = None
    why: str = ""

    @property
    def timed_out(self) -> bool:
        """Whether it was ended because of its timeout."""
        return self.ended_by == "timeout"


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
    idle: float | None = None,
    limits: Bounds = UNBOUNDED,
    sandbox: Sandbox | None = None,
    hear: Callable[[str], float | None] | None = None,
    stop: Callable[[], str | None] | None = None,
    said: Said | None = None,
) -> Finished:
    """Run a program to its end and return how it ended.

    Whatever it left running is killed then.

    Args:
        argv: The program, looked up on the PATH of `env`, and its arguments.
        cwd: Working directory.
        env: The whole environment; nothing else is inherited.
        timeout: Seconds until its process group gets SIGTERM.
        log: File that the output is added to, as it comes up to half the limit.
        stdin: What the program reads from standard input.
        output_limit: Bytes of output to keep: one half from the beginning, one from the end.
        grace: Seconds between SIGTERM and SIGKILL.
        idle: Seconds without output after which it is ended; None: it may be silent.
        limits: What it may use; where it uses more it is killed without grace.
        sandbox: Where it is confined to; None: nowhere.
        hear: Called with each line of standard output, cut at a million bytes. A number means that
            the work is over: unless the program ends by itself it is ended after so many seconds.
        stop: Asked once a second; a text ends the program, and is in `why`.
        said: Gets what it says on either stream, for the log of the job that runs it.

    Raises:
        PermanentError: The program or the working directory does not exist, or cannot be run; or
            the sandbox is not available on this machine.
        TransientError: The machine has no room for another process, or for a sandbox.
    """
    command = [find_program(argv, cwd=cwd, env=env), *argv[1:]]
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    watch = Watch(now=started, timeout=timeout, idle=idle, bounds=limits, stop=stop)
    with log.open("ab", buffering=0) as file, TemporaryFile() as status:
        order = Order(
            argv=command if sandbox is None
            else sandbox.around(command, cwd=cwd, env=env, status=status.fileno()),
            cwd=cwd, env=env, stdin=stdin, limits=limits.for_each_process(),
            wrapped=sandbox is not None, handed=() if sandbox is None else (status.fileno(),),
        )  # fmt: skip
        ears = _Ears(Kept(file, limit=output_limit), watch, hear, said)
        with launched(order) as program:
            ending = _follow(program, ears, watch, wrapped=order.wrapped, grace=grace)
        exit_code = program.exit_code(command[0])
        ears.kept.close()
        if order.wrapped and ending is None and exit_code == 1 and not was_made(_content(status)):
            raise not_made(readable_text(ears.kept.output[:500]).strip())
    ending = ending or _by_the_kernel(limits, exit_code)
    return Finished(
        exit_code=exit_code if ending is None else None,
        ended_by=None if ending is None else ending.by,
        why="" if ending is None else ending.why,
        output=readable_text(ears.kept.output),
        stdout_tail=readable_text(ears.kept.stdout),
        seconds=time.monotonic() - started,
        truncated=ears.kept.cut > 0,
    )


def _by_the_kernel(limits: Bounds, exit_code: int) -> Ending | None:
    """The limit that the kernel ended it for, if it did."""
    if limits.cpu is not None and exit_code == _OVER_CPU:
        return Ending(by="cpu", why=f"used more than {limits.cpu:g} s of processor time")
    if limits.file_size is not None and exit_code == _OVER_FILE_SIZE:
        size = limits.file_size / 1e6
        return Ending(by="file_size", why=f"wrote a file of more than {size:g} MB")
    return None


def find_program(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> str:
    """Absolute path of the program: no shell built-in can take its place.

    Raises:
        PermanentError: It, or the working directory, does not exist.
    """
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


def _content(file: IO[bytes]) -> bytes:
    """What others have written to a file of ours."""
    file.seek(0)
    return file.read()


class _Ears:
    """Everything that hears what the program says."""

    def __init__(
        self,
        kept: Kept,
        watch: Watch,
        hear: Callable[[str], float | None] | None,
        said: Said | None,
    ) -> None:
        self.kept = kept
        self._watch = watch
        self._hear = hear
        self._lines = Lines()
        self._said = said

    def take(self, chunk: bytes, *, stdout: bool) -> None:
        self.kept.add(chunk, stdout=stdout)
        self._watch.word(time.monotonic(), len(chunk))
        if stdout and self._hear is not None:
            self._tell(self._lines.add(chunk))
        if self._said is not None:
            self._said(chunk, stdout)

    def close(self) -> None:
        self._tell(self._lines.close())
        if self._said is not None:
            self._said.close()

    def _tell(self, lines: list[str]) -> None:
        if self._hear is None:
            return
        for line in lines:
            seconds = self._hear(line)
            if seconds is not None:
                self._watch.work_over(time.monotonic(), seconds)


def _follow(
    program: Launched, ears: _Ears, watch: Watch, *, wrapped: bool, grace: float
) -> Ending | None:
    """Read until the program is over or had to be ended; why it had to."""
    process = program.process
    with selectors.DefaultSelector() as selector:
        for stream in filter(None, (process.stdout, process.stderr)):
            os.set_blocking(stream.fileno(), False)
            selector.register(stream.fileno(), selectors.EVENT_READ, data=stream is process.stdout)
        try:
            while not program.over():
                ending = watch.ending(time.monotonic(), launcher=process.pid, wrapped=wrapped)
                if ending is not None:
                    break
                _wait(process, selector, ears)
            else:
                ending = None
            if ending is not None and not ending.at_once:
                program.terminate()
                until = time.monotonic() + grace
                while not program.over() and time.monotonic() < until:
                    _wait(process, selector, ears)
        finally:
            program.kill()
        # A pipe holds 64 KiB as a rule and at most 1 MiB: this empties it, and a runaway writer
        # cannot keep us.
        for _ in range(1 + (1 << 20) // _CHUNK):
            _read(selector, ears, seconds=0)
    ears.close()
    return ending


def _wait(process: subprocess.Popen[bytes], selector: selectors.BaseSelector, ears: _Ears) -> None:
    """Wait a moment for output, or for the end when no more output can come."""
    if selector.get_map():
        _read(selector, ears, seconds=_LOOK)
    else:
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_LOOK)


def _read(selector: selectors.BaseSelector, ears: _Ears, *, seconds: float) -> None:
    for key, _ in selector.select(seconds):
        chunk = os.read(key.fd, _CHUNK)
        if chunk:
            ears.take(chunk, stdout=key.data)
        else:
            selector.unregister(key.fd)
