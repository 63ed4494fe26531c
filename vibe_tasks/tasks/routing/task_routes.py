"""Celery's `task_routes`: ours, and what those of users mean for a job.

A user's route names a queue; for a job that is its lane, which the ledger keeps, so it is asked
once, when the job is submitted and its arguments are at hand. Which worker of the lane gets the
message is decided by `router` at each publication.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from celery import current_app

from vibe_tasks.tasks.queues import check_lane, lane_queue


def route_task(
    name: str,
    args: Any = None,  # noqa: ARG001  Celery's signature
    kwargs: Any = None,  # noqa: ARG001
    options: Mapping[str, Any] | None = None,
    task: Any = None,
    **_: Any,
) -> dict[str, Any] | None:
    """Celery's question for a message that it sends itself, such as `send_task` by name.

    Of a job's task it goes to the task's lane, where a worker writes the job. The lane is given as
    a queue of its own and not by its name: a name that is not known would be added to the queues
    that this process declares.
    """
    if options and any(options.get(key) for key in ("queue", "routing_key", "exchange")):
        return None
    lane = getattr(task or current_app.tasks.get(name), "lane", None)
    return None if lane is None else {"queue": lane_queue(lane)}


def lane_of(task: Any, args: Any, kwargs: Any, options: Mapping[str, Any]) -> str | None:
    """What the user's own `task_routes` say about a call of a job: its lane; None: nothing.

    Raises:
        InputError: It is no name of a lane.
    """
    for router in task.app.amqp.routes:
        if router is route_task:
            continue
        said = task.app.amqp.router.query_router(
            router, task.name, args, kwargs, dict(options), task
        )
        if said is None:
            continue
        queue = said if isinstance(said, str) else said.get("queue") or said.get("routing_key")
        return check_lane(getattr(queue, "name", queue)) if queue else None
    return None
