"""A Celery task whose calls are jobs of the ledger.

The producer's side writes the job's row and sends its wake-up; the worker's side claims the
row, runs the function and writes the outcome. Celery sees an ordinary task.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from billiard.common import terminate_handler_fired
from celery.exceptions import Ignore, Reject, Retry, WorkerShutdown, WorkerTerminate

from vibe_tasks.errors import (
    AttemptError,
    BudgetReachedError,
    Cancel,
    CircuitBreakerOpenError,
    LeaseLostError,
    Snooze,
    TransientError,
    UsageLimitError,
)
from vibe_tasks.failures import FailureKind, classify, describe
from vibe_tasks.flow import attempts, chords, writing
from vibe_tasks.flow.progress import publication_of
from vibe_tasks.jobs import Claim, JobStatus, Publication
from vibe_tasks.store import jobs, leases
from vibe_tasks.store.chords import body_of
from vibe_tasks.store.engine import DATABASE_ERRORS
from vibe_tasks.store.retries import OUTCOME, reason
from vibe_tasks.tasks import canvas, publisher, resources, sealed_messages, turns
from vibe_tasks.tasks.call import CalledTask
from vibe_tasks.tasks.labels import worker_labels
from vibe_tasks.tasks.observation import attended
from vibe_tasks.tasks.pool.room import stopping
from vibe_tasks.tasks.pool.sheet import Stage, sheet
from vibe_tasks.tasks.queues import lane_of_delivery

log = logging.getLogger(__name__)


OUTCOMES = {
    "failure": "failed", "permanent": "failed", "snooze": "snoozed", "block": "blocked",
    "cancel": "cancelled",
}  # fmt: skip
"""How an attempt ended, in the word that its span and its log have."""


class LedgerTask(CalledTask):
    """Base of every task that `@job` makes."""

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the function directly, or, for a message from the broker, as a claimed attempt."""
        request = self.request
        if request.called_directly or request.is_eager:
            return _finished(self.run(*args, **kwargs))
        noted = sheet()
        noted.note(request.id, 0, Stage.CLAIMING)
        try:
            claim = self._claim(args, kwargs)
            if claim is None:
                log.info("nothing to do: the job is not to be had")
                turns.refused(self.app, resources.ledger(), request.id)
                raise Ignore
            noted.note(claim.id, claim.attempt, Stage.RUNNING)
            request.args, request.kwargs = claim.args, dict(claim.kwargs)
            request.retries = claim.retry_count
            try:
                with attended.attended(claim, request.hostname):
                    return self._attempt(claim)
            finally:
                if not terminate_handler_fired():
                    turns.pass_on(self.app, resources.ledger(), claim)
        finally:
            if not terminate_handler_fired():  # else the main process gives the attempt back
                noted.clear()

    def _claim(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Claim | None:
        """The attempt; None when the job is not to be had, or the ledger not to be reached."""
        request = self.request
        if request.get(sealed_messages.UNOPENED):
            log.warning("the job is left to others: none of VIBE_PAYLOAD_KEYS opens its message")
            return None
        try:
            ours = request.get(publisher.OURS)
            if not ours:
                self._adopt(args, kwargs)
            return writing.claim(
                resources.ledger(), request.id, worker=request.hostname,
                lease=resources.settings().lease_seconds, retries=resources.retries,
                in_use=sheet().runs, labels=worker_labels(),
                routing=request.get(publisher.WHY) if ours else None,
            )  # fmt: skip
        except DATABASE_ERRORS as error:
            log.warning("ledger away, the job's message will be sent again: %s", reason(error))
            return None

    def _adopt(self, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        """Write the job of a message that was sent without us, by name; once."""
        request = self.request
        options = {
            "lane": lane_of_delivery(request.delivery_info), "link": request.callbacks,
            "link_error": request.errbacks, "chain": request.chain, "chord": request.chord,
            "group_id": request.group, "group_index": request.group_index,
            "root_id": request.root_id, "parent_id": request.parent_id,
            "expires": request.expires,
        }  # fmt: skip
        self._submit([self.new_job(args, kwargs, request.id, options)], once=True)

    def perform(self, claim: Claim) -> tuple[Any, Sequence[Publication]]:
        """One attempt: do the work, write its end; the result and the messages to send.

        Raises:
            LeaseLostError: The attempt is no longer the job's current one.
        """
        result = _finished(self.run(*claim.args, **claim.kwargs))
        attended.before_end("completed")
        linked = canvas.take_following(self, result, lane=claim.lane)
        group_id = self.request.group if self.request.chord else None
        ledger = resources.ledger()

        def write(unsure: bool) -> tuple[tuple[jobs.Submitted, ...], Any]:
            alone = not (linked or group_id or unsure)
            with ledger.write_once() if alone else ledger.begin() as connection:
                end = leases.end_of(connection, claim.id, claim.attempt) if unsure else None
                if end is not None and end[0] == JobStatus.COMPLETED:  # by an earlier try
                    counted = group_id and self._counts_in_ledger(connection, group_id)
                    # The dispatcher sends the body, should this have been the last member.
                    return tuple(map(writing.written_before, linked)), () if counted else None
                jobs.complete_job(connection, claim.id, claim.attempt, result)
                submitted = jobs.submit(connection, linked, published=True) if linked else ()
                return submitted, (
                    chords.member_completed(connection, group_id, lane=claim.lane)
                    if group_id
                    else None
                )

        submitted, bodies = resources.retries.call(write, OUTCOME)
        if bodies is not None:
            self.request.chord = None  # the chord knows; Celery need not tell it
        due = {each.id for each in submitted if each.fresh and each.due}
        return result, [*(publication_of(job) for job in linked if job.id in due), *(bodies or ())]

    def _counts_in_ledger(self, connection: Any, group_id: str) -> bool:
        """Whether the chord of this request is, or was, the ledger's and not Celery's."""
        body = (self.request.chord or {}).get("options", {}).get("task_id")
        return bool(body_of(connection, group_id) or (body and jobs.results_of(connection, [body])))

    def _attempt(self, claim: Claim) -> Any:
        try:
            result, following = self.perform(claim)
        except LeaseLostError as error:
            log.warning("%s", error)
            attended.before_end("lost")
            raise Ignore from error
        except (Ignore, Reject):
            self._settle(claim, Cancel("the job asked to be ignored"))
            raise
        except Exception as error:  # noqa: BLE001  the edge of user code: whatever it raises is recorded
            return self._settle(claim, error)
        except SystemExit as error:
            if _ends_the_process(error):
                raise
            # Let out, it would end the pool's process, and the job count as lost.
            return self._settle(claim, AttemptError(f"the job called exit({error.code})"))
        except BaseException as error:  # such as asyncio's CancelledError
            if _ends_the_process(error):
                raise
            return self._settle(claim, error)
        publisher.publish(self.app, resources.ledger(), following)
        return result

    def _settle(self, claim: Claim, error: BaseException) -> Any:
        """Write down how an attempt ended that did not complete, and tell Celery."""
        sheet().note(claim.id, claim.attempt, Stage.ENDING)
        ending = ending_of(error)
        attended.before_end(OUTCOMES[ending.kind], error)
        try:
            again, following = attempts.settle(
                resources.ledger(), claim, ending, uniform=resources.uniform,
                retries=resources.retries,
            )  # fmt: skip
        except LeaseLostError as lost:
            log.warning("%s", lost)
            raise Ignore from lost
        publisher.publish(self.app, resources.ledger(), following)
        if isinstance(error, Cancel):
            # A chord that waits for this job is told; nothing is stored.
            self.backend.mark_as_revoked(
                claim.id, str(error), request=self.request, store_result=False
            )
            raise Ignore from error
        if again:
            cause = error.exc if isinstance(error, Retry) and error.exc else error
            raise Retry(
                describe(cause), exc=cause if isinstance(cause, Exception) else None
            ) from error
        if isinstance(error, Retry) and error.exc is not None:
            raise error.exc
        if not isinstance(error, Exception):  # Celery would let it out of the pool's process
            raise AttemptError(describe(error)) from error
        raise error


def _ends_the_process(error: BaseException) -> bool:
    """Whether this is not the job's doing: its process was told to end."""
    shutdown = isinstance(error, WorkerShutdown | WorkerTerminate)
    return (
        shutdown
        or terminate_handler_fired()
        or (isinstance(error, KeyboardInterrupt) and stopping())
    )


def ending_of(error: BaseException) -> attempts.Ending:
    """What an exception out of a job means for the job."""
    if isinstance(error, Snooze):
        away = isinstance(error, CircuitBreakerOpenError | UsageLimitError)
        return attempts.Ending(kind="snooze", text=str(error), wait=error.seconds, away=away)
    if isinstance(error, BudgetReachedError):
        return attempts.Ending(kind="block", text=str(error))
    if isinstance(error, Cancel):
        return attempts.Ending(kind="cancel", text=str(error) or "cancelled by the job itself")
    if isinstance(error, Retry):
        cause = error.exc if error.exc is not None else error
        return attempts.Ending(kind="failure", text=describe(cause), wait=error.when)
    permanent = classify(error) is FailureKind.PERMANENT
    wait = error.retry_after if isinstance(error, TransientError) else None
    return attempts.Ending(
        kind="permanent" if permanent else "failure", text=describe(error), wait=wait
    )


def _finished(value: Any) -> Any:
    """The value, or what the coroutine comes to that an `async def` job returned."""
    return asyncio.run(value) if asyncio.iscoroutine(value) else value
