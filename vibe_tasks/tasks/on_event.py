"""`@on_event`: a function that is called for each event of some types."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from vibe_tasks.errors import InputError
from vibe_tasks.events import Event, EventType
from vibe_tasks.store.event_handlers import KIND, RETRIES
from vibe_tasks.suggestion import did_you_mean
from vibe_tasks.tasks.job import job
from vibe_tasks.tasks.subscriptions import LANE
from vibe_tasks.tasks.task import LedgerTask

Handler = Callable[[Event], Any]
"""Gets the event; may be `async def`. What it returns is its job's result: a JSON value."""


def on_event(
    *types: EventType | str, lane: str = LANE, time_limit: float | None = 60.0
) -> Callable[[Handler], LedgerTask]:
    """Call a function for each event of these types, as a durable job of its own.

    The job is written in the transaction of the event. A function that fails is called again after
    about 2, 4 and 8 seconds; then its job is a dead letter, which is escalated. It may be called
    twice for one event, as every job: make its effects safe to repeat.

    The subscription begins when a worker that imports the function (`VIBE_IMPORTS`) starts for the
    first time, and lasts until `vibe events forget`.

    Args:
        types: Event types, names of hooks of agents, or `*` for all.
        lane: Where the calls run.
        time_limit: Seconds that a call may take, or None for no limit.

    Raises:
        InputError: A type is missing or misspelt, or an option has a wrong value.
    """
    if not types:
        raise InputError("on_event needs an event type, or '*'")
    for name in types:
        # Names of hooks are not in capitals: `TaskCompleted` is none of ours, misspelt.
        ours = name.isupper() and name not in set(EventType)
        near = did_you_mean(name, map(str, EventType)) if ours else ""
        if near or not name:
            raise InputError(f"on_event: no event type {str(name)!r}{near}")

    def decorate(function: Handler) -> LedgerTask:
        @wraps(function)
        def handle(task: LedgerTask, event: Any) -> Any:
            if not isinstance(event, Event):
                event = Event.from_json({**event, "retry_count": task.request.retries or 0})
            return function(event)

        made: LedgerTask = job(
            lane=lane, priority="high", effort=1, max_retries=RETRIES.max_retries,
            retry_base=RETRIES.base, time_limit=time_limit, bind=True, kind=KIND,
            event_types=frozenset(map(str, types)),
        )(handle)  # fmt: skip
        return made

    return decorate
