"""What the worker's main process does when a child that ran a job is gone.

A child that was killed, by the out-of-memory killer or by a time limit, cannot write how its
attempt ended; its parent does.
"""

from __future__ import annotations

import logging
from typing import Any

from billiard.einfo import ExceptionWithTraceback
from billiard.exceptions import WorkerLostError
from celery.worker import state
from celery.worker.request import Request

from vibe_tasks.errors import IllegalMoveError, UnknownJobError
from vibe_tasks.flow import attempts, control
from vibe_tasks.tasks import publisher, resources

log = logging.getLogger(__name__)


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
        """The time limit is over and the child was killed."""
        if not soft:
            self._lost(f"TimeLimitExceeded: {timeout} s")
        super().on_timeout(soft, timeout)

    def on_failure(
        self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False
    ) -> Any:
        """The attempt raised, or its child is gone."""
        error = exc_info.exception
        if isinstance(error, ExceptionWithTraceback):
            error = error.exc
        if isinstance(error, WorkerLostError | SystemExit | KeyboardInterrupt):
            self._lost(f"the process that ran it died ({error})")
        return super().on_failure(
            exc_info, send_failed_event=send_failed_event, return_ok=return_ok
        )

    def _announce_revoked(self, reason: str, terminated: bool, signum: str, expired: bool) -> None:
        """Somebody revoked the task: the job is cancelled, whatever worker would get it next."""
        try:
            control.cancel_job(resources.ledger(), self.id, f"revoked: {reason}")
        except (UnknownJobError, IllegalMoveError) as error:
            log.info("nothing to cancel: %s", error)
        super()._announce_revoked(reason, terminated, signum, expired)

    def _lost(self, why: str) -> None:
        ledger = resources.ledger()
        stopped = state.should_terminate not in {None, False}  # a cold shutdown ends the pool
        following = attempts.lose(
            ledger, self.id, self.hostname, why, uniform=resources.uniform, counted=not stopped
        )
        publisher.publish(self.app, ledger, following)
