"""Boot steps of our workers: the ledger is checked, leases are renewed, children die with us."""

from __future__ import annotations

import atexit
import ctypes
import logging
import os
import signal
import sys
import threading
from typing import Any

from celery import bootsteps, signals
from celery.worker import state

from vibe_tasks.errors import InputError
from vibe_tasks.flow import attempts
from vibe_tasks.store import leases, workers
from vibe_tasks.store.engine import DATABASE_ERRORS
from vibe_tasks.tasks import resources

log = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1
"""Linux: prctl(2)."""

CHILDREN_EVERY = 0.5
"""Seconds between two looks for dead pool processes."""

_main_process: int | None = None
"""Id of the worker's main process."""


class LedgerStep(bootsteps.StartStopStep):
    """Refuses to start on a ledger of another version; registers, renews leases, leaves.

    The heartbeat has a thread of its own, so that a busy or blocked event loop does not cost
    the worker its leases. It renews what the pool really runs: a job whose child is gone
    loses its lease even when nobody told us.
    """

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._looks: Any = None
        global _main_process  # noqa: PLW0603  one worker in one process
        _main_process = os.getpid()
        try:
            resources.ledger()
        except InputError as error:
            sys.stderr.write(f"vibe: {error}\n")
            raise SystemExit(2) from error

    def start(self, parent: Any) -> None:
        """Register the worker and begin to renew its leases."""
        settings = resources.settings()
        queues = parent.app.amqp.queues.consume_from
        for queue in queues.values():
            queue.no_ack = True  # those too that Celery made of a name after `-Q`
        lanes = list(queues)
        capacity = settings.worker_capacity or parent.concurrency
        with resources.ledger().begin() as connection:
            workers.register(
                connection, parent.hostname, lanes, tier=settings.worker_tier, capacity=capacity
            )
        every = settings.lease_seconds / 3
        self._thread = threading.Thread(
            target=self._beat, args=(parent.hostname, every), name="lease-heartbeat", daemon=True
        )
        self._thread.start()
        atexit.register(self._leave, parent.hostname)

    def register_with_event_loop(self, parent: Any, hub: Any) -> None:
        """Look for dead pool processes more often than Celery's every five seconds.

        Celery also hears of a death at once, but looks for its exit code before there is one.
        """
        if self._looks is not None:
            self._looks.cancel()  # registered again after the broker was away
        maintain = getattr(getattr(parent.pool, "_pool", None), "maintain_pool", None)
        self._looks = maintain and hub.call_repeatedly(CHILDREN_EVERY, maintain)

    def _leave(self, worker: str) -> None:
        """At the end of the process: hand back what the pool did not finish, and sign off.

        Not at this step's `stop`: that comes before the pool's, whose jobs need their leases
        until they are done.
        """
        if os.getpid() != _main_process:
            return
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
        try:
            attempts.interrupt(resources.ledger(), worker, "the worker was stopped")
            with resources.ledger().begin() as connection:
                workers.leave(connection, worker)
        except DATABASE_ERRORS as error:
            log.warning("could not leave the registry: %s", error)

    def _beat(self, worker: str, every: float) -> None:
        while not self._stopped.wait(every):
            running = [request.id for request in list(state.active_requests)]
            try:
                with resources.ledger().begin() as connection:
                    leases.renew(
                        connection, worker, running, lease=resources.settings().lease_seconds
                    )
                    workers.beat(connection, worker, active=len(running))
            except DATABASE_ERRORS as error:
                log.warning("heartbeat failed, next try in %.1f s: %s", every, error)


def die_with_parent(**_: Any) -> None:
    """End this pool process when the worker's main process dies, also by SIGKILL.

    It also leads a process group from now on: at a time limit billiard ends the group of a
    leader, so that nothing of what a job has started runs on.
    """
    if sys.platform != "linux" or _main_process in {None, os.getpid()}:
        return  # a pool without processes of its own sends this signal too
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != _main_process:  # it died before; the id 1 may be our worker in a container
        os._exit(1)
    os.setpgid(0, 0)


def install(app: Any) -> None:
    """Give an application's workers our boot steps."""
    app.steps["worker"].add(LedgerStep)
    signals.worker_process_init.connect(die_with_parent, weak=False)
