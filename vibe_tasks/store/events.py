"""Events: what happened. Written in the transaction of what they tell of, never changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import BigInteger, Connection, cast, insert, select

from vibe_tasks.store.engine import now
from vibe_tasks.store.schema import events

SOURCE = "vibe_tasks"
"""`source_app` of the project's own events."""

_INSERT = insert(events).values(timestamp=cast(now() * 1000, BigInteger))


def record(
    connection: Connection, kind: str, *, session: str, payload: Mapping[str, Any], summary: str
) -> None:
    """Write one of the project's own events.

    Args:
        connection: The transaction of what the event tells of.
        kind: Event type, such as `QA_PASSED`.
        session: What it belongs to: the plan's id, or the job's.
        payload: JSON values.
        summary: One line for a person.
    """
    row = {"source_app": SOURCE, "session_id": session, "hook_event_type": kind,
           "payload": dict(payload), "summary": summary}  # fmt: skip
    connection.execute(_INSERT, row)


def recent(
    connection: Connection, *, session: str | None = None, limit: int = 300
) -> tuple[dict[str, Any], ...]:
    """The newest events, oldest of them first."""
    statement = select(events).order_by(events.c.id.desc()).limit(limit)
    if session is not None:
        statement = statement.where(events.c.session_id == session)
    rows = [dict(row) for row in connection.execute(statement).mappings()]
    return tuple(reversed(rows))
