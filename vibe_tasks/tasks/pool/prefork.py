"""A prefork pool that grows and shrinks while it works, without an end to any that is at work.

billiard's own `shrink` ends processes by SIGTERM, and takes those for idle that have not yet said
that they have begun: one that was just given a job would be killed in the middle of it. Here a
process is first given no more jobs, then told to end after what it has in its pipe; were it at
work against all appearance, it would finish that first.

All of it is to be called from the event loop's thread, whose parent-child bond the processes die
by, and which alone hands jobs to them.
"""

from __future__ import annotations

import logging
from typing import Any

from celery.concurrency.prefork import TaskPool

from vibe_tasks.tasks.pool.sheet import Stage, sheet

log = logging.getLogger(__name__)


def can_change(worker: Any) -> bool:
    """Whether this worker's pool is one of processes that its event loop hands jobs to."""
    return bool(worker.use_eventloop) and issubclass(worker.pool_cls, TaskPool)


def size(pool: Any) -> int:
    """Processes that the pool has, those that end not counted."""
    return int(pool.num_processes)


def grow(pool: Any) -> bool:
    """Start one process; whether the system has let us."""
    try:
        pool.grow(1)
        pool.maintain_pool()
    except (OSError, MemoryError) as error:
        _forget_unborn(pool._pool)  # noqa: SLF001
        log.warning("no further process for the pool: %s", error)
        return False
    return True


def _forget_unborn(inner: Any) -> None:
    """Let the pool want no process that could not be started: it would try again for ever, and
    billiard stumbles over one that it has entered before its start.
    """
    for each in [each for each in inner._pool if each._popen is None]:  # noqa: SLF001
        inner._pool.remove(each)  # noqa: SLF001
        inner._process_cleanup_queues(each)  # noqa: SLF001
    missing = max(0, inner._processes - len(inner._pool))  # noqa: SLF001
    inner._processes -= missing  # noqa: SLF001
    _fewer_may_put(inner, missing)


def end_idle(pool: Any, hub: Any, most: int) -> int:
    """Let at most so many idle processes end; how many do."""
    inner = pool._pool  # noqa: SLF001
    ended = 0
    for process in idle(inner)[: max(0, most)]:
        # It says goodbye, and is then ended by a signal: nothing to report.
        process._controlled_termination = True  # noqa: SLF001
        inner.on_inqueue_close(process.inqW_fd, process)
        hub.remove_writer(process.inqW_fd)
        try:
            process.inq.put(None)
        except OSError as error:  # it dies by itself, and is replaced
            log.info("process %s cannot be told to end: %s", process.pid, error)
            continue
        inner._processes -= 1  # noqa: SLF001
        _fewer_may_put(inner, 1)
        ended += 1
    return ended


def idle(inner: Any) -> list[Any]:
    """The processes that have begun, and neither have nor are about to get a job; last come first.

    Args:
        inner: billiard's pool.
    """
    if inner.outbound_buffer:
        return []
    engaged = {
        id(each)
        for job in list(inner._cache.values())  # noqa: SLF001
        for each in (job._write_to, job._scheduled_for)  # noqa: SLF001
    }
    pids = {pid for job in list(inner._cache.values()) for pid in job.worker_pids()}  # noqa: SLF001
    found = [
        each
        for each in inner._pool  # noqa: SLF001
        if inner._fileno_to_inq.get(each.inqW_fd) is each  # noqa: SLF001
        and each.inqW_fd not in inner._busy_workers | inner._active_writes  # noqa: SLF001
        and id(each) not in engaged
        and each.pid not in pids
        and _rests(each.pid)
    ]
    return found[::-1]


def _rests(pid: int) -> bool:
    entry = sheet().of_process(pid)
    return entry is None or entry.stage is Stage.IDLE


def _fewer_may_put(inner: Any, number: int) -> None:
    if inner._putlock is not None and number:  # noqa: SLF001
        inner._putlock.shrink(number)  # noqa: SLF001
