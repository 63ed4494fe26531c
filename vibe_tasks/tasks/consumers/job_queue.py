"""`JobQueue`: the ledger's jobs for programs that are no Celery workers.

What it writes goes the way of everything else: the jobs of a plan move it on, links, chains and
chords follow, messages go out to the workers of other lanes.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from math import isfinite
from types import TracebackType
from typing import Any, Self
from uuid import uuid4
from weakref import WeakSet

from vibe_tasks.errors import InputError
from vibe_tasks.flow import attempts, control
from vibe_tasks.flow.outside import Attempt
from vibe_tasks.flow.progress import publication_of
from vibe_tasks.jobs import Claim, NewJob, Publication
from vibe_tasks.labels import is_label
from vibe_tasks.priority import parse_priority
from vibe_tasks.setting_sources import read_settings
from vibe_tasks.store import jobs, leases
from vibe_tasks.store.engine import DATABASE_ERRORS, Database
from vibe_tasks.store.listening import Notification
from vibe_tasks.store.stats import QueueStats, get_queue_stats
from vibe_tasks.tasks import completion, followers, leftovers, publisher, resources
from vibe_tasks.tasks.app import app
from vibe_tasks.tasks.consumers.feed import Feed
from vibe_tasks.tasks.observation import traces
from vibe_tasks.tasks.queues import check_lane
from vibe_tasks.tasks.wakeups import Wakeups

log = logging.getLogger(__name__)

LONGEST_LEASE = 366 * 86_400.0
"""Seconds; whoever holds a job for longer than a year has forgotten it."""


class JobQueue:
    """Claim jobs, end them, hear of them. A context manager; threads may share one.

    Args:
        database_url: The ledger; None: that of the settings. The broker is the settings' one in
            either case.
        worker: Who claims; None: a name of this object's own.
        lease: Seconds that a claim lasts without a heartbeat; None: the setting's.
        labels: What the program has that a job may require; jobs that require anything else are
            left to others.

    Raises:
        InputError: The settings or the URL are wrong, or the ledger cannot be used.
    """

    def __init__(
        self,
        database_url: str | None = None,
        *,
        worker: str | None = None,
        lease: float | None = None,
        labels: Collection[str] = (),
    ) -> None:
        _check_lease(lease)
        self.labels = _labels(labels)
        self.own: Database | None = None
        if database_url is None:
            self.ledger = resources.ledger()
        else:
            known, _ = read_settings({"VIBE_DATABASE_URL": database_url}, {})
            self.own = resources.open_own(known.database_url)
            self.ledger = resources.verified(self.own)
        self.worker = worker or f"outside-{uuid4().hex[:8]}@{socket.gethostname()}"
        self.lease = lease or resources.settings().lease_seconds
        self._wakeups: Wakeups | None = None
        self._starting = threading.Lock()
        _queues.add(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening and close what this object has opened. Claims stay as they are."""
        if self._wakeups is not None:
            self._wakeups.close()
        if self.own is not None:
            self.own.close()

    @property
    def wakeups(self) -> Wakeups:
        """What waits for this ledger; listening from the first use on."""
        with self._starting:
            if self._wakeups is None:
                self._wakeups = Wakeups.of_settings(self.ledger).__enter__()
            return self._wakeups

    # --- taking jobs ---

    def claim(
        self, *lanes: str, wait: float | None = 0.0, worker: str | None = None
    ) -> Claim | None:
        """Take the most urgent due job of the first of these lanes that has one, for one attempt.

        Args:
            lanes: Where to look, in this order.
            wait: Seconds to wait for a job; None: as long as it takes.
            worker: Who claims; None: this queue's.

        Returns:
            The claim; None when there is no job in time.

        Raises:
            InputError: A name is none of a lane's, or `wait` is below zero.
        """
        if not lanes:
            raise InputError("claim: name a lane")
        for lane in lanes:
            check_lane(lane)
        if wait is not None and not wait >= 0:
            raise InputError(f"wait must be zero or more, got {wait}")
        look = partial(self._claim, lanes, worker or self.worker)
        if wait == 0:
            return look()
        return self.wakeups.look_until(look, lanes=lanes, timeout=wait)

    def _claim(self, lanes: Iterable[str], worker: str) -> Claim | None:
        for lane in lanes:
            claim = resources.retries.call(partial(self._claim_of, lane, worker))
            if claim is not None:
                return claim
        return None

    def _claim_of(self, lane: str, worker: str, _unsure: bool) -> Claim | None:
        # Where a claim's answer was lost, its lease ends as a dead worker's does: only the caller
        # knows which attempts are in use.
        with self.ledger.write_once() as connection:
            return jobs.claim_next_job(
                connection, lane, worker=worker, lease=self.lease, labels=self.labels
            )

    def heartbeat(self, attempt: Attempt, *, lease: float | None = None) -> float:
        """Renew the lease of an attempt, whoever claimed it; its new end in epoch seconds.

        Raises:
            LeaseLostError: The attempt is no longer the job's current one: stop, write nothing.
            InputError: The lease is no number of seconds.
        """
        _check_lease(lease)
        with self.ledger.begin() as connection:
            held = (attempt.id, attempt.attempt)
            leases.renew(connection, [held], lease=lease or self.lease)
            jobs.check_lease(connection, *held)
            return float(jobs.find_job(connection, attempt.id)["lease_until"])

    def check_lease(self, attempt: Attempt) -> None:
        """The fence: call it right before an effect outside the ledger.

        Raises:
            LeaseLostError: The attempt is no longer the job's current one.
        """
        with self.ledger.read() as connection:
            jobs.check_lease(connection, attempt.id, attempt.attempt)

    # --- ending attempts ---

    def complete(self, attempt: Attempt, result: Any = None) -> None:
        """Record the result, and start what follows from it.

        Args:
            attempt: What was claimed.
            result: A JSON value; of a plan's job as `flow.outside.complete` has it.

        Raises:
            LeaseLostError: The attempt is no longer the job's current one.
            InputError: The result is no JSON value, or not what the job's kind must have.
        """
        try:
            with self.ledger.begin() as connection:
                following = completion.complete(connection, app, attempt, result)
        except (TypeError, RecursionError) as error:  # of json, about what it cannot write
            raise InputError(f"the result must be a JSON value: {error}") from error
        self._publish(following)

    def fail(
        self,
        attempt: Attempt,
        error: str,
        *,
        permanent: bool = False,
        retry_after: float | None = None,
    ) -> bool:
        """Count a failure; whether the job will be tried again.

        Args:
            attempt: What was claimed.
            error: What went wrong.
            permanent: Do not try again.
            retry_after: Seconds to wait instead of the retry policy's.

        Raises:
            LeaseLostError: The attempt is no longer the job's current one.
            InputError: `retry_after` is no number of seconds.
        """
        if retry_after is not None:
            _check_seconds("retry_after", retry_after)
        kind: Any = "permanent" if permanent else "failure"
        again = self._settle(attempt, attempts.Ending(kind=kind, text=error, wait=retry_after))
        if not again:
            followers.tell(app, self.ledger, [attempt.id])
        return again

    def snooze(self, attempt: Attempt, seconds: float, reason: str = "snoozed") -> None:
        """Put the job back for later without counting a failure.

        Raises:
            LeaseLostError: The attempt is no longer the job's current one.
            InputError: `seconds` is no number of seconds.
        """
        _check_seconds("seconds", seconds)
        self._settle(attempt, attempts.Ending(kind="snooze", text=reason, wait=seconds))

    def end(self, attempt: Attempt, reason: str) -> None:
        """Cancel the job from inside its attempt.

        Raises:
            LeaseLostError: The attempt is no longer the job's current one.
        """
        self._settle(attempt, attempts.Ending(kind="cancel", text=reason))

    def _settle(self, attempt: Attempt, ending: attempts.Ending) -> bool:
        with self.ledger.read() as connection:
            row = jobs.find_job(connection, attempt.id)
        place = attempts.Place(
            id=attempt.id, attempt=attempt.attempt, kind=row["kind"], plan_id=row["plan_id"],
            task_id=row["task_id"],
        )  # fmt: skip
        again, following = attempts.settle(self.ledger, place, ending, uniform=resources.uniform)
        self._publish(following)
        return again

    def hand_back(self, reason: str) -> int:
        """Return all that this queue's worker holds, counting no failure; how many jobs."""
        return attempts.interrupt(self.ledger, self.worker, reason)

    # --- everything else ---

    def submit(
        self,
        name: str,
        args: Collection[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        lane: str = "code",
        priority: str | int = "normal",
        **fields: Any,
    ) -> str:
        """Write a job; its id, or that of the live job with its `unique_key`.

        Args:
            name: What handlers and Celery workers know it by.
            args: Positional arguments, JSON values.
            kwargs: Keyword arguments, JSON values.
            lane: Stream of jobs it belongs to.
            priority: A name or our number.
            fields: Any other field of `vibe_tasks.jobs.NewJob`.

        Raises:
            InputError: A value is wrong.
        """
        chosen = resources.settings()
        defaults = {"max_retries": chosen.max_retries, "retry_base": chosen.retry_base}
        try:
            own = {"id": str(uuid4()), "trace": traces.parent()}
            job = NewJob(
                **(own | defaults | fields), name=name, args=tuple(args),
                kwargs=dict(kwargs or {}), lane=check_lane(lane), priority=parse_priority(priority),
            )  # fmt: skip
            with self.ledger.begin() as connection:
                submitted = jobs.submit(connection, [job], published=True)[0]
        except (TypeError, ValueError) as error:
            raise InputError(f"submit {name}: {error}") from error
        if submitted.fresh and submitted.due:
            self._publish([publication_of(job)])
        return submitted.id

    def cancel(self, job_id: str, reason: str = "cancelled") -> None:
        """End a job that has not ended; a running attempt loses its lease.

        Raises:
            UnknownJobError: No such job.
            IllegalMoveError: It has ended already.
        """
        control.cancel_job(self.ledger, job_id, reason)

    def subscribe(
        self,
        callback: Callable[[Notification], None] | None = None,
        *,
        lanes: Collection[str] = (),
    ) -> Feed:
        """Hear of new jobs and of changes of jobs, from now on.

        Args:
            callback: Called with each, in a thread of its own; None: iterate over the feed.
            lanes: Only of these lanes; empty: of all.

        Returns:
            What ends it: `close()`, or its `with` block.
        """
        return Feed(self.wakeups, callback, lanes)

    def stats(self, lane: str | None = None) -> QueueStats:
        """Jobs by lane and status, and how long the oldest due job has waited."""
        with self.ledger.read() as connection:
            return get_queue_stats(connection, lane=lane)

    def tidy(self, *lanes: str) -> None:
        """Throw away the broker's messages that no Celery worker of these lanes will read."""
        try:
            leftovers.throw_away(app, self.ledger, lanes)
        except (*DATABASE_ERRORS, *publisher.BROKER_ERRORS) as error:
            log.debug("superfluous messages stay: %s", error)

    def _publish(self, publications: Collection[Publication]) -> None:
        publisher.publish(app, self.ledger, tuple(publications))


def _labels(labels: Collection[str]) -> frozenset[str]:
    wrong = [each for each in labels if not is_label(each)]
    if isinstance(labels, str) or wrong:
        raise InputError(f"labels must be labels such as gpu or lang:rust, got {labels!r}")
    return frozenset(labels)


def _check_seconds(name: str, seconds: float) -> None:
    if not (seconds >= 0 and isfinite(seconds)):
        raise InputError(f"{name} must be seconds, zero or more, got {seconds}")


def _check_lease(lease: float | None) -> None:
    if lease is not None and not 0 < lease <= LONGEST_LEASE:
        raise InputError(f"lease must be above zero and at most a year of seconds, got {lease}")


_queues: WeakSet[JobQueue] = WeakSet()


_forking: list[Database] = []
"""The databases that queues have opened, while this process forks."""


def _before_fork() -> None:
    _forking[:] = [each.own for each in tuple(_queues) if each.own is not None]
    for each in _forking:
        each.before_fork()


def _after_fork() -> None:
    for each in _forking:
        each.after_fork()


def _in_child() -> None:
    for each in _forking:
        each.forget_inherited()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_child)
