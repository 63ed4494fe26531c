"""Chains and links of jobs: what follows a job is written in the transaction of its end.

Celery sends the next link after a task has ended; a worker that dies in between breaks the
chain. Where the next link is a job of ours, we write it together with the completion. All
else (groups, chords, plain Celery tasks) is left to Celery.
"""

from __future__ import annotations

from typing import Any

from celery.canvas import Signature, maybe_signature

from vibe_tasks.jobs import NewJob


def take_following(task: Any, result: Any) -> list[NewJob]:
    """The jobs that follow the current request of this task; Celery no longer sees them.

    Args:
        task: A task in the middle of a request.
        result: What it returned; the first argument of what follows.
    """
    request = task.request
    if not request.callbacks and not request.chain:
        return []
    taken = []
    links = [maybe_signature(link, app=task.app) for link in request.callbacks or ()]
    request.callbacks = [link for link in links if not _is_job(task.app, link)] or None
    taken += [_job(task, link, result) for link in links if _is_job(task.app, link)]
    if request.chain:
        following = maybe_signature(request.chain[-1], app=task.app)
        if _is_job(task.app, following):
            taken.append(_job(task, following, result, chain=request.chain[:-1] or None))
            request.chain = None
    return taken


def _is_job(app: Any, signature: Signature) -> bool:
    if signature.get("subtask_type"):
        return False
    return getattr(app.tasks.get(signature.task), "lane", None) is not None


def _job(task: Any, signature: Signature, result: Any, **more: Any) -> NewJob:
    options = {**signature.options, **{name: value for name, value in more.items() if value}}
    task_id = options.pop("task_id", None)
    options.setdefault("root_id", task.request.root_id)
    options.setdefault("parent_id", task.request.id)
    args = signature.args if signature.immutable else (result, *signature.args)
    return task.app.tasks[signature.task].new_job(args, signature.kwargs, task_id, options)
