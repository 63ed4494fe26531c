"""Draining: a worker takes nothing new, finishes what it has in hand, and ends.

What somebody writes into the registry reaches the worker with its next heartbeat; the remote
control command `drain` reaches it at once. Exit code 0: a supervisor that starts again only what
failed lets it rest.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from celery.worker import state
from celery.worker.control import control_command

from vibe_tasks.tasks.pool import limited

log = logging.getLogger(__name__)


class Drain:
    """The draining of this process' worker; any thread asks, the event loop does it."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._begun = False

    @property
    def asked(self) -> bool:
        """Whether this worker is to take nothing new."""
        return self._asked.is_set()

    def ask(self) -> None:
        """Let the worker drain from now on."""
        self._asked.set()

    def turn(self, worker: Any) -> None:
        """To be called by the event loop, several times a second."""
        if not self.asked or worker.consumer is None or worker.consumer.task_consumer is None:
            return
        if not self._begun:
            self._begun = True
            log.warning("draining: nothing new is taken, %d in hand", len(state.reserved_requests))
            taken = list(worker.app.amqp.queues.consume_from)
            # First of all: should this connection break, the next one takes none of them up.
            worker.app.amqp.queues.deselect(taken)
            limited.let_go(worker.consumer)
            for queue in taken:
                worker.consumer.cancel_task_queue(queue)
        elif not state.reserved_requests and state.should_stop is None:
            log.warning("drained: the worker ends")
            state.should_stop = 0


drain = Drain()
"""Of this process."""


def _drain(_state: Any, **_: Any) -> dict[str, str]:
    """Take nothing new, and end when idle."""
    drain.ask()
    return {"ok": "draining"}


def install() -> None:
    """Let workers hear the remote-control command `drain`."""
    control_command(name="drain")(_drain)
