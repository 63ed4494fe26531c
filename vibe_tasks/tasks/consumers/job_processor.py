"""`JobProcessor`: works off lanes with plain functions, in the threads of one process.

For programs that are no Celery workers and do not want to be. Its leases are renewed, its jobs
are handed back when it stops, and it stands in the worker registry like any other worker.

A thread cannot be ended from outside. At its time limit a job counts as failed and its lease
ends, so that it may run elsewhere; what a plain function does after that it must ask leave for
(`check_lease`), and its thread is taken until it returns. A coroutine is really cancelled. Who
needs a hard limit uses a Celery worker, whose jobs are processes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from inspect import iscoroutine
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from vibe_tasks.errors import (
    AttemptError,
    Cancel,
    InputError,
    LeaseLostError,
    Snooze,
    UnknownJobError,
)
from vibe_tasks.flow import attempts
from vibe_tasks.jobs import Claim
from vibe_tasks.store import workers
from vibe_tasks.store.engine import DATABASE_ERRORS
from vibe_tasks.store.retries import reason
from vibe_tasks.tasks import processes, resources
from vibe_tasks.tasks.consumers.in_hand import InHand, Running, current
from vibe_tasks.tasks.consumers.job_queue import JobQueue
from vibe_tasks.tasks.observation import attended
from vibe_tasks.tasks.queues import check_lane
from vibe_tasks.tasks.task import OUTCOMES, ending_of

log = logging.getLogger(__name__)

Handler = Callable[..., Any]
"""Gets the job's arguments; what it returns, or its coroutine comes to, is the result."""

OUTSIDE = "outside"
"""Tier in the registry of those who claim from the ledger and read no messages."""

LEDGER_AWAY = 1.0
"""Seconds between two tries while the ledger does not answer."""


