"""`EventRouter`: events to handlers within one process, with retries, dead letters and escalation.

It needs no ledger and remembers nothing beyond its process: what must not be lost is for
`on_event`, whose calls are jobs. Both follow the same rule.
Source: phase-1.6-components, "Event Router + DLQ"; requirement P3.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any

from vibe_tasks.errors import PermanentError
from vibe_tasks.events import ANY, Event, EventType
from vibe_tasks.failures import describe
from vibe_tasks.retry import RetryPolicy

log = logging.getLogger(__name__)

Handler = Callable[[Event], Any]
"""Plain or `async def`; what it returns means nothing."""

RETRIES = RetryPolicy(max_retries=4, base=1.0, jitter=0.0)
"""phase-1.6-components: after 2, 4 and 8 seconds, then the dead letters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadEvent:
    """An event that one of its handlers could not be told of.

    Attributes:
        event: The event; `retry_count` is the number of calls that failed.
        handler: The handler that failed.
        error: What its last call raised, type and message.
    """

    event: Event
    handler: Handler
    error: str

    @property
    def handler_name(self) -> str:
        """The handler, for people."""
        return getattr(self.handler, "__qualname__", None) or repr(self.handler)


Escalation = Callable[[DeadEvent], Any]
"""Plain or `async def`; called for each new dead letter."""


class EventRouter:
    """Calls the handlers of each event; for use within one event loop.

    Args:
        retries: When a handler that failed is called again.
        sleep: Waits so many seconds.
    """

    def __init__(
        self,
        *,
        retries: RetryPolicy = RETRIES,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> None:
        self._retries = retries
        self._sleep = sleep
        self._handlers: defaultdict[str, list[Handler]] = defaultdict(list)
        self._escalations: list[Escalation] = []
        self._dead: list[DeadEvent] = []
        self._routed = self._failed = self._retried = 0

    def register_handler(self, event_type: EventType | str, handler: Handler) -> None:
        """Call this handler for each event of this type, or of any type for `*`.

        A handler that stands there already is not added once more.
        """
        if handler not in self._handlers[str(event_type)]:
            self._handlers[str(event_type)].append(handler)

    def on_escalation(self, callback: Escalation) -> None:
        """Call this for each event that becomes a dead letter."""
        self._escalations.append(callback)

    async def route_event(self, event: Event) -> bool:
        """Call all handlers of this event, side by side; whether all have succeeded at last.

        Returns when each has succeeded or is given up: after 14 seconds and four failures, unless
        the policy is another one. A handler that raises `PermanentError` is given up at once. An
        event without a handler is routed, to nobody.
        """
        self._routed += 1
        handlers = [*self._handlers[str(event.event_type)], *self._handlers[ANY]]
        called = dict.fromkeys(handlers)  # one that is registered both ways is called once
        done = await asyncio.gather(*(self._deliver(event, handler) for handler in called))
        self._failed += not all(done)
        return all(done)

    def get_dlq_items(self) -> list[DeadEvent]:
        """The dead letters, oldest first."""
        return list(self._dead)

    async def retry_dlq_items(self) -> int:
        """Try all dead letters once more, with all their retries; how many were delivered.

        Each leaves the list, and comes back to its end where its handler fails again.
        """
        taken, self._dead = self._dead, []
        fresh = [(Event.from_json({**dead.event.to_json(), "retry_count": 0}), dead.handler)
                 for dead in taken]  # fmt: skip
        return sum(await asyncio.gather(*(self._deliver(*each) for each in fresh)))

    def get_stats(self) -> dict[str, Any]:
        """Figures since the router was made.

        `events_routed`; `events_failed`: those of them that a handler could not be told of;
        `retries`: calls beyond the first; `dlq_size`; `failure_rate`: failed events as a share of
        the routed ones, from 0 to 1.
        """
        return {
            "events_routed": self._routed,
            "events_failed": self._failed,
            "retries": self._retried,
            "dlq_size": len(self._dead),
            "failure_rate": self._failed / self._routed if self._routed else 0.0,
        }

    async def _deliver(self, event: Event, handler: Handler) -> bool:
        while True:
            error = await _call(handler, event)
            if error is None:
                return True
            event = event.retried()
            final = isinstance(error, PermanentError)
            if final or self._retries.gives_up_after(event.retry_count):
                await self._bury(DeadEvent(event=event, handler=handler, error=describe(error)))
                return False
            self._retried += 1
            await self._sleep(self._retries.wait_after(event.retry_count, uniform=_middle))

    async def _bury(self, dead: DeadEvent) -> None:
        self._dead.append(dead)
        log.error("%s: %s gave up: %s", dead.event.event_type, dead.handler_name, dead.error)
        for escalation in self._escalations:
            error = await _call(escalation, dead)
            if error is not None:
                log.error("escalation of %s failed: %s", dead.event.event_type, describe(error))


async def _call(function: Callable[[Any], Any], value: Any) -> Exception | None:
    """What the call raised, if anything."""
    try:
        answer = function(value)
        if isawaitable(answer):
            await answer
    except Exception as error:  # noqa: BLE001  the edge of user code: whatever it raises is counted
        return error
    return None


def _middle(low: float, high: float) -> float:
    """No chance: a policy's jitter is for many processes, and this is one."""
    return (low + high) / 2
