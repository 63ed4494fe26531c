"""Listing plans, and of a plan's jobs no more than what somebody is to be told."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, and_, or_, select

from vibe_tasks.jobs import JobStatus
from vibe_tasks.pipeline import JobKind, TaskStatus
from vibe_tasks.store.job_archive import list_archived
from vibe_tasks.store.schema import has_status, jobs, plans, task_needs, tasks

_P, _J, _T, _N = plans.c, jobs.c, tasks.c, task_needs.c
_OUTCOME = (
    _J.id, _J.task_id, _J.kind, _J.round, _J.status, _J.attempt, _J.error, _J.dead_at, _J.result,
    _J.status_updated_at,
)  # fmt: skip
_IS_STOPPED = and_(has_status(JobStatus.BLOCKED), _J.attempt > 0, _J.kind != str(JobKind.DEPLOY))


def outcomes_of(connection: Connection, plan_id: str) -> tuple[dict[str, Any], ...]:
    """What became of all jobs of a plan, archived ones too, oldest first, without what they were
    given.
    """
    statement = select(*_OUTCOME).where(_J.plan_id == plan_id).order_by(_J.seq)
    archived = list_archived(connection, where={"plan_id": plan_id})
    names = [column.name for column in _OUTCOME]
    found = [{name: row[name] for name in names} for row in reversed(archived)]
    return (*found, *(dict(row) for row in connection.execute(statement).mappings()))


def stopped_jobs(connection: Connection, plan_id: str) -> tuple[dict[str, Any], ...]:
    """Jobs that have run and wait for a person, oldest first: a deploy that waits for approval has
    not run.
    """
    statement = select(jobs).where(_J.plan_id == plan_id, _IS_STOPPED).order_by(_J.seq)
    return tuple(dict(row) for row in connection.execute(statement).mappings())


def plans_stopped(connection: Connection, *, limit: int) -> tuple[str, ...]:
    """Ids of running plans that have such jobs, newest first."""
    stopped = select(_J.plan_id).where(_IS_STOPPED)
    statement = select(_P.id).where(_P.status == "running", _P.id.in_(stopped))
    statement = statement.order_by(_P.created_at.desc(), _P.id.desc()).limit(limit)
    return tuple(connection.execute(statement).scalars())


def needs_left(connection: Connection, plan_id: str, task_id: str) -> tuple[tuple[str, str], ...]:
    """The tasks that this one needs and that are not deployed, each with its status, as the plan
    has them.
    """
    statement = (
        select(_T.id, _T.status)
        .join(task_needs, and_(_N.plan_id == _T.plan_id, _N.needs_id == _T.id))
        .where(_T.plan_id == plan_id, _N.task_id == task_id, _T.status != TaskStatus.DEPLOYED)
        .order_by(_T.position)
    )
    return tuple((row.id, row.status) for row in connection.execute(statement))


def list_plans(
    connection: Connection, *, limit: int = 100, before: tuple[float, str] | None = None
) -> tuple[dict[str, Any], ...]:
    """Plans, newest first, without their specifications.

    Args:
        connection: A connection.
        limit: At most so many.
        before: Only those that come after the one with this `created_at` and `id`: the next page.
    """
    columns = [column for column in plans.c if column.name != "spec"]
    statement = select(*columns).order_by(_P.created_at.desc(), _P.id.desc()).limit(limit)
    if before is not None:
        at, plan_id = before
        earlier = and_(_P.created_at == at, _P.id < plan_id)
        statement = statement.where(or_(_P.created_at < at, earlier))
    return tuple(dict(row) for row in connection.execute(statement).mappings())
