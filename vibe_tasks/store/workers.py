"""The registry of workers: who serves which lanes, with how much room."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, case, delete, func, insert, null, or_, select, update

from vibe_tasks.store.engine import now
from vibe_tasks.store.schema import READY, jobs, worker_health
from vibe_tasks.store.schema import lanes as governed

_W = worker_health.c

FORGOTTEN = 86_400.0
"""Seconds after which a worker that is gone is no longer listed."""
_ONLINE = (
    select(
        _W.worker_id.label("worker"), _W.host, _W.process,
        (now() - func.max(_W.last_seen)).label("age"),
    )
    .where(_W.status == "online")
    .group_by(_W.worker_id, _W.host, _W.process)
)  # fmt: skip
_LEFT = update(worker_health).values(status="offline", active_tasks=0, last_seen=now())


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A worker as it registered, once for all its lanes.

    Attributes:
        worker: Its name.
        host: Where process ids have one meaning; None where it is not known.
        process: Its main process, told from all others of that host; without a host, any text
            that no other start has. None where two workers that live have this name.
        age: Seconds since it was last heard of.
    """

    worker: str
    host: str | None
    process: str | None
    age: float = 0.0


def register(
    connection: Connection,
    registered: Registered,
    lanes: Iterable[str],
    *,
    tier: str,
    capacity: int,
    version: str | None = None,
) -> None:
    """Write this worker's rows, one for each lane, in place of what its name had.

    Workers that were not heard of for `FORGOTTEN` are removed: pods have a new name each time.
    """
    connection.execute(
        delete(worker_health).where(
            or_(_W.worker_id == registered.worker, _W.last_seen < now() - FORGOTTEN)
        )
    )
    rows = [
        {"worker_id": registered.worker, "lane": lane, "tier": tier, "active_tasks": 0,
         "capacity_limit": capacity, "status": "online", "host": registered.host,
         "process": registered.process, "version": version}
        for lane in lanes
    ]  # fmt: skip
    if rows:
        connection.execute(insert(worker_health).values(last_seen=now()), rows)


def beat(connection: Connection, worker: str, *, active: int, process: str | None = None) -> None:
    """This worker lives and runs so many jobs.

    Args:
        connection: A writing transaction.
        worker: Its name.
        active: Jobs in its hands.
        process: The process that it has registered. Where another one has registered under its
            name since, the name stands for none from now on: that one is gone does not mean that
            both are.
    """
    values: dict[str, Any] = {"active_tasks": active, "last_seen": now(), "status": "online"}
    if process is not None:
        values["process"] = case((_W.process == process, _W.process), else_=null())
    mine = update(worker_health).where(_W.worker_id == worker)
    if process is not None:  # a beat that comes late, after `sign_off`, changes nothing
        mine = mine.where(or_(_W.status == "online", _W.process.is_distinct_from(process)))
    connection.execute(mine.values(values))


def leave(connection: Connection, worker: str) -> None:
    """The workers of this name have stopped."""
    connection.execute(_LEFT.where(_W.worker_id == worker))


def forget(connection: Connection, worker: str) -> None:
    """The worker of this name, which nobody will have again, has stopped and holds nothing."""
    connection.execute(delete(worker_health).where(_W.worker_id == worker))


def sign_off(connection: Connection, registered: Registered) -> bool:
    """This very worker has stopped; whether its name stood for it alone, and online."""
    mine = _W.process == registered.process if registered.process else _W.host.is_(None)
    left = _LEFT.where(_W.worker_id == registered.worker, _W.status == "online", mine)
    return connection.execute(left).rowcount > 0


def registered_as(connection: Connection, worker: str) -> Registered | None:
    """Who has this name and is online, or was when it was last heard of."""
    found = connection.execute(_ONLINE.where(_W.worker_id == worker)).mappings().first()
    return None if found is None else Registered(**found)


def online_at(connection: Connection, host: str) -> tuple[Registered, ...]:
    """The workers of this host that have not left."""
    rows = connection.execute(_ONLINE.where(_W.host == host, _W.process.is_not(None)))
    return tuple(Registered(**row) for row in rows.mappings())


def overdue(connection: Connection, lanes: Iterable[str], *, seconds: float) -> tuple[str, ...]:
    """Those of these lanes that have a job which may start and was sent so many seconds ago."""
    rows = connection.execute(
        select(jobs.c.lane)
        .distinct()
        .where(READY, jobs.c.lane.in_(list(lanes)), jobs.c.published_at < now() - seconds)
        .where(jobs.c.lane.not_in(select(governed.c.lane).where(governed.c.paused_at.is_not(None))))
    )
    return tuple(rows.scalars())


def list_workers(connection: Connection) -> tuple[dict[str, Any], ...]:
    """All rows of the registry, by worker and lane; `age` is seconds since the last beat."""
    statement = select(worker_health, (now() - _W.last_seen).label("age")).order_by(
        _W.worker_id, _W.lane
    )
    return tuple(dict(row) for row in connection.execute(statement).mappings())
