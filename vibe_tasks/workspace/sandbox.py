"""Running a program where it sees no network and can write to its worktree alone.

Means is bubblewrap (`bwrap`), which needs Linux and namespaces that this user may make. Where it
does not work a program is refused: nothing here falls back to less.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from vibe_tasks.errors import AttemptError, PermanentError, TransientError
from vibe_tasks.workspace.launch import EXHAUSTED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_PATIENCE = 20.0  # seconds for the attempt to make a sandbox
_APART = (
    "--unshare-user-try", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts",
    "--die-with-parent", "--cap-drop", "ALL",
)  # fmt: skip
_BARE = ("--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc")
_DEVICES = Path("/dev")
_SHARED = Path("/dev/shm")  # noqa: S108 where the C library puts shared memory and semaphores
_SHORTAGE = re.compile(
    r"resource temporarily unavailable|cannot allocate memory|too many open files"
    r"|no space left|namespaces exceeded",
    re.IGNORECASE,
)
"""What bubblewrap says where the machine lacks something for the moment."""

SPACE = 1_000_000_000
"""Bytes that a program without a limit of memory may keep in each of its folders in memory."""
_TEMPORARY = Path("/tmp")  # noqa: S108 the name that programs expect
# Where others' sockets are: a file system without write access does not keep one from connecting.
_SOCKETS = (Path("/run"), Path("/var/run"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """What a confined program sees of the file system; the network is not there at all.

    Everything can be read but what is hidden, /tmp and /run, which are empty and its own. Of these
    it sees what it needs: the folders named here, the interpreter and the programs on its PATH.

    Attributes:
        writable: Folders that it may write to.
        hidden: Folders that are shown empty.
        readable: Folders that are shown all the same.
        space: Bytes that /tmp and /dev/shm, which are in memory, hold each.
    """

    writable: tuple[Path, ...]
    hidden: tuple[Path, ...] = ()
    readable: tuple[Path, ...] = ()
    space: int = SPACE

    def around(
        self, command: Sequence[str], *, cwd: Path, env: Mapping[str, str], status: int
    ) -> list[str]:
        """The command line that runs this one confined.

        Args:
            command: Absolute path of the program, and its arguments.
            cwd: Where it works.
            env: Its environment.
            status: A file descriptor, which the program does not get: for `was_made`.

        Raises:
            PermanentError: There is no sandbox on this machine.
            TransientError: There is none at the moment.
        """
        try:
            bubblewrap = _tried(os.environ.get("PATH", os.defpath))
        except AttemptError as error:
            raise type(error)(f"sandbox: strict: {error}") from error
        return [
            bubblewrap, *_APART, *_BARE, *_bounded(_SHARED, self.space),
            *self._mounts(Path(command[0]), env), "--remount-ro", str(_DEVICES),
            *(("--setenv", "TMPDIR", str(_TEMPORARY)) if "TMPDIR" in env else ()),
            "--json-status-fd", str(status), "--chdir", str(cwd.resolve()), "--", *command,
        ]  # fmt: skip

    def _mounts(self, program: Path, env: Mapping[str, str]) -> list[str]:
        """Options, those for outer folders first: what is mounted later covers what was there.

        Of the covers only /tmp can be written to; the others are closed when all is mounted.
        """
        covers = {path.resolve() for path in (_TEMPORARY, *_SOCKETS, *self.hidden) if path.is_dir()}
        mounts = {
            path: "--ro-bind"
            for path in _needed(program, env)
            if any(path.is_relative_to(cover) for cover in covers)
        }
        mounts |= dict.fromkeys(covers, "--tmpfs")
        closed = covers - {_TEMPORARY.resolve(), *(path.resolve() for path in self.writable)}
        mounts |= {path.resolve(): "--ro-bind" for path in self.readable if path.exists()}
        mounts |= {path.resolve(): "--bind" for path in self.writable}
        options: list[str] = []
        for path in sorted(mounts, key=lambda path: len(path.parts)):
            if mounts[path] == "--tmpfs":
                options += _bounded(path, self.space)
            else:
                options += [mounts[path], str(path), str(path)]
        for path in sorted(closed):
            options += ["--remount-ro", str(path)]
        return options


def unavailable() -> str | None:
    """Why this machine has no sandbox, in one line; None: it has one.

    Once it had one it is not tried again, for each PATH.
    """
    try:
        _tried(os.environ.get("PATH", os.defpath))
    except AttemptError as error:
        return str(error)
    return None


def was_made(status: bytes) -> bool:
    """Whether the program ran, as bubblewrap itself says: what the program says is no proof.

    Args:
        status: What came to the file descriptor `status`.
    """
    return b'"exit-code"' in status


def not_made(said: str) -> AttemptError:
    """The error for a sandbox that could not be made, which is looked into afresh.

    Args:
        said: What bubblewrap said.
    """
    _tried.cache_clear()
    text = f"sandbox: strict: {said}"
    try:
        _tried(os.environ.get("PATH", os.defpath))
    except PermanentError:
        return PermanentError(text)
    except TransientError:
        pass
    return TransientError(text)


@cache
def _tried(path: str) -> str:
    """The program that makes sandboxes. Errors are not remembered.

    Raises:
        PermanentError: There is none, or it does not work here.
        TransientError: The machine lacks something for the moment.
    """
    if sys.platform != "linux":
        raise PermanentError("bubblewrap needs Linux")
    program = shutil.which("bwrap", path=path)
    if program is None:
        raise PermanentError("bubblewrap (bwrap) is not installed")
    command = [program, *_APART, *_BARE, *_bounded(_SHARED, SPACE), "true"]
    kind: type[AttemptError] = PermanentError
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        if not isinstance(error, OSError) or error.errno in EXHAUSTED:
            kind = TransientError
        raise kind(f"bubblewrap does not work on this machine: {error}") from error
    if done.returncode == 0:
        return program
    said = done.stderr.decode(errors="replace").strip().split("\n")[-1]
    if done.returncode < 0 or _SHORTAGE.search(said):  # < 0: killed, where memory is short
        kind = TransientError
    said = said or f"exit code {done.returncode}"
    raise kind(f"bubblewrap does not work on this machine: {said}")


def _bounded(path: Path, size: int) -> tuple[str, ...]:
    """Options for a folder in memory."""
    return "--size", str(size), "--tmpfs", str(path)


def _needed(program: Path, env: Mapping[str, str]) -> Iterator[Path]:
    """Where programs and the interpreter are, with their libraries, which are beside `bin`."""
    places = [program.parent, *map(Path, (sys.prefix, sys.base_prefix, sys.exec_prefix))]
    places += [Path(part) for part in env.get("PATH", "").split(os.pathsep) if part]
    for place in places:
        if place.is_dir():
            folder = place.resolve()
            yield folder
            if folder.name == "bin":
                yield folder.parent
