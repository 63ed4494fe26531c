"""The outbox: which messages are to be sent to the broker, and which were lost there.

A job's message is sent after the job's row is committed. `published_at` says that somebody
has undertaken to send it. What nobody undertook the dispatcher takes from here; what was
sent and is no longer in the broker comes back through `lost`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from math import isfinite
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    bindparam,
    case,
    exists,
    func,
    null,
    select,
    update,
)

from vibe_tasks.jobs import JobStatus, Publication
from vibe_tasks.priority import Priority
from vibe_tasks.store.claims import promote
from vibe_tasks.store.engine import now
from vibe_tasks.store.held import IN_LINE_OF_LANE
from vibe_tasks.store.job_rows import DIALECTS, among, as_parameter
from vibe_tasks.store.schema import READY, has_status, jobs, lanes
from vibe_tasks.store.statement import Statement

_J = jobs.c
_PENDING = has_status(JobStatus.PENDING)
_MESSAGE = (
    _J.id, _J.name, _J.lane, _J.priority, _J.time_limit, _J.canvas, _J.args, _J.seq, _J.effort,
    _J.required, _J.labels, _J.trace,
)  # fmt: skip

_UNSENT = (
    select(_J.seq)
    .where(READY, _J.published_at.is_(None), _J.held_at.is_(None))
    .order_by(_J.priority, _J.seq)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
    .cte("unsent")
)
_HAS_RULES = exists().where(lanes.c.lane == _J.lane).correlate(jobs)
# Jobs of a governed lane wait for their turn, so that no more are sent than there is room for.
_TAKE = (
    update(jobs)
    .where(_J.seq.in_(select(_UNSENT.c.seq)))
    .values(
        published_at=case((_HAS_RULES, null()), else_=now()),
        held_at=case((_HAS_RULES, now()), else_=null()),
        held_for=case((_HAS_RULES, IN_LINE_OF_LANE), else_=_J.held_for),
    )
    .returning(*_MESSAGE, _J.published_at)
)
BITES = 10
"""How often `take_unpublished` looks again when all that it took has to wait for its turn."""

_ANY_UNSENT = select(exists().where(READY, _J.published_at.is_(None), _J.held_at.is_(None)))
_MESSAGES = {dialect: select(*_MESSAGE).where(among(_J.id, "ids", dialect)) for dialect in DIALECTS}
_DESTINATIONS = Statement(
    {
        dialect: select(_J.id, _J.lane, _J.required, _J.status).where(among(_J.id, "ids", dialect))
        for dialect in DIALECTS
    }
)
_RETURN = Statement(
    update(jobs)
    .where(_J.id == bindparam("job", type_=_J.id.type), _PENDING)
    .values(published_at=null())
)
_SENT_AT = select(_J.published_at).where(_J.id == bindparam("job"))
_NEXT_DUE = select(func.min(_J.backoff_until) - now()).where(
    _PENDING, _J.backoff_until.is_not(None)
)
_PUBLISHED_LANES = (
    select(_J.lane, _J.priority)
    .where(READY, _J.published_at.is_not(None), _J.published_at < now() - bindparam("grace"))
    .distinct()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where a job's message belongs.

    Attributes:
        id: The job.
        lane: Its lane.
        required: Whether it requires labels, so that its message may not enter the lane.
        waits: Whether it waits for a worker; else nobody needs the message.
    """

    id: str
    lane: str
    required: bool
    waits: bool


def destinations(connection: Connection, job_ids: Iterable[str]) -> dict[str, Destination]:
    """Where the messages of these jobs belong, by job; those that are no jobs are left out."""
    values = {"ids": as_parameter(connection, sorted(set(job_ids)))}
    rows = _DESTINATIONS.all(connection, values)
    return {
        row[0]: Destination(
            id=row[0], lane=row[1], required=row[2] is not None, waits=row[3] == JobStatus.PENDING
        )
        for row in rows
    }


def publication_of(row: Row[*tuple[Any, ...]]) -> Publication:
    """The message of a job, from its row."""
    return Publication(
        id=row.id,
        name=row.name,
        queue=row.lane,
        priority=Priority(row.priority),
        time_limit=row.time_limit,
        canvas=row.canvas,
        shown=shown(row.args["args"], row.args["kwargs"]),
        effort=row.effort,
        required=tuple(row.required or ()),
        labels=row.labels or {},
        trace=row.trace,
    )


def shown(args: Iterable[Any], kwargs: dict[str, Any]) -> str:
    """The arguments as a person reads them in Flower, cut to a line."""
    parts = [repr(value) for value in args]
    parts += [f"{name}={value!r}" for name, value in kwargs.items()]
    text = ", ".join(parts)
    return text if len(text) <= 200 else f"{text[:199]}…"


