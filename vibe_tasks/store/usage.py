"""What agents use, attempt by attempt, and the budgets that bound it.

Usage is written while an attempt runs, each time with its totals, so that a worker that dies takes
nothing with it. Attempts that run at the same time do not see what the others use between two
writes: a budget is overdrawn by as much at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any, Literal, TypeAlias

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from vibe_tasks.store.agent_tables import agent_usage, budgets
from vibe_tasks.store.engine import now

_U, _B = agent_usage.c, budgets.c

Scope: TypeAlias = Literal["plan", "task", "agent"]
"""What a budget is for: a plan, one of its tasks, or one of its agents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What was used, all attempts together.

    Attributes:
        usd: US dollars.
        tokens: Tokens read and written by language models.
        seconds: Seconds in which agents worked.
        input_tokens: Those of the tokens that were read.
        output_tokens: Those that were written.
        attempts: Attempts that used something or came from the cache.
        cached: Those that came from the cache.
    """

    usd: float = 0.0
    tokens: int = 0
    seconds: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    attempts: int = 0
    cached: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What may be used at most; None is no limit.

    Attributes:
        scope: What it is for.
        name: The plan's name, the task's id or the agent's name.
        usd: US dollars.
        tokens: Tokens.
        seconds: Seconds in which agents work, all together.
    """

    scope: Scope
    name: str
    usd: float | None = None
    tokens: int | None = None
    seconds: float | None = None

    def over(self, spent: Spent) -> tuple[str, ...]:
        """The units whose limit is used up: `usd`, `tokens`, `seconds`."""
        limits = {"usd": self.usd, "tokens": self.tokens, "seconds": self.seconds}
        return tuple(
            unit for unit, limit in limits.items()
            if limit is not None and getattr(spent, unit) >= limit
        )  # fmt: skip

    def used_up(self, spent: Spent) -> str | None:
        """Which limit is used up, in a sentence; None where something is left of each."""
        whose = f"budget of {self.scope} {self.name}"
        if self.usd is not None and spent.usd >= self.usd:
            return f"{whose}: {spent.usd:.2f} of {self.usd:.2f} USD used"
        if self.tokens is not None and spent.tokens >= self.tokens:
            return f"{whose}: {spent.tokens} of {self.tokens} tokens used"
        if self.seconds is not None and spent.seconds >= self.seconds:
            return f"{whose}: {spent.seconds:.0f} of {self.seconds:.0f} seconds used"
        return None


def record(
    connection: Connection,
    *,
    job_id: str,
    attempt: int,
    plan_id: str | None,
    task_id: str | None,
    agent: str,
    kind: str,
    input_tokens: int = 0,
    output_tokens: int = 0,
    cost_usd: float = 0.0,
    seconds: float = 0.0,
    session_id: str | None = None,
    cached: bool = False,
) -> None:
    """Write what an attempt has used so far, all of it: what it wrote before is replaced.

    Args:
        connection: A writing transaction.
        job_id: The job.
        attempt: Its attempt, from 1.
        plan_id: The plan, if it is of one.
        task_id: The plan's task.
        agent: What the plan calls the agent.
        kind: Kind of the job.
        input_tokens: Tokens that the model read.
        output_tokens: Tokens that it wrote.
        cost_usd: US dollars.
        seconds: For which the agent has worked.
        session_id: The agent's own name for its session.
        cached: Whether the result came from the cache, so that nothing was used.

    Raises:
        ValueError: A number is below zero or none.
    """
    numbers: dict[str, Any] = {
        "input_tokens": input_tokens, "output_tokens": output_tokens,
        "cost_usd": cost_usd, "seconds": seconds,
    }  # fmt: skip
    for name, number in numbers.items():
        if not (isfinite(number) and number >= 0):
            raise ValueError(f"{name} must be zero or more, got {number}")
    values = numbers | {
        "plan_id": plan_id, "task_id": task_id, "agent": agent, "kind": kind,
        "session_id": session_id, "cached": int(cached), "updated_at": now(),
    }  # fmt: skip
    _upsert(connection, agent_usage, {"job_id": job_id, "attempt": attempt}, values)


def spent(connection: Connection, plan_id: str, scope: Scope, name: str) -> Spent:
    """What a plan, one of its tasks or one of its agents has used.

    Args:
        connection: A connection.
        plan_id: The plan.
        scope: What to add up.
        name: The task's id or the agent's name; of a plan it is not looked at.
    """
    whose: Mapping[str, ColumnElement[bool]] = {
        "task": _U.task_id == name, "agent": _U.agent == name,
    }  # fmt: skip
    statement = _sum().where(_U.plan_id == plan_id)
    if scope in whose:
        statement = statement.where(whose[scope])
    return _spent(connection.execute(statement).one())


