"""The producer's side of a job's Celery task: a call writes a job and sends its wake-up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

from celery import Task
from celery.exceptions import Retry
from celery.result import AsyncResult, EagerResult
from celery.utils import gen_unique_id
from kombu.utils.functional import maybe_list

from vibe_tasks.errors import InputError
from vibe_tasks.flow import chords, writing
from vibe_tasks.flow.progress import publication_of
from vibe_tasks.jobs import NewJob
from vibe_tasks.priority import Priority, parse_priority
from vibe_tasks.store import jobs
from vibe_tasks.tasks import follow, publisher, resources, sealed_messages
from vibe_tasks.tasks.keys import KeyPattern
from vibe_tasks.tasks.observation import traces
from vibe_tasks.tasks.options import (
    canvas_of,
    check_options,
    deadline_of,
    delay_of,
    key_of,
    labels_of,
    lane_of,
    moment_of,
    required_of,
    time_limit_of,
)
from vibe_tasks.tasks.routing import task_routes

EAGER_OPTIONS = ("chain", "chord", "group_id")
"""What `task_always_eager` needs of a call's options; priorities and delays mean nothing there."""


class CalledTask(Task):
    """What a producer sees of a task that `@job` makes.

    Attributes:
        lane: Stream of jobs; the queue of that name.
        urgency: Priority of a call that names none.
        effort: From 1 to 5.
        max_retries: The failure of this number is a job's last.
        retry_base: Seconds; after failure n a job waits about `retry_base * 2**n`; None: the
            setting's.
        expires: Seconds, or a moment, by which a job must have started; None: it may wait.
        key_pattern: Makes the concurrency key of a call that names none.
        labels: Points that a worker with this label is worth more to a call that names none.
        required: Labels that a worker must have to run a call that names none.
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
    expires: Any = None
    key_pattern: KeyPattern | None = None
    labels: Mapping[str, float] = MappingProxyType({})
    required: tuple[str, ...] = ()
    kind = "call"
    # For log lines and Flower; the ledger has the whole result, which may be sealed.
    resultrepr_maxsize = 0 if sealed_messages.is_on() else 200

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
        with this key lives, its result is returned instead), `concurrency_key` (one job with
        this key runs at a time), `labels` (points that a worker with a label is worth more),
        `required` (labels that a worker must have), `countdown`, `eta`, `expires`, `lane`.

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
        if not traces.wanted():
            return self._call(args or (), kwargs or {}, task_id, options)
        with traces.submitting(self.name):
            return self._call(args or (), kwargs or {}, task_id, options)

    def _call(
        self, args: Sequence[Any], kwargs: dict[str, Any], task_id: str | None,
        options: dict[str, Any],
    ) -> AsyncResult:  # fmt: skip
        job = self.new_job(args, kwargs, task_id, options)
        ledger = resources.ledger()
        if task_id and follow.may_repeat() and self._known(task_id):
            return self.AsyncResult(task_id)
        submitted = self._submit([job])[0]
        if submitted.fresh and submitted.due:
            publisher.publish(self.app, ledger, [publication_of(job)])
        elif not submitted.fresh and options.get("chord"):
            # The job that has the key belongs to somebody else's group: nothing would be counted.
            with ledger.begin() as connection:
                why = f"job {submitted.id} has its unique_key {job.unique_key!r}"
                chords.member_ended(connection, job.canvas, job.id, why)
        return self.AsyncResult(submitted.id)

    def submit_many(
        self,
        calls: Iterable[Any],
        *,
        lane: str | None = None,
        priority: Any = None,
        concurrency_key: str | None = None,
        expires: Any = None,
        labels: Mapping[str, float] | None = None,
        required: Sequence[str] | None = None,
    ) -> list[AsyncResult | EagerResult]:
        """Submit one job for each call in one transaction and one round trip to the broker.

        Args:
            calls: For each job a tuple of positional or a mapping of keyword arguments.
            lane: The task's own by default.
            priority: A name or our number; the task's own by default.
            concurrency_key: One job with this key runs at a time; the task's own by default.
            expires: Seconds, or a moment, by which each must have started.
            labels: Points that a worker with this label is worth more; the task's own by default.
            required: Labels that a worker must have; the task's own by default.
        """
        split = [((), call) if isinstance(call, dict) else (tuple(call), {}) for call in calls]
        for args, kwargs in split:
            self._check_signature(args, kwargs)
        if self.app.conf.task_always_eager:
            return [self.apply_async(args, kwargs) for args, kwargs in split]
        options = {
            "lane": lane, "priority": priority, "concurrency_key": concurrency_key,
            "expires": expires, "labels": labels, "required": required,
        }  # fmt: skip
        with traces.submitting(self.name):
            made = [self.new_job(args, kwargs, None, options) for args, kwargs in split]
            ledger = resources.ledger()
            self._submit(made)
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
            within, by = deadline_of({"expires": self.expires} | _given(options, "expires"))
            pattern, key = self.key_pattern, key_of(options, "concurrency_key")
            if key is None and pattern is not None:
                key = pattern.key(args, kwargs)
            lane = lane_of(options) or task_routes.lane_of(self, args, kwargs, options)
            labels, required = labels_of(options), required_of(options)
            return NewJob(
                id=task_id or gen_unique_id(),
                name=self.name,
                kind=self.kind,
                lane=lane or self.lane or "code",
                priority=self.urgency if urgency is None else parse_priority(urgency),
                effort=self.effort,
                args=tuple(args),
                kwargs=kwargs,
                max_retries=self.max_retries,
                retry_base=base,
                delay=delay_of(options),
                due_at=moment_of(options),
                time_limit=self.time_limit if limit is None else limit,
                unique_key=key_of(options, "unique_key"),
                concurrency_key=key,
                start_by=by,
                start_within=within,
                canvas=canvas_of(options),
                labels=self.labels if labels is None else labels,
                required=self.required if required is None else required,
                trace=traces.parent(),
            )
        except (ValueError, InputError) as error:
            raise InputError(f"{self.name}: {error}") from error

    def _submit(self, made: list[NewJob], *, once: bool = False) -> tuple[jobs.Submitted, ...]:
        try:
            return writing.submit(
                resources.ledger(), made, retries=resources.retries, published=True, once=once
            )
        except TypeError as error:  # what json says of a value it cannot write
            raise InputError(f"{self.name}: arguments must be JSON values: {error}") from error

    def _known(self, task_id: str) -> bool:
        with resources.ledger().read() as connection:
            return bool(jobs.results_of(connection, [task_id]))

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


def _given(options: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: options[name] for name in names if options.get(name) is not None}
