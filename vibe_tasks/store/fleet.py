"""The workers that the fleet's scaler has started, and what holds the work of a lane up.

Such a worker is a row of the registry from the moment on that somebody wants it: `starting` until
it has registered. Whoever looks after the processes of a host starts what is wanted there, and
ends what no longer is.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, and_, delete, exists, func, insert, null, or_, select, update

from vibe_tasks.breaker import State
from vibe_tasks.errors import CircuitBreakerOpenError
from vibe_tasks.jobs import JobStatus
from vibe_tasks.store.agent_tables import breakers
from vibe_tasks.store.engine import now
from vibe_tasks.store.extras import SILENT_WORKER
from vibe_tasks.store.lanes import room
from vibe_tasks.store.schema import has_status, jobs, worker_health

_W, _J, _B = worker_health.c, jobs.c, breakers.c

STARTING = "starting"
"""The status of a worker that is wanted and has not registered yet."""

SILENT = SILENT_WORKER
"""Seconds of silence after which a worker's slots count no longer, as in `view_lane_demand`."""

_HERE = _W.status.in_((STARTING, "online", "draining"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A worker of a lane's fleet.

    Attributes:
        worker: Its name.
        number: The number in it.
        lane: What it serves.
        status: `starting`, `online` or `draining`.
        slots: Jobs that it takes at once.
        host: Where its process is, or is to be; None where it has none.
        process: Its process there; None before it has registered.
        age: Seconds since it was last heard of, or asked for.
        busy: Jobs that it holds.
        started: When it registered, in epoch seconds; None before.
    """

    worker: str
    number: int
    lane: str
    status: str
    slots: int
    host: str | None
    process: str | None
    age: float
    busy: int
    started: float | None

    @property
    def leaving(self) -> bool:
        """Whether it is to end."""
        return self.status == "draining"


def first_to_go(found: Collection[Member]) -> list[Member]:
    """In which order they may go: those with the fewest jobs, and the newest of them first."""
    there = [each for each in found if not each.leaving]
    return sorted(there, key=lambda each: (each.busy, each.started is not None,
                                           -(each.started or 0.0), -each.number))  # fmt: skip


def members(connection: Connection, prefix: str, lane: str | None = None) -> tuple[Member, ...]:
    """The workers whose names are this prefix, what may follow, a number, and their host if any.

    A host's name may well end with a number too; that of a worker without a host begins with `@`.

    Args:
        connection: A connection.
        prefix: Such as `auto-`.
        lane: Only of this lane; None: of all.
    """
    held = (
        select(func.count())
        .where(has_status(JobStatus.PROCESSING), _J.worker == _W.worker_id)
        .scalar_subquery()
    )
    wanted = select(
        _W.worker_id, _W.lane, _W.status, _W.capacity_limit, _W.host, _W.process,
        _W.started_at, (now() - _W.last_seen).label("age"), held.label("busy"),
    ).where(_HERE, _W.worker_id.startswith(prefix, autoescape=True))  # fmt: skip
    if lane is not None:
        wanted = wanted.where(_W.lane == lane)
    rest = r"(?:.*-)?(\d+)" if prefix.startswith("@") else r"(?:[^@]*-)?(\d+)(?:@[^@]+)?"
    named = re.compile(re.escape(prefix) + rest)
    return tuple(
        Member(
            worker=row.worker_id, number=int(found[1]), lane=row.lane, status=row.status,
            slots=row.capacity_limit, host=row.host, process=row.process, age=float(row.age),
            busy=int(row.busy), started=row.started_at,
        )
        for row in connection.execute(wanted.order_by(_W.worker_id))
        if (found := named.fullmatch(row.worker_id))
    )  # fmt: skip


def want(
    connection: Connection,
    worker: str,
    lane: str,
    *,
    slots: int,
    status: str = STARTING,
    host: str | None = None,
    tier: str = "standard",
) -> None:
    """Register a worker that is to be, in place of what its name had."""  # fmt: skip
    connection.execute(delete(worker_health).where(_W.worker_id == worker))
    connection.execute(
        insert(worker_health).values(
            worker_id=worker, lane=lane, tier=tier, active_tasks=0, capacity_limit=slots,
            status=status, host=host, last_seen=now(), labels=[],
        )
    )  # fmt: skip


def refresh(connection: Connection, workers: Collection[str]) -> None:
    """These are there as ever."""
    connection.execute(
        update(worker_health).where(_W.worker_id.in_(list(workers))).values(last_seen=now())
    )


def signed_off(connection: Connection, workers: Collection[str]) -> dict[str, str | None]:
    """Those of these workers that have left, or were found dead; the processes that they had."""
    rows = connection.execute(
        select(_W.worker_id, _W.process).where(
            _W.worker_id.in_(list(workers)), _W.status == "offline"
        )
    )
    return {row.worker_id: row.process for row in rows}


def want_again(connection: Connection, worker: str, *, age: float) -> None:
    """This worker, which was found dead, is wanted as before; nothing where it is known otherwise.

    Args:
        connection: A writing transaction.
        worker: Its name.
        age: Seconds since its next process was started.
    """
    connection.execute(
        update(worker_health)
        .where(_W.worker_id == worker, _W.status == "offline")
        .values(status=STARTING, process=null(), started_at=null(), last_seen=now() - age)
    )


def give_up(connection: Connection, worker: str) -> None:
    """This worker is wanted no longer, and nobody has heard of it."""
    connection.execute(delete(worker_health).where(_W.worker_id == worker))


def busy_elsewhere(connection: Connection, lane: str) -> int:
    """Jobs of this lane that run on workers whose slots do not count, as they are to end."""
    leaving = select(_W.worker_id).where(_W.status == "draining", _W.lane == lane)
    return int(
        connection.execute(
            select(func.count()).where(
                has_status(JobStatus.PROCESSING), _J.lane == lane, _J.worker.in_(leaving)
            )
        ).scalar_one()
    )


def up(connection: Connection, lane: str) -> int:
    """Workers of this lane that are online, whoever started them."""
    return int(
        connection.execute(
            select(func.count()).where(
                _W.lane == lane, _W.status == "online", _W.last_seen > now() - SILENT
            )
        ).scalar_one()
    )


def obstacle(connection: Connection, lane: str) -> tuple[str | None, int | None]:
    """What holds this lane up other than a lack of workers, and how many more may start.

    A breaker counts when it is not closed and a job of the lane waits for it: more workers would
    come to the same closed door.

    Returns:
        The obstacle in words, None for nothing; the starts that the lane's limits leave, None
        where nothing limits them.
    """
    found = room(connection, lane)
    if found is not None and found.why_none is not None:
        words = {"paused": "the lane is paused", "limit": "as many run as its limit lets",
                 "rate": "as many start as its rate lets"}  # fmt: skip
        return words[found.why_none], 0
    starts = None if found is None else found.starts
    shut = connection.execute(
        select(_B.name, _B.reason).where(_B.state != State.CLOSED).order_by(_B.name)
    ).all()
    for name, reason in shut:
        told = [_J.error == CircuitBreakerOpenError.text(name)]
        if reason:  # whoever met the provider's limit first waits with its words
            told.append(_J.error == reason)
        waits = exists().where(
            and_(has_status(JobStatus.PENDING), _J.backoff_until > now(), _J.lane == lane,
                 or_(*told))
        )  # fmt: skip
        if connection.execute(select(waits)).scalar():
            return f"its jobs wait for circuit breaker {name}", starts
    return None, starts
