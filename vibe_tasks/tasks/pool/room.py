"""How much room this process' worker has for further jobs."""

from __future__ import annotations

from typing import Any

from celery.worker import state

from vibe_tasks.tasks import resources
from vibe_tasks.tasks.pool.drain import drain


def free_slots(worker: Any) -> int:
    """How many more jobs this worker would start at once; none where it drains or ends."""
    if stopping() or drain.asked:
        return 0
    slots = slots_of(worker)
    allowed = resources.settings().worker_capacity or slots
    return max(0, min(slots, allowed) - len(state.reserved_requests))


def slots_of(worker: Any) -> int:
    """How many jobs this worker takes at once: as many as its pool has processes or threads at the
    moment. Celery receives no more than that.
    """
    grown = getattr(worker, "max_concurrency", None)
    return int(grown or getattr(worker.pool, "num_processes", None) or worker.concurrency)


def capacity_of(worker: Any) -> int:
    """What this worker registers with: as many jobs as it takes at once, or as it was told to take.

    Of a pool that grows these are the processes that it has, not those that it may have: the router
    sends it no more than it can start, and what waits for it in the lanes makes it grow.
    """
    pool = getattr(getattr(worker, "pool", None), "_pool", None)
    prefork = hasattr(pool, "_processes")
    own = slots_of(worker) if prefork else worker.concurrency
    return int(resources.settings().worker_capacity or own)


def stopping() -> bool:
    """Whether this worker was told to end."""
    return any(flag not in {None, False} for flag in (state.should_stop, state.should_terminate))
