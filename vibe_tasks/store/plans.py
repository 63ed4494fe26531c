"""Plans and their tasks: rows, dependencies and what follows from a task's end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, null, select, text, update

from vibe_tasks.errors import UnknownJobError
from vibe_tasks.jobs import JobStatus
from vibe_tasks.pipeline import TaskStatus
from vibe_tasks.store.engine import now
from vibe_tasks.store.redacting import redacted
from vibe_tasks.store.schema import has_status, jobs, plans, task_needs, tasks
from vibe_tasks.store.sealing import in_the_open, sealed

_P, _T, _N, _J = plans.c, tasks.c, task_needs.c, jobs.c


def insert_plan(
    connection: Connection,
    plan: dict[str, Any],
    task_rows: Sequence[dict[str, Any]],
    needs: Sequence[tuple[str, str]],
) -> None:
    """Write a plan with its tasks and their needs.

    Args:
        connection: A writing transaction.
        plan: Columns of `plans`, without status and times.
        task_rows: Columns of `tasks`, without plan and times.
        needs: Pairs of a task and a task that it needs.
    """
    connection.execute(
        insert(plans).values(created_at=now(), status="running"),
        {**plan, "spec": sealed(connection, plan["spec"])},
    )
    connection.execute(
        insert(tasks).values(status_updated_at=now()),
        [
            {
                **row,
                "plan_id": plan["id"],
                "spec": sealed(connection, row["spec"], beside=in_the_open(row["spec"])),
            }
            for row in task_rows
        ],
    )
    if needs:
        connection.execute(
            insert(task_needs),
            [{"plan_id": plan["id"], "task_id": task, "needs_id": need} for task, need in needs],
        )


def lock_name(connection: Connection, name: str) -> None:
    """Let one process at a time submit a plan of this name, until the end of this transaction."""
    if connection.dialect.name == "postgresql":  # on SQLite the transaction does it
        connection.execute(
            text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 827310))"), {"name": name}
        )


def find_plan(connection: Connection, plan_id: str) -> dict[str, Any]:
    """A plan's row, by its id or, the latest of that name, by its name.

    Raises:
        UnknownJobError: No such plan.
    """
    row = connection.execute(select(plans).where(_P.id == plan_id)).mappings().first()
    found = latest_plan(connection, plan_id) if row is None else dict(row)
    if found is None:
        raise UnknownJobError(f"no plan {plan_id}")
    return found


def latest_plan(connection: Connection, name: str) -> dict[str, Any] | None:
    """The latest plan of this name that was not replaced by a fresh start."""
    statement = (
        select(plans)
        .where(_P.name == name, _P.status != "replaced")
        .order_by(_P.created_at.desc())
        .limit(1)
    )
    row = connection.execute(statement).mappings().first()
    return None if row is None else dict(row)


def tasks_of(connection: Connection, plan_id: str) -> tuple[dict[str, Any], ...]:
    """A plan's tasks in the plan's order."""
    statement = select(tasks).where(_T.plan_id == plan_id).order_by(_T.position)
    return tuple(dict(row) for row in connection.execute(statement).mappings())


def find_task(connection: Connection, plan_id: str, task_id: str) -> dict[str, Any]:
    """A task's row, locked until the end of the transaction where the database locks rows.

    Raises:
        UnknownJobError: No such task.
    """
    statement = select(tasks).where(_T.plan_id == plan_id, _T.id == task_id).with_for_update()
    row = connection.execute(statement).mappings().first()
    if row is None:
        raise UnknownJobError(f"no task {task_id} in plan {plan_id}")
    return dict(row)


def set_task(connection: Connection, plan_id: str, task_id: str, **values: Any) -> None:
    """Change columns of a task; a change of status is timed."""
    if "status" in values:
        values["status_updated_at"] = now()
    if values.get("error") is not None:
        values["error"] = redacted(connection, values["error"])
    connection.execute(
        update(tasks).where(_T.plan_id == plan_id, _T.id == task_id).values(**values)
    )


def satisfy(connection: Connection, plan_id: str, task_id: str) -> tuple[str, ...]:
    """This task is deployed: the tasks that now have all they need, which become running."""
    dependants = select(_N.task_id).where(_N.plan_id == plan_id, _N.needs_id == task_id)
    rows = connection.execute(
        update(tasks)
        .where(_T.plan_id == plan_id, _T.id.in_(dependants))
        .values(waiting_on=_T.waiting_on - 1)
        .returning(_T.id, _T.waiting_on, _T.status, _T.position)
    )
    ready = sorted(
        (row.position, row.id)
        for row in rows
        if row.waiting_on == 0 and row.status == TaskStatus.WAITING
    )
    for _, ready_id in ready:
        set_task(connection, plan_id, ready_id, status=TaskStatus.RUNNING, stage="dev")
    return tuple(ready_id for _, ready_id in ready)


def block_dependants(connection: Connection, plan_id: str) -> tuple[str, ...]:
    """Waiting tasks that need, directly or not, a task that is dead or cancelled: now blocked."""
    roots = select(_T.id.label("id")).where(
        _T.plan_id == plan_id, _T.status.in_((TaskStatus.DEAD, TaskStatus.CANCELLED))
    )
    cut = roots.cte("cut", recursive=True)
    cut = cut.union(select(_N.task_id).where(_N.plan_id == plan_id, _N.needs_id == cut.c.id))
    rows = connection.execute(
        update(tasks)
        .where(
            _T.plan_id == plan_id,
            _T.status == TaskStatus.WAITING,
            _T.id.in_(select(cut.c.id)),
        )
        .values(status=TaskStatus.BLOCKED, status_updated_at=now())
        .returning(_T.id)
    )
    return tuple(row.id for row in rows)


def unblock_dependants(connection: Connection, plan_id: str) -> None:
    """After a dead task lives again: blocked tasks wait again unless another need is dead."""
    connection.execute(
        update(tasks)
        .where(_T.plan_id == plan_id, _T.status == TaskStatus.BLOCKED)
        .values(status=TaskStatus.WAITING, status_updated_at=now())
    )
    block_dependants(connection, plan_id)


def task_counts(connection: Connection, plan_id: str) -> dict[str, int]:
    """How many of a plan's tasks have each status."""
    statement = (
        select(_T.status, func.count().label("number"))
        .where(_T.plan_id == plan_id)
        .group_by(_T.status)
    )
    return {row.status: row.number for row in connection.execute(statement)}


