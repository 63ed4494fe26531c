"""Raising a budget lets the work go on that waits for it, and no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.ledgers import claim, row
from tests.plan_jobs import job_of, prepared
from vibe_tasks.errors import InputError, UnknownJobError
from vibe_tasks.flow import budgets
from vibe_tasks.flow.submission import submit_plan
from vibe_tasks.store import jobs, outbox, usage
from vibe_tasks.store.engine import Database

TASKS = [{"id": name, "prompt": name} for name in "ab"]


@pytest.fixture
def ledger(database: Database, tmp_path: Path) -> Database:
    """A plan of two tasks with three dollars, two of them for `a`; both have used them up."""
    budget: dict[str, Any] = {"usd": 3.0}
    tasks = [{**TASKS[0], "budget": {"usd": 2.0}}, TASKS[1]]
    submit_plan(database, prepared(tmp_path, budget=budget, tasks=tasks))
    for task, usd in (("a", 2.5), ("b", 1.0)):
        stop(database, task, usd)
    return database


def stop(ledger: Database, task: str, usd: float) -> None:
    """The task's agent has used so much, and its job waits for a person."""
    job = job_of(ledger, task, "dev")
    taken = claim(ledger, job)
    with ledger.begin() as connection:
        usage.record(
            connection, job_id=job, attempt=1, plan_id=taken.plan_id, task_id=task, agent="sh",
            kind="dev", cost_usd=usd,
        )  # fmt: skip
        over = usage.reached(connection, str(taken.plan_id), task, "sh")
        jobs.block_job(connection, job, 1, over or "budget of plan todo: used up")


def status(ledger: Database, task: str) -> str:
    return str(row(ledger, job_of(ledger, task, "dev"))["status"])


def test_submission_writes_the_budgets(ledger: Database) -> None:
    """The plan's own and its tasks'; the account says what is used, left and waiting."""
    found = budgets.look(ledger, "todo").to_json()
    assert [(each["scope"], each["name"]) for each in found["budgets"]] == [
        ("plan", "todo"), ("task", "a"),
    ]  # fmt: skip
    first = found["budgets"][0]
    assert (first["limit"], first["used"]["usd"]) == (
        {"usd": 3.0, "tokens": None, "seconds": None}, 3.5,
    )  # fmt: skip
    assert first["left"] == {"usd": 0, "tokens": None, "seconds": None}
    assert first["used_up"] == "budget of plan todo: 3.50 of 3.00 USD used"
    assert {each["task"]: each["why"] for each in found["waiting"]} == {
        "a": "budget of task a: 2.50 of 2.00 USD used",
        "b": "budget of plan todo: 3.50 of 3.00 USD used",
    }


def test_what_is_no_longer_stopped_goes_on(ledger: Database) -> None:
    """As a message of the outbox; what another budget stops goes on waiting."""
    assert budgets.raise_budget(ledger, "todo", tokens=5_000) == ()
    assert budgets.raise_budget(ledger, "todo", usd=10.0) == (job_of(ledger, "b", "dev"),)
    assert (status(ledger, "a"), status(ledger, "b")) == ("blocked", "pending")
    with ledger.begin() as connection:
        sent = [each.id for each in outbox.take_unpublished(connection)]
    assert sent == [job_of(ledger, "b", "dev")]
    with ledger.begin() as connection:
        taken = jobs.claim(connection, job_of(ledger, "b", "dev"), worker="w", lease=30)
    assert taken is not None
    assert taken.attempt == 2
    assert budgets.raise_budget(ledger, "todo", task="a", usd=None) == (job_of(ledger, "a", "dev"),)
    (left,) = budgets.look(ledger, "todo").accounts
    assert (left.budget.usd, left.budget.tokens, left.used_up) == (10.0, 5_000, None)


def test_what_waits_for_something_else_goes_on_waiting(database: Database, tmp_path: Path) -> None:
    """A task whose needs are not there yet has not run: no money starts it."""
    submit_plan(database, prepared(tmp_path, budget={"usd": 1.0}))
    stop(database, "a", 1.0)
    assert budgets.raise_budget(database, "todo", usd=5.0) == (job_of(database, "a", "dev"),)
    assert status(database, "b") == "blocked"


def test_an_agent_may_get_a_budget_later(ledger: Database) -> None:
    """Of those that the plan has; nonsense is refused with a hint, and nothing is changed."""
    assert budgets.raise_budget(ledger, "todo", usd=10.0, agent="sh") == ()
    assert budgets.look(ledger, "todo").accounts[-1].budget.name == "sh"
    with pytest.raises(InputError, match="plan todo has no agent shh, did you mean 'sh'"):
        budgets.raise_budget(ledger, "todo", agent="shh", usd=1.0)
    with pytest.raises(InputError, match="plan todo has no task c"):
        budgets.raise_budget(ledger, "todo", task="c", usd=1.0)
    with pytest.raises(InputError, match="not both"):
        budgets.raise_budget(ledger, "todo", task="a", agent="sh", usd=1.0)
    with pytest.raises(InputError, match="usd must be above zero, got -1"):
        budgets.raise_budget(ledger, "todo", usd=-1.0)
    with pytest.raises(UnknownJobError, match="no plan nobody"):
        budgets.look(ledger, "nobody")
    assert status(ledger, "b") == "blocked"
