"""The sheet: which attempt each process of this worker runs, for its main process to read.

A pool process claims jobs by itself; only it knows the number of the attempt. The main process
must know it too: it renews exactly these leases, and when a process dies it gives back exactly
the attempt that died, not a later one of the same job. The sheet is memory that both share, a
line for each pool process, so that neither waits for the other.

Pool processes that do not inherit it (those that are spawned and not forked) write nothing in it;
what they run is then looked up in the ledger by the worker's name.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
import zlib
from dataclasses import dataclass
from enum import IntEnum
from functools import cache

LINES = 1024
LINE = 512
"""Bytes. A job's id takes what is left beside the head."""

_HEAD = struct.Struct("<qqHBI")
_LONGEST_ID = LINE - _HEAD.size


class Stage(IntEnum):
    """What a process does with an attempt."""

    IDLE = 0
    """It has none."""
    CLAIMING = 1
    """It asks the ledger for the job; the number of the attempt is not known yet."""
    RUNNING = 2
    """It works."""
    ENDING = 3
    """It writes how the attempt ended; it will notice by itself if it is not allowed to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A line of the sheet.

    Attributes:
        pid: The process.
        job: The job; empty while it has none.
        attempt: The attempt's number; 0 while it is not known.
        stage: What it does with it.
    """

    pid: int
    job: str = ""
    attempt: int = 0
    stage: Stage = Stage.IDLE


class Sheet:
    """What the processes of one worker run. Made in the main process, before the pool."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, LINES * LINE)
        self._line: int | None = None
        self._own: dict[int, Entry] = {}  # of threads of this process, where it runs jobs itself

    def take_line(self, number: int) -> None:
        """From now on this process, a pool's, writes line `number`, counted from 0."""
        self._own.clear()
        self._line = number if number < LINES else None
        self._write(Entry(pid=os.getpid()))

    def note(self, job: str, attempt: int, stage: Stage) -> None:
        """This process, or this thread, now does this."""
        self._write(Entry(pid=os.getpid(), job=job, attempt=attempt, stage=stage))

    def clear(self) -> None:
        """This process, or this thread, has no job now."""
        self._write(Entry(pid=os.getpid()))

    def of_process(self, pid: int) -> Entry | None:
        """What this pool process runs, or ran when it died; None where it has no line."""
        return next((each for each in self.lines() if each.pid == pid), None)

    def of_threads(self) -> tuple[Entry, ...]:
        """What the threads of this process run themselves."""
        return tuple(each for each in list(self._own.values()) if each.stage)

    def runs(self, job: str, attempt: int) -> bool:
        """Whether one of this worker's processes or threads has this attempt in hand."""
        return any((each.job, each.attempt) == (job, attempt) for each in self.all())

    def all(self) -> tuple[Entry, ...]:
        """All attempts in hand, those of dead processes too that nobody else took the line of."""
        return (*(each for each in self.lines() if each.stage), *self.of_threads())

    def _write(self, entry: Entry) -> None:
        if self._line is None:
            self._own[threading.get_ident()] = entry
            return
        job = entry.job.encode()
        if len(job) > _LONGEST_ID:
            job = b""  # the ledger is asked, as for a process that has no line
        check = zlib.crc32(job, entry.attempt & 0xFFFFFFFF)
        head = _HEAD.pack(entry.pid, entry.attempt, len(job), entry.stage, check)
        start = self._line * LINE
        self._shared[start : start + len(head) + len(job)] = head + job

    def lines(self) -> list[Entry]:
        """What each pool process runs, or ran when it died."""
        written = (
            start
            for start in range(0, LINES * LINE, LINE)
            if self._shared[start : start + 8] != bytes(8)
        )
        return [entry for start in written if (entry := self._read(start)) is not None]

    def _read(self, start: int) -> Entry | None:
        for _ in range(3):  # it may be in the middle of a write
            line = self._shared[start : start + LINE]
            pid, attempt, length, stage, check = _HEAD.unpack_from(line)
            job = line[_HEAD.size : _HEAD.size + length]
            if zlib.crc32(job, attempt & 0xFFFFFFFF) == check:
                break
        else:
            return None
        if stage and not job:
            return None
        return Entry(pid=pid, job=job.decode(), attempt=attempt, stage=Stage(stage))


@cache
def sheet() -> Sheet:
    """This worker's sheet; its pool processes share it if it was made before they were."""
    return Sheet()
