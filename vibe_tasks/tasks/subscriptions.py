"""What a worker subscribes to when it starts: its handlers, and the telling of people."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from vibe_tasks.escalation import COMMAND, ESCALATED_TYPES, WEBHOOK
from vibe_tasks.settings import Settings
from vibe_tasks.store import event_handlers
from vibe_tasks.store.event_handlers import Subscription
from vibe_tasks.tasks import resources

LANE = "control"
"""Where handlers run that name no lane: that of a worker with little else to do."""

ROOM = 30.0
"""Seconds beyond the timeout of an escalation after which the process of its call is ended."""


def renew(app: Any, lanes: Collection[str]) -> None:
    """Write the subscriptions of this worker's handlers.

    Those of handlers that it does not know stay: another worker may.

    Args:
        app: Its application; all its tasks are known by now.
        lanes: The lanes that it serves. Whether people are told is for those to say who tell them.
    """
    with resources.ledger().begin() as connection:
        for each in handlers_of(app):
            event_handlers.subscribe(connection, each)
        if LANE in lanes:
            for name, wanted in escalation_of(resources.settings()).items():
                if wanted is None:
                    event_handlers.unsubscribe(connection, name)
                else:
                    event_handlers.subscribe(connection, wanted)


def handlers_of(app: Any) -> Iterator[Subscription]:
    """What `on_event` made, by name: two workers that start together write in one order."""
    for name, task in sorted(app.tasks.items()):
        types = getattr(task, "event_types", None)
        if types:
            yield Subscription(
                handler=name, lane=task.lane, types=frozenset(types), time_limit=task.time_limit
            )


def escalation_of(chosen: Settings) -> dict[str, Subscription | None]:
    """The subscriptions that these settings ask for, by handler; None: it is to have none."""
    asked = {WEBHOOK: chosen.escalation_webhook, COMMAND: chosen.escalation_command}
    limit = chosen.escalation_timeout + ROOM
    types = frozenset(map(str, ESCALATED_TYPES))
    return {
        name: Subscription(handler=name, lane=LANE, types=types, time_limit=limit)
        if value
        else None
        for name, value in asked.items()
    }
