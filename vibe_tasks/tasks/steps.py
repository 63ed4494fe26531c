"""Boot steps of our workers: the ledger is checked, leases are renewed, children die with us."""

from __future__ import annotations

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
from vibe_tasks.store import leases, workers
from vibe_tasks.store.engine import DATABASE_ERRORS
from vibe_tasks.tasks import resources

log = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1
"""Linux: prctl(2)."""


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
        try:
            resources.ledger()
        except InputError as error:
            sys.stderr.write(f"vibe: {error}\n")
            raise SystemExit(2) from error

    def start(self, parent: Any) -> None:
        """Register the worker and begin to renew its leases."""
        settings = resources.settings()
        lanes = list(parent.app.amqp.queues.consume_from)
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

    def stop(self, parent: Any) -> None:
        """Leave the registry."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
        try:
            with resources.ledger().begin() as connection:
                workers.leave(connection, parent.hostname)
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
    """End this pool process when the worker's main process dies, also by SIGKILL."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == 1:
            os._exit(1)


def install(app: Any) -> None:
    """Give an application's workers our boot steps."""
    app.steps["worker"].add(LedgerStep)
    signals.worker_process_init.connect(die_with_parent, weak=False)