def set_plan_status(connection: Connection, plan_id: str, status: str) -> bool:
    """Change a plan's status; whether it was another before.

    A plan that had ended and is replaced keeps the time of its end.
    """
    ended = {"running": null(), "replaced": func.coalesce(_P.ended_at, now())}.get(status, now())
    return (
        connection.execute(
            update(plans)
            .where(_P.id == plan_id, _P.status != status)
            .values(status=status, ended_at=ended)
        ).rowcount
        == 1
    )


def move_branch(connection: Connection, plan: Mapping[str, str], aside: str) -> None:
    """Note that a branch was set aside; it was that of the plan which was replaced last.

    Args:
        connection: A writing transaction.
        plan: `name`, `repo` and `branch` of the plan that takes its place.
        aside: What the branch is called now.
    """
    last = (
        select(_P.id)
        .where(_P.name == plan["name"], _P.repo == plan["repo"], _P.status == "replaced")
        .order_by(_P.created_at.desc())
        .limit(1)
        .scalar_subquery()
    )
    connection.execute(
        update(plans).where(_P.id == last, _P.branch == plan["branch"]).values(branch=aside)
    )


def plan_status(connection: Connection, plan_id: str) -> str:
    """A plan's status."""
    return str(
        connection.execute(select(_P.status).where(_P.id == plan_id).with_for_update()).scalar_one()
    )


