"""Keeping a worker's own queue: what it cannot start at once goes back, and its note is kept.

A producer may send to a worker's own queue on a belief that is out of date. So a job that was sent
here must not wait here: while the worker has no free slot, drains or ends, its own queue is emptied
several times a second. All that costs, a worker with free slots pays once a second, and one that is
full or whose number of free slots has changed with one round trip more.

A thread of its own: the event loop and the heartbeat must not wait for a broker that hangs.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from celery import bootsteps

from vibe_tasks.store.engine import DATABASE_ERRORS
from vibe_tasks.tasks import resources
from vibe_tasks.tasks.main_process import reclaim
from vibe_tasks.tasks.main_process.reception import received
from vibe_tasks.tasks.pool.room import free_slots
from vibe_tasks.tasks.queues import BROKER_ERRORS, broker_keys, own_queue
from vibe_tasks.tasks.routing import slots

log = logging.getLogger(__name__)

EVERY = 0.25
"""Seconds between two looks."""

AT_MOST = 0.05
"""Seconds between two looks of a worker whose slots fill and empty in milliseconds."""

UNREAD = 4
"""Looks after which what a worker with free slots has not read goes back all the same: its
connection is gone, or its event loop does not turn."""

DEAF = 2
"""So many times without a message between them: the worker's connection is gone."""

REST = 3.0
"""Seconds for which a broker that did not answer is left alone."""

CLOSING = 2.0
"""Seconds that the end of the process waits for a look that is under way."""


class OwnQueue:
    """The own queue of this process' worker, and the thread that keeps it."""

    def __init__(self) -> None:
        self._worker: Any = None
        self._looks = Looks()
        self._connection: Any = None
        self._wakeup = threading.Event()
        self._ending = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="own-queue", daemon=True)

    def start(self, worker: Any) -> None:
        """Keep it from now on.

        Args:
            worker: Celery's worker.
        """
        self._worker = worker
        self._thread.start()

    def is_deaf(self) -> bool:
        """Whether what was sent to this worker went back unread, again and again; said once."""
        return self._looks.is_deaf()

    def took(self) -> None:
        """To be called by the event loop after each message: a worker that is full says so soon."""
        if self._worker is not None and free_slots(self._worker) == 0:
            self._wakeup.set()

    def stop(self) -> None:
        """The worker begins to end: what comes from now on goes back."""
        self._ending = True
        self._wakeup.set()

    def end(self) -> None:
        """The process ends: give back what is left."""
        if self._worker is None:
            return
        self.stop()
        self._ended.set()
        self._thread.join(CLOSING)

    def _run(self) -> None:
        while not self._ended.wait(AT_MOST):
            if self._look():
                self._wakeup.wait(EVERY)
                self._wakeup.clear()
            else:
                self._ended.wait(REST)
        self._look()
        self._hang_up()

    def _look(self) -> bool:
        """Look once; whether the broker has answered."""
        try:
            client = self._client()
            if client is not None:
                self._keep(client)
        except (*DATABASE_ERRORS, *BROKER_ERRORS) as error:
            log.info("cannot keep the worker's own queue: %s", error)
        except Exception:  # the edge of a thread that must outlive what it meets
            log.exception("keeping the worker's own queue failed, and goes on")
        else:
            return client is not None  # a broker without lists is not asked often
        self._hang_up()
        return False

    def _keep(self, client: Any) -> None:
        name, lease = self._worker.hostname, resources.settings().lease_seconds
        free = 0 if self._ending else free_slots(self._worker)
        now = resources.monotonic()
        post = self._looks.posts(free, now=now, lease=lease)
        if not (post or self._looks.sees(free)):
            return
        keys = broker_keys(own_queue(name)).values()
        with client.pipeline(transaction=False) as pipeline:
            if post:
                slots.post(pipeline, name, free)
                pipeline.sadd(reclaim.OWNERS, name)
            for key in keys:
                pipeline.lindex(key, -1)
            heads = pipeline.execute()[-len(keys) :]
        if post:
            self._looks.posted(free, now=now)
        if self._looks.gives_back(free, tuple(heads), received.value):
            moved = reclaim.take_back(client, resources.ledger(), name, gone=False)
            if moved:
                log.info("gave %d messages of the own queue back: %d free slots", moved, free)

    def _client(self) -> Any:
        if self._connection is None:
            self._connection = self._worker.app.connection_for_write()
            self._connection.ensure_connection(max_retries=1)
        return getattr(self._connection.default_channel, "client", None)

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.release()


class Looks:
    """What the looks have found so far, and what follows from it."""

    def __init__(self) -> None:
        self._number = 0
        self._free: int | None = None
        self._posted_at = 0.0
        self._heads: tuple[object, ...] = ()
        self._received = 0
        self._unread = 0

    def posts(self, free: int, *, now: float, lease: float) -> bool:
        """Whether the note is to be written: it says something else, or grows old.

        Args:
            free: Free slots.
            now: Seconds of a monotonic clock.
            lease: Seconds after which the note is gone.
        """
        return free != self._free or now - self._posted_at >= lease / 4

    def posted(self, free: int, *, now: float) -> None:
        """The note says so."""
        self._free, self._posted_at = free, now

    def sees(self, free: int) -> bool:
        """Whether to look into the queue: a worker with free slots does it once in a while."""
        self._number += 1
        return free == 0 or self._number % UNREAD == 0

    def gives_back(self, free: int, heads: tuple[object, ...], received: int) -> bool:
        """Whether what is in the queue goes back.

        Args:
            free: Free slots.
            heads: What comes next in each of its lists; None where there is nothing.
            received: Messages that the worker has received so far.
        """
        reads = received != self._received
        waits = any(head is not None for head in heads)
        unread = waits and not reads and heads == self._heads
        self._heads, self._received = heads, received
        if reads:
            self._unread = 0
        elif unread and free:
            self._unread += 1
        return waits and (free == 0 or unread)

    def is_deaf(self) -> bool:
        """Whether a worker with free slots has left `DEAF` looks' messages unread and received none
        meanwhile; the count begins anew with that.
        """
        if self._unread < DEAF:
            return False
        self._unread = 0
        return True


kept = OwnQueue()
"""That of this process."""


class OwnQueueStep(bootsteps.StartStopStep):
    """Tells the own queue of each message that a consumer receives."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        make = parent.create_task_handler

        def make_telling(*args: Any, **kwargs: Any) -> Callable[[Any], Any]:
            handle = make(*args, **kwargs)

            def on_message(message: Any) -> Any:
                try:
                    return handle(message)
                finally:
                    kept.took()

            return on_message

        parent.create_task_handler = make_telling
