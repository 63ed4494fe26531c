"""A Celery task whose calls are jobs of the ledger.

The producer's side writes the job's row and sends its wake-up; the worker's side claims the
row, runs the function and writes the outcome. Celery sees an ordinary task.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from billiard.common import terminate_handler_fired
from celery import Task
from celery.exceptions import Ignore, Reject, Retry
from celery.result import AsyncResult, EagerResult
from celery.utils import gen_unique_id
from kombu.utils.functional import maybe_list

from vibe_tasks.errors import (
    AttemptError,
    Cancel,
    InputError,
    LeaseLostError,
    Snooze,
    TransientError,
)
from vibe_tasks.failures import FailureKind, classify, describe
from vibe_tasks.flow import attempts
from vibe_tasks.flow.progress import publication_of
from vibe_tasks.jobs import Claim, NewJob, Publication
from vibe_tasks.priority import Priority, parse_priority
from vibe_tasks.store import jobs
from vibe_tasks.tasks import canvas, publisher, resources
from vibe_tasks.tasks.options import (
    canvas_of,
    check_options,
    delay_of,
    lane_of,
    moment_of,
    time_limit_of,
)

log = logging.getLogger(__name__)

EAGER_OPTIONS = ("chain", "chord", "group_id")
"""What `task_always_eager` needs of a call's options; priorities and delays mean nothing there."""


