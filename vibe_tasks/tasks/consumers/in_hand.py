"""The jobs that a `JobProcessor` has in hand: their leases are renewed, their time is watched."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field

from vibe_tasks.errors import LeaseLostError
from vibe_tasks.jobs import Claim
from vibe_tasks.store import leases, workers
from vibe_tasks.store.engine import DATABASE_ERRORS
from vibe_tasks.store.retries import reason
from vibe_tasks.tasks import resources
from vibe_tasks.tasks.consumers.job_queue import JobQueue
from vibe_tasks.tasks.main_process.heartbeat import BEATS, SOON

log = logging.getLogger(__name__)

CLOSING = 2.0
"""Seconds that `end` waits for a heartbeat that is under way."""

current: ContextVar[Running | None] = ContextVar("current", default=None)
"""The job that runs in this thread or coroutine."""


@dataclass(slots=True, eq=False)
class Running:
    """A job in hand.

    Attributes:
        claim: What was claimed.
        queue: Where it came from.
        ends: When its time is over, in monotonic seconds; None without a limit.
        over: Set when the attempt is no longer ours: it was cancelled, took too long, or its
            lease ran out.
    """

    claim: Claim
    queue: JobQueue
    ends: float | None
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def is_late(self) -> bool:
        """Whether its time is over."""
        return self.ends is not None and resources.monotonic() >= self.ends

    def check_lease(self) -> None:
        """The fence: call it right before an effect outside the ledger.

        Raises:
            LeaseLostError: The attempt is no longer ours.
        """
        if self.over.is_set():
            raise LeaseLostError(f"attempt {self.claim.attempt} of job {self.claim.id} is over")
        self.queue.check_lease(self.claim)


def current_job() -> Running:
    """The job that runs in this thread or coroutine.

    Raises:
        RuntimeError: None does.
    """
    found = current.get()
    if found is None:
        raise RuntimeError("no job runs here")
    return found


class InHand:
    """Jobs in the hands of one processor. Threads share it.

    Args:
        queue: Where they come from.
        worker: The processor's name in the registry.
        drain: Called when the registry says that it is to take nothing new.
    """

    def __init__(self, queue: JobQueue, worker: str, drain: Callable[[], None]) -> None:
        self._queue = queue
        self._worker = worker
        self._drain = drain
        self._running: set[Running] = set()
        self._turn = threading.Lock()
        self._look = threading.Event()
        self._ended = False
        self._empty = threading.Event()
        self._empty.set()
        self._thread = threading.Thread(target=self._beat, name="lease-heartbeat", daemon=True)

    def __len__(self) -> int:
        return len(self._running)

    def start(self) -> None:
        """Begin to renew leases."""
        self._thread.start()

    def add(self, claim: Claim) -> Running:
        """Take a job in hand."""
        ends = None if claim.time_limit is None else resources.monotonic() + claim.time_limit
        running = Running(claim=claim, queue=self._queue, ends=ends)
        with self._turn:
            self._running.add(running)
            self._empty.clear()
        if ends is not None:
            self._look.set()
        return running

    def remove(self, running: Running) -> None:
        """It is done with."""
        with self._turn:
            self._running.discard(running)
            if not self._running:
                self._empty.set()

    def wait_until_empty(self, seconds: float) -> None:
        """Wait at most so long for all to end."""
        self._empty.wait(seconds)

    def end(self) -> None:
        """Renew no more; what is still in hand may write nothing from now on."""
        with self._turn:
            for each in self._running:
                each.over.set()
            self._running.clear()
        self._ended = True
        self._look.set()
        self._thread.join(CLOSING)

    def _beat(self) -> None:
        while not self._ended:
            try:
                wait = self._beat_once()
            except Exception:  # the thread's edge: without it every lease would run out
                log.exception("heartbeat failed, next try in %.2f s", SOON)
                wait = SOON
            self._look.wait(wait)
            self._look.clear()  # before `_ended` and the jobs in hand are looked at

    def _beat_once(self) -> float:
        """Renew what is in time; seconds until the next beat."""
        every = self._queue.lease / BEATS
        with self._turn:
            running = tuple(self._running)
        in_time = [each for each in running if not self._end_overdue(each)]
        wait = every if self._renew(in_time) else min(SOON, every)
        soonest = min((each.ends for each in in_time if each.ends is not None), default=None)
        if soonest is not None:
            wait = min(wait, soonest - resources.monotonic())
        return max(0.01, wait)

    def _renew(self, running: Sequence[Running]) -> bool:
        held = {(each.claim.id, each.claim.attempt): each for each in running}
        try:
            with self._queue.ledger.begin() as connection:
                lost = leases.renew(connection, held, lease=self._queue.lease)
                draining = workers.beat(connection, self._worker, active=len(self))
        except DATABASE_ERRORS as error:
            log.warning("heartbeat failed, next try in %.2f s: %s", SOON, reason(error))
            return False
        for attempt in lost:
            held[attempt].over.set()
        if draining:
            self._drain()
        return True

    def _end_overdue(self, running: Running) -> bool:
        """Count a job as failed whose time is over; whether it needs no lease any more."""
        if running.over.is_set() or not running.is_late:
            return running.over.is_set()
        try:
            self._queue.fail(running.claim, f"TimeLimitExceeded: {running.claim.time_limit} s")
        except LeaseLostError as error:
            log.info("%s", error)
        except DATABASE_ERRORS as error:
            log.warning("a job's time is over, and the ledger away: %s", reason(error))
            return False
        running.over.set()
        return True
