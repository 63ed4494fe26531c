"""Submitting jobs: new rows of the ledger."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    bindparam,
    case,
    insert,
    literal_column,
    null,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from vibe_tasks.errors import DuplicateJobError
from vibe_tasks.jobs import JobStatus, NewJob
from vibe_tasks.store.engine import now
from vibe_tasks.store.schema import LIVE_KEY, jobs
from vibe_tasks.store.sealing import sealed_text
from vibe_tasks.store.statement import Statement, encoded

_J = jobs.c
_ZERO: ColumnElement[int] = literal_column("0")
_GIVEN = (
    _J.id, _J.name, _J.kind, _J.lane, _J.priority, _J.effort, _J.status, _J.args,
    _J.max_retries, _J.retry_base, _J.time_limit, _J.unique_key, _J.concurrency_key, _J.canvas,
    _J.plan_id, _J.task_id, _J.round, _J.required, _J.labels, _J.trace,
)  # fmt: skip
_ROW = {
    **{column.name: bindparam(column.name, type_=column.type) for column in _GIVEN},
    "start_by": case(
        (bindparam("within") > _ZERO, now() + bindparam("within")),
        else_=bindparam("by", type_=_J.start_by.type),
    ),
    "attempt": _ZERO,
    "retry_count": _ZERO,
    "created_at": now(),
    "status_updated_at": now(),
}
_NOW = _ROW | {
    "backoff_until": null(),
    "published_at": case((bindparam("publish") > _ZERO, now()), else_=null()),
}
_LATER = _ROW | {
    "backoff_until": case(
        (bindparam("delay") > _ZERO, now() + bindparam("delay")),
        (bindparam("due") > now(), bindparam("due")),
        else_=null(),
    ),
    "published_at": null(),
}
_INSERT = Statement(insert(jobs).values(_NOW))
_INSERT_LATER = Statement(insert(jobs).values(_LATER))
_ID_IS_TAKEN = re.compile(r"jobs\.id\b|jobs_id_key")
"""What the two databases say of a second job with the same id."""

_UNLESS_KEY_LIVES = {"index_elements": [_J.unique_key], "index_where": LIVE_KEY}


def _keyed(row: dict[str, Any]) -> Statement:
    return Statement(
        {
            kind.__name__.rpartition(".")[2]: kind.insert(jobs)
            .values(row)
            .on_conflict_do_nothing(**_UNLESS_KEY_LIVES)
            for kind in (sqlite, postgresql)
        }
    )


_INSERT_KEYED = _keyed(_NOW)
_INSERT_KEYED_LATER = _keyed(_LATER)
_HOLDER = Statement(
    select(_J.id).where(LIVE_KEY, _J.unique_key == bindparam("unique_key", type_=_J.id.type))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """What became of a submission.

    Attributes:
        id: The job; where a live job had the same unique key, that one.
        fresh: Whether this submission made it.
        due: Whether it may start now, so that its message is to be sent.
    """

    id: str
    fresh: bool
    due: bool


def submit(
    connection: Connection, new: Sequence[NewJob], *, published: bool = False
) -> tuple[Submitted, ...]:
    """Write these jobs; all of them or, with the transaction, none.

    One job is one statement, unless a live job has its unique key already.

    Args:
        connection: A writing transaction.
        new: The jobs, in order.
        published: The caller will send the messages of those that are due itself, right
            after the commit; the dispatcher leaves them alone for a while.

    Raises:
        DuplicateJobError: A job with one of these ids is in the ledger already.
        TypeError: An argument is no JSON value.
    """
    try:
        return _submit(connection, new, published)
    except IntegrityError as error:
        if not _ID_IS_TAKEN.search(str(error.orig)):
            raise
        what = f"job {new[0].id}" if len(new) == 1 else "one of these jobs"
        raise DuplicateJobError(f"{what} is in the ledger already") from error


def _submit(
    connection: Connection, new: Sequence[NewJob], published: bool
) -> tuple[Submitted, ...]:
    rows = [(job, _row(connection, job, published)) for job in new]
    for later, statement in ((False, _INSERT), (True, _INSERT_LATER)):
        batch = [row for job, row in rows if job.unique_key is None and _later(job) is later]
        if len(batch) == 1:
            statement.count(connection, batch[0])
        elif batch:
            statement.many(connection, batch)
    # In the order of their keys: two submissions that share two keys must not lock crosswise.
    keyed = sorted(
        ((job, row) for job, row in rows if job.unique_key is not None),
        key=lambda pair: pair[0].unique_key or "",
    )
    existing = {job.id: _submit_keyed(connection, job, row) for job, row in keyed}
    return tuple(
        existing.get(job.id) or Submitted(id=job.id, fresh=True, due=_due(job)) for job in new
    )


def _submit_keyed(connection: Connection, job: NewJob, row: dict[str, Any]) -> Submitted:
    statement = _INSERT_KEYED_LATER if _later(job) else _INSERT_KEYED
    while True:
        if statement.count(connection, row) == 1:
            return Submitted(id=job.id, fresh=True, due=_due(job))
        holder = _HOLDER.first(connection, {"unique_key": job.unique_key})
        if holder is not None:  # else it ended between the two statements
            return Submitted(id=holder[0], fresh=False, due=False)


def _later(job: NewJob) -> bool:
    return job.delay > 0 or job.due_at is not None


def _due(job: NewJob) -> bool:
    return not _later(job) and not job.blocked


def _row(connection: Connection, job: NewJob, published: bool) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": job.id,
        "name": job.name,
        "kind": job.kind,
        "lane": job.lane,
        "priority": int(job.priority),
        "effort": job.effort,
        "status": (JobStatus.BLOCKED if job.blocked else JobStatus.PENDING).value,
        "args": sealed_text(connection, {"args": job.args, "kwargs": job.kwargs}),
        "max_retries": job.max_retries,
        "retry_base": float(job.retry_base),
        "time_limit": job.time_limit,
        "unique_key": job.unique_key,
        "concurrency_key": job.concurrency_key,
        "within": float(job.start_within or 0.0),
        "by": job.start_by,
        "canvas": None if job.canvas is None else sealed_text(connection, job.canvas),
        "plan_id": job.plan_id,
        "task_id": job.task_id,
        "round": job.round,
        "required": encoded(job.required) if job.required else None,
        "labels": encoded(dict(job.labels)) if job.labels else None,
        "trace": job.trace,
    }
    if _later(job):
        row |= {"delay": float(job.delay), "due": float(job.due_at or 0.0)}
    else:
        row["publish"] = int(published and not job.blocked)
    return row