class LedgerTask(Task):
    """Base of every task that `@job` makes.

    Attributes:
        lane: Stream of jobs; the queue of that name.
        urgency: Priority of a call that names none.
        effort: From 1 to 5.
        max_retries: The failure of this number is a job's last.
        retry_base: Seconds; after failure n a job waits about `retry_base * 2**n`; None: the
            setting's.
        kind: Kind of its jobs in the ledger.
    """

    abstract = True
    Request = "vibe_tasks.tasks.request:LedgerRequest"
    typing = True
    lane: str | None = None
    urgency = Priority.NORMAL
    effort = 2
    max_retries = 3
    retry_base: float | None = None
    kind = "call"
    resultrepr_maxsize = 200  # for log lines and Flower; the ledger has the whole result

    # --- the producer's side ---

    def apply_async(  # noqa: PLR0917  Celery's signature
        self,
        args: Sequence[Any] | None = None,
        kwargs: dict[str, Any] | None = None,
        task_id: str | None = None,
        producer: Any = None,  # noqa: ARG002  our own pool sends
        link: Any = None,
        link_error: Any = None,
        shadow: str | None = None,
        **options: Any,
    ) -> AsyncResult | EagerResult:
        """Write the job and send its wake-up; returns a Celery result.

        Beside Celery's options: `priority` (a name or our number), `unique_key` (while a job
        with this key lives, its result is returned instead), `countdown`, `eta`, `lane`.

        Raises:
            InputError: An argument is no JSON value, or an option has a wrong value.
            TypeError: The arguments do not fit the function.
        """
        if self.typing:
            self._check_signature(args or (), kwargs or {})
        if self.app.conf.task_always_eager:
            passed = {name: options[name] for name in EAGER_OPTIONS if name in options}
            return super().apply_async(
                args, kwargs, task_id=task_id, link=link, link_error=link_error, shadow=shadow,
                **passed,
            )  # fmt: skip
        options |= {
            "link": maybe_list(link), "link_error": maybe_list(link_error), "shadow": shadow,
        }  # fmt: skip
        job = self.new_job(args or (), kwargs or {}, task_id, options)
        ledger = resources.ledger()
        # One statement is a transaction of its own; a key takes two.
        with ledger.begin() if job.unique_key else ledger.write_once() as connection:
            submitted = self._submit(connection, [job])[0]
        if submitted.fresh and submitted.due:
            publisher.publish(self.app, ledger, [publication_of(job)])
        return self.AsyncResult(submitted.id)

    def submit_many(
        self, calls: Iterable[Any], *, priority: Any = None
    ) -> list[AsyncResult | EagerResult]:
        """Submit one job for each call in one transaction and one round trip to the broker.

        Args:
            calls: For each job a tuple of positional or a mapping of keyword arguments.
            priority: A name or our number; the task's own by default.
        """
        split = [((), call) if isinstance(call, dict) else (tuple(call), {}) for call in calls]
        for args, kwargs in split:
            self._check_signature(args, kwargs)
        if self.app.conf.task_always_eager:
            return [self.apply_async(args, kwargs) for args, kwargs in split]
        made = [self.new_job(args, kwargs, None, {"priority": priority}) for args, kwargs in split]
        ledger = resources.ledger()
        with ledger.begin() as connection:
            self._submit(connection, made)
        publisher.publish(self.app, ledger, [publication_of(job) for job in made])
        return [self.AsyncResult(job.id) for job in made]

    def new_job(
        self,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        task_id: str | None,
        options: dict[str, Any],
    ) -> NewJob:
        """The job that a call with these options makes."""
        urgency = options.get("priority")
        base = resources.settings().retry_base if self.retry_base is None else self.retry_base
        try:
            check_options(options)
            limit = time_limit_of(options)
            return NewJob(
                id=task_id or gen_unique_id(),
                name=self.name,
                kind=self.kind,
                lane=lane_of(options) or self.lane or "code",
                priority=self.urgency if urgency is None else parse_priority(urgency),
                effort=self.effort,
                args=tuple(args),
                kwargs=kwargs,
                max_retries=self.max_retries,
                retry_base=base,
                delay=delay_of(options),
                due_at=moment_of(options),
                time_limit=self.time_limit if limit is None else limit,
                unique_key=options.get("unique_key"),
                canvas=canvas_of(options),
            )
        except (ValueError, InputError) as error:
            raise InputError(f"{self.name}: {error}") from error

    def _submit(self, connection: Any, made: list[NewJob]) -> tuple[jobs.Submitted, ...]:
        try:
            return jobs.submit(connection, made, published=True)
        except TypeError as error:  # what json says of a value it cannot write
            raise InputError(f"{self.name}: arguments must be JSON values: {error}") from error

    def _check_signature(self, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        check = getattr(self, "__header__", None)
        if check is not None:
            check(*args, **kwargs)

    def retry(  # noqa: PLR0917  Celery's signature
        self,
        args: Any = None,
        kwargs: Any = None,
        exc: BaseException | None = None,
        throw: bool = True,
        eta: datetime | None = None,
        countdown: float | None = None,
        max_retries: int | None = None,
        **_options: Any,
    ) -> Retry:
        """Celery's `retry`: fail this attempt and wait, as the ledger's policy or as told."""
        if self.request.called_directly or self.request.is_eager:
            return super().retry(
                args, kwargs, exc=exc, throw=throw, eta=eta, countdown=countdown,
                max_retries=max_retries,
            )  # fmt: skip
        wait = countdown
        if eta is not None:
            wait = max(0.0, (moment_of({"eta": eta}) or 0.0) - resources.wall_clock())
        asked = Retry("asked for a retry", exc=exc, when=wait)
        if throw:
            raise asked from exc
        return asked

    def replace(self, sig: Any) -> Any:
        """Refused: a job's row is its own, and another job needs another id."""
        raise NotImplementedError(
            f"{self.name}: a job has no replace(); submit {sig!r}, or make it a chain"
        )

    # --- the worker's side ---

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the function directly, or, for a message from the broker, as a claimed attempt."""
        request = self.request
        if request.called_directly or request.is_eager:
            return _finished(self.run(*args, **kwargs))
        ledger = resources.ledger()
        if not request.get(publisher.OURS):
            with ledger.begin() as connection:
                self._adopt(connection, args, kwargs)
        with ledger.write_once() as connection:
            claim = jobs.claim(
                connection,
                request.id,
                worker=request.hostname,
                lease=resources.settings().lease_seconds,
            )
        if claim is None:
            log.info("nothing to do: the job is not to be had")
            raise Ignore
        request.args, request.kwargs = claim.args, dict(claim.kwargs)
        request.retries = claim.retry_count
        return self._attempt(claim)

    def _adopt(self, connection: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        """Write the job of a message that was sent without us, by name; once."""
        request = self.request
        if jobs.results_of(connection, [request.id]):
            return
        options = {
            "lane": (request.delivery_info or {}).get("routing_key"), "link": request.callbacks,
            "link_error": request.errbacks, "chain": request.chain, "chord": request.chord,
            "group_id": request.group, "group_index": request.group_index,
            "root_id": request.root_id, "parent_id": request.parent_id,
        }  # fmt: skip
        self._submit(connection, [self.new_job(args, kwargs, request.id, options)])

    def perform(self, claim: Claim) -> tuple[Any, Sequence[Publication]]:
        """One attempt: do the work, write its end; the result and the messages to send.

        Raises:
            LeaseLostError: The attempt is no longer the job's current one.
        """
        result = _finished(self.run(*claim.args, **claim.kwargs))
        linked = canvas.take_following(self, result)
        ledger = resources.ledger()
        with ledger.begin() if linked else ledger.write_once() as connection:
            jobs.complete_job(connection, claim.id, claim.attempt, result)
            submitted = jobs.submit(connection, linked, published=True) if linked else ()
        due = {each.id for each in submitted if each.fresh and each.due}
        return result, [publication_of(job) for job in linked if job.id in due]

    def _attempt(self, claim: Claim) -> Any:
        try:
            result, following = self.perform(claim)
        except LeaseLostError as error:
            log.warning("%s", error)
            raise Ignore from error
        except (Ignore, Reject):
            self._settle(claim, Cancel("the job asked to be ignored"))
            raise
        except Exception as error:  # noqa: BLE001  the edge of user code: whatever it raises is recorded
            return self._settle(claim, error)
        except SystemExit as error:
            if terminate_handler_fired():
                raise  # not the job's doing: this process was told to end
            # Let out, it would end the pool's process, and the job count as lost.
            return self._settle(claim, AttemptError(f"the job called exit({error.code})"))
        publisher.publish(self.app, resources.ledger(), following)
        return result

    def _settle(self, claim: Claim, error: BaseException) -> Any:
        """Write down how an attempt ended that did not complete, and tell Celery."""
        try:
            again, following = attempts.settle(
                resources.ledger(), claim, ending_of(error), uniform=resources.uniform
            )
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
        raise error


def ending_of(error: BaseException) -> attempts.Ending:
    """What an exception out of a job means for the job."""
    if isinstance(error, Snooze):
        return attempts.Ending(kind="snooze", text=str(error), wait=error.seconds)
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
