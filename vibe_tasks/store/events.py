"""Events: what happened. Written in the transaction of what they tell of, never changed.

With an event come the jobs that tell its handlers (`event_handlers`), in the same transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import BigInteger, Connection, cast, insert, select

from vibe_tasks.events import Event, happened_at
from vibe_tasks.store.engine import now
from vibe_tasks.store.event_handlers import call_handlers
from vibe_tasks.store.event_tables import events

SOURCE = "vibe_tasks"
"""`source_app` of the project's own events."""

_INSERT = (
    insert(events)
    .values(timestamp=cast(now() * 1000, BigInteger))
    .returning(events.c.id, events.c.timestamp)
)


def record(
    connection: Connection,
    kind: str,
    *,
    session: str,
    payload: Mapping[str, Any],
    summary: str,
    to: Collection[str] | None = None,
) -> Event:
    """Write one of the project's own events, and the jobs of those who want to hear of it.

    Args:
        connection: The transaction of what the event tells of.
        kind: Event type, such as `QA_PASSED`.
        session: What it belongs to: the plan's id, or the job's.
        payload: JSON values. `task`: the plan's task that it is about.
        summary: One line for a person.
        to: Handlers that are to hear of it if they want to; None: all that want to.
    """
    row = {"source_app": SOURCE, "session_id": session, "hook_event_type": kind,
           "payload": dict(payload), "summary": summary}  # fmt: skip
    written = connection.execute(_INSERT, row).one()
    event = Event(
        event_type=kind, task_id=str(payload.get("task") or ""), payload=payload,
        timestamp=happened_at(written.timestamp), id=written.id, session=session, summary=summary,
    )  # fmt: skip
    call_handlers(connection, event, to=to)
    return event


def recent(
    connection: Connection, *, session: str | None = None, limit: int = 300
) -> tuple[dict[str, Any], ...]:
    """The newest events, oldest of them first."""
    statement = select(events).order_by(events.c.id.desc()).limit(limit)
    if session is not None:
        statement = statement.where(events.c.session_id == session)
    rows = [dict(row) for row in connection.execute(statement).mappings()]
    return tuple(reversed(rows))
