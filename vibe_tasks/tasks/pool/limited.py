"""Celery's own rate limits, which hold for each worker alone, without hoarding.

Celery takes the messages of a limited task out of the broker as fast as they come and lets them
wait in the worker's memory. Without prefetching nothing stops it: a lane of ten thousand jobs would
wait in one worker, out of order and out of everybody's reach, and be sent again and again because
the broker lacks it. Here a message that waits for its task's rate takes a place of the worker, as
one that runs does. A limit for all workers together is `store.lanes`'.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery import bootsteps
from celery.worker import state


class LimitStep(bootsteps.StartStopStep):
    """Lets a consumer count what waits for its task's rate among what it has in its hands."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        parent._limit_task = _reserving(parent._limit_task)  # noqa: SLF001  its only hook
        parent.reset_rate_limits = _keeping_order(parent, parent.reset_rate_limits)


def let_go(consumer: Any) -> None:
    """Drop what waits for its task's rate: others do it, once its messages are missed."""
    for request, _ in _waiting(consumer):
        state.task_ready(request)


def _waiting(consumer: Any) -> list[tuple[Any, int]]:
    """What waits, and the tokens that it needs; it waits no more."""
    found: list[tuple[Any, int]] = []
    for bucket in filter(None, consumer.task_buckets.values()):
        found += bucket.contents
        bucket.clear_pending()
    return found


def _reserving(limit: Callable[..., Any]) -> Callable[..., Any]:
    """As `Consumer._limit_task`, for a request that takes a place from now on."""

    def reserve_and_limit(request: Any, bucket: Any, tokens: int) -> Any:
        state.task_reserved(request)
        return limit(request, bucket, tokens)

    return reserve_and_limit


def _keeping_order(consumer: Any, reset: Callable[[], None]) -> Callable[[], None]:
    """As `Consumer.reset_rate_limits`, where what waits goes on by the new limits.

    Celery lets it wait by the old ones, however long that is; here it would keep its places.
    """

    def reset_and_go_on() -> None:
        waiting = _waiting(consumer)
        reset()
        for request, tokens in waiting:
            bucket = consumer.task_buckets[request.name]
            if bucket is None:
                consumer._limit_move_to_pool(request)  # noqa: SLF001
            else:
                consumer._limit_task(request, bucket, tokens)  # noqa: SLF001

    return reset_and_go_on
