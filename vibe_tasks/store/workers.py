"""The registry of workers: who serves which lanes, with how much room."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from vibe_tasks.store.engine import now
from vibe_tasks.store.schema import worker_health

_W = worker_health.c


def register(
    connection: Connection, worker: str, lanes: Iterable[str], *, tier: str, capacity: int
) -> None:
    """Write this worker's rows, one for each lane, in place of what it had."""
    connection.execute(delete(worker_health).where(_W.worker_id == worker))
    rows = [
        {"worker_id": worker, "lane": lane, "tier": tier, "active_tasks": 0,
         "capacity_limit": capacity, "status": "online"}
        for lane in lanes
    ]  # fmt: skip
    if rows:
        connection.execute(insert(worker_health).values(last_seen=now()), rows)


def beat(connection: Connection, worker: str, *, active: int) -> None:
    """This worker lives and runs so many jobs."""
    connection.execute(
        update(worker_health)
        .where(_W.worker_id == worker)
        .values(active_tasks=active, last_seen=now(), status="online")
    )


def leave(connection: Connection, worker: str) -> None:
    """This worker has stopped."""
    connection.execute(
        update(worker_health)
        .where(_W.worker_id == worker)
        .values(status="offline", active_tasks=0, last_seen=now())
    )


def list_workers(connection: Connection) -> tuple[dict[str, Any], ...]:
    """All rows of the registry, by worker and lane; `age` is seconds since the last beat."""
    statement = select(worker_health, (now() - _W.last_seen).label("age")).order_by(
        _W.worker_id, _W.lane
    )
    return tuple(dict(row) for row in connection.execute(statement).mappings())
