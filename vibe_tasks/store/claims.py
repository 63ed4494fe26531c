"""Claiming jobs: a worker takes one for one attempt.

A job of a lane that nobody governs, without a concurrency key, that asks nothing of its worker is
claimed in one statement. All others get a second look in a transaction, under the lock of their
lane's row: so pauses, limits, rates, keys and required labels hold for every way to claim and on
all hosts.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    case,
    exists,
    literal_column,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from vibe_tasks.jobs import Claim, JobStatus
from vibe_tasks.priority import Priority
from vibe_tasks.store import held, lanes
from vibe_tasks.store.engine import now, run_plain, transaction
from vibe_tasks.store.schema import has_status, jobs, status
from vibe_tasks.store.schema import lanes as lane_rows
from vibe_tasks.store.sealing import is_sealed
from vibe_tasks.store.statement import Row, Statement, decoded, encoded

log = logging.getLogger(__name__)

_J = jobs.c
_ZERO: ColumnElement[int] = literal_column("0")
_ONE: ColumnElement[int] = literal_column("1")
_JOB = bindparam("job", type_=_J.id.type)
COLUMNS = (
    _J.id, _J.name, _J.kind, _J.lane, _J.priority, _J.attempt, _J.retry_count, _J.max_retries,
    _J.retry_base, _J.args, _J.plan_id, _J.task_id, _J.round, _J.time_limit, _J.concurrency_key,
    _J.trace,
)  # fmt: skip
TAKEN = {
    "status": status(JobStatus.PROCESSING),
    "attempt": _J.attempt + _ONE,
    "worker": bindparam("by", type_=_J.worker.type),
    "lease_until": now() + bindparam("lease"),
    "backoff_until": null(),
    "held_at": null(),
    "held_for": null(),
    "routing": bindparam("routing", type_=_J.routing.type),
    "started_at": now(),
    "status_updated_at": now(),
    "error": null(),
}
_DUE = and_(
    has_status(JobStatus.PENDING), or_(_J.backoff_until.is_(None), _J.backoff_until <= now())
)
IN_TIME = or_(_J.start_by.is_(None), _J.attempt > _ZERO, _J.start_by > now())
_HAS_RULES = exists().where(lane_rows.c.lane == _J.lane).correlate(jobs)
UNGOVERNED = and_(_J.concurrency_key.is_(None), ~_HAS_RULES)
_FAST = (_J.id == _JOB, _DUE, IN_TIME, _J.required.is_(None), UNGOVERNED)
# On a server a row that somebody else has in his hands is left to the second look: a statement
# that has waited for it knows nothing of a pause since its beginning, where its lease began too.
_FREE_ROW = select(_J.seq).where(*_FAST).with_for_update(skip_locked=True).cte("free_row")
_CLAIM = Statement(
    {
        dialect: update(jobs).where(*which).values(TAKEN).returning(*COLUMNS)
        for dialect, which in (
            ("sqlite", _FAST),
            ("postgresql", (_J.seq.in_(select(_FREE_ROW.c.seq)),)),
        )
    }
)
_GOVERNED_JOB = Statement(
    select(_J.lane, _J.concurrency_key, _J.required)
    .where(_J.id == _JOB, _DUE, IN_TIME)
    .with_for_update()
)
_GRANT = Statement(update(jobs).where(_J.id == _JOB, _DUE).values(TAKEN).returning(*COLUMNS))
_busy = jobs.alias("busy")


def busy_with(key: ColumnElement[str | None]) -> ColumnElement[bool]:
    """That a job of this key runs."""
    return exists().where(
        _busy.c.status == status(JobStatus.PROCESSING), _busy.c.concurrency_key == key
    )


_IS_BUSY = Statement(select(_ONE).where(busy_with(bindparam("key", type_=_J.concurrency_key.type))))


_DUE_SEQ = (
    select(_J.seq)
    .where(has_status(JobStatus.PENDING), _J.backoff_until <= now())
    .limit(bindparam("most"))
)
_PROMOTED = update(jobs).values(backoff_until=null(), published_at=null())
# Python's sqlite3 counts the rows of a statement only where that begins with UPDATE.
_PROMOTE = Statement(
    {
        "sqlite": _PROMOTED.where(_J.seq.in_(_DUE_SEQ)),
        "postgresql": _PROMOTED.where(
            _J.seq.in_(select(_DUE_SEQ.with_for_update(skip_locked=True).cte("due").c.seq))
        ),
    }
)


SEALED_WAIT = 10.0
SEALED_SHARE = 0.1
SEALED_LONGEST = 600.0
"""Seconds after which a job is offered again that a process could not open: a share of its age,
with a least and a most. Each time writes two rows of its history, for as long as nobody can."""

_age_share = (now() - _J.created_at) * literal_column(str(SEALED_SHARE))
_least: ColumnElement[float] = literal_column(str(SEALED_WAIT))
_most: ColumnElement[float] = literal_column(str(SEALED_LONGEST))
_WAIT = case((_age_share < _least, _least), (_age_share > _most, _most), else_=_age_share)

_PUT_OFF = Statement(
    update(jobs)
    .where(_J.id == _JOB, has_status(JobStatus.PROCESSING),
           _J.attempt == bindparam("of_attempt", type_=_J.attempt.type))
    .values(status=status(JobStatus.PENDING), lease_until=null(), published_at=null(),
            backoff_until=now() + _WAIT, status_updated_at=now(),
            error=bindparam("why", type_=_J.error.type))
)  # fmt: skip


def claim(
    connection: Connection,
    job_id: str,
    *,
    worker: str,
    lease: float,
    labels: Collection[str] = (),
    routing: Mapping[str, Any] | None = None,
) -> Claim | None:
    """Take this job for one attempt, or None when it is not to be had.

    A lost claim is a normal outcome: the message was a duplicate, came early, the job was
    cancelled, its deadline has passed, or it has to wait for its turn or for a worker that has
    what it requires, which it then does.
    One statement for most jobs: `Database.write_once` is enough.

    Args:
        connection: A writing transaction, or a connection outside of one.
        job_id: The job.
        worker: Who takes it.
        lease: Seconds until the claim ends without a heartbeat.
        labels: What the worker has that a job may require.
        routing: Why the job's message came to this worker, to be kept with the attempt.
    """
    why = encoded(routing) if routing else None
    values = {"job": job_id, "by": worker, "lease": lease, "routing": why}
    row = _CLAIM.first(connection, values)
    if row is not None:
        return taken_or_put_off(connection, claim_of(row), worker)
    with transaction(connection):
        wanted = _GOVERNED_JOB.first(connection, {"job": job_id})
        if wanted is None:
            return None
        lane, key, required = wanted
        if required is not None and not set(decoded(required)) <= set(labels):
            held.hold_for_worker(connection, [job_id])
            return None
        # A look without the lock first: a crowd that finds the lane full need not queue up.
        taken: Claim | Literal["lane", "key"] = "lane"
        if key is not None and _IS_BUSY.first(connection, {"key": key}) is not None:
            taken = "key"
        elif has_room(connection, lane):
            taken = grant(connection, lane, key, values)
        if not isinstance(taken, Claim):
            held.hold(connection, job_id, taken)
            return None
        return taken_or_put_off(connection, taken, worker)


def taken_or_put_off(connection: Connection, taken: Claim, worker: str) -> Claim | None:
    """The claim; None where this process cannot open what the job is given: it was sealed with
    another key. Then the attempt is given back, no failure counted, for a worker that can.
    """
    if not is_sealed(taken.kwargs):
        return taken
    why = f"{worker} cannot open its arguments: their key is none of its VIBE_PAYLOAD_KEYS"
    log.warning("job %s is left to others: %s", taken.id, why)
    values = {"job": taken.id, "of_attempt": taken.attempt, "why": why}
    _PUT_OFF.count(connection, values)
    return None


def has_room(connection: Connection, lane: str) -> bool:
    """Whether a job of this lane may start, by a look without a lock."""
    allowed = lanes.room(connection, lane)
    return allowed is None or allowed.starts > 0


def grant(
    connection: Connection, lane: str, key: str | None, values: dict[str, object]
) -> Claim | Literal["lane", "key"]:
    """Take a job whose row is locked, or say what it must wait for."""
    allowed = lanes.room(connection, lane, lock=True)
    if allowed is not None and not allowed.starts:
        return "lane"
    if key is None:
        row = _GRANT.first(connection, values)
    elif _IS_BUSY.first(connection, {"key": key}) is not None:
        return "key"
    else:
        row = _grant_key(connection, values)
    if row is None:
        return "key"
    if allowed is not None:
        lanes.spend(connection, lane, allowed)
    return claim_of(row, governed=allowed is not None)


def _grant_key(connection: Connection, values: dict[str, object]) -> Row | None:
    """As two may look at a free key at once, the index decides between them."""
    if connection.dialect.name == "sqlite":  # one writer at a time
        return _GRANT.first(connection, values)
    run_plain(connection, "SAVEPOINT busy_key")
    try:
        return _GRANT.first(connection, values)
    except IntegrityError:
        run_plain(connection, "ROLLBACK TO SAVEPOINT busy_key")
        return None


def promote(connection: Connection, *, most: int = 1_000) -> int:
    """Make jobs ready whose wait is over; how many."""
    return _PROMOTE.count(connection, {"most": most})


def claim_of(row: Row, *, governed: bool = False) -> Claim:
    """The claim, from its row of `COLUMNS`."""
    arguments = decoded(row[9])
    if is_sealed(arguments):  # and could not be opened: see `taken_or_put_off`
        arguments = {"args": (), "kwargs": arguments}
    return Claim(
        id=row[0],
        name=row[1],
        kind=row[2],
        lane=row[3],
        priority=Priority(row[4]),
        attempt=row[5],
        retry_count=row[6],
        max_retries=row[7],
        retry_base=row[8],
        args=tuple(arguments["args"]),
        kwargs=arguments["kwargs"],
        plan_id=row[10],
        task_id=row[11],
        round=row[12],
        time_limit=row[13],
        concurrency_key=row[14],
        governed=governed,
        trace=row[15],
    )
