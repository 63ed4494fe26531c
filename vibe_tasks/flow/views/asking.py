"""What of a plan waits for a person, and the command that lets it go on."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from vibe_tasks.flow import budgets
from vibe_tasks.flow.approval import waiting
from vibe_tasks.flow.budgets import Stop
from vibe_tasks.jobs import JobStatus
from vibe_tasks.pipeline import JobKind, TaskStatus
from vibe_tasks.reasons import Reason, Why
from vibe_tasks.store import chords, plans
from vibe_tasks.store.engine import Transaction
from vibe_tasks.store.plan_list import needs_left
from vibe_tasks.words import counted

_NEVER = frozenset({TaskStatus.DEAD, TaskStatus.BLOCKED, TaskStatus.CANCELLED})
"""Statuses of a task that nothing brings further without a person."""


def asked(
    connection: Transaction, plan_id: str, name: str, *, program: str = "vibe"
) -> tuple[str, ...]:
    """What a plan waits for a person for, one line for each command that lets work go on.

    Args:
        connection: A connection.
        plan_id: The plan.
        name: What commands call it.
        program: The word that starts this program.
    """
    lines = []
    deploys = waiting(connection, plan_id)
    if deploys:
        tasks = counted(len(deploys), "task")
        lines.append(f"{tasks} waiting for your approval: {program} plans approve {name}")
    for stop in budgets.stops(connection, plan_id):
        waits = "task waits for a budget", "tasks wait for a budget"
        lines.append(f"{counted(len(stop.tasks), *waits)}: {_more(name, stop, program)}")
    return tuple(lines)


def why_blocked(
    connection: Transaction, job: Mapping[str, Any], *, program: str = "vibe"
) -> Reason:
    """What a blocked job waits for; with the command where it waits for a person."""
    if job["plan_id"] is not None:
        name = plans.plan_heading(connection, job["plan_id"])["name"]
        if job["kind"] == JobKind.DEPLOY:
            command = f"{program} plans approve {name} {job['task_id']}"
            return Reason(why=Why.APPROVAL, text=f"for an approval: {command}")
        stop = budgets.stop_of(connection, job)
        if stop is not None:
            return Reason(why=Why.BUDGET, text=f"for a budget: {_more(name, stop, program)}")
        left = needs_left(connection, job["plan_id"], job["task_id"])
        if left:
            return _needs(left, program)
    missing = chords.missing_of(connection, job["id"])
    if missing is not None:
        text = f"for {counted(missing, 'member')} of its chord to complete"
        return Reason(why=Why.MEMBERS, text=text)
    return Reason(why=Why.OTHER_WORK, text="for other work")


def _needs(left: Sequence[tuple[str, str]], program: str) -> Reason:
    """That it waits for these tasks, each with its status."""
    ended = [task for task, status in left if status in _NEVER]
    if ended:
        names = f"{', '.join(ended)}, which it needs and which did not come to a good end"
        mend = f"`{program} dlq list` tells why, `{program} dlq retry ID` brings it back"
        return Reason(why=Why.NEED_IS_DEAD, text=f"for {names}", mend=mend)
    return Reason(why=Why.NEEDS, text=f"for {', '.join(task for task, _ in left)}, which it needs")


def only_people(live: Mapping[tuple[str, str], int]) -> bool:
    """Whether nothing of a plan goes on unless a person lets it.

    Args:
        live: Its jobs that have not ended, by kind and status, as `plan_standing` counts them.
    """
    return all(status == JobStatus.BLOCKED for _, status in live)


def _more(name: str, stop: Stop, program: str) -> str:
    """The command that raises this budget; `N` stands for the new limit."""
    scope = stop.budget.scope
    words = [program, "plans", "budget", name]
    if scope != "plan":
        words += [f"--{scope}", shlex.quote(stop.budget.name)]
    for unit in stop.units:
        words += [f"--{unit}", "N"]
    return " ".join(words)
