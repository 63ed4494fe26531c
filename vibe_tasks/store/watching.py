"""What a person who watches sees: light queries for progress views and checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, bindparam, case, false, func, select

from vibe_tasks.errors import UnknownJobError
from vibe_tasks.jobs import LIVE, JobStatus
from vibe_tasks.store.agent_tables import agent_usage
from vibe_tasks.store.engine import now
from vibe_tasks.store.event_tables import events
from vibe_tasks.store.schema import (
    READY,
    has_status,
    job_history,
    jobs,
    plans,
    task_needs,
    tasks,
    worker_health,
)

_J, _T, _H, _E, _W = jobs.c, tasks.c, job_history.c, events.c, worker_health.c
_U = agent_usage.c

# Of several reviews the latest that has not ended; of a dead task its dead letter.
_latest = (
    select(
        _J.task_id,
        func.coalesce(
            func.max(case((has_status(*LIVE), _J.seq))),
            func.max(case((_J.dead_at.is_not(None), _J.seq))),
            func.max(_J.seq),
        ).label("seq"),
    )
    .where(_J.plan_id == bindparam("plan"))
    .group_by(_J.task_id)
    .subquery()
)
_panel = (
    select(
        _J.task_id, _J.round, func.count().label("seats"),
        func.count(case((has_status(JobStatus.COMPLETED), 1))).label("votes"),
    )
    .where(_J.plan_id == bindparam("plan"), _J.kind == "review")
    .group_by(_J.task_id, _J.round)
    .subquery()
)  # fmt: skip
# A cached change has a row of its own; where the latest is such a row, nothing was made anew.
_changes = (
    select(
        _U.task_id,
        func.max(_U.updated_at).label("last"),
        func.max(case((_U.cached > 0, _U.updated_at))).label("last_cached"),
    )
    .where(_U.plan_id == bindparam("plan"), _U.kind.in_(("dev", "fix")))
    .group_by(_U.task_id)
    .subquery()
)
_BOARD = (
    select(
        _T.id, _T.title, _T.status, _T.fix_round, _T.error,
        _J.id.label("job_id"), _J.kind, _J.status.label("job_status"), _J.attempt,
        (now() - _J.started_at).label("elapsed"), (_J.backoff_until - now()).label("wait"),
        _J.error.label("job_error"), _panel.c.seats, _panel.c.votes,
        func.coalesce(_changes.c.last_cached == _changes.c.last, false()).label("reused"),
        _T.spec["effort"].as_integer().label("effort"),
    )
    .select_from(
        tasks.outerjoin(_latest, _latest.c.task_id == _T.id).outerjoin(
            jobs, _J.seq == _latest.c.seq
        ).outerjoin(
            _panel, and_(_panel.c.task_id == _T.id, _panel.c.round == _T.fix_round)
        ).outerjoin(_changes, _changes.c.task_id == _T.id)
    )
    .where(_T.plan_id == bindparam("plan"))
    .order_by(_T.position)
)  # fmt: skip
_NEEDS = (
    select(task_needs.c.task_id, task_needs.c.needs_id)
    .where(task_needs.c.plan_id == bindparam("plan"))
    .order_by(task_needs.c.task_id, task_needs.c.needs_id)
)
_STATUS = select(plans.c.status).where(plans.c.id == bindparam("plan"))
_LIVE = (
    select(_J.kind, _J.status, func.count())
    .where(_J.plan_id == bindparam("plan"), has_status(*LIVE))
    .group_by(_J.kind, _J.status)
)
_MOVES = (
    select(
        _H.id, _H.timestamp, _H.from_status, _H.status, _H.attempt, _H.details,
        _J.kind, _J.task_id, _J.round,
        # Whole: it may be sealed.
        case((_J.kind == "review", _J.args)).label("asked"),
    )
    .join_from(job_history, jobs, _J.id == _H.job_id)
    .where(_H.id > bindparam("after"), _J.plan_id == bindparam("plan"))
    .order_by(_H.id)
)  # fmt: skip
_EVENTS = (
    select(_E.id, _E.timestamp, _E.hook_event_type, _E.payload)
    .where(_E.session_id == bindparam("plan"), _E.id > bindparam("after"))
    .order_by(_E.id)
)
_UNSENT = select(now() - func.min(_J.status_updated_at)).where(READY, _J.published_at.is_(None))
_OVERDUE = select(now() - func.min(_J.backoff_until)).where(
    has_status(JobStatus.PENDING), _J.backoff_until.is_not(None), _J.backoff_until <= now()
)
_LANES_OF = select(_J.lane).where(
    _J.plan_id == bindparam("plan"), has_status(JobStatus.PENDING, JobStatus.PROCESSING)
)
_RUNNING = select(_J.id, _J.attempt).where(has_status(JobStatus.PROCESSING))


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskView:
    """A plan's task and its latest job.

    Attributes:
        id: The task.
        title: As the plan has it.
        status: One of `pipeline.TaskStatus`.
        fix_round: Fix rounds begun so far.
        error: Why it is dead.
        job_id: Its latest job, None where it has none.
        kind: What that job does.
        job_status: One of `jobs.JobStatus`.
        attempt: The job's current or last attempt, 0 before the first.
        elapsed: Seconds since that attempt began.
        wait: Seconds until the next attempt, None when there is no wait.
        job_error: The job's last error.
        seats: Reviewers that were asked in this fix round, None where none were.
        votes: Those of them that have voted.
        reused: Whether its last change came from the cache.
        effort: From 1 to 5.
    """

    id: str
    title: str
    status: str
    fix_round: int
    error: str | None
    job_id: str | None
    kind: str | None
    job_status: str | None
    attempt: int | None
    elapsed: float | None
    wait: float | None
    job_error: str | None
    seats: int | None = None
    votes: int | None = None
    reused: bool = False
    effort: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """How far the news of a plan were read.

    Attributes:
        history: Highest id of the history that was seen.
        event: Highest id of the events that was seen.
    """

    history: int
    event: int


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """Something that happened to a task: a job's move or an event.

    Attributes:
        at: When, in epoch seconds.
        task: The task's id.
        event: Type of the event, None for a job's move.
        kind: The job's kind, of a move.
        round: The job's fix round, of a move.
        before: The job's status before, of a move; None where it is new.
        status: The job's status from then on, of a move.
        attempt: The job's attempt, of a move.
        why: Reason or error, where there is one.
        agent: Who is asked, of a move of a review.
    """

    at: float
    task: str
    event: str | None = None
    kind: str = ""
    round: int = 0
    before: str | None = None
    status: str = ""
    attempt: int = 0
    why: str = ""
    agent: str = ""


def plan_standing(
    connection: Connection, plan_id: str
) -> tuple[str, Mapping[tuple[str, str], int]]:
    """A plan's status, and its jobs that have not ended, counted by kind and status.

    Raises:
        UnknownJobError: No such plan.
    """
    status = connection.execute(_STATUS, {"plan": plan_id}).scalar()
    if status is None:
        raise UnknownJobError(f"no plan {plan_id}")
    rows = connection.execute(_LIVE, {"plan": plan_id})
    return str(status), {(kind, state): count for kind, state, count in rows}


def plan_board(connection: Connection, plan_id: str) -> tuple[TaskView, ...]:
    """A plan's tasks in the plan's order, each with its latest job."""
    rows = connection.execute(_BOARD, {"plan": plan_id}).mappings()
    return tuple(TaskView(**row) for row in rows)


def priorities_of(connection: Connection, plan_id: str) -> dict[str, dict[str, str]]:
    """For each task, in the plan's order, its `priority` and `priority_why`, in words."""
    wanted = (_T.spec["priority"].as_string(), _T.spec["priority_why"].as_string())
    statement = select(_T.id, *wanted).where(_T.plan_id == plan_id).order_by(_T.position)
    return {
        task: {"priority": level, "priority_why": why or ""}
        for task, level, why in connection.execute(statement)
    }


