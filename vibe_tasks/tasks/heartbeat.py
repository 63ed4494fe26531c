"""The heartbeat of a worker: renews its leases, ends what is no longer its own, looks for trouble.

It has a thread of its own, so that a busy or blocked event loop does not cost the worker its
leases. What it renews are exactly the attempts that the worker's processes run. An attempt that
was taken away (cancelled by somebody, or given to another worker after a pause) is ended with all
the processes that it started; the worker goes on.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from celery import Celery
from celery.worker import state

from vibe_tasks.flow import attempts
from vibe_tasks.store import leases, workers
from vibe_tasks.store.engine import DATABASE_ERRORS
from vibe_tasks.store.retries import reason
from vibe_tasks.tasks import processes, publisher, resources
from vibe_tasks.tasks.queues import broker_keys
from vibe_tasks.tasks.sheet import Entry, Stage, sheet
from vibe_tasks.tasks.watchdog import Signs, Verdict, Watchdog

log = logging.getLogger(__name__)

BEATS = 4
"""Heartbeats that fit into a lease: the ledger may be locked for half of it, or two beats be
lost, and nothing happens."""

SOON = 0.25
"""Seconds to the next try of a heartbeat that failed."""

STUCK = 3.0
"""A worker's event loop that does not turn for so many times `deaf_seconds` is stuck."""

EXIT_CODE = 75
"""EX_TEMPFAIL of sysexits.h: start me again."""


