"""Figures over time, from the history of jobs: how many ended, and how long they had waited."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import BigInteger, ColumnElement, Connection, cast, func, select

from vibe_tasks.jobs import JobStatus
from vibe_tasks.store.engine import now
from vibe_tasks.store.schema import job_history

POINTS = 60
"""Steps of a series."""

MOST_WAITS = 20_000
"""Starts that are looked at, the newest: a sample is enough for percentiles."""

_H = job_history.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What happened in one step.

    Attributes:
        at: When it began, in epoch seconds.
        completed: Jobs that were done.
        failed: Jobs that failed for the last time.
        wait_p50: Seconds that first attempts had waited, the middle one; None where none began.
        wait_p95: What 95 % of them stayed below.
    """

    at: float
    completed: int
    failed: int
    wait_p50: float | None
    wait_p95: float | None


def series(connection: Connection, *, minutes: int) -> tuple[float, tuple[Point, ...]]:
    """Seconds of a step, and a point for each, oldest first; the last step is under way.

    Args:
        connection: A connection.
        minutes: How far to look back, at least 1.
    """
    step = minutes * 60 / POINTS
    moment = float(connection.execute(select(now())).scalar_one())
    first = int(moment // step) - POINTS + 1
    ended = _ended(connection, step, first)
    waits = _waits(connection, step, first)
    return step, tuple(
        Point(
            at=number * step,
            completed=ended.get((number, JobStatus.COMPLETED), 0),
            failed=ended.get((number, JobStatus.FAILED), 0),
            wait_p50=percentile(waits[number], 0.5), wait_p95=percentile(waits[number], 0.95),
        )
        for number in range(first, first + POINTS)
    )  # fmt: skip


def percentile(values: Sequence[float], share: float) -> float | None:
    """The value below which so much of them is; None without any.

    Args:
        values: Sorted.
        share: From 0 to 1.
    """
    return values[min(len(values) - 1, int(share * len(values)))] if values else None


def _ended(connection: Connection, step: float, first: int) -> dict[tuple[int, str], int]:
    number = _number(connection, step)
    statement = (
        select(number, _H.status, func.count())
        .where(_H.timestamp >= first * step, _H.status.in_(("completed", "failed")))
        .group_by(number, _H.status)
    )
    return {(int(at), status): count for at, status, count in connection.execute(statement)}


def _waits(connection: Connection, step: float, first: int) -> defaultdict[int, list[float]]:
    """Waits of first attempts by the step in which they began, sorted."""
    before = job_history.alias("before")
    since = (
        select(before.c.timestamp)
        .where(before.c.job_id == _H.job_id, before.c.id < _H.id)
        .order_by(before.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    statement = (
        select(_H.timestamp, since)
        .where(_H.timestamp >= first * step, _H.status == "processing", _H.attempt == 1)
        .order_by(_H.timestamp.desc())
        .limit(MOST_WAITS)
    )
    found: defaultdict[int, list[float]] = defaultdict(list)
    for at, earlier in connection.execute(statement):
        if earlier is not None:  # else it is in the archive
            found[int(at // step)].append(max(0.0, at - earlier))
    for values in found.values():
        values.sort()
    return found


def _number(connection: Connection, step: float) -> ColumnElement[int]:
    """In which step a row's time is; SQLite's CAST cuts off, PostgreSQL's rounds."""
    steps = _H.timestamp / step
    return cast(steps if connection.dialect.name == "sqlite" else func.floor(steps), BigInteger)
