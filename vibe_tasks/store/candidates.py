"""The workers that a job may be sent to, as the registry has them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, bindparam, event, func, literal_column, select

from vibe_tasks.routing import WorkerState
from vibe_tasks.store.engine import Database, now
from vibe_tasks.store.schema import worker_health
from vibe_tasks.store.statement import Statement, decoded

_W = worker_health.c
_OF_LANE = Statement(
    select(
        _W.worker_id, _W.tier, _W.capacity_limit, _W.active_tasks, _W.labels, _W.host,
        _W.functions, (now() - _W.last_seen).label("age"),
    )
    .where(_W.lane == bindparam("of", type_=_W.lane.type))
    .where(_W.status == literal_column("'online'"), _W.draining_at.is_(None))
    # A virtual worker of the fleet has no process and no queue.
    .where(func.substr(_W.worker_id, literal_column("1, 1")) != literal_column("'@'"))
    .where(_W.last_seen >= now() - bindparam("lease"))
    .order_by(_W.worker_id)
)  # fmt: skip

_WRITTEN = "workers were written"
"""What a connection notes while it writes rows of the registry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A worker of a lane.

    Attributes:
        worker: Itself.
        age: Seconds since its last heartbeat, which told what it has in hand.
    """

    worker: WorkerState
    age: float


def workers_of(connection: Connection, lane: str, *, lease: float) -> tuple[Seen, ...]:
    """The workers of this lane that live and do not drain.

    Args:
        connection: A connection.
        lane: The lane.
        lease: Seconds without a heartbeat after which a worker counts as gone.
    """
    rows = _OF_LANE.all(connection, {"of": lane, "lease": lease})
    return tuple(
        Seen(
            worker=WorkerState(
                worker_id=name, tier=tier, capacity_limit=capacity, active_tasks=active,
                labels=frozenset(decoded(labels) or ()), host=host,
                functions=_functions(functions),
            ),
            age=max(0.0, float(age)),
        )
        for name, tier, capacity, active, labels, host, functions, age in rows
    )  # fmt: skip


def _functions(stored: Any) -> frozenset[str] | None:
    known = decoded(stored)
    return None if known is None else _shared(tuple(known))


@lru_cache(maxsize=64)
def _shared(known: tuple[str, ...]) -> frozenset[str]:
    """One set for all workers that know the same: a lane has hundreds of workers of few kinds."""
    return frozenset(known)


def note_written(connection: Connection) -> None:
    """This connection writes rows of the registry; whoever watches is told after the commit."""
    connection.info[_WRITTEN] = True


def watch_written(database: Database, changed: Callable[[], None]) -> None:
    """Call this whenever this process has written rows of the registry to this database."""

    @event.listens_for(database.engine, "checkout")
    def on_checkout(_connection: object, record: Any, _proxy: object) -> None:
        record.info.pop(_WRITTEN, None)

    @event.listens_for(database.engine, "checkin")
    def on_checkin(_connection: object, record: Any) -> None:
        if _WRITTEN in record.info:  # left there for others who watch
            changed()