def set_budget(  # noqa: PLR0917  the order is fixed, names may be used
    connection: Connection,
    plan_id: str,
    scope: Scope,
    name: str,
    usd: float | None,
    tokens: int | None,
    seconds: float | None,
) -> None:
    """Set what may be used at most, instead of what was set before; all None removes it.

    Args:
        connection: A writing transaction.
        plan_id: The plan.
        scope: What it is for.
        name: The plan's name, the task's id or the agent's name.
        usd: US dollars; None for no limit.
        tokens: Tokens; None for no limit.
        seconds: Seconds in which agents work; None for no limit.

    Raises:
        ValueError: A limit is not above zero.
    """
    limits = {"usd": usd, "tokens": tokens, "seconds": seconds}
    for each, value in limits.items():
        if value is not None and not 0 < value < inf:
            raise ValueError(f"{each} must be above zero, got {value}")
    place = {"plan_id": plan_id, "scope": scope, "name": name}
    if any(value is not None for value in limits.values()):
        _upsert(connection, budgets, place, limits)
    else:
        connection.execute(
            delete(budgets).where(_B.plan_id == plan_id, _B.scope == scope, _B.name == name)
        )


def budgets_of(connection: Connection, plan_id: str) -> tuple[Budget, ...]:
    """All budgets of a plan: its own, then those of tasks and agents by name."""
    statement = select(budgets).where(_B.plan_id == plan_id).order_by(_B.scope, _B.name)
    found = [_budget(row) for row in connection.execute(statement)]
    order = ("plan", "task", "agent")
    return tuple(sorted(found, key=lambda each: order.index(each.scope)))


def reached(connection: Connection, plan_id: str, task_id: str, agent: str) -> str | None:
    """The first budget that is used up of those that bound this work, in a sentence; else None."""
    found = first_reached(connection, plan_id, task_id, agent)
    return None if found is None else found[0].used_up(found[1])


def first_reached(
    connection: Connection, plan_id: str, task_id: str, agent: str
) -> tuple[Budget, Spent] | None:
    """The first budget that is used up of those that bound this work, with what was used of it."""
    for budget, used in _bounding(connection, plan_id, task_id, agent):
        if budget.over(used):
            return budget, used
    return None


def left_seconds(connection: Connection, plan_id: str, task_id: str, agent: str) -> float | None:
    """For how many seconds an agent may work until a budget is used up; None for no limit."""
    left = [
        max(0.0, budget.seconds - used.seconds)
        for budget, used in _bounding(connection, plan_id, task_id, agent)
        if budget.seconds is not None
    ]
    return min(left, default=None)


def _bounding(
    connection: Connection, plan_id: str, task_id: str, agent: str
) -> list[tuple[Budget, Spent]]:
    statement = (
        select(budgets)
        .where(
            _B.plan_id == plan_id,
            or_(
                _B.scope == "plan",
                and_(_B.scope == "task", _B.name == task_id),
                and_(_B.scope == "agent", _B.name == agent),
            ),
        )
        .order_by(_B.scope.desc(), _B.name)
    )
    found = [_budget(row) for row in connection.execute(statement)]
    return [(each, spent(connection, plan_id, each.scope, each.name)) for each in found]


def _sum() -> Any:
    return select(
        func.coalesce(func.sum(_U.cost_usd), 0.0).label("usd"),
        func.coalesce(func.sum(_U.input_tokens), 0).label("input_tokens"),
        func.coalesce(func.sum(_U.output_tokens), 0).label("output_tokens"),
        func.coalesce(func.sum(_U.seconds), 0.0).label("seconds"),
        func.count().label("attempts"),
        func.coalesce(func.sum(_U.cached), 0).label("cached"),
    )


def _spent(row: Any) -> Spent:
    read, written = int(row.input_tokens), int(row.output_tokens)
    return Spent(
        usd=float(row.usd), tokens=read + written, seconds=float(row.seconds), input_tokens=read,
        output_tokens=written, attempts=row.attempts, cached=int(row.cached),
    )  # fmt: skip


def _budget(row: Row[Any]) -> Budget:
    return Budget(
        scope=row.scope, name=row.name, usd=row.usd, tokens=row.tokens, seconds=row.seconds
    )


def _upsert(
    connection: Connection, table: Any, place: Mapping[str, Any], values: Mapping[str, Any]
) -> None:
    kind = sqlite if connection.dialect.name == "sqlite" else postgresql
    connection.execute(
        kind.insert(table)
        .values({**place, **values})
        .on_conflict_do_update(index_elements=list(place), set_=dict(values))
    )