def needs_of(connection: Connection, plan_id: str) -> dict[str, tuple[str, ...]]:
    """For each task that needs others, their ids, sorted."""
    found: dict[str, tuple[str, ...]] = {}
    for task, need in connection.execute(_NEEDS, {"plan": plan_id}):
        found[task] = (*found.get(task, ()), need)
    return found


def _agent(asked: Any) -> str:
    """The reviewer that a job's arguments name; empty for other jobs, or sealed ones."""
    return str(asked.get("kwargs", {}).get("agent", "")) if asked else ""


def newest(connection: Connection) -> Mark:
    """A mark from which on `plan_news` tells only what is yet to come."""
    return Mark(
        history=connection.execute(select(func.max(_H.id))).scalar() or 0,
        event=connection.execute(select(func.max(_E.id))).scalar() or 0,
    )


def plan_news(connection: Connection, plan_id: str, mark: Mark) -> tuple[tuple[News, ...], Mark]:
    """What happened to a plan's tasks since the mark, oldest first, and the next mark."""
    moves = list(connection.execute(_MOVES, {"plan": plan_id, "after": mark.history}))
    happened = list(connection.execute(_EVENTS, {"plan": plan_id, "after": mark.event}))
    news = [
        News(
            at=row.timestamp, task=row.task_id, kind=row.kind, round=row.round,
            before=row.from_status, status=row.status, attempt=row.attempt, why=row.details or "",
            agent=_agent(row.asked),
        )
        for row in moves
    ]  # fmt: skip
    news += [
        News(
            at=row.timestamp / 1000, task=row.payload["task"], event=row.hook_event_type,
            why=row.payload.get("why") or "",
        )
        for row in happened
        if "task" in row.payload
    ]  # fmt: skip
    news.sort(key=lambda each: each.at)
    return tuple(news), Mark(
        history=moves[-1].id if moves else mark.history,
        event=happened[-1].id if happened else mark.event,
    )


def lanes_in_need(connection: Connection, plan_id: str) -> frozenset[str]:
    """Lanes in which a plan has work to be done now."""
    return frozenset(connection.execute(_LANES_OF.distinct(), {"plan": plan_id}).scalars())


def oldest_unsent(connection: Connection) -> float:
    """Seconds since which the dispatcher should have sent the oldest due message; 0 without one."""
    ages = (connection.execute(statement).scalar() for statement in (_UNSENT, _OVERDUE))
    return max(float(age or 0.0) for age in ages)


def workers_online(connection: Connection, *, lease: float) -> tuple[str, ...]:
    """Names of the workers that were heard of within a lease; works on every schema version."""
    found = select(_W.worker_id).where(_W.status == "online", _W.last_seen >= now() - lease)
    return tuple(connection.execute(found.distinct().order_by(_W.worker_id)).scalars())


def running_attempts(connection: Connection) -> frozenset[tuple[str, int]]:
    """Job and attempt of whatever is in a worker's hands."""
    return frozenset((row.id, row.attempt) for row in connection.execute(_RUNNING))