class Heartbeat:
    """The thread of one worker.

    Args:
        worker: Celery's worker.
        registered: As what it has registered.
    """

    def __init__(self, worker: Any, registered: workers.Registered) -> None:
        settings = resources.settings()
        self._worker = worker
        self._registered = registered
        self._lease = settings.lease_seconds
        self._every = settings.lease_seconds / BEATS
        self._deaf = settings.deaf_seconds
        self._watchdog = Watchdog(patience=self._deaf, stuck=STUCK * self._deaf)
        self._stopped = threading.Event()
        self._turns = 0
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Beat from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Beat no more."""
        self._stopped.set()
        self._thread.join(timeout=5)

    def turn(self) -> None:
        """To be called by the event loop, several times a second."""
        self._turns += 1

    def leave(self, why: str) -> None:
        """Hand back what the worker's processes did not finish, uncounted, and sign off.

        Raises:
            One of `DATABASE_ERRORS`: The ledger cannot be written.
        """
        ledger = resources.ledger()
        with ledger.begin() as connection:
            alone = workers.sign_off(connection, self._registered)
        # Where another worker has our name, what is held under it may be its own.
        noted = {(each.job, each.attempt) for each in sheet().all()}
        attempts.interrupt(ledger, self._registered.worker, why, only=None if alone else noted)

    def _run(self) -> None:
        wait = self._every
        while not self._stopped.wait(wait):
            try:
                self._beat()
            except DATABASE_ERRORS as error:
                wait = min(SOON, self._every)
                log.warning("heartbeat failed, next try in %.2f s: %s", wait, reason(error))
            else:
                wait = self._every
                self._watch()

    def _beat(self) -> None:
        running = self._running()
        held = {(entry.job, entry.attempt) for _, entry in running if entry.attempt}
        with resources.ledger().begin() as connection:
            unknown = {entry.job for _, entry in running if not entry.attempt}
            if unknown:
                mine = leases.held_by(connection, self._registered.worker)
                held |= {(each.id, each.attempt) for each in mine if each.id in unknown}
            taken = leases.renew(connection, held, lease=self._lease)
            workers.beat(
                connection, self._registered.worker, active=len(running),
                process=self._registered.process,
            )  # fmt: skip
        for request, entry in running:
            if (entry.job, entry.attempt) in taken and entry.stage is Stage.RUNNING:
                self._end(request, entry)

    def _running(self) -> list[tuple[Any, Entry]]:
        """What the pool runs; attempt 0 where only the ledger knows the number."""
        lines = {each.pid: each for each in sheet().lines()}
        found: list[tuple[Any, Entry]] = []
        for request in _active():
            entry = lines.get(request.worker_pid)
            if entry is None and request.worker_pid not in {None, os.getpid()}:
                entry = Entry(pid=request.worker_pid, job=request.id, stage=Stage.RUNNING)
            if entry is not None and entry.job == request.id and entry.stage is not Stage.CLAIMING:
                found.append((request, entry))
        threads = [(None, each) for each in sheet().of_threads() if each.attempt]
        return found + threads

    def _end(self, request: Any, entry: Entry) -> None:
        what = f"attempt {entry.attempt} of job {entry.job}"
        if request is None or self._worker.hub is None:
            log.warning("%s was taken away, and this pool cannot end it: it is refused", what)
        elif sheet().of_process(entry.pid) == entry and not request._already_cancelled:  # noqa: SLF001
            log.warning("%s was taken away, ending process %d", what, entry.pid)
            self._worker.hub.call_soon(request.end, self._worker.pool)

    def _watch(self) -> None:
        consumer = self._worker.consumer
        signs = self._signs(consumer)
        lanes = list(self._worker.app.amqp.queues.consume_from)
        try:
            verdict = self._watchdog.look(
                signs, seconds=self._every, waiting=lambda: self._waiting(lanes)
            )
        except (*DATABASE_ERRORS, *publisher.BROKER_ERRORS) as error:
            log.info("the watchdog cannot look: %s", error)
            return
        if verdict is Verdict.RECONNECT:
            log.warning(
                "received nothing for %.0f s though jobs wait in the broker: reconnecting",
                self._deaf,
            )
            hang_up(consumer.connection)
        elif verdict is not Verdict.FINE:
            self._give_up(verdict)

    def _signs(self, consumer: Any) -> Signs:
        pool, connected = self._worker.pool, consumer is not None and consumer.connection
        runs = self._worker.hub is not None and connected and not stopping()
        in_line = state.active_requests and type(pool).__module__.endswith(".solo")
        slots = (
            getattr(self._worker, "max_concurrency", None)
            or len(pool_processes(pool))
            or self._worker.concurrency
        )
        return Signs(
            received=sum(state.total_count.values()),
            room=slots > len(state.reserved_requests),
            turns=self._turns if runs and not in_line else None,
        )

    def _waiting(self, lanes: list[str]) -> bool:
        """Whether a job of a lane was sent long ago and the broker has messages of that lane."""
        with resources.ledger().read() as connection:
            overdue = workers.overdue(connection, lanes, seconds=self._deaf)
        return bool(overdue) and has_messages(self._worker.app, overdue)

    def _give_up(self, verdict: Verdict) -> None:
        log.critical("%s; its jobs go back", verdict.value)
        for pid in pool_processes(self._worker.pool):
            processes.kill(pid)
        try:
            self.leave(f"the worker's process was ended: {verdict.name.lower()}")
        except DATABASE_ERRORS as error:
            log.warning("could not leave the registry: %s", reason(error))
        logging.shutdown()
        os._exit(EXIT_CODE)


def has_messages(app: Celery, lanes: Iterable[str]) -> bool:
    """Whether the broker has a message in one of these lanes, asked over a connection of its own.

    Raises:
        One of `BROKER_ERRORS`: It does not answer.
    """
    with app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1)
        client = connection.default_channel.client
        return any(client.llen(key) for lane in lanes for key in broker_keys(lane).values())


def stopping() -> bool:
    """Whether this worker was told to end."""
    return any(flag not in {None, False} for flag in (state.should_stop, state.should_terminate))


def pool_processes(pool: Any) -> list[int]:
    """The processes of a prefork pool."""
    return [each.pid for each in getattr(getattr(pool, "_pool", None), "_pool", None) or ()]


def hang_up(connection: Any) -> None:
    """Shut this connection's sockets down: who reads them finds the end, and connects anew."""
    for each in _sockets(connection):
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


def _active() -> list[Any]:
    while True:
        try:
            return list(state.active_requests)
        except RuntimeError:  # the event loop's thread has just added one
            continue
