"""The load of the lanes: what waits, for how long, what runs, and on how many slots."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import replace

from sqlalchemy import Connection, and_, column, func, not_, select, table

from vibe_tasks.jobs import JobStatus
from vibe_tasks.scaling import Load
from vibe_tasks.store.engine import now
from vibe_tasks.store.fleet import obstacle
from vibe_tasks.store.key_lines import WORKER, waits
from vibe_tasks.store.schema import READY, has_status, jobs, worker_health
from vibe_tasks.store.worker_line import has_required

_DEMAND = table(
    "view_lane_demand", column("lane"), column("waiting"), column("oldest_age"), column("busy"),
    column("slots"),
)  # fmt: skip

_J, _W = jobs.c, worker_health.c


def lane_loads(connection: Connection, lanes: Collection[str] | None = None) -> dict[str, Load]:
    """What each lane asks for and has; a lane of which nothing is known is left out.

    Args:
        connection: A connection.
        lanes: Only these; None: all.
    """
    wanted = select(_DEMAND)
    if lanes is not None:
        wanted = wanted.where(_DEMAND.c.lane.in_(sorted(lanes)))
    return {
        row.lane: Load(
            waiting=int(row.waiting), oldest_age=max(0.0, float(row.oldest_age)),
            busy=int(row.busy), slots=int(row.slots),
        )
        for row in connection.execute(wanted)
    }  # fmt: skip


def startable(connection: Connection, loads: Mapping[str, Load]) -> dict[str, Load]:
    """These loads, with what holds a lane up, and of what waits no more than its limits let start.

    Costs two queries for each lane in which jobs wait.
    """
    found = dict(loads)
    for lane, load in loads.items():
        if load.waiting:
            hindered, starts = obstacle(connection, lane)
            waiting = load.waiting if starts is None else min(load.waiting, starts)
            found[lane] = replace(load, waiting=waiting, obstacle=hindered)
    return found


def within_reach(
    connection: Connection, loads: Mapping[str, Load], labels: Collection[str]
) -> dict[str, Load]:
    """These loads, without the jobs that are held for a worker with labels which this one lacks;
    those count for nothing, however long they have waited.
    """
    busy = sorted(lane for lane, load in loads.items() if load.waiting)
    if not busy:
        return dict(loads)
    beyond = (
        select(_J.lane, func.count().label("jobs"))
        .where(waits(WORKER), _J.held_at.is_not(None), _J.lane.in_(busy))
        .where(not_(has_required(connection.dialect.name)))
        .group_by(_J.lane)
    )
    found = dict(loads)
    given = {"labels": json.dumps(sorted(labels))}
    left = {
        row.lane: max(0, loads[row.lane].waiting - row.jobs)
        for row in connection.execute(beyond, given)
    }
    ages = _ages_within_reach(connection, [lane for lane in left if left[lane]], given)
    for lane, waiting in left.items():
        age = max(0.0, ages.get(lane, 0.0))
        found[lane] = replace(found[lane], waiting=waiting, oldest_age=age)
    return found


def _ages_within_reach(
    connection: Connection, lanes: Collection[str], given: Mapping[str, str]
) -> dict[str, float]:
    """For how long the oldest job has waited in each of these lanes, of those in reach."""
    if not lanes:
        return {}
    since = (
        (READY, _J.status_updated_at),
        (and_(has_status(JobStatus.PENDING), _J.backoff_until <= now()), _J.backoff_until),
        (
            and_(waits(WORKER), _J.held_at.is_not(None), has_required(connection.dialect.name)),
            _J.held_at,
        ),
    )
    parts = [
        select(_J.lane, func.max(now() - moment).label("age"))
        .where(waiting, _J.lane.in_(sorted(lanes)))
        .group_by(_J.lane)
        for waiting, moment in since
    ]
    ages: dict[str, float] = {}
    for part in parts:
        for row in connection.execute(part, given):
            ages[row.lane] = max(ages.get(row.lane, 0.0), float(row.age))
    return ages


def serving(
    connection: Connection, lanes: Collection[str], *, seconds: float
) -> dict[str, tuple[str, ...]]:
    """The workers of each of these lanes that take jobs, by name, and were heard of lately.

    Args:
        connection: A connection.
        lanes: The lanes.
        seconds: One that has been silent for longer does not count.
    """
    rows = connection.execute(
        select(_W.lane, _W.worker_id)
        .where(_W.lane.in_(sorted(lanes)), _W.status == "online", _W.last_seen > now() - seconds)
        .order_by(_W.worker_id)
    )
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row.lane, []).append(row.worker_id)
    return {lane: tuple(names) for lane, names in found.items()}
