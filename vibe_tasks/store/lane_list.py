"""Looking at lanes: what each allows and what waits in it, and why a job of it waits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, case, func, or_, select

from vibe_tasks.jobs import JobStatus
from vibe_tasks.rate import rate_text
from vibe_tasks.store.engine import now
from vibe_tasks.store.lanes import Room, room
from vibe_tasks.store.schema import has_status, jobs, lanes

_J = jobs.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A lane as a person sees it.

    Attributes:
        lane: Its name.
        paused: Whether nothing of it starts.
        concurrency: How many of its jobs may run at once; None: no limit.
        rate: How many of its jobs may start in a second; None: no limit.
        running: Jobs in some worker's hands.
        ready: Jobs that are due and wait for a worker.
        held: Jobs that were refused at the claim and wait for their turn.
        oldest: Seconds for which the oldest due job has waited, held ones included; None without.
    """

    lane: str
    paused: bool = False
    concurrency: int | None = None
    rate: float | None = None
    running: int = 0
    ready: int = 0
    held: int = 0
    oldest: float | None = None


def list_lanes(connection: Connection, *, also: Iterable[str] = ()) -> tuple[Lane, ...]:
    """Every lane that has rules or live jobs, and these others, by name."""
    found: dict[str, dict[str, Any]] = {name: {} for name in also}
    for row in connection.execute(select(lanes)):
        found[row.lane] = {
            "paused": row.paused_at is not None,
            "concurrency": row.concurrency_limit,
            "rate": row.rate_limit,
        }
    alive = has_status(JobStatus.BLOCKED, JobStatus.PENDING, JobStatus.PROCESSING)
    due = and_(
        has_status(JobStatus.PENDING),
        or_(_J.backoff_until.is_(None), _J.backoff_until <= now()),
    )
    since = func.coalesce(_J.backoff_until, _J.status_updated_at)
    counts = (
        select(
            _J.lane,
            _count(has_status(JobStatus.PROCESSING)).label("running"),
            _count(and_(due, _J.held_at.is_(None))).label("ready"),
            _count(and_(due, _J.held_at.is_not(None))).label("held"),
            (now() - func.min(case((due, since)))).label("oldest"),
        )
        .where(alive)
        .group_by(_J.lane)
    )
    for row in connection.execute(counts):
        age = None if row.oldest is None else max(0.0, float(row.oldest))
        found.setdefault(row.lane, {}).update(
            running=row.running, ready=row.ready, held=row.held, oldest=age
        )
    return tuple(Lane(lane=name, **values) for name, values in sorted(found.items()))


def _count(condition: Any) -> Any:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


def why_held(connection: Connection, job: Mapping[str, Any]) -> str:
    """Why this job, a row of `jobs`, waits although it is due; empty where it is not held."""
    if job["status"] != JobStatus.PENDING or job["held_at"] is None:
        return ""
    lane, key = job["lane"], job["concurrency_key"]
    found = room(connection, lane)
    if found is not None and found.why_none is not None:
        return _refusal(connection, lane, found)
    busy = (
        key
        and connection.execute(
            select(_J.id).where(has_status(JobStatus.PROCESSING), _J.concurrency_key == key)
        ).scalar()
    )
    if busy:
        return f"its concurrency key {key!r} is busy with job {busy}"
    return "its turn comes with the dispatcher's next look"


def _refusal(connection: Connection, lane: str, found: Room) -> str:
    if found.why_none == "paused":
        return f"lane {lane} is paused"
    row = connection.execute(select(lanes).where(lanes.c.lane == lane)).one()
    if found.why_none == "limit":
        return f"lane {lane} runs {row.concurrency_limit} at once, and does"
    wait = found.wait or 0.0
    return f"lane {lane} starts {rate_text(row.rate_limit)}, the next in {wait:.1f} s or later"
