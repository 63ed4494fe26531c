"""Looking at lanes: what each allows and what waits in it, and why a job of it waits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from vibe_tasks.jobs import JobStatus
from vibe_tasks.rate import rate_text
from vibe_tasks.reasons import Reason, Why
from vibe_tasks.store import counts
from vibe_tasks.store.lanes import Room, room
from vibe_tasks.store.schema import has_status, jobs, lanes
from vibe_tasks.store.worker_line import lack_of

_J = jobs.c

COLUMNS = {"processing": "running", "ready": "ready", "due": "ready", "held": "held"}
"""Where a lane's jobs are counted, by their part of `counts.LIVE`."""


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
    for name, part, number, age in connection.execute(select(counts.LIVE)):
        lane = found.setdefault(name, {})
        column = COLUMNS.get(part)
        if column is not None:
            lane[column] = lane.get(column, 0) + number
        if part in counts.DUE:
            lane["oldest"] = max(lane.get("oldest", 0.0), float(age))
    return tuple(Lane(lane=name, **values) for name, values in sorted(found.items()))


def why_held(connection: Connection, job: Mapping[str, Any], *, lease: float = 60.0) -> str:
    """Why this job, a row of `jobs`, waits although it is due; empty where it is not held.

    Args:
        connection: A connection.
        job: The job.
        lease: Seconds of silence after which a worker is not there.
    """
    if job["status"] != JobStatus.PENDING or job["held_at"] is None:
        return ""
    return held_for(connection, job, lease=lease).text


def held_for(
    connection: Connection, job: Mapping[str, Any], *, lease: float, program: str = "vibe"
) -> Reason:
    """What this job, a row of `jobs` that is held, waits for.

    Args:
        connection: A connection.
        job: The job.
        lease: Seconds of silence after which a worker is not there.
        program: The word that starts this program.
    """
    if job["held_for"] == "worker":
        lack = lack_of(connection, job, lease=lease)
        if lack.workers:
            return Reason(why=Why.LABELS_BUSY, text=lack.text())
        mend = f"start one that has: VIBE_WORKER_LABELS={','.join(lack.required)}"
        return Reason(why=Why.LABELS, text=lack.text(), mend=mend)
    turn = Reason(why=Why.TURN, text="its turn comes with the dispatcher's next look")
    return refused(connection, job, program=program) or turn


def refused(
    connection: Connection, job: Mapping[str, Any], *, program: str = "vibe"
) -> Reason | None:
    """Why a claim of this job, a row of `jobs`, would be refused at this moment, whoever asks; None
    where it would not. Arguments as of `held_for`.
    """
    lane, key = job["lane"], job["concurrency_key"]
    found = room(connection, lane)
    if found is not None and found.why_none is not None:
        return _refusal(connection, lane, found, program)
    busy = (
        key
        and connection.execute(
            select(_J.id).where(has_status(JobStatus.PROCESSING), _J.concurrency_key == key)
        ).scalar()
    )
    if busy:
        return Reason(why=Why.KEY, text=f"its concurrency key {key!r} is busy with job {busy}")
    return None


def _refusal(connection: Connection, lane: str, found: Room, program: str) -> Reason:
    if found.why_none == "paused":
        mend = f"`{program} lanes resume {lane}`"
        return Reason(why=Why.PAUSED, text=f"lane {lane} is paused", mend=mend)
    row = connection.execute(select(lanes).where(lanes.c.lane == lane)).one()
    if found.why_none == "limit":
        text = f"lane {lane} runs {row.concurrency_limit} at once, and does"
        return Reason(why=Why.LIMIT, text=text)
    wait = found.wait or 0.0
    text = f"lane {lane} starts {rate_text(row.rate_limit)}, the next in {wait:.1f} s or later"
    return Reason(why=Why.RATE, text=text)
