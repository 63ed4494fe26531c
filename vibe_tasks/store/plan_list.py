"""Listing plans."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, and_, or_, select

from vibe_tasks.store.schema import plans

_P = plans.c


def list_plans(
    connection: Connection, *, limit: int = 100, before: tuple[float, str] | None = None
) -> tuple[dict[str, Any], ...]:
    """Plans, newest first, without their specifications.

    Args:
        connection: A connection.
        limit: At most so many.
        before: Only those that come after the one with this `created_at` and `id`: the next page.
    """
    columns = [column for column in plans.c if column.name != "spec"]
    statement = select(*columns).order_by(_P.created_at.desc(), _P.id.desc()).limit(limit)
    if before is not None:
        at, plan_id = before
        earlier = and_(_P.created_at == at, _P.id < plan_id)
        statement = statement.where(or_(_P.created_at < at, earlier))
    return tuple(dict(row) for row in connection.execute(statement).mappings())
