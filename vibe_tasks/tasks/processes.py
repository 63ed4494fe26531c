"""Processes of this machine: which one this is, whether another is gone, and ending a whole tree.

Known from /proc, on Linux alone. Elsewhere nothing is known: a dead worker's jobs come back when
their leases run out, and of a tree only the process group is ended.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

PROC = Path("/proc")

ENDED_STATES = frozenset("ZXx")
"""States of a process that runs no more, though its parent has not asked for its exit code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A process, told from all others.

    Attributes:
        host: Boot of a machine and, in a container, its processes' name space: where process ids
            have one meaning.
        process: Process id and start time, `ID:TICKS`; no later process has the same.
    """

    host: str
    process: str


def program_version() -> str | None:
    """Version of the installed program; None where it runs from its source."""
    try:
        return metadata.version("vibe-tasks")
    except metadata.PackageNotFoundError:
        return None


@cache
def this_host() -> str | None:
    """The `host` of all identities of this process's name space; None where it is not known."""
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{(PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return None


def identity_of(pid: int) -> Identity | None:
    """The process that has this id now; None where there is none or nothing is known."""
    host, found = this_host(), _stat(pid)
    if host is None or found is None:
        return None
    return Identity(host=host, process=f"{pid}:{found.started}")


def is_gone(identity: Identity) -> bool:
    """Whether this process surely runs no more; only a process of this host can be judged."""
    if identity.host != this_host():
        return False
    pid, _, started = identity.process.partition(":")
    found = _stat(int(pid))
    return found is None or found.started != int(started) or found.state in ENDED_STATES


def tree_of(pid: int) -> tuple[Identity, ...]:
    """This process and all that descend from it, in whatever session or group they are.

    One that made itself an orphan, as daemons do by forking twice, is no descendant any more.
    """
    return _descent([pid], _look())


def ask_to_end(members: tuple[Identity, ...]) -> None:
    """Send SIGTERM to these processes."""
    for each in members:
        _signal(each, signal.SIGTERM)


def kill(pid: int, members: tuple[Identity, ...] = ()) -> None:
    """End a process at once, its group, and all that descend from it or from these members.

    They are stopped first, so that none starts another one while we look.

    Args:
        pid: A process that leads a group.
        members: What `tree_of` found earlier, its root first; then a process that has taken the
            root's id since is left alone. Without any, `pid` must be ours and not waited for yet.
    """
    known: set[Identity] = set()
    found = set(members) if members else set(tree_of(pid))
    while found - known:
        for each in found - known:
            _signal(each, signal.SIGSTOP)
        known |= found
        now = _look()
        found = set(_descent([_pid(each) for each in known if now.lives(each)], now))
    if not members or not is_gone(members[0]):
        _signal_group(pid, signal.SIGKILL)
    for each in known:
        _signal(each, signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class _Stat:
    state: str
    parent: int
    started: int


def _stat(pid: int) -> _Stat | None:
    try:
        text = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The second field is the program's name in brackets, which may itself hold brackets.
    fields = text.rpartition(")")[2].split()
    return _Stat(state=fields[0], parent=int(fields[1]), started=int(fields[19]))


@dataclass(frozen=True, slots=True)
class _Look:
    """All processes at one moment: what each is, and the children of each."""

    host: str | None
    stats: dict[int, _Stat]
    children: dict[int, list[int]]

    def lives(self, identity: Identity) -> bool:
        found = self.stats.get(_pid(identity))
        return (
            found is not None
            and identity == self.identity(_pid(identity))
            and found.state not in ENDED_STATES
        )

    def identity(self, pid: int) -> Identity | None:
        found = self.stats.get(pid)
        if found is None or self.host is None:
            return None
        return Identity(host=self.host, process=f"{pid}:{found.started}")


def _look() -> _Look:
    """One pass over /proc, for as many questions as there are: it costs some milliseconds."""
    stats: dict[int, _Stat] = {}
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir() if this_host() else ():
        if entry.name.isdecimal() and (found := _stat(int(entry.name))) is not None:
            stats[int(entry.name)] = found
            children.setdefault(found.parent, []).append(int(entry.name))
    return _Look(this_host(), stats, children)


def _descent(roots: list[int], look: _Look) -> tuple[Identity, ...]:
    """These processes and all that descend from them, each once, parents first."""
    members: dict[Identity, None] = {}
    reached, seen = list(roots), set(roots)
    while reached:
        each = reached.pop()
        new = [child for child in look.children.get(each, ()) if child not in seen]
        seen.update(new)
        reached += new
        if (identity := look.identity(each)) is not None:
            members[identity] = None
    return tuple(members)


def _pid(identity: Identity) -> int:
    return int(identity.process.partition(":")[0])


def _signal(identity: Identity, number: signal.Signals) -> None:
    if not is_gone(identity):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(_pid(identity), number)


def _signal_group(pid: int, number: signal.Signals) -> None:
    """To the group that this process leads, else to it alone: never to a group that is not its."""
    with suppress(ProcessLookupError, PermissionError):
        if os.getpgid(pid) == pid:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)
