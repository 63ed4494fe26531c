"""`@job`: make a function's calls durable."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, overload

from vibe_tasks.errors import InputError
from vibe_tasks.priority import parse_priority
from vibe_tasks.tasks import resources
from vibe_tasks.tasks.app import app
from vibe_tasks.tasks.keys import KeyPattern
from vibe_tasks.tasks.options import (
    check_decorator,
    deadline_of,
    key_of,
    labels_of,
    required_of,
)
from vibe_tasks.tasks.queues import check_lane, lane_queue
from vibe_tasks.tasks.task import LedgerTask

ROLE = "vibe_role"
"""Setting of an application whose lanes were chosen; a module that it imports adds none."""


@overload
def job(function: Callable[..., Any], /) -> LedgerTask: ...
@overload
def job(
    *,
    lane: str = "code",
    priority: str | int = "normal",
    effort: int = 2,
    max_retries: int | None = None,
    retry_base: float | None = None,
    time_limit: float | None = None,
    expires: float | datetime | None = None,
    concurrency_key: str | None = None,
    labels: Mapping[str, float] | None = None,
    required: str | Sequence[str] = (),
    **celery_options: Any,
) -> Callable[[Callable[..., Any]], LedgerTask]: ...
def job(
    function: Callable[..., Any] | None = None,
    /,
    *,
    lane: str = "code",
    priority: str | int = "normal",
    effort: int = 2,
    max_retries: int | None = None,
    retry_base: float | None = None,
    time_limit: float | None = None,
    expires: float | datetime | None = None,
    concurrency_key: str | None = None,
    labels: Mapping[str, float] | None = None,
    required: str | Sequence[str] = (),
    **celery_options: Any,
) -> Any:
    """Make a durable Celery task of a function, plain or `async def`.

    Args:
        function: The function, where the decorator is used without arguments.
        lane: Stream of jobs it belongs to; workers serve lanes.
        priority: `fix`, `critical`, `high`, `normal` or `low`, or 0 to 4.
        effort: From 1 (trivial) to 5 (hard).
        max_retries: The failure of this number is a job's last; None: the setting's.
        retry_base: Seconds; after failure n a job waits about `retry_base * 2**n`.
        time_limit: Seconds an attempt may take; then its process is ended.
        expires: Seconds, or a moment, by which a job must have started; else it is cancelled.
        concurrency_key: One job with this key runs at a time, on all hosts together. `{name}`
            stands for the argument of that name: `repo-{repo}`.
        labels: Points that a worker with this label is worth more to its jobs.
        required: Labels that a worker must have to run its jobs; one alone may be a text.
        celery_options: Anything else that `app.task` takes (`name`, `bind`, …).

    Raises:
        InputError: A value is out of its bounds, or a name is a near miss of one of ours.
    """
    if function is not None:
        return job()(function)
    check_decorator(celery_options, celery_options.get("base", LedgerTask))
    if not 1 <= effort <= 5:
        raise InputError(f"effort must be from 1 to 5, got {effort}")
    if max_retries is not None and max_retries < 1:
        raise InputError(f"max_retries must be 1 or more, got {max_retries}")
    if time_limit is not None and not time_limit > 0:
        raise InputError(f"time_limit must be above zero, got {time_limit}")
    try:
        urgency = parse_priority(priority)
    except ValueError as error:
        raise InputError(str(error)) from error
    deadline_of({"expires": expires})
    key_of({"concurrency_key": concurrency_key}, "concurrency_key")
    wished, needed = labels_of({"labels": labels}), required_of({"required": required})
    serve(check_lane(lane))
    options: dict[str, Any] = {
        "base": LedgerTask, "lane": lane, "urgency": urgency, "effort": effort,
        "max_retries": resources.settings().max_retries if max_retries is None else max_retries,
        "retry_base": retry_base, "time_limit": time_limit, "expires": expires,
        "labels": wished or {}, "required": needed or (), **celery_options,
    }  # fmt: skip
    if concurrency_key is None:
        return app.task(**options)

    def decorate(body: Callable[..., Any]) -> LedgerTask:
        called = partial(body, None) if options.get("bind") else body
        return app.task(**options, key_pattern=KeyPattern(concurrency_key, called))(body)

    return decorate


def serve(lane: str) -> None:
    """Let workers that name no queues serve this lane too, unless they have a role."""
    if app.conf.get(ROLE):
        return
    if lane not in {queue.name for queue in app.conf.task_queues}:
        app.conf.task_queues.append(lane_queue(lane))
