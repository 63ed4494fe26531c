"""Budgets of a plan: how they stand, and raising one, which lets work go on that waits for it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from vibe_tasks.errors import InputError, UnknownJobError
from vibe_tasks.jobs import JobStatus
from vibe_tasks.pipeline import JobKind
from vibe_tasks.store import jobs, plans, usage
from vibe_tasks.store.audit import By, note
from vibe_tasks.store.engine import Database, Transaction
from vibe_tasks.store.lanes import Keep
from vibe_tasks.store.plan_list import list_plans, plans_stopped, stopped_jobs
from vibe_tasks.store.usage import Budget, Scope, Spent
from vibe_tasks.suggestion import did_you_mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A budget and what was used of it.

    Attributes:
        budget: The limits.
        spent: What was used.
        used_up: Which limit is used up, in a sentence; None where something is left.
    """

    budget: Budget
    spent: Spent
    used_up: str | None

    def to_json(self) -> dict[str, Any]:
        """Limits, what was used and what is left, as JSON values; None for no limit."""
        limits = {"usd": self.budget.usd, "tokens": self.budget.tokens,
                  "seconds": self.budget.seconds}  # fmt: skip
        used = {name: getattr(self.spent, name) for name in limits}
        left = {
            name: None if limit is None else max(0, limit - used[name])
            for name, limit in limits.items()
        }
        return {
            "scope": self.budget.scope, "name": self.budget.name, "limit": limits, "used": used,
            "left": left, "used_up": self.used_up,
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """All budgets of a plan.

    Attributes:
        plan_id: The plan.
        spent: What the whole plan has used.
        accounts: Its budgets: its own, then those of tasks and agents.
        waiting: Jobs that a budget has stopped, each with the task and the reason.
    """

    plan_id: str
    spent: Spent
    accounts: tuple[Account, ...]
    waiting: tuple[Mapping[str, Any], ...]

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {
            "plan": self.plan_id,
            "used": asdict(self.spent),
            "budgets": [each.to_json() for each in self.accounts],
            "waiting": [
                {"job_id": job["id"], "task": job["task_id"], "why": job["error"]}
                for job in self.waiting
            ],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """A budget that work waits for.

    Attributes:
        budget: The limits.
        units: Those of them that are used up: `usd`, `tokens`, `seconds`.
        tasks: The tasks that wait.
    """

    budget: Budget
    units: tuple[str, ...]
    tasks: tuple[str, ...]


def look(ledger: Database, plan: str) -> Accounts:
    """The budgets of a plan and what was used of them.

    Args:
        ledger: The ledger.
        plan: The plan's id or name.

    Raises:
        UnknownJobError: No such plan.
    """
    with ledger.read() as connection:
        return _accounts(connection, plans.find_plan(connection, plan)["id"])


def look_at_many(ledger: Database, *, limit: int, waiting: bool = False) -> tuple[Accounts, ...]:
    """The budgets of the newest plans, newest first.

    Args:
        ledger: The ledger.
        limit: At most so many plans.
        waiting: Only running plans in which a job has run and waits for a person.
    """
    with ledger.read() as connection:
        if waiting:
            ids = plans_stopped(connection, limit=limit)
        else:
            ids = tuple(row["id"] for row in list_plans(connection, limit=limit))
        return tuple(_accounts(connection, plan_id) for plan_id in ids)


def _accounts(connection: Transaction, plan_id: str) -> Accounts:
    accounts = []
    for budget in usage.budgets_of(connection, plan_id):
        used = usage.spent(connection, plan_id, budget.scope, budget.name)
        accounts.append(Account(budget=budget, spent=used, used_up=budget.used_up(used)))
    return Accounts(
        plan_id=plan_id, spent=usage.spent(connection, plan_id, "plan", ""),
        accounts=tuple(accounts), waiting=stopped_jobs(connection, plan_id),
    )  # fmt: skip


def raise_budget(
    ledger: Database,
    plan: str,
    *,
    task: str | None = None,
    agent: str | None = None,
    usd: float | Keep | None = Keep.AS_IT_IS,
    tokens: int | Keep | None = Keep.AS_IT_IS,
    seconds: float | Keep | None = Keep.AS_IT_IS,
    by: By | None = None,
) -> tuple[str, ...]:
    """Set limits of one budget; the jobs that go on because nothing stops them any more.

    The dispatcher sends them. A job that another budget stops too goes on waiting.

    Args:
        ledger: The ledger.
        plan: The plan's id or name.
        task: For the budget of this task.
        agent: For the budget of this agent; of the plan where neither is given.
        usd: US dollars in all, what was used included; None for no limit.
        tokens: Tokens in all.
        seconds: Seconds in all in which agents work.
        by: Who does it, for the audit trail.

    Raises:
        InputError: The plan has no such task or agent, both are given, or a limit is out of bounds.
        UnknownJobError: No such plan.
    """
    with ledger.begin() as connection:
        row = plans.find_plan(connection, plan)
        plans.plan_status(connection, row["id"])
        scope, name = _whose(connection, row, task, agent)
        before = next(
            (each for each in usage.budgets_of(connection, row["id"])
             if (each.scope, each.name) == (scope, name)),
            Budget(scope=scope, name=name),
        )  # fmt: skip
        # In the order of their ids, as everywhere.
        stopped = sorted(stopped_jobs(connection, row["id"]), key=lambda job: str(job["id"]))
        for job in stopped:
            jobs.lock_job(connection, job["id"])
        try:
            usage.set_budget(
                connection, row["id"], scope, name,
                before.usd if isinstance(usd, Keep) else usd,
                before.tokens if isinstance(tokens, Keep) else tokens,
                before.seconds if isinstance(seconds, Keep) else seconds,
            )  # fmt: skip
        except ValueError as error:
            raise InputError(str(error)) from error
        started = tuple(job["id"] for job in stopped if _goes_on(connection, job))
        given = {"usd": usd, "tokens": tokens, "seconds": seconds}
        changed = {unit: most for unit, most in given.items() if most is not Keep.AS_IT_IS}
        note(connection, by, "plan.budget", row["id"], {"scope": scope, "name": name, **changed})
        return started


def stops(connection: Transaction, plan_id: str) -> tuple[Stop, ...]:
    """The budgets that a plan's work waits for; of several for the same work the first."""
    waiting: dict[tuple[Budget, tuple[str, ...]], dict[str, None]] = {}
    for job in stopped_jobs(connection, plan_id):
        found = stop_of(connection, job)
        if found is not None:
            waiting.setdefault((found.budget, found.units), {})[job["task_id"]] = None
    return tuple(
        Stop(budget=budget, units=units, tasks=tuple(tasks))
        for (budget, units), tasks in waiting.items()
    )


def stop_of(connection: Transaction, job: Mapping[str, Any]) -> Stop | None:
    """The budget that this job of a plan has been stopped by and waits for; else None."""
    if not _is_stopped(job):
        return None
    with suppress(UnknownJobError):
        found = _first_reached(connection, job)
        if found is not None:
            budget, used = found
            return Stop(budget=budget, units=budget.over(used), tasks=(job["task_id"],))
    return None


def _whose(
    connection: Transaction, plan: Mapping[str, Any], task: str | None, agent: str | None
) -> tuple[Scope, str]:
    if task is not None and agent is not None:
        raise InputError("a budget is a task's or an agent's, not both")
    if task is not None:
        known = [row["id"] for row in plans.tasks_of(connection, plan["id"])]
        return "task", _known(task, known, f"plan {plan['name']} has no task")
    if agent is not None:
        known = list(plan["spec"].get("agents") or ())
        return "agent", _known(agent, known, f"plan {plan['name']} has no agent")
    return "plan", plan["name"]


def _known(name: str, known: list[str], what: str) -> str:
    if name not in known:
        raise InputError(f"{what} {name}{did_you_mean(name, known)}")
    return name


def _is_stopped(job: Mapping[str, Any]) -> bool:
    return bool(
        job["status"] == JobStatus.BLOCKED and job["attempt"] > 0 and job["kind"] != JobKind.DEPLOY
    )


def _goes_on(connection: Transaction, job: Mapping[str, Any]) -> bool:
    try:
        if stopped_by(connection, job) is not None:
            return False
    except UnknownJobError:
        return False
    jobs.unblock_job(connection, job["id"])
    return True


def stopped_by(connection: Transaction, job: Mapping[str, Any]) -> str | None:
    """The budget that stops this job, in a sentence; None where none does.

    Args:
        connection: A connection; the caller who acts upon it holds the plan's lock.
        job: The row of a plan's job that an agent does.

    Raises:
        UnknownJobError: Its task is gone.
    """
    found = _first_reached(connection, job)
    return None if found is None else found[0].used_up(found[1])


def _first_reached(connection: Transaction, job: Mapping[str, Any]) -> tuple[Budget, Spent] | None:
    plan_id, task_id = job["plan_id"], job["task_id"]
    # A review names its reviewer, whatever else the agent of the task.
    agent = job["args"]["kwargs"].get("agent")
    if agent is None:
        agent = plans.task_spec(connection, plan_id, task_id)["agent"]
    return usage.first_reached(connection, plan_id, task_id, agent)
