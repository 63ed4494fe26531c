"""Checks of this machine: git, sandboxes, the home and its disk, modules and programs."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

from vibe_tasks import diagnosis
from vibe_tasks.errors import AttemptError, InputError
from vibe_tasks.finding import Finding, absent, fine, warning, wrong
from vibe_tasks.flow.plan_source import on_path
from vibe_tasks.tasks import resources
from vibe_tasks.workspace.git import git_version
from vibe_tasks.workspace.process import run
from vibe_tasks.workspace.sandbox import unavailable

NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "9p", "afs", "ceph", "glusterfs"}
)
"""Where SQLite's shared memory and locks do not work (sqlite.org/wal.html)."""

MOUNTS = Path("/proc/self/mounts")

IMPORT_SECONDS = 30.0
"""Seconds that a module of jobs may take to be imported."""

_IMPORT = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]"


def git() -> Finding:
    """Whether git is there and new enough."""
    return fine("git", ".".join(map(str, git_version())))


def sandbox() -> Finding:
    """Whether programs can be confined here; only plans that ask for it need that."""
    reason = unavailable()
    if reason is None:
        return fine("sandbox", "bubblewrap works")
    return absent("sandbox", f"none: {reason}; `sandbox: strict` is refused")


def home() -> Finding:
    """Whether the home can be written and, for SQLite, is on a local disk."""
    folder = resources.home()
    there = nearest(folder)
    try:
        with TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise InputError(f"{there} cannot be written: {error.strerror}") from error
    kind = local(folder)
    text = f"{folder}{f' ({kind})' if kind else ''}"
    if there != folder:
        text += ", not there yet; `vibe run` and `vibe up` make it"
    return fine("home", text)


def local(folder: Path) -> str:
    """The type of file system that a folder is on; empty where that is not known.

    Raises:
        InputError: It is one over the network.
    """
    kind = file_system(folder, MOUNTS.read_text(errors="replace") if MOUNTS.exists() else "")
    if kind in NETWORK_FILE_SYSTEMS:
        raise InputError(f"{folder} is on a network file system ({kind}), where SQLite loses locks")
    return kind


def file_system(folder: Path, mounts: str) -> str:
    """The type of file system that a folder is on; empty where that is not known.

    Args:
        folder: Absolute and resolved.
        mounts: The lines of /proc/self/mounts.
    """
    found = ""
    longest = -1
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = Path(fields[1].replace("\\040", " "))
        # Of several mounts on one point the last is the one that is seen.
        if (folder == point or point in folder.parents) and len(point.parts) >= longest:
            longest, found = len(point.parts), fields[2]
    return found


def disk(what: str, folder: Path) -> Finding:
    """The room on a folder's disk.

    Args:
        what: What is there.
        folder: The folder; where it is not there yet, it will be on the disk of its parent.
    """
    usage = shutil.disk_usage(nearest(folder))
    return diagnosis.disk(what, free=usage.free, total=usage.total)


def nearest(folder: Path) -> Path:
    """This folder, or the nearest one above that is there."""
    return next(each for each in (folder, *folder.parents) if each.exists())


def imports(names: Sequence[str]) -> Finding:
    """Whether the modules with jobs can be imported; in a process of its own, for it is their code.

    Args:
        names: The modules, as VIBE_IMPORTS has them.
    """
    if not names:
        return absent("imports", "no modules with jobs of yours: VIBE_IMPORTS is not set")
    with TemporaryDirectory(prefix="vibe-import-", ignore_cleanup_errors=True) as folder:
        try:
            done = run(
                [sys.executable, "-c", _IMPORT, *names], cwd=Path.cwd(), env=dict(os.environ),
                timeout=IMPORT_SECONDS, log=Path(folder) / "import.log",
            )  # fmt: skip
        except AttemptError as error:
            return wrong("imports", str(error), "start the doctor in the folder of the jobs")
    if done.exit_code == 0:
        return fine("imports", ", ".join(names))
    last = done.output.strip().rsplit("\n", 1)[-1][:300]
    return wrong(
        "imports", f"VIBE_IMPORTS: {done.why or last}",
        "mend the module, install it, or start in its folder; workers do not start so",
    )  # fmt: skip


def agent(command: str) -> Iterator[Finding]:
    """Whether the program of `VIBE_AGENT` is there.

    Args:
        command: Program and arguments; empty where the setting is not set.
    """
    try:
        argv = shlex.split(command)
    except ValueError as error:
        yield wrong("agents", f"VIBE_AGENT: {error}", "quote its words as for a shell")
        return
    if argv and not ("/" in argv[0] or on_path(argv[0])):
        yield warning(
            "agents", f"VIBE_AGENT: no program {argv[0]!r} on the PATH of this machine",
            "install it where workers run, or name it with its path",
        )  # fmt: skip
