"""What the doctor asks the ledger; each question is cheap on a ledger of millions of rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select, text

from vibe_tasks.store.engine import Database, now, run_plain
from vibe_tasks.store.history import SECONDS_PER_DAY
from vibe_tasks.store.key_lines import KEY, LANE, WORKER, waits
from vibe_tasks.store.schema import READY, job_history, jobs, lanes, plans

_J, _H, _P, _L = jobs.c, job_history.c, plans.c, lanes.c

PATIENCE = 10.0
"""Seconds for the answer to one question."""

MANY = 10_001
"""Rows at which counting ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Due jobs of a lane that wait for one thing.

    Attributes:
        lane: The lane.
        what: What for: `lane`, `key` or `worker`.
        jobs: How many.
        seconds: For how long the first of them.
        paused: Whether the lane is paused.
    """

    lane: str
    what: str
    jobs: int
    seconds: float
    paused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """Sessions of a server that wait for locks.

    Attributes:
        sessions: How many.
        longest: Seconds of the longest.
        holder: Who the longest waits for, in words; None where that is not known.
    """

    sessions: int = 0
    longest: float = 0.0
    holder: str | None = None


@contextmanager
def asking(ledger: Database) -> Iterator[Connection]:
    """A connection for these questions. None is waited for beyond `PATIENCE`: whoever holds a table
    for long would hold the doctor, who is to tell of that.
    """
    with ledger.read() as connection:
        if ledger.is_sqlite:  # where readers wait for nobody
            yield connection
            return
        run_plain(connection, f"SET statement_timeout = {PATIENCE * 1000:.0f}")
        try:
            yield connection
        finally:
            if not connection.invalidated:
                run_plain(connection, "RESET statement_timeout")


def unsent(connection: Connection) -> int:
    """Due jobs whose message nobody has sent; `MANY` stands for more."""
    some = select(_J.seq).where(READY, _J.published_at.is_(None)).limit(MANY).subquery()
    return int(connection.execute(select(func.count()).select_from(some)).scalar_one())


def held(connection: Connection) -> tuple[Held, ...]:
    """What is held, by lane and by what for."""
    paused = select(_L.lane).where(_L.paused_at.is_not(None))
    closed = frozenset(connection.execute(paused).scalars())
    found: list[Held] = []
    for name, what in (("lane", LANE), ("key", KEY), ("worker", WORKER)):
        rows = connection.execute(
            select(_J.lane, func.count(), now() - func.min(_J.held_at))
            .where(waits(what), _J.held_at.is_not(None))
            .group_by(_J.lane)
            .order_by(_J.lane)
        )
        found += [
            Held(lane=lane, what=name, jobs=number, seconds=float(age), paused=lane in closed)
            for lane, number, age in rows
        ]
    return tuple(found)


def dead_since(connection: Connection, seconds: float) -> int:
    """Dead letters that came within so many seconds."""
    late = select(func.count()).where(_J.dead_at.is_not(None), _J.dead_at > now() - seconds)
    return int(connection.execute(late).scalar_one())


def history_days(connection: Connection) -> float:
    """Age in days of the oldest row of the history; 0 without one."""
    oldest = connection.execute(select(now() - func.min(_H.timestamp))).scalar()
    return float(oldest or 0.0) / SECONDS_PER_DAY


def running_plans(connection: Connection, *, limit: int) -> Sequence[Any]:
    """Name and specification of the newest plans that run."""
    newest = select(_P.name, _P.spec).where(_P.status == "running").order_by(_P.created_at.desc())
    return connection.execute(newest.limit(limit)).all()


def connections(connection: Connection) -> tuple[int, int]:
    """Connections of a server that clients have open, and how many they may have."""
    row = connection.execute(
        text(
            "SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'), "
            "current_setting('max_connections')::integer "
            "- current_setting('superuser_reserved_connections')::integer"
        )
    ).one()
    return int(row[0]), int(row[1])


_WAITS = text(
    "SELECT extract(epoch FROM clock_timestamp() - query_start)::double precision AS seconds, "
    "(pg_blocking_pids(pid))[1] AS holder FROM pg_stat_activity "
    "WHERE datname = current_database() AND wait_event_type = 'Lock' "
    "AND query_start < clock_timestamp() - make_interval(secs => :seconds) ORDER BY query_start"
)
_HOLDER = text(
    "SELECT application_name, state, extract(epoch FROM clock_timestamp() - xact_start) "
    "FROM pg_stat_activity WHERE pid = :pid"
)


def lock_waits(connection: Connection, seconds: float) -> Waits:
    """Sessions of a server's database that have waited for a lock for so many seconds."""
    rows = connection.execute(_WAITS, {"seconds": seconds}).all()
    if not rows:
        return Waits()
    holder = None
    if rows[0].holder is not None:
        name, state, age = connection.execute(_HOLDER, {"pid": rows[0].holder}).one_or_none() or (
            None, None, None,
        )  # fmt: skip
        told = [f"process {rows[0].holder}", name, state, age and f"for {float(age):.0f} s"]
        holder = " ".join(str(each) for each in told if each)
    return Waits(sessions=len(rows), longest=float(rows[0].seconds), holder=holder)
