"""How many messages this worker has received, those too that it refuses.

Celery counts the tasks that it accepts. A worker that is busy refusing what it does not know, what
was revoked or has expired would look deaf.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery import bootsteps


class Count:
    """A number that the event loop's thread raises and others read.

    Attributes:
        value: Messages so far.
    """

    def __init__(self) -> None:
        self.value = 0

    def counting(self, make: Callable[..., Any]) -> Callable[..., Any]:
        """As `Consumer.create_task_handler`, for a handler whose calls are counted."""

        def make_counting(*args: Any, **kwargs: Any) -> Callable[[Any], Any]:
            handle = make(*args, **kwargs)

            def on_message(message: Any) -> Any:
                self.value += 1
                return handle(message)

            return on_message

        return make_counting


received = Count()
"""Of this process."""


class ReceptionStep(bootsteps.StartStopStep):
    """Counts what a consumer receives."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        parent.create_task_handler = received.counting(parent.create_task_handler)
