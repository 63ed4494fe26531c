"""Who wants to hear of which events; each of them gets a job of its own for each event.

The job is written with the event, in one transaction: what happened and that somebody is to be
told of it are true together or not at all. Its retries, its dead letter and its history are those
of every job.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from operator import itemgetter
from uuid import uuid4

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    bindparam,
    delete,
    exists,
    func,
    or_,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite

from vibe_tasks.events import ANY, Event, EventType, happened_at
from vibe_tasks.jobs import NewJob
from vibe_tasks.priority import Priority
from vibe_tasks.retry import RetryPolicy
from vibe_tasks.store.agent_tables import event_handlers
from vibe_tasks.store.engine import now
from vibe_tasks.store.event_rows import EventRow
from vibe_tasks.store.schema import LIVE_KEY, jobs
from vibe_tasks.store.statement import Statement
from vibe_tasks.store.submissions import submit

KIND = "event"
"""Kind of the jobs that call handlers."""

UUID_LENGTH = 36
"""Characters of the ids of these jobs."""

RETRIES = RetryPolicy(max_retries=4, base=1.0)
"""phase-1.6-components: a handler that fails is called again after 2, 4 and 8 seconds, then its
job is a dead letter. In the ledger the waits are spread, as all are."""

_H = event_handlers.c
_CONCERNED = Statement(
    select(_H.handler, _H.lane, _H.time_limit)
    .where(
        or_(
            _H.event_type == bindparam("type", type_=_H.event_type.type),
            _H.event_type == bindparam("any", type_=_H.event_type.type),
        )
    )
    .distinct()
    .order_by(_H.handler)
)


_SUBSCRIBED = Statement(
    select(_H.event_type, _H.handler, _H.lane, _H.time_limit).order_by(_H.handler)
)
_OWN_TYPES = frozenset(EventType)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A handler and what it wants to hear of.

    Attributes:
        handler: Name of the Celery task.
        lane: Where its jobs run.
        types: Event types, or `*` for all.
        time_limit: Seconds that a call may take, or None for no limit.
    """

    handler: str
    lane: str
    types: frozenset[str]
    time_limit: float | None = None


def subscribe(connection: Connection, wanted: Subscription) -> bool:
    """From now on this handler hears of these types and no others; whether that is new.

    Several workers may start at once: where it stands already, nothing is written.
    """
    known = select(_H.event_type, _H.lane, _H.time_limit).where(_H.handler == wanted.handler)
    found = {tuple(row) for row in connection.execute(known)}
    if found == {(name, wanted.lane, wanted.time_limit) for name in wanted.types}:
        return False
    connection.execute(
        delete(event_handlers).where(
            _H.handler == wanted.handler, _H.event_type.not_in(sorted(wanted.types))
        )
    )
    kind = sqlite if connection.dialect.name == "sqlite" else postgresql
    given = {"lane": wanted.lane, "time_limit": wanted.time_limit}
    for name in sorted(wanted.types):  # in one order, so that no two lock crosswise
        connection.execute(
            kind.insert(event_handlers)
            .values(event_type=name, handler=wanted.handler, created_at=now(), **given)
            .on_conflict_do_update(index_elements=[_H.event_type, _H.handler], set_=given)
        )
    return True


def unsubscribe(connection: Connection, handler: str) -> bool:
    """This handler hears of nothing any more; whether it did."""
    gone = connection.execute(delete(event_handlers).where(_H.handler == handler))
    return gone.rowcount > 0


def subscriptions(connection: Connection) -> tuple[Subscription, ...]:
    """All of them, by the handler's name."""
    found: dict[tuple[str, str, float | None], set[str]] = {}
    for row in connection.execute(select(event_handlers).order_by(_H.handler, _H.event_type)):
        found.setdefault((row.handler, row.lane, row.time_limit), set()).add(row.event_type)
    return tuple(
        Subscription(handler=handler, lane=lane, types=frozenset(types), time_limit=limit)
        for (handler, lane, limit), types in found.items()
    )


def call_handlers(connection: Connection, event: Event, *, to: Collection[str] | None) -> None:
    """Write a job for each handler that wants to hear of this event.

    The dispatcher sends them.

    Args:
        connection: The transaction that recorded it.
        event: The event; it has its number.
        to: Only handlers of these names; None: all.
    """
    rows = _CONCERNED.all(connection, {"type": str(event.event_type), "any": ANY})
    called = [_call(event, *row) for row in rows if to is None or row[0] in to]
    if called:
        submit(connection, called)


def call_handlers_of_others(connection: Connection, rows: Sequence[EventRow]) -> None:
    """Write the jobs of those who want to hear of events that came from outside.

    An event from outside that bears a name of the project's own (`EventType`) calls nobody: who
    handles those takes it that the ledger says so.

    Args:
        connection: The transaction that wrote them.
        rows: The events as they are stored.
    """
    wanted = _SUBSCRIBED.all(connection, {})
    types = {row[0] for row in wanted}
    called = []
    for row in rows:
        kind = row["hook_event_type"]
        if kind in _OWN_TYPES or not types & {kind, ANY}:
            continue
        event = _event_of(row)
        concerned = {each[1:] for each in wanted if each[0] in {kind, ANY}}
        called += [_call(event, *each) for each in sorted(concerned, key=itemgetter(0))]
    if called:
        submit(connection, called)


def _call(event: Event, handler: str, lane: str, time_limit: float | None) -> NewJob:
    """The job that tells a handler of an event."""
    return NewJob(
        id=str(uuid4()), name=handler, kind=KIND, lane=lane, priority=Priority.HIGH, effort=1,
        kwargs={"event": event.to_json()}, max_retries=RETRIES.max_retries,
        retry_base=RETRIES.base, time_limit=time_limit,
        unique_key=f"{_prefix(event.session)}{event.id}:{handler}",
    )  # fmt: skip


def _event_of(row: EventRow) -> Event:
    """A stored event as handlers get it."""
    payload = row["payload"] if isinstance(row["payload"], dict) else {"value": row["payload"]}
    return Event(
        event_type=row["hook_event_type"], task_id="", payload=payload,
        timestamp=happened_at(row["timestamp"]), id=row["id"], session=row["session_id"],
        summary=row["summary"] or "",
    )  # fmt: skip


def untold(connection: Connection, session: str) -> tuple[str, ...]:
    """Jobs that are still to tell a handler of an event of this session, or people of a handler
    that could not be told of one: the session of that death is the job that died.
    """
    told = jobs.alias("told")
    session_of = func.substr(jobs.c.unique_key, len(_prefix("")), UUID_LENGTH)
    about_a_death = exists().where(told.c.id == session_of, _about(told, session))
    still = select(jobs.c.id).where(LIVE_KEY, or_(_about(jobs, session), about_a_death))
    return tuple(connection.execute(still.order_by(jobs.c.id)).scalars())


def _about(told: FromClause, session: str) -> ColumnElement[bool]:
    return told.c.unique_key.startswith(_prefix(session), autoescape=True)


def _prefix(session: str) -> str:
    return f"{KIND}:{session}:"
