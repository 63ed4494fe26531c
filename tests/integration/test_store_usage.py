"""What agents use, and the budgets that bound it."""

from __future__ import annotations

from typing import Any

import pytest

from vibe_tasks.store import plans, usage
from vibe_tasks.store.engine import Database
from vibe_tasks.store.usage import Budget, Spent


@pytest.fixture
def ledger(database: Database) -> Database:
    """A ledger with a plan `p`."""
    plan = {
        "id": "p", "name": "todo-api", "digest": "d", "source": "s", "plan_dir": "d", "repo": "r",
        "base_commit": "c", "branch": "b", "spec": {},
    }  # fmt: skip
    task = {
        "id": "a", "position": 0, "title": "", "status": "running", "spec": {}, "waiting_on": 0,
        "fix_round": 0, "max_fix_rounds": 1,
    }  # fmt: skip
    with database.begin() as connection:
        plans.insert_plan(connection, plan, [task], [])
    return database


def record(ledger: Database, job: str, attempt: int = 1, **values: Any) -> None:
    fields = {"plan_id": "p", "task_id": "a", "agent": "claude", "kind": "dev"} | values
    with ledger.begin() as connection:
        usage.record(connection, job_id=job, attempt=attempt, **fields)


def budget(ledger: Database, scope: usage.Scope, name: str, **limits: Any) -> None:
    values = {"usd": None, "tokens": None, "seconds": None} | limits
    with ledger.begin() as connection:
        usage.set_budget(connection, "p", scope, name, **values)


def spent(ledger: Database, scope: usage.Scope, name: str) -> Spent:
    with ledger.read() as connection:
        return usage.spent(connection, "p", scope, name)


def reached(ledger: Database, task: str = "a", agent: str = "claude") -> str | None:
    with ledger.read() as connection:
        return usage.reached(connection, "p", task, agent)


def test_an_attempt_writes_its_totals(ledger: Database) -> None:
    """Again and again while it runs; each attempt counts, and each plan for itself."""
    record(ledger, "j1", cost_usd=0.5, input_tokens=100, seconds=1.0)
    record(ledger, "j1", cost_usd=1.25, input_tokens=300, output_tokens=20, seconds=4.0)
    record(ledger, "j1", attempt=2, cost_usd=1.0, session_id="s")
    record(ledger, "j2", task_id="b", agent="codex", seconds=2.0, cached=True)
    record(ledger, "j3", plan_id="other", cost_usd=9.0)
    record(ledger, "j4", plan_id=None, task_id=None, cost_usd=9.0)
    assert spent(ledger, "plan", "todo-api") == Spent(
        usd=2.25, tokens=320, seconds=6.0, input_tokens=300, output_tokens=20, attempts=3, cached=1
    )
    assert spent(ledger, "task", "b") == Spent(seconds=2.0, attempts=1, cached=1)
    assert spent(ledger, "agent", "claude").usd == 2.25
    assert spent(ledger, "agent", "nobody") == Spent()


@pytest.mark.parametrize(
    ("limits", "used", "sentence"),
    [
        ({"usd": 10.0}, {"cost_usd": 10.02}, "10.02 of 10.00 USD used"),
        ({"tokens": 1000}, {"input_tokens": 900, "output_tokens": 100}, "1000 of 1000 tokens used"),
        ({"seconds": 60.0}, {"seconds": 61.0}, "61 of 60 seconds used"),
    ],
)
def test_a_budget_is_reached_at_its_limit(
    ledger: Database, limits: dict[str, Any], used: dict[str, Any], sentence: str
) -> None:
    """Whichever of its limits it is; a sentence says so."""
    budget(ledger, "plan", "todo-api", **limits)
    record(ledger, "j1", **{name: type(value)(value / 2) for name, value in used.items()})
    assert reached(ledger) is None
    record(ledger, "j1", **used)
    assert reached(ledger) == f"budget of plan todo-api: {sentence}"


def test_a_budget_bounds_its_own_work_alone(ledger: Database) -> None:
    """That of a task or an agent leaves the others alone; one that is raised lets them go on."""
    record(ledger, "j1", cost_usd=2.0)
    budget(ledger, "plan", "todo-api", usd=100.0)
    budget(ledger, "task", "a", usd=2.0)
    assert reached(ledger) == "budget of task a: 2.00 of 2.00 USD used"
    assert reached(ledger, task="b") is None
    budget(ledger, "task", "a", usd=3.0)
    assert reached(ledger) is None
    budget(ledger, "agent", "claude", usd=1.0)
    assert reached(ledger, task="b") == "budget of agent claude: 2.00 of 1.00 USD used"
    assert reached(ledger, task="b", agent="codex") is None
    budget(ledger, "agent", "claude")
    assert reached(ledger, task="b") is None
    with ledger.read() as connection:
        assert usage.budgets_of(connection, "p") == (
            Budget(scope="plan", name="todo-api", usd=100.0),
            Budget(scope="task", name="a", usd=3.0),
        )


def test_the_time_that_is_left(ledger: Database) -> None:
    """The least of all budgets, never below zero; None where no time is limited."""

    def left() -> float | None:
        with ledger.read() as connection:
            return usage.left_seconds(connection, "p", "a", "claude")

    budget(ledger, "plan", "todo-api", usd=1.0)
    assert left() is None
    budget(ledger, "plan", "todo-api", seconds=100.0)
    budget(ledger, "task", "a", seconds=30.0)
    record(ledger, "j1", seconds=10.0)
    assert left() == 20.0
    record(ledger, "j2", task_id="b", seconds=85.0)
    assert left() == 5.0
    record(ledger, "j1", seconds=45.0)
    assert left() == 0.0


@pytest.mark.parametrize("number", [-1.0, float("nan"), float("inf")])
def test_figures_that_are_none_are_refused(ledger: Database, number: float) -> None:
    """An agent's word is not trusted to be a number."""
    with pytest.raises(ValueError, match="cost_usd must be zero or more"):
        record(ledger, "j", cost_usd=number)
    with pytest.raises(ValueError, match="usd must be above zero"):
        budget(ledger, "plan", "todo-api", usd=number)
