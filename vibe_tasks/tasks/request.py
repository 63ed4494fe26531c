"""What the worker's main process does when a child that ran a job is gone, or is to go.

A child that was killed, by the out-of-memory killer or by a time limit, cannot write how its
attempt ended; its parent does, for exactly the attempt that the child ran.
"""

from __future__ import annotations

import logging
from typing import Any

from billiard.einfo import ExceptionWithTraceback
from billiard.exceptions import WorkerLostError
from celery.exceptions import Ignore
from celery.worker import state
from celery.worker.request import Request
from kombu.asynchronous import get_event_loop

from vibe_tasks.errors import IllegalMoveError, UnknownJobError
from vibe_tasks.flow import attempts, control
from vibe_tasks.jobs import JobStatus
from vibe_tasks.store.engine import DATABASE_ERRORS
from vibe_tasks.store.jobs import find_job
from vibe_tasks.store.lane_list import why_held
from vibe_tasks.store.retries import reason
from vibe_tasks.tasks import followers, processes, publisher, resources
from vibe_tasks.tasks.observation import traces
from vibe_tasks.tasks.pool.sheet import Stage, sheet

log = logging.getLogger(__name__)

GRACE = 1.0
"""Seconds between SIGTERM and SIGKILL for an attempt that was taken away."""

LAST_WORDS = 0.1
"""Seconds between SIGTERM and SIGKILL at a time limit, as long as billiard's own."""

SAID = frozenset({"exception", "traceback", "result"})
"""Fields of Celery's events in which jobs say what they like."""


