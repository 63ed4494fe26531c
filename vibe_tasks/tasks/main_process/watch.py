"""The watchdog's thread: it looks at the broker and the event loop, and does what is to be done.

A thread of its own beside the heartbeat's: a broker that takes connections and does not answer
holds a look up for many seconds, and leases must not wait for that.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from celery import Celery
from celery.worker import state

from vibe_tasks.store import workers
from vibe_tasks.store.engine import DATABASE_ERRORS
from vibe_tasks.tasks import publisher, resources
from vibe_tasks.tasks.main_process.giving_back import kept
from vibe_tasks.tasks.main_process.reception import received
from vibe_tasks.tasks.main_process.watchdog import Signs, Verdict, Watchdog
from vibe_tasks.tasks.pool.room import slots_of, stopping
from vibe_tasks.tasks.queues import broker_keys
from vibe_tasks.tasks.routing.own_queue import lanes_of

log = logging.getLogger(__name__)

STUCK = 3.0
"""A worker's event loop that does not turn for so many times `deaf_seconds` is stuck."""


class Watch:
    """The thread of one worker.

    Args:
        worker: Celery's worker.
        every: Seconds between two looks.
        give_up: Ends this process, for this reason; does not return.
    """

    def __init__(self, worker: Any, *, every: float, give_up: Callable[[Verdict], None]) -> None:
        self._worker = worker
        self._every = every
        self._give_up = give_up
        self._deaf = resources.settings().deaf_seconds
        self._watchdog = Watchdog(patience=self._deaf, stuck=STUCK * self._deaf)
        self._stopped = threading.Event()
        self._turns = 0
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Look from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Begin no further look."""
        self._stopped.set()

    def turn(self) -> None:
        """To be called by the event loop, several times a second."""
        self._turns += 1

    def _run(self) -> None:
        while not self._stopped.wait(self._every):
            try:
                self._look()
            except (*DATABASE_ERRORS, *publisher.BROKER_ERRORS) as error:
                log.info("the watchdog cannot look: %s", error)
            except Exception:  # the edge of a thread that must outlive what it meets
                log.exception("the watchdog failed, and goes on")

    def _look(self) -> None:
        consumer = self._worker.consumer
        lanes = lanes_of(self._worker.app)
        verdict = self._watchdog.look(
            self._signs(consumer), seconds=self._every, waiting=lambda: self._waiting(lanes)
        )
        if verdict is Verdict.RECONNECT:
            log.warning(
                "received nothing for %.0f s though jobs wait in the broker: reconnecting",
                self._deaf,
            )
            hang_up(consumer.connection)
        elif verdict is not Verdict.FINE and not self._stopped.is_set():
            self._give_up(verdict)

    def _signs(self, consumer: Any) -> Signs:
        pool, connected = self._worker.pool, consumer is not None and consumer.connection
        runs = self._worker.hub is not None and connected and not stopping()
        in_line = state.active_requests and type(pool).__module__.endswith(".solo")
        return Signs(
            received=received.value,
            room=slots_of(self._worker) > len(state.reserved_requests),
            turns=self._turns if runs and not in_line else None,
        )

    def _waiting(self, lanes: list[str]) -> bool:
        """Whether a job of a lane was sent long ago and the broker has messages of that lane; or
        messages to this worker alone were not read, which others have had from their lane since.
        """
        if kept.is_deaf():
            return True
        with resources.ledger().read() as connection:
            overdue = workers.overdue(connection, lanes, seconds=self._deaf)
        return bool(overdue) and has_messages(self._worker.app, overdue)


def has_messages(app: Celery, lanes: Iterable[str]) -> bool:
    """Whether the broker has a message in one of these lanes, asked over a connection of its own.

    Raises:
        One of `BROKER_ERRORS`: It does not answer.
    """
    with app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1)
        client = connection.default_channel.client
        return any(client.llen(key) for lane in lanes for key in broker_keys(lane).values())


def pool_processes(pool: Any) -> list[int]:
    """The processes of a prefork pool."""
    return [each.pid for each in getattr(getattr(pool, "_pool", None), "_pool", None) or ()]


def hang_up(connection: Any) -> None:
    """Shut this connection's sockets down: who reads them finds the end, and connects anew.

    Args:
        connection: Of kombu; None where the consumer is about to connect anew by itself.
    """
    for each in _sockets(connection) if connection is not None else ():
        with suppress(OSError):  # it is closed already
            each.shutdown(socket.SHUT_RDWR)


def _sockets(connection: Any) -> Iterable[socket.socket]:
    for channel in list(getattr(connection.transport, "channels", None) or ()):
        # Looked up without `getattr`: a client that is not there would be connected.
        for name in ("client", "subclient"):
            client = vars(channel).get(name)
            found = getattr(getattr(client, "connection", None), "_sock", None)
            if found is not None:
                yield found
