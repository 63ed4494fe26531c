"""A worker's own queue: what the router has chosen this worker for.

The worker consumes it before its lanes, and nobody else does. It is no place to wait in: what is in
it while the worker has no free slot goes back to the lanes, see `giving_back`.
"""

from __future__ import annotations

from typing import Any

from vibe_tasks.lane_name import OWN
from vibe_tasks.tasks.queues import lane_queue, own_queue

__all__ = ["OWN", "lanes_of", "own_queue", "select"]


def select(app: Any, worker_id: str) -> None:
    """Let this process' worker consume its own queue, before its lanes.

    Nobody else's: what somebody named after `-Q` by mistake is left out.
    """
    queues = app.amqp.queues
    lanes = lanes_of(app)
    queues.add(lane_queue(own_queue(worker_id)))
    queues.select([own_queue(worker_id), *lanes])
    for queue in queues.consume_from.values():
        queue.no_ack = True  # those too that Celery made of a name after `-Q`


def lanes_of(app: Any) -> list[str]:
    """The lanes that this process' worker consumes; its own queue is none."""
    return [name for name in app.amqp.queues.consume_from if not name.startswith(OWN)]