class LedgerRequest(Request):
    """A request for a job of the ledger."""

    def acknowledge(self) -> None:
        """Tell the broker, unless the lane is consumed without acknowledgement.

        Celery would ask it to forget the message all the same, which is a round trip for each
        job and a quarter of the main process's time.
        """
        queue = self.app.amqp.queues.get(self.delivery_info.get("routing_key"))
        if queue is None or not queue.no_ack:
            super().acknowledge()
        self.acknowledged = True

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """The time limit is over: end the child and all that it started, then write so."""
        if not soft:
            end_tree(self.worker_pid)
            self._lost(f"TimeLimitExceeded: {timeout} s")
        super().on_timeout(soft, timeout)

    def on_failure(
        self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False
    ) -> Any:
        """The attempt raised, or its child is gone."""
        error = exc_info.exception
        if isinstance(error, ExceptionWithTraceback):
            error = error.exc
        gone = isinstance(error, WorkerLostError | SystemExit | KeyboardInterrupt)
        if gone and not self._already_cancelled:
            self._lost(f"the process that ran it died ({error})")
        done = super().on_failure(
            exc_info, send_failed_event=send_failed_event, return_ok=return_ok
        )
        if isinstance(error, Ignore):
            self._tell_watchers()
        return done

    def send_event(self, type: str, **fields: Any) -> None:  # noqa: A002  Celery's name
        """Tell watchers, such as Flower, without what is secret in it."""
        if not self._is_watched():
            return
        clean = resources.redaction().text
        for name in SAID & fields.keys():
            if isinstance(fields[name], str):
                fields[name] = clean(fields[name])
        super().send_event(type, **fields)

    def _is_watched(self) -> bool:
        return bool(self._eventer and self._eventer.enabled and self.task.send_events)

    def revoked(self) -> bool:
        """Whether somebody revoked the task before its job was there (else `remote` cancels it).

        A revoke that was served is forgotten: workers remember it for hours, and a job that was
        cancelled by it and then retried by hand would be dropped again.
        """
        found = bool(super().revoked())
        state.revoked.discard(self.id)
        return found

    def terminate(self, pool: Any, signal: Any = None) -> None:
        """End the attempt that runs: its job is cancelled, unless that is in other hands by now."""
        if self._cancel("revoked: terminated", running=True):
            self.end(pool, signal=signal)

    def end(self, pool: Any, *, signal: Any = None) -> None:
        """End the process that runs this, and all that it started; the job is left alone.

        In the event loop's thread: the pool must know that the death is no accident.
        """
        pid, hub = self.worker_pid, get_event_loop()
        if not pid or hub is None or self._already_cancelled:
            return
        members = processes.tree_of(pid)
        self.cancel(pool, signal=signal or "TERM", emit_retry=False)
        processes.ask_to_end(members[1:])
        hub.call_later(GRACE, processes.kill, pid, members)

    def _announce_revoked(self, reason: str, terminated: bool, signum: str, expired: bool) -> None:
        """Somebody revoked the task: the job is cancelled, whatever worker would get it next."""
        if not terminated:
            self._cancel(f"revoked: {reason}", running=False)
        super()._announce_revoked(reason, terminated, signum, expired)

    def _announce_cancelled(self, emit_retry: bool = True) -> None:
        """The child was ended by `end`: its job is cancelled, or goes on elsewhere."""
        if emit_retry:
            super()._announce_cancelled(emit_retry=emit_retry)
            return
        state.task_ready(self)
        self._already_cancelled = True
        self._tell_watchers()

    def _tell_watchers(self) -> None:
        """Send the event that fits what the ledger says of a job that has not come to its end here.

        Celery sends none of a message that is ignored: Flower would call it started for ever.
        """
        if not self._is_watched():
            return
        try:
            with resources.ledger().read() as connection:
                job = find_job(connection, self.id)
                why = why_held(connection, job)
        except (UnknownJobError, *DATABASE_ERRORS) as error:
            log.info("watchers are not told of job %s: %s", self.id, error)
            return
        if job["status"] == JobStatus.CANCELLED:
            self.send_event("task-revoked", terminated=False, signum=None, expired=False)
        elif job["status"] == JobStatus.PENDING:
            self.send_event("task-retried", exception=why or "it waits", traceback=None)

    def _cancel(self, why: str, *, running: bool) -> bool:
        """Cancel the job while it waits, or the attempt that this request runs; whether so."""
        entry = sheet().of_process(self.worker_pid) if running and self.worker_pid else None
        attempt = entry.attempt if entry is not None and entry.job == self.id else None
        try:
            control.cancel_job(
                resources.ledger(), self.id, why,
                status=JobStatus.PROCESSING if running else JobStatus.PENDING, attempt=attempt,
            )  # fmt: skip
        except (UnknownJobError, IllegalMoveError) as error:
            log.info("nothing to cancel: %s", error)
            return False
        except DATABASE_ERRORS as error:
            log.warning("ledger away, not cancelled: %s", reason(error))
            return False
        followers.tell(self.app, resources.ledger(), [self.id])
        return True

    def _lost(self, why: str) -> None:
        """Give back what the child ran; where the ledger is away, the lease runs out."""
        entry = sheet().of_process(self.worker_pid) if self.worker_pid else None
        attempt = None
        if entry is not None and entry.stage is not Stage.CLAIMING:
            if entry.job != self.id:
                return  # it had not begun with this job, or had done with it
            attempt = entry.attempt
        stopped = state.should_terminate not in {None, False}  # a cold shutdown ends the pool
        ledger = resources.ledger()
        try:
            following = attempts.lose(
                ledger, self.id, self.hostname, why, uniform=resources.uniform,
                attempt=attempt, counted=not stopped, tell=traces.lost,
            )  # fmt: skip
        except DATABASE_ERRORS as error:
            log.warning("ledger away, the attempt's lease will run out: %s", reason(error))
            return
        publisher.publish(self.app, ledger, following)


def end_tree(pid: int) -> None:
    """End a child and what descends from it: ask, wait a moment, kill."""
    members = processes.tree_of(pid)
    processes.ask_to_end(members)
    end = resources.monotonic() + LAST_WORDS
    while resources.monotonic() < end and not all(map(processes.is_gone, members)):
        resources.pause(0.01)
    processes.kill(pid, members)
