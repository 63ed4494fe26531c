"""The heartbeat of a worker: renews its leases, ends what is no longer its own.

It has a thread of its own, so that a busy or blocked event loop does not cost the worker its
leases. What it renews are exactly the attempts that the worker's processes run. An attempt that
was taken away (cancelled by somebody, or given to another worker after a pause) is ended with all
the processes that it started; the worker goes on.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import Any

from celery.worker import state

from vibe_tasks.flow import attempts
from vibe_tasks.store import leases, workers
from vibe_tasks.store.engine import DATABASE_ERRORS
from vibe_tasks.store.retries import reason
from vibe_tasks.tasks import alive, processes, resources
from vibe_tasks.tasks.labels import worker_labels
from vibe_tasks.tasks.main_process.watch import Watch, pool_processes
from vibe_tasks.tasks.main_process.watchdog import Verdict
from vibe_tasks.tasks.pool.drain import drain
from vibe_tasks.tasks.pool.room import capacity_of
from vibe_tasks.tasks.pool.sheet import Entry, Stage, sheet

log = logging.getLogger(__name__)

BEATS = 4
"""Heartbeats that fit into a lease: the ledger may be locked for half of it, or two beats be
lost, and nothing happens."""

SOON = 0.25
"""Seconds to the next try of a heartbeat that failed."""

EXIT_CODE = 75
"""EX_TEMPFAIL of sysexits.h: start me again."""


class Heartbeat:
    """The thread of one worker, and its watchdog's.

    Args:
        worker: Celery's worker.
        registered: As what it has registered.
    """

    def __init__(self, worker: Any, registered: workers.Registered) -> None:
        self._worker = worker
        self._registered = registered
        self._lease = resources.settings().lease_seconds
        self._every = self._lease / BEATS
        self._watch = Watch(worker, every=self._every, give_up=self._give_up)
        self._refused: frozenset[tuple[str, int]] = frozenset()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Beat from now on."""
        self._thread.start()
        self._watch.start()

    def stop(self) -> None:
        """Beat no more; one that hangs does nothing when it is over."""
        self._watch.stop()
        self._stopped.set()
        self._thread.join(timeout=5)

    def turn(self) -> None:
        """To be called by the event loop, several times a second."""
        self._watch.turn()

    def leave(self, why: str) -> None:
        """Hand back what the worker's processes did not finish, uncounted, and sign off.

        Raises:
            One of `DATABASE_ERRORS`: The ledger cannot be written.
        """
        ledger = resources.ledger()
        with ledger.begin() as connection:
            alone = workers.sign_off(connection, self._registered)
        # Where another worker has our name, what is held under it may be its own; it had it when we
        # came where we stand without our host although that is known (`steps.register`).
        shared = self._registered.host is None and processes.this_host() is not None
        noted = {(each.job, each.attempt) for each in sheet().all()}
        only = None if alone and not shared else noted
        attempts.interrupt(ledger, self._registered.worker, why, only=only)

    def _run(self) -> None:
        wait = self._every
        try:
            alive.sign()
            while not self._stopped.wait(wait):
                wait = self._beat_once()
                alive.sign()
        finally:
            if not self._stopped.is_set():  # nobody renews any more: better a new start
                self._give_up(Verdict.BEATLESS)

    def _beat_once(self) -> float:
        """Beat; seconds to the next one."""
        began = resources.monotonic()
        try:
            self._beat()
        except DATABASE_ERRORS as error:
            wait = min(SOON, self._every)
            log.warning("heartbeat failed, next try in %.2f s: %s", wait, reason(error))
            return wait
        except Exception:  # the edge of a thread that must outlive what it meets
            log.exception("heartbeat failed, and goes on")
        return max(0.0, self._every - (resources.monotonic() - began))

    def _beat(self) -> None:
        running = self._running()
        held = {(entry.job, entry.attempt) for _, entry in running if entry.attempt}
        with resources.ledger().begin() as connection:
            if self._stopped.is_set():
                return  # it waited for so long that we have signed off
            unknown = {entry.job for _, entry in running if not entry.attempt}
            if unknown:
                mine = leases.held_by(connection, self._registered.worker)
                held |= {(each.id, each.attempt) for each in mine if each.id in unknown}
            taken = leases.renew(connection, held, lease=self._lease)
            draining = workers.beat(
                connection, self._registered.worker, active=len(running),
                process=self._registered.process, labels=worker_labels(), draining=drain.asked,
                capacity=capacity_of(self._worker),
            )  # fmt: skip
        if draining:
            drain.ask()
        for request, entry in running:
            if (entry.job, entry.attempt) in taken and entry.stage is Stage.RUNNING:
                self._end(request, entry)
        self._refused &= taken

    def _running(self) -> list[tuple[Any, Entry]]:
        """What the worker runs, with its request; None where the event loop has not read yet that
        a process took it, and for threads.

        Attempt 0 where only the ledger knows the number: of a process that does not share the
        sheet, or whose job's id is longer than a line.
        """
        pool = frozenset(pool_processes(self._worker.pool))
        lines = {each.pid: each for each in sheet().lines() if each.pid in pool}
        requests = {each.worker_pid: each for each in _active()}
        found: list[tuple[Any, Entry]] = []
        for pid in pool:
            request = requests.get(pid)
            if (entry := lines.get(pid)) is not None:
                known = request is not None and request.id == entry.job
                if entry.stage in {Stage.RUNNING, Stage.ENDING}:
                    found.append((request if known else None, entry))
            elif request is not None:
                found.append((request, Entry(pid=pid, job=request.id, stage=Stage.RUNNING)))
        return found + [(None, each) for each in sheet().of_threads() if each.attempt]

    def _end(self, request: Any, entry: Entry) -> None:
        what = f"attempt {entry.attempt} of job {entry.job}"
        if entry.pid == os.getpid() or self._worker.hub is None:
            if (entry.job, entry.attempt) not in self._refused:
                self._refused |= {(entry.job, entry.attempt)}
                log.warning("%s was taken away, and this pool cannot end it: it is refused", what)
        elif (
            request is not None  # else the next beat has it
            and sheet().of_process(entry.pid) == entry
            and not request._already_cancelled  # noqa: SLF001
        ):
            log.warning("%s was taken away, ending process %d", what, entry.pid)
            self._worker.hub.call_soon(request.end, self._worker.pool)

    def _give_up(self, verdict: Verdict) -> None:
        """End this process: its supervisor starts a new one."""
        log.critical("%s; its jobs go back", verdict.value)
        try:
            self._watch.stop()
            self._stopped.set()
            for pid in pool_processes(self._worker.pool):
                processes.kill(pid)
            self.leave(f"the worker's process was ended: {verdict.name.lower()}")
        except DATABASE_ERRORS as error:
            log.warning("could not leave the registry: %s", reason(error))
        finally:
            logging.shutdown()
            os._exit(EXIT_CODE)


def _active() -> list[Any]:
    while True:
        try:
            return list(state.active_requests)
        except RuntimeError:  # the event loop's thread has just added one
            continue