def job_of(
    connection: Connection, plan_id: str, task_id: str, kind: str, *, status: str
) -> str | None:
    """The id of the task's latest job of this kind and status."""
    statement = (
        select(_J.id)
        .where(_J.plan_id == plan_id, _J.task_id == task_id, _J.kind == kind, _J.status == status)
        .order_by(_J.seq.desc())
        .limit(1)
    )
    return connection.execute(statement).scalar()


def live_jobs(
    connection: Connection, plan_id: str, task_id: str | None = None
) -> tuple[dict[str, Any], ...]:
    """The plan's jobs that have not ended, of one task or of all."""
    statement = select(_J.id, _J.task_id, _J.kind, _J.status, _J.name, _J.error).where(
        _J.plan_id == plan_id, _J.status.in_(("blocked", "pending", "processing"))
    )
    if task_id is not None:
        statement = statement.where(_J.task_id == task_id)
    return tuple(dict(row) for row in connection.execute(statement).mappings())


def jobs_of_plan(connection: Connection, plan_id: str) -> tuple[dict[str, Any], ...]:
    """All jobs of a plan, oldest first."""
    statement = select(jobs).where(_J.plan_id == plan_id).order_by(_J.seq)
    return tuple(dict(row) for row in connection.execute(statement).mappings())


def change_keys(connection: Connection, plan_id: str, task_id: str) -> tuple[str, ...]:
    """Keys of all changes that were made for a task, and of the votes on them, sorted."""
    statement = select(_J.result).where(
        _J.plan_id == plan_id, _J.task_id == task_id, has_status(JobStatus.COMPLETED)
    )
    results = connection.execute(statement).scalars()
    found = {result.get("cache_key") for result in results if isinstance(result, dict)}
    return tuple(sorted(key for key in found if key))


_HEADING = select(
    _P.id, _P.name, _P.plan_dir, _P.repo, _P.remote, _P.base_commit, _P.branch, _P.status
).where(_P.id == bindparam("plan"))
_SPEC = select(_T.spec).where(_T.plan_id == bindparam("plan"), _T.id == bindparam("task"))


def keys_of_tasks(connection: Connection, plan_id: str, task_ids: Sequence[str]) -> dict[str, str]:
    """Keys under which the latest change of each of these tasks can be found again.

    A change without one, as its agent is not to be remembered, stands for itself: its commit.
    """
    statement = (
        select(_J.task_id, _J.result)
        .where(
            _J.plan_id == plan_id, _J.task_id.in_(task_ids), _J.kind.in_(("dev", "fix")),
            has_status(JobStatus.COMPLETED),
        )
        .order_by(_J.seq)
    )  # fmt: skip
    return {
        row.task_id: str(row.result.get("cache_key") or row.result.get("commit"))
        for row in connection.execute(statement)
        if isinstance(row.result, dict)
    }


def dead_letters(connection: Connection, plan_id: str, *, limit: int) -> tuple[str, ...]:
    """Ids of a plan's dead letters, oldest first."""
    statement = (
        select(_J.id)
        .where(_J.plan_id == plan_id, _J.dead_at.is_not(None))
        .order_by(_J.dead_at)
        .limit(limit)
    )
    return tuple(connection.execute(statement).scalars())


def plan_heading(connection: Connection, plan_id: str) -> dict[str, Any]:
    """A plan's row without its specification, which may be large.

    Raises:
        UnknownJobError: No such plan.
    """
    row = connection.execute(_HEADING, {"plan": plan_id}).mappings().first()
    if row is None:
        raise UnknownJobError(f"no plan {plan_id}")
    return dict(row)


def task_spec(connection: Connection, plan_id: str, task_id: str) -> dict[str, Any]:
    """A task's specification.

    Raises:
        UnknownJobError: No such task.
    """
    spec = connection.execute(_SPEC, {"plan": plan_id, "task": task_id}).scalar()
    if spec is None:
        raise UnknownJobError(f"no task {task_id} in plan {plan_id}")
    return dict(spec)
