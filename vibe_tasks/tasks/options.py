"""The options of a call: which ones a job takes, and what their values must be.

Celery hands unknown options through to the broker. Here a misspelt `unique_key` would be a job
too many, so what a job cannot honour is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from vibe_tasks.errors import InputError
from vibe_tasks.labels import checked_points, checked_required
from vibe_tasks.suggestion import did_you_mean
from vibe_tasks.tasks.queues import check_lane

OURS = (
    "concurrency_key", "countdown", "eta", "expires", "labels", "lane", "priority", "queue",
    "required", "time_limit", "unique_key",
)  # fmt: skip

OF_A_JOB = (
    "concurrency_key", "effort", "expires", "labels", "lane", "max_retries", "priority", "required",
    "retry_base", "time_limit",
)  # fmt: skip
"""What `@job` takes beside Celery's options."""

CELERYS = frozenset({
    "autoretry_for", "base", "bind", "dont_autoretry_for", "filter", "lazy", "name", "pydantic",
    "pydantic_context", "pydantic_dump_kwargs", "pydantic_strict", "retry_backoff",
    "retry_backoff_max", "retry_jitter", "retry_kwargs", "shared",
})  # fmt: skip
"""What Celery's `app.task` takes that is no attribute of a task."""

CANVAS = {
    "link": "callbacks",
    "link_error": "errbacks",
    "chain": "chain",
    "chord": "chord",
    "group_id": "group_id",
    "group_index": "group_index",
    "root_id": "root_id",
    "parent_id": "parent_id",
    "shadow": "shadow",
    "replaced_task_nesting": "replaced_task_nesting",
}
"""What Celery needs at each publication: names in `apply_async`, and in the message."""

WITHOUT_MEANING = frozenset({
    "add_to_parent", "connection", "headers", "ignore_result", "producer", "publisher", "reply_to",
    "retries", "retry", "retry_policy", "route_name", "routing_key", "stamped_headers",
})  # fmt: skip
"""What Celery's own code passes along; the ledger does what they are for, or they are hints."""


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse options that a job does not have.

    Raises:
        InputError: There is one.
    """
    stamps = options.get("stamped_headers") or ()
    for name, value in options.items():
        known = name in OURS or name in CANVAS or name in WITHOUT_MEANING or name in stamps
        harmless = value is None or (name, value) == ("serializer", "json")
        if not known and not harmless:
            raise InputError(f"a job has no option {name}{did_you_mean(name, OURS)}")


def check_decorator(options: Mapping[str, Any], base: type) -> None:
    """Refuse what was most likely meant to be an option of `@job`, or belongs to a call.

    Celery makes an attribute of the task of whatever it does not know; names that are far from ours
    may stay such attributes.

    Args:
        options: Those that `@job` hands on to Celery.
        base: The task's class, whose attributes they may set.

    Raises:
        InputError: There is one.
    """
    for name in options:
        if name in CELERYS or hasattr(base, name):
            continue
        if name == "queue":
            raise InputError("@job has no option queue, did you mean 'lane'?")
        if name in OURS:
            raise InputError(f"@job has no option {name}: it is one of a call, `apply_async`")
        if near := did_you_mean(name, OF_A_JOB):
            raise InputError(f"@job has no option {name}{near}")


def canvas_of(options: Mapping[str, Any]) -> dict[str, Any] | None:
    """What Celery must know at each publication, under the names of its messages."""
    found = {
        CANVAS[name]: value
        for name, value in options.items()
        if name in CANVAS and value is not None
    }
    return found or None


def lane_of(options: Mapping[str, Any]) -> str | None:
    """The lane, under our name or Celery's; None where none is named.

    Raises:
        InputError: It is no name of a lane.
    """
    lane = options.get("lane") or options.get("queue")
    if lane is None:
        return None
    return check_lane(getattr(lane, "name", lane))  # Celery takes a Queue too


def time_limit_of(options: Mapping[str, Any]) -> float | None:
    """Seconds an attempt may take; None where none are given.

    Raises:
        InputError: It is no number of seconds.
    """
    limit = options.get("time_limit")
    return None if limit is None else _seconds("time_limit", limit)


def delay_of(options: Mapping[str, Any]) -> float:
    """Seconds to wait from now; a `countdown` below zero is none, as in Celery.

    Raises:
        InputError: It is no number of seconds, or there is an `eta` as well.
    """
    countdown = options.get("countdown")
    if countdown is None:
        return 0.0
    if options.get("eta") is not None:
        raise InputError("give countdown or eta, not both")
    return max(0.0, _seconds("countdown", countdown))


def moment_of(options: Mapping[str, Any]) -> float | None:
    """The `eta` in epoch seconds; without a time zone it is in UTC.

    Raises:
        InputError: It is no moment.
    """
    eta = options.get("eta")
    return None if eta is None else _moment("eta", eta)


def key_of(options: Mapping[str, Any], name: str) -> str | None:
    """A key, such as `unique_key`; None where none is given.

    Raises:
        InputError: It is no text, or an empty one.
    """
    key = options.get(name)
    if key is not None and (not isinstance(key, str) or not key):
        raise InputError(f"{name} must be a text and not empty, got {key!r}")
    return key


def labels_of(options: Mapping[str, Any]) -> dict[str, float] | None:
    """Points that a worker with a label is worth more; None where none are given.

    Raises:
        InputError: It is no mapping of labels to points.
    """
    labels = options.get("labels")
    return None if labels is None else checked_points(labels)


def required_of(options: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Labels that a worker must have, in order; None where none are given.

    Raises:
        InputError: It is neither a label nor some.
    """
    required = options.get("required")
    return None if required is None else checked_required(required)


def deadline_of(options: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Celery's `expires`: when to give up a job that has not started.

    Returns:
        Seconds from the submission, or a moment in epoch seconds; the other is None, and both
        where none is given.

    Raises:
        InputError: It is neither a number of seconds above zero nor a moment.
    """
    expires = options.get("expires")
    if expires is None:
        return None, None
    if isinstance(expires, int | float):
        seconds = _seconds("expires", expires)
        if not seconds > 0:
            raise InputError(f"expires must be above zero, got {expires!r}")
        return seconds, None
    return None, _moment("expires", expires)


def _moment(name: str, value: Any) -> float:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        return float((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (AttributeError, ValueError, OverflowError) as error:
        raise InputError(f"{name} must be a datetime or its ISO text, got {value!r}") from error


def _seconds(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise InputError(f"{name} must be a number of seconds, got {value!r}")
    return float(value)
