"""The registry of workers: who serves which lanes, with how much room."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    case,
    delete,
    func,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from vibe_tasks.errors import InputError
from vibe_tasks.store.candidates import note_written
from vibe_tasks.store.engine import now
from vibe_tasks.store.schema import READY, jobs, worker_health
from vibe_tasks.store.schema import lanes as governed
from vibe_tasks.store.version import SCHEMA_VERSION

_W = worker_health.c

FORGOTTEN = 86_400.0
"""Seconds after which a worker that is gone is no longer listed."""
SHARED = " | "
"""Between the processes of workers that have one name."""

_LIVE = _W.status.in_(("online", "draining"))
_ONLINE = (
    select(
        _W.worker_id.label("worker"), _W.host, _W.process,
        (now() - func.max(_W.last_seen)).label("age"),
    )
    .where(_LIVE)
    .group_by(_W.worker_id, _W.host, _W.process)
)  # fmt: skip
_LEFT = update(worker_health).values(
    status="offline", active_tasks=0, last_seen=now(), draining_at=null()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A worker as it registered, once for all its lanes.

    Attributes:
        worker: Its name.
        host: Where process ids have one meaning; None where it is not known.
        process: Its main process, told from all others of that host; without a host, any text
            that no other start has, or those of all workers that live under this name.
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
    labels: Collection[str] = (),
    functions: Collection[str] | None = None,
) -> None:
    """Write this worker's rows, one for each lane, in place of what its name had: who drains and
    starts again is online.

    Workers that were not heard of for `FORGOTTEN` are removed: pods have a new name each time.

    Args:
        connection: A writing transaction.
        registered: The worker.
        lanes: What it serves.
        tier: Its tier.
        capacity: Jobs that it takes at once.
        version: Of this package.
        labels: What it has that a job may ask for.
        functions: The functions that it knows; None where that is not known.
    """
    note_written(connection)
    connection.execute(
        delete(worker_health).where(
            or_(_W.worker_id == registered.worker, _W.last_seen < now() - FORGOTTEN)
        )
    )
    rows = [
        {"worker_id": registered.worker, "lane": lane, "tier": tier, "active_tasks": 0,
         "capacity_limit": capacity, "status": "online", "host": registered.host,
         "process": registered.process, "version": version, "labels": sorted(labels),
         "functions": None if functions is None else sorted(functions),
         "schema_version": SCHEMA_VERSION}
        for lane in lanes
    ]  # fmt: skip
    if rows:
        kind = sqlite if connection.dialect.name == "sqlite" else postgresql
        row = kind.insert(worker_health).values(last_seen=now(), started_at=now())
        # Of two of one name that come at once, the later one has it.
        new = {each: row.excluded[each] for each in (*rows[0], "last_seen", "started_at")}
        connection.execute(
            row.on_conflict_do_update(
                index_elements=[_W.worker_id, _W.lane], set_={**new, "draining_at": null()}
            ),
            rows,
        )


def beat(
    connection: Connection,
    worker: str,
    *,
    active: int,
    process: str | None = None,
    capacity: int | None = None,
    labels: Collection[str] | None = None,
    draining: bool = False,
) -> bool:
    """This worker lives and runs so many jobs; whether it is to drain.

    Args:
        connection: A writing transaction.
        worker: Its name.
        active: Jobs in its hands.
        capacity: Jobs it takes at once, where that has changed.
        labels: What it has, where that may have changed.
        draining: It was told to drain in another way than through its row.
        process: The process that it has registered. Where another one has registered under its
            name since, the name stands for all of them, and for no host, from now on: that one is
            gone does not mean that all are.
    """
    note_written(connection)
    values: dict[str, Any] = {"active_tasks": active, "last_seen": now()}
    if draining:
        values |= {"draining_at": func.coalesce(_W.draining_at, now()), "status": "draining"}
    else:
        values["status"] = case((_W.draining_at.is_not(None), "draining"), else_="online")
    if capacity is not None:
        values["capacity_limit"] = capacity
    if labels is not None:
        values["labels"] = sorted(labels)
    if process is not None:
        values["host"] = case((_W.process == process, _W.host), else_=null())
        values["process"] = case(
            (or_(_W.process == process, and_(_LIVE, _shared_by(process))), _W.process),
            (and_(_LIVE, _W.process.is_not(None)), _W.process + SHARED + process),
            else_=process,
        )
    mine = update(worker_health).where(_W.worker_id == worker)
    if process is not None:  # a beat that comes late, after `sign_off`, changes nothing
        mine = mine.where(or_(_LIVE, _W.process.is_distinct_from(process)))
    told = connection.execute(mine.values(values).returning(_W.draining_at)).all()
    return any(row.draining_at is not None for row in told)


def drain(connection: Connection, worker: str) -> bool:
    """Let this worker take nothing new and end when it is idle; whether that is news to it.

    It learns of it at its next heartbeat. One that has left, or was never there, is not changed.
    """
    note_written(connection)
    asked = (
        update(worker_health)
        .where(_W.worker_id == worker, _W.status == "online")
        .values(status="draining", draining_at=now())
    )
    return connection.execute(asked).rowcount > 0


def leave(connection: Connection, worker: str) -> None:
    """The workers of this name have stopped."""
    note_written(connection)
    connection.execute(_LEFT.where(_W.worker_id == worker))


def forget(connection: Connection, worker: str) -> None:
    """The worker of this name, which nobody will have again, has stopped and holds nothing."""
    note_written(connection)
    connection.execute(delete(worker_health).where(_W.worker_id == worker))


def forget_all(connection: Connection) -> None:
    """Nobody who ever registered runs any more: this is another ledger than they worked on."""
    note_written(connection)
    connection.execute(delete(worker_health))


def sign_off(connection: Connection, registered: Registered) -> bool:
    """This very worker has stopped; whether its name stood for it alone, and online."""
    note_written(connection)
    process, named = registered.process, _W.worker_id == registered.worker
    mine = _W.process == process if process else _W.host.is_(None)
    if connection.execute(_LEFT.where(named, _LIVE, mine)).rowcount > 0:
        return True
    if process:
        both = and_(named, _LIVE, _shared_by(process))
        sharing = select(_W.lane, _W.process).where(both).order_by(_W.lane).with_for_update()
        for lane, text in connection.execute(sharing).all():
            others = SHARED.join(each for each in text.split(SHARED) if each != process)
            connection.execute(update(worker_health).where(both, _W.lane == lane)
                               .values(process=others))  # fmt: skip
    return False


def _shared_by(process: str) -> ColumnElement[bool]:
    """That this process is one of several of a name."""
    return (SHARED + _W.process + SHARED).contains(SHARED + process + SHARED, autoescape=True)


def registered_as(connection: Connection, worker: str) -> Registered | None:
    """Who has this name and is online, or was when it was last heard of."""
    found = connection.execute(_ONLINE.where(_W.worker_id == worker)).mappings().first()
    return None if found is None else Registered(**found)


def online_at(connection: Connection, host: str) -> tuple[Registered, ...]:
    """The workers of this host that have not left."""
    rows = connection.execute(_ONLINE.where(_W.host == host, _W.process.is_not(None)))
    return tuple(Registered(**row) for row in rows.mappings())


def heard_at(
    connection: Connection, host: str | None, *, name: str, seconds: float
) -> frozenset[str]:
    """The workers of a host that have not left and were heard of within so many seconds.

    Args:
        connection: A connection.
        host: As workers register it; None where that is not known.
        name: What the names of workers end with that registered without.
        seconds: Seconds.
    """
    here = _W.worker_id.endswith(f"@{name}", autoescape=True)
    if host is not None:
        here = or_(_W.host == host, and_(_W.host.is_(None), here))
    rows = connection.execute(
        select(_W.worker_id).where(_LIVE, _W.last_seen >= now() - seconds, here).distinct()
    )
    return frozenset(rows.scalars())


def heard_of(
    connection: Connection, *, lease: float, within: float
) -> tuple[frozenset[str], frozenset[str]]:
    """The workers that were heard of within so many seconds: those that are there, and those that
    have left or were silent for over a lease.
    """
    there = and_(_LIVE, _W.last_seen >= now() - lease)
    rows = connection.execute(
        select(_W.worker_id, func.max(case((there, 1), else_=0)).label("there"))
        .where(_W.last_seen >= now() - within)
        .group_by(_W.worker_id)
    ).all()
    alive = frozenset(row.worker_id for row in rows if row.there)
    return alive, frozenset(row.worker_id for row in rows) - alive


def refuse_while_online(connection: Connection, *, lease: float) -> None:
    """Refuse while workers are online.

    Args:
        connection: A connection.
        lease: Seconds of silence after which a worker counts as gone.

    Raises:
        InputError: Some are; the message names them.
    """
    online, _ = heard_of(connection, lease=lease, within=lease)
    if online:
        names = ", ".join(sorted(online))
        raise InputError(f"online: {names}; stop them first, or give --force where they are gone")


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
    """All rows of the registry, by worker and lane; `age` is seconds since the last beat.

    Without the functions that they know, which may be hundreds.
    """
    shown = [column for column in _W if column is not _W.functions]
    statement = select(*shown, (now() - _W.last_seen).label("age")).order_by(_W.worker_id, _W.lane)
    return tuple(dict(row) for row in connection.execute(statement).mappings())