def take_unpublished(connection: Connection, *, most: int = 500) -> tuple[Publication, ...]:
    """Undertake to send the messages of due jobs that nobody has sent, most urgent first.

    Of several dispatchers one gets each job. If sending fails, call `give_back`. Jobs of lanes
    with rules are held instead: `held.give_turns` says when they are to be sent. So an empty answer
    does not say that nothing is left: ask `any_unsent`.
    """
    promote(connection)
    for _ in range(BITES):
        taken = connection.execute(_TAKE, {"most": most}).all()
        due = [row for row in taken if row.published_at is not None]
        if due or len(taken) < most:
            break
    due.sort(key=lambda row: (row.priority, row.seq))
    return tuple(publication_of(row) for row in due)


def any_unsent(connection: Connection) -> bool:
    """Whether `take_unpublished` has something to do."""
    return bool(connection.execute(_ANY_UNSENT).scalar())


def give_back(connection: Connection, job_ids: Iterable[str]) -> None:
    """These messages could not be sent: leave them to the dispatcher."""
    rows = [{"job": job_id} for job_id in sorted(job_ids)]
    if rows:
        _RETURN.many(connection, rows)


def seconds_to_next(
    connection: Connection, *, lanes: Collection[str] | None = None
) -> float | None:
    """Seconds until the next waiting job is due, zero or less when one is; None without one.

    Args:
        connection: A connection.
        lanes: Only of these lanes; None: of all.
    """
    if lanes is None:
        value = connection.execute(_NEXT_DUE).scalar()
    else:
        value = connection.execute(_NEXT_DUE.where(_J.lane.in_(sorted(lanes)))).scalar()
    # A column can hold what no clock shows; nobody can wait for that.
    return float(value) if value is not None and isfinite(value) else None


def awaited(connection: Connection, *, grace: float) -> tuple[tuple[str, Priority], ...]:
    """Lanes and priorities with jobs whose message was sent over `grace` seconds ago."""
    rows = connection.execute(_PUBLISHED_LANES, {"grace": grace})
    return tuple((row.lane, Priority(row.priority)) for row in rows)


def sent_at(connection: Connection, job_id: str) -> float | None:
    """When this job's latest message was sent, in epoch seconds; None when unknown."""
    return connection.execute(_SENT_AT, {"job": job_id}).scalar()


def lost(
    connection: Connection,
    lane: str,
    priority: Priority,
    *,
    grace: float,
    before: float | None,
) -> int:
    """Return to the outbox what was sent and cannot be in the broker any more; how many.

    Args:
        connection: A writing transaction.
        lane: The lane whose queue was looked at.
        priority: The level that was looked at.
        grace: Seconds a message may be on its way between broker and claim.
        before: When the oldest message still in that queue was sent; None when the queue is
            empty. The queue is first in, first out, so what was sent earlier is gone.
    """
    gone = (
        update(jobs)
        .where(
            READY,
            _J.lane == lane,
            _J.priority == int(priority),
            _J.published_at < now() - grace,
        )
        .values(published_at=None)
    )
    if before is not None:
        gone = gone.where(_J.published_at < before - grace)
    return connection.execute(gone).rowcount


def publications(
    connection: Connection, job_ids: Iterable[str], *, as_submitted: bool = False
) -> tuple[Publication, ...]:
    """The messages of these jobs, in this order, or in that in which they were submitted."""
    wanted = list(job_ids)
    if not wanted:
        return ()
    values = {"ids": as_parameter(connection, wanted)}
    rows = connection.execute(_MESSAGES[connection.dialect.name], values).all()
    if as_submitted:
        wanted = [row.id for row in sorted(rows, key=lambda row: row.seq)]
    found = {row.id: publication_of(row) for row in rows}
    return tuple(found[job_id] for job_id in wanted if job_id in found)


def forget_sent(connection: Connection) -> int:
    """The broker is known to be empty: all messages are to be sent again; how many."""
    gone = update(jobs).where(READY, _J.published_at.is_not(None)).values(published_at=None)
    return connection.execute(gone).rowcount


def sent(connection: Connection, lane: str) -> dict[Priority, int]:
    """Jobs of this lane that may start and whose message was sent, by priority."""
    rows = connection.execute(
        select(_J.priority, func.count())
        .where(READY, _J.lane == lane, _J.published_at.is_not(None))
        .group_by(_J.priority)
    )
    return {Priority(priority): count for priority, count in rows}
