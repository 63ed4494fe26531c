"""Running a program where it sees no network and can write to its worktree alone.

Means is bubblewrap (`bwrap`), which needs Linux and namespaces that this user may make. Where it
does not work a program is refused: nothing here falls back to less.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from vibe_tasks.errors import PermanentError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_PATIENCE = 20.0  # seconds for the attempt to make a sandbox
_APART = (
    "--unshare-user-try", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts",
    "--die-with-parent", "--cap-drop", "ALL",
)  # fmt: skip
_BARE = ("--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc")
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
    """

    writable: tuple[Path, ...]
    hidden: tuple[Path, ...] = ()
    readable: tuple[Path, ...] = ()

    def around(self, command: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> list[str]:
        """The command line that runs this one confined.

        Raises:
            PermanentError: There is no sandbox on this machine.
        """
        reason = unavailable()
        if reason is not None:
            raise PermanentError(f"sandbox: strict: {reason}")
        return [
            _program(), *_APART, *_BARE,
            *self._mounts(Path(command[0]), env),
            *(("--setenv", "TMPDIR", str(_TEMPORARY)) if "TMPDIR" in env else ()),
            "--chdir", str(cwd.resolve()), "--", *command,
        ]  # fmt: skip

    def _mounts(self, program: Path, env: Mapping[str, str]) -> list[str]:
        """Options, those for outer folders first: what is mounted later covers what was there."""
        covers = {path.resolve() for path in (_TEMPORARY, *_SOCKETS, *self.hidden) if path.is_dir()}
        mounts = {
            path: "--ro-bind"
            for path in _needed(program, env)
            if any(path.is_relative_to(cover) for cover in covers)
        }
        mounts |= dict.fromkeys(covers, "--tmpfs")
        mounts |= {path.resolve(): "--ro-bind" for path in self.readable if path.exists()}
        mounts |= {path.resolve(): "--bind" for path in self.writable}
        options = []
        for path in sorted(mounts, key=lambda path: len(path.parts)):
            twice = [str(path)] * (1 if mounts[path] == "--tmpfs" else 2)
            options += [mounts[path], *twice]
        return options


def unavailable() -> str | None:
    """Why this machine has no sandbox, in one line; None: it has one. Tried once for each PATH."""
    return _tried(os.environ.get("PATH", os.defpath))


@cache
def _tried(_path: str) -> str | None:
    if sys.platform != "linux":
        return "bubblewrap needs Linux"
    program = _program()
    if not program:
        return "bubblewrap (bwrap) is not installed"
    command = [program, *_APART, *_BARE, "true"]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap does not work on this machine: {error}"
    if done.returncode == 0:
        return None
    said = done.stderr.decode(errors="replace").strip().split("\n")[-1]
    return f"bubblewrap does not work on this machine: {said or f'exit code {done.returncode}'}"


def _program() -> str:
    return shutil.which("bwrap") or ""


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
