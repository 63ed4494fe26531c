"""The board of free slots: how many jobs each worker would start at once, as a hint.

Each worker keeps a note in the broker, which goes out of date within milliseconds: a producer asks
for it where its own belief, up to ten seconds old, would have it pass over the best worker. What
comes of a wrong hint is put right by the worker: it gives back what it cannot start.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from celery import Celery

from vibe_tasks.tasks import resources
from vibe_tasks.tasks.queues import BROKER_ERRORS, broker_keys, own_queue

log = logging.getLogger(__name__)

NOTE = "vibe.free."
"""Before a worker's name: the broker's key of its note."""

WAIT = 1.0
"""Seconds to wait for a connection of the pool."""


def post(client: Any, worker: str, free: int) -> None:
    """Note how many jobs this worker would start at once; nobody believes it for over a lease.

    Args:
        client: Of Redis, or a pipeline of it.
        worker: Its name.
        free: Its free slots.
    """
    lease = resources.settings().lease_seconds
    client.set(f"{NOTE}{worker}", free, px=max(1, int(1000 * lease)))


def look(app: Celery, workers: Sequence[str]) -> dict[str, int]:
    """How many more jobs these workers would start at once: their free slots, less what waits in
    their own queues. One round trip.

    Workers without a note are left out; all are, where the broker does not answer or has no lists.
    """
    if not workers:
        return {}
    try:
        with app.producer_pool.acquire(block=True, timeout=WAIT) as producer:
            client = getattr(producer.channel, "client", None)
            if client is None:
                return {}
            return _look(client, workers)
    except BROKER_ERRORS as error:
        log.info("no news of free slots: %s", error)
        return {}


def _look(client: Any, workers: Sequence[str]) -> dict[str, int]:
    with client.pipeline(transaction=False) as pipeline:
        pipeline.mget([f"{NOTE}{worker}" for worker in workers])
        for worker in workers:
            for key in broker_keys(own_queue(worker)).values():
                pipeline.llen(key)
        notes, *lengths = pipeline.execute()
    each = len(lengths) // len(workers)
    return {
        worker: int(note) - sum(lengths[each * number : each * (number + 1)])
        for number, (worker, note) in enumerate(zip(workers, notes, strict=True))
        if note is not None
    }