class JobProcessor:
    """Claims the jobs of some lanes and calls a handler for each.

    Args:
        queue: The ledger's jobs; its `worker` begins this processor's name.
        lanes: Where to look, the first before the second.
        handlers: By the job's name. A job without a handler fails, and is retried like others.
        default: Handler of jobs whose name has none; it finds the name in `current_job()`.
        concurrency: Threads; jobs at once.
        grace: Seconds that jobs in hand get at a stop; what is left is handed back, and counts
            no failure.

    Attributes:
        worker: Its name in the registry, which no other processor has.

    Raises:
        InputError: An argument is wrong.
    """

    def __init__(
        self,
        queue: JobQueue,
        lanes: Sequence[str],
        handlers: Mapping[str, Handler],
        *,
        default: Handler | None = None,
        concurrency: int = 1,
        grace: float = 10.0,
    ) -> None:
        if concurrency < 1:
            raise InputError(f"concurrency must be 1 or more, got {concurrency}")
        if not grace >= 0:
            raise InputError(f"grace must be zero or more, got {grace}")
        if not lanes:
            raise InputError("name a lane")
        self._queue = queue
        self._lanes = tuple(check_lane(lane) for lane in lanes)
        self._handlers = dict(handlers)
        self._default = default
        self._concurrency = concurrency
        self._grace = grace
        # What this name holds is handed back at the end: it must be nobody else's.
        self.worker = f"{queue.worker}.{uuid4().hex[:8]}"
        self._registered = False
        self._in_hand = InHand(queue, self.worker, self._begin_draining)
        self._stopping = threading.Event()
        self._draining = False
        self._tidy_at = 0.0
        self._thread: threading.Thread | None = None

    # --- its life ---

    def start(self) -> Self:
        """Work in the background until `stop`."""
        self._thread = threading.Thread(target=self.run, name="job-processor", daemon=True)
        self._thread.start()
        return self

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        if self._thread is not None:
            self._thread.join()

    def stop(self) -> None:
        """Claim nothing more; `run` returns when the jobs in hand have ended, or after the grace.

        A signal handler may call it.
        """
        self._draining = False
        # In a thread: a handler runs in the midst of whatever its thread is doing, which may hold
        # the locks that are needed here.
        threading.Thread(target=self._stop, name="stop").start()

    def _stop(self) -> None:
        self._stopping.set()
        self._queue.wakeups.wake()

    def _begin_draining(self) -> None:
        """The registry says so: as `stop`, but what is in hand gets all the time it needs."""
        if not self._draining:
            log.warning("draining: nothing new is taken, %d in hand", len(self._in_hand))
        self._draining = not self._stopping.is_set() or self._draining
        self._stop()

    def run(self) -> None:
        """Work until `stop` is called, or the registry says that this worker is to drain."""
        self._in_hand.start()
        try:
            while not self._stopping.is_set():
                self._take()
            while self._draining and len(self._in_hand):
                self._in_hand.wait_until_empty(self._grace)
            self._in_hand.wait_until_empty(self._grace)
        finally:
            self._stopping.set()
            self._in_hand.end()
            self._leave()

    def _take(self) -> None:
        """Fill the free threads, then wait for a reason to look again."""
        mark = self._queue.wakeups.mark()
        lanes: tuple[str, ...] = ()
        due: float | None = None
        try:
            if not self._registered:
                self._register()
            while len(self._in_hand) < self._concurrency and not self._stopping.is_set():
                claim = self._queue.claim(*self._lanes, worker=self.worker)
                if claim is None:
                    lanes, due = self._lanes, self._queue.wakeups.seconds_to_due(self._lanes)
                    break
                self._begin(claim)
        except DATABASE_ERRORS as error:
            log.warning("ledger away, next look in %.1f s: %s", LEDGER_AWAY, reason(error))
            self._stopping.wait(LEDGER_AWAY)
            return
        self._tidy()
        if not self._stopping.is_set():
            self._queue.wakeups.wait(mark, lanes=lanes, timeout=due)

    def _tidy(self) -> None:
        """Now and then, throw away messages that nobody reads."""
        now = resources.monotonic()
        if now < self._tidy_at:
            return
        self._tidy_at = now + resources.settings().poll_seconds
        self._queue.tidy(*self._lanes)

    def _begin(self, claim: Claim) -> None:
        running = self._in_hand.add(claim)
        # A thread that nobody waits for at the end of the process, as a pool's would be.
        threading.Thread(
            target=self._run_one, args=(running,), name=f"job-{claim.id}", daemon=True
        ).start()

    # --- one job ---

    def _run_one(self, running: Running) -> None:
        try:
            with attended.attended(running.claim, self.worker):
                result, error = self._outcome(running)
                how = "completed" if error is None else OUTCOMES[ending_of(error).kind]
                attended.before_end(how, error)
                self._settle(running, result, error)
        except (LeaseLostError, UnknownJobError) as error:
            log.warning("%s", error)
        except DATABASE_ERRORS as error:
            log.warning("how job %s ended is not written: %s", running.claim.id, reason(error))
        finally:
            self._in_hand.remove(running)
            self._queue.wakeups.wake()

    def _outcome(self, running: Running) -> tuple[Any, Exception | None]:
        claim = running.claim
        token = current.set(running)
        try:
            value = self._handler_of(claim)(*claim.args, **claim.kwargs)
            if iscoroutine(value):
                value = asyncio.run(asyncio.wait_for(value, claim.time_limit))
            return value, None
        except TimeoutError as error:
            if claim.time_limit is None or not running.is_late:
                return None, error
            return None, AttemptError(f"TimeLimitExceeded: {claim.time_limit} s")
        except Exception as error:  # noqa: BLE001  the edge of user code: whatever it raises is recorded
            return None, error
        except SystemExit as error:
            return None, AttemptError(f"the job called exit({error.code})")
        except BaseException as error:  # noqa: BLE001  such as asyncio's CancelledError
            return None, AttemptError(f"{type(error).__name__}: {error}")
        finally:
            current.reset(token)

    def _handler_of(self, claim: Claim) -> Handler:
        handler = self._handlers.get(claim.name, self._default)
        if handler is None:
            raise AttemptError(f"no handler for {claim.name}")
        return handler

    def _settle(self, running: Running, result: Any, error: BaseException | None) -> None:
        """Write how it ended; a ledger that is away is waited for, as long as a lease lasts."""
        until = resources.monotonic() + self._queue.lease
        while not running.over.is_set():
            try:
                return self._write(running.claim, result, error)
            except InputError as refused:
                error = refused
            except DATABASE_ERRORS:
                if resources.monotonic() >= until:
                    raise
                running.over.wait(LEDGER_AWAY)
        return None

    def _write(self, claim: Claim, result: Any, error: BaseException | None) -> None:
        if error is None:
            self._queue.complete(claim, result)
        elif isinstance(error, Snooze):
            self._queue.snooze(claim, error.seconds)
        elif isinstance(error, Cancel):
            self._queue.end(claim, str(error) or "cancelled by the job itself")
        else:
            ending = ending_of(error)
            again = self._queue.fail(
                claim, ending.text, permanent=ending.kind == "permanent", retry_after=ending.wait
            )
            log.warning("job %s failed%s: %s", claim.id, "" if again else " for good", ending.text)

    # --- its place in the registry ---

    def _register(self) -> None:
        own = processes.identity_of(os.getpid())
        with self._queue.ledger.begin() as connection:
            workers.register(
                connection,
                workers.Registered(
                    worker=self.worker,
                    host=own.host if own else None,
                    process=own.process if own else None,
                ),
                self._lanes, tier=OUTSIDE, capacity=self._concurrency, labels=self._queue.labels,
            )  # fmt: skip
        self._registered = True

    def _leave(self) -> None:
        try:
            attempts.interrupt(self._queue.ledger, self.worker, "the processor was stopped")
            with self._queue.ledger.begin() as connection:
                workers.forget(connection, self.worker)
        except DATABASE_ERRORS as error:
            log.warning("could not leave the registry: %s", reason(error))
