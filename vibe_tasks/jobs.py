"""A job: its statuses, the moves between them, and the values that go in and come out.

A job is one row of the ledger. Its status changes only along `MOVES`, each time together
with its history row; the store refuses everything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from typing import Any

from vibe_tasks.errors import InputError
from vibe_tasks.failures import bounded
from vibe_tasks.labels import checked_points, checked_required
from vibe_tasks.priority import Priority


class JobStatus(StrEnum):
    """Where a job stands."""

    BLOCKED = "blocked"  #: waits for other work or for a person
    PENDING = "pending"  #: may start once `backoff_until` has passed
    PROCESSING = "processing"  #: a worker holds its lease
    COMPLETED = "completed"  #: done, its result is recorded
    FAILED = "failed"  #: failed for the last time: a dead letter
    CANCELLED = "cancelled"  #: will not run (again)


MOVES: Mapping[JobStatus, frozenset[JobStatus]] = {
    JobStatus.BLOCKED: frozenset({JobStatus.PENDING, JobStatus.CANCELLED}),
    JobStatus.PENDING: frozenset({JobStatus.PROCESSING, JobStatus.CANCELLED}),
    JobStatus.PROCESSING: frozenset(
        {
            JobStatus.COMPLETED,
            JobStatus.PENDING,
            JobStatus.FAILED,
            JobStatus.CANCELLED,
            JobStatus.BLOCKED,
        }
    ),
    JobStatus.COMPLETED: frozenset(),
    JobStatus.FAILED: frozenset({JobStatus.PENDING, JobStatus.CANCELLED}),
    JobStatus.CANCELLED: frozenset({JobStatus.PENDING, JobStatus.BLOCKED}),
}
"""From each status, where a job may go. `failed → pending` and `cancelled → pending` are a
retry by hand, and so is `cancelled → blocked` where the job still has to wait; `failed → cancelled`
is a discard; `processing → pending` is a retry, a snooze or an interruption; `processing → blocked`
is work that a person has to let go on, such as after a budget."""

LANES = ("deploy", "qa", "code", "control")
"""The lanes every deployment has. Among equal priorities the broker looks into them in this
order, so that work in hand is finished before new work is begun."""

LIVE = frozenset({JobStatus.BLOCKED, JobStatus.PENDING, JobStatus.PROCESSING})
"""Statuses of a job that is still to end; a unique key belongs to one live job at a time."""

ENDED = frozenset(JobStatus) - LIVE


MOST_RETRIES = 1_000_000
"""More is a mistake, and PostgreSQL's integers end at two thousand times as many."""


