"""What the processes of one program may use, and what they do use."""

from __future__ import annotations

import math
import os
import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vibe_tasks.workspace.launcher import SANDBOX_DEPTH, relatives

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vibe_tasks.plan_specs import Limits

Exceeded = Literal["cpu", "memory", "processes", "output"]
"""A bound that a program is ended for."""

_MEGABYTE = 1_000_000
_SPARE = 5  # seconds of processor time that the kernel's own, coarser bound leaves to ours
# Places in /proc/PID/stat, counted from the state.
_STATE, _PARENT, _UTIME, _CUTIME, _CSTIME, _RESIDENT = 0, 1, 11, 13, 14, 21


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a program and all that it starts may use; None is no bound.

    Attributes:
        cpu: Seconds of processor time, all processes together.
        memory: Bytes in memory, all processes together.
        processes: Processes at a time.
        file_size: Bytes of each file that is written. No process is ended for it, but its write
            fails, which ends most of them (SIGXFSZ).
        output: Bytes of standard output and error together.
    """

    cpu: float | None = None
    memory: int | None = None
    processes: int | None = None
    file_size: int | None = None
    output: int | None = None

    @property
    def watched(self) -> bool:
        """Whether somebody has to look at the processes."""
        return not (self.cpu is self.memory is self.processes is None)

    def for_each_process(self) -> tuple[tuple[int, int], ...]:
        """What the kernel holds each process to, for setrlimit.

        No process leaves a core dump in the worktree. The bound of processes counts those of the
        whole user, so that it is only a fuse, far away from what others need; root has none.
        """
        found = [(resource.RLIMIT_CORE, 0)]
        if self.cpu is not None:
            found.append((resource.RLIMIT_CPU, math.ceil(self.cpu) + _SPARE))
        if self.file_size is not None:
            found.append((resource.RLIMIT_FSIZE, self.file_size))
        if self.processes is not None and sys.platform == "linux":
            running = int(Path("/proc/loadavg").read_text().split()[3].partition("/")[2])
            found.append((resource.RLIMIT_NPROC, running + 2 * self.processes + 1_000))
        return tuple(found)


UNBOUNDED = Bounds()


def bounds_of(limits: Limits) -> Bounds:
    """The bounds that a plan's limits, in megabytes, stand for."""

    def size(megabytes: int | None) -> int | None:
        return None if megabytes is None else megabytes * _MEGABYTE

    return Bounds(
        cpu=limits.cpu, memory=size(limits.memory), processes=limits.processes,
        file_size=size(limits.file_size), output=size(limits.output),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What processes use at a moment.

    Attributes:
        cpu: Seconds of processor time so far, of the ended ones too.
        memory: Bytes in memory; what several share may be counted for each of them.
        processes: How many run.
    """

    cpu: float
    memory: int
    processes: int


def exceeded(bounds: Bounds, usage: Usage) -> tuple[Exceeded, str] | None:
    """The bound that was passed, with a sentence for people; None: none was."""
    if bounds.cpu is not None and usage.cpu > bounds.cpu:
        return "cpu", f"used more than {bounds.cpu:g} s of processor time"
    if bounds.memory is not None and usage.memory > bounds.memory:
        return "memory", f"used more than {bounds.memory / _MEGABYTE:g} MB of memory"
    if bounds.processes is not None and usage.processes > bounds.processes:
        return "processes", f"had more than {bounds.processes} processes at a time"
    return None


def passed(bounds: Bounds, launcher: int, *, wrapped: bool) -> tuple[Exceeded, str] | None:
    """Look at what runs under a launcher; as `exceeded`.

    Memory that processes share is counted once where that decides. Linux only: elsewhere there is
    no table of processes to read, and the kernel's bounds for each process are all there is.

    Args:
        bounds: The bounds.
        launcher: Its process id.
        wrapped: Whether bubblewrap's own processes are among them.
    """
    if not bounds.watched or sys.platform != "linux":
        return None
    everybody = relatives(launcher)
    # The launcher's child watches too, and has reaped for it; see launcher.py.
    keepers = {pid: fields for pid, fields in everybody.items() if int(fields[_PARENT]) == launcher}
    below = {pid: fields for pid, fields in everybody.items() if pid not in keepers}
    usage = _usage(below, keepers, extra=SANDBOX_DEPTH if wrapped else 0)
    found = exceeded(bounds, usage)
    if found is not None and found[0] == "memory":
        shared_once = Usage(cpu=0.0, memory=_proportional(below), processes=usage.processes)
        found = exceeded(bounds, shared_once)
    return found


def _usage(
    below: Mapping[int, list[bytes]], keepers: Mapping[int, list[bytes]], *, extra: int
) -> Usage:
    ticks = sum(int(each[_CUTIME]) + int(each[_CSTIME]) for each in keepers.values())
    pages = alive = 0
    for fields in below.values():
        ticks += sum(map(int, fields[_UTIME : _CSTIME + 1]))
        pages += int(fields[_RESIDENT])
        alive += fields[_STATE] != b"Z"
    return Usage(
        cpu=ticks / os.sysconf("SC_CLK_TCK"),
        memory=pages * os.sysconf("SC_PAGE_SIZE"),
        processes=max(0, alive - extra),
    )


def _proportional(below: Mapping[int, list[bytes]]) -> int:
    """Bytes in memory, what several share divided among them."""
    total = 0
    for pid, fields in below.items():
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_bytes().splitlines()
        except OSError:  # it has just ended, or may not be looked into
            total += int(fields[_RESIDENT]) * os.sysconf("SC_PAGE_SIZE")
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(b"Pss:"))
    return total
