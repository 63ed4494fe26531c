"""Chains and links of jobs: what follows a job is written in the transaction of its end.

Celery sends the next link after a task has ended; a worker that dies in between breaks the
chain. Here the next link is in the ledger when its predecessor is done: as the job that it is,
or, where it is a group, a chord or a plain Celery task, as a job that applies it.
"""

from __future__ import annotations

from typing import Any

from celery.canvas import Signature, maybe_signature

from vibe_tasks.jobs import NewJob
from vibe_tasks.tasks import follow


def take_following(task: Any, result: Any, *, lane: str) -> list[NewJob]:
    """The jobs that follow the current request of this task; Celery no longer sees them.

    Args:
        task: A task in the middle of a request.
        result: What it returned; the first argument of what follows.
        lane: Where what is no job itself is applied.
    """
    request = task.request
    if not request.callbacks and not request.chain:
        return []
    links = [maybe_signature(link, app=task.app) for link in request.callbacks or ()]
    taken = [_job(task, link, result, lane) for link in links]
    request.callbacks = None
    if request.chain:
        following = maybe_signature(request.chain[-1], app=task.app)
        taken.append(_job(task, following, result, lane, chain=request.chain[:-1] or None))
        request.chain = None
    return taken


def _job(task: Any, signature: Signature, result: Any, lane: str, **more: Any) -> NewJob:
    request = task.request
    more |= {"root_id": request.root_id, "parent_id": request.id}
    if not follow.is_job(task.app, signature):
        return follow.job_of(task.app, signature, (result,), lane=lane, **more)
    options = {name: value for name, value in more.items() if value} | signature.options
    task_id = options.pop("task_id", None)
    if more.get("chain"):
        options["chain"] = more["chain"]
    args = signature.args if signature.immutable else (result, *signature.args)
    made: NewJob = task.app.tasks[signature.task].new_job(args, signature.kwargs, task_id, options)
    return made