def sources(target: JobStatus) -> tuple[JobStatus, ...]:
    """The statuses from which a job may move to `target`, in declaration order."""
    return tuple(status for status in JobStatus if target in MOVES[status])


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job to be submitted.

    Attributes:
        id: Unique for ever; also the Celery task id of its messages.
        name: The Celery task that runs it, such as `vibe.dev`.
        lane: Stream of jobs it belongs to; the Celery queue of that name.
        priority: How urgent; lower is sooner.
        effort: From 1 (trivial) to 5 (hard).
        args: Positional arguments, JSON values.
        kwargs: Keyword arguments, JSON values.
        max_retries: The failure of this number is the last. From 1 to a million.
        retry_base: Seconds; after failure n the job waits about `retry_base * 2**n`.
        delay: Seconds from the submission to the earliest start.
        due_at: Earliest start in epoch seconds; excludes `delay`.
        time_limit: Seconds an attempt may take, or None for no limit.
        unique_key: At most one live job has this key.
        concurrency_key: At most one job with this key runs at a time, on all hosts together.
        start_by: Give up when it has not started by this moment, in epoch seconds.
        start_within: Give up when it has not started so many seconds after the submission, by the
            database's clock; excludes `start_by`.
        canvas: What Celery must know at each publication: links, chain, group, chord.
        blocked: Start as `blocked`.
        plan_id: The plan it belongs to.
        task_id: The plan's task it belongs to.
        kind: `dev`, `qa`, `fix` or `deploy` for a plan's jobs, `call` for a function.
        round: Fix round it belongs to, from 0.
        required: Labels that a worker must have to run it.
        labels: Points that a worker with this label is worth more to it.
        trace: The span that its own hang from, as W3C's `traceparent`.
    """

    id: str
    name: str
    lane: str
    priority: Priority = Priority.NORMAL
    effort: int = 2
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    max_retries: int = 3
    retry_base: float = 1.0
    delay: float = 0.0
    due_at: float | None = None
    time_limit: float | None = None
    unique_key: str | None = None
    concurrency_key: str | None = None
    start_by: float | None = None
    start_within: float | None = None
    canvas: Mapping[str, Any] | None = None
    blocked: bool = False
    plan_id: str | None = None
    task_id: str | None = None
    kind: str = "call"
    round: int = 0
    required: tuple[str, ...] = ()
    labels: Mapping[str, float] = field(default_factory=dict)
    trace: str | None = None

    def __post_init__(self) -> None:
        if not self.lane:
            raise ValueError("lane must not be empty")
        for name, text in (
            ("id", self.id), ("lane", self.lane), ("unique_key", self.unique_key),
            ("concurrency_key", self.concurrency_key),
        ):  # fmt: skip
            if text is not None and not (text.isascii() and "\x00" not in text):
                _check_storable(name, text)
        if not 1 <= self.effort <= 5:
            raise ValueError(f"effort must be from 1 to 5, got {self.effort}")
        if not 1 <= self.max_retries <= MOST_RETRIES:
            raise ValueError(f"max_retries must be 1 or more, got {self.max_retries}")
        self._check_times()
        if self.required or self.labels:
            self._check_labels()

    def _check_times(self) -> None:
        for name in ("retry_base", "delay"):
            if not 0 <= (seconds := getattr(self, name)) < inf:
                raise ValueError(f"{name} must be zero or more, got {seconds}")
        for name in ("due_at", "start_by"):
            moment = getattr(self, name)
            if moment is not None and not -inf < moment < inf:
                raise ValueError(f"{name} must be a moment, got {moment}")
        for name in ("start_within", "time_limit"):
            seconds = getattr(self, name)
            if seconds is not None and not 0 < seconds < inf:
                raise ValueError(f"{name} must be above zero, got {seconds}")

    def _check_labels(self) -> None:
        required: object = self.required
        if not isinstance(required, tuple):  # of a text each letter would be one
            raise InputError(f"required must be a tuple of labels, got {required!r}")
        checked_required(required)
        checked_points(self.labels)


def _check_storable(name: str, text: str) -> None:
    if bounded(text, longest=len(text)) != text:
        raise ValueError(f"{name} must be without NUL and lone surrogates, got {text!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A job in a worker's hands: what it needs to run one attempt.

    Attributes:
        id: The job.
        attempt: Which run this is, from 1; the fencing token of all its writes.
        retry_count: Failures so far.
        concurrency_key: No other job with this key runs meanwhile.
        governed: Whether its lane has rules, so that its end makes room for another.
        trace: The span that its own hang from.
    """

    id: str
    name: str
    kind: str
    lane: str
    priority: Priority
    attempt: int
    retry_count: int
    max_retries: int
    retry_base: float
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    plan_id: str | None
    task_id: str | None
    round: int
    time_limit: float | None
    concurrency_key: str | None = None
    governed: bool = False
    trace: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """A job whose message is to be sent to the broker.

    Attributes:
        id: The job; becomes the message's Celery task id.
        queue: The lane, and the broker queue that its workers share.
        effort: From 1 (trivial) to 5 (hard).
        required: Labels that a worker must have to run it.
        labels: Points that a worker with this label is worth more to it.
        trace: The span that the job's own hang from.
    """

    id: str
    name: str
    queue: str
    priority: Priority
    time_limit: float | None
    canvas: Mapping[str, Any] | None
    shown: str = ""
    effort: int = 2
    required: tuple[str, ...] = ()
    labels: Mapping[str, float] = field(default_factory=dict)
    trace: str | None = None
