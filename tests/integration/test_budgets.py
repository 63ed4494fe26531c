"""Raising a budget lets the work go on that waits for it, and no other."""

from __future__ import annotations

from math import inf, nan
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.ledgers import claim, middle, row
from tests.plan_jobs import job_of, prepared
from vibe_tasks.agents.agent import AgentEvent, Answer
from vibe_tasks.errors import BudgetReachedError, InputError, LeaseLostError, UnknownJobError
from vibe_tasks.flow import budgets
from vibe_tasks.flow.attempts import Ending, settle
from vibe_tasks.flow.attendance import Attendance, Used
from vibe_tasks.flow.submission import submit_plan
from vibe_tasks.plan_specs import Price
from vibe_tasks.store import events, jobs, outbox, usage
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


def ends(ledger: Database, task: str, usd: float) -> str | None:
    """The task's agent has used so much and is ended for it; the error that its job then has."""
    job = job_of(ledger, task, "dev")
    taken = claim(ledger, job)
    with ledger.begin() as connection:
        usage.record(
            connection, job_id=job, attempt=taken.attempt, plan_id=taken.plan_id, task_id=task,
            agent="sh", kind="dev", cost_usd=usd,
        )  # fmt: skip
        over = usage.reached(connection, str(taken.plan_id), task, "sh")
    if over is None:
        over = "budget of plan todo: 3.00 of 3.00 USD used"
    settle(ledger, taken, Ending(kind="block", text=over), uniform=middle)
    error = row(ledger, job)["error"]
    return None if error is None else str(error)


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


def test_each_stop_names_what_is_used_up(ledger: Database) -> None:
    """Of several budgets that stop the same work the narrowest, which is to be raised first."""
    plan_id = budgets.look(ledger, "todo").plan_id
    budgets.raise_budget(ledger, "todo", task="a", tokens=1)

    def stops() -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
        with ledger.read() as connection:
            found = budgets.stops(connection, plan_id)
        return sorted((each.budget.name, each.units, each.tasks) for each in found)

    assert stops() == [("a", ("usd",), ("a",)), ("todo", ("usd",), ("b",))]
    budgets.raise_budget(ledger, "todo", task="a", usd=None)
    assert stops() == [("todo", ("usd",), ("a", "b"))]


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


def attended(price: Price | None, *events: AgentEvent) -> Used:
    """What an agent has used that told these events."""
    bench: Any = SimpleNamespace(place=SimpleNamespace(monotonic=lambda: 0.0))
    attendance = Attendance(bench, agent="a", price=price)
    for event in events:
        attendance.heard(event)
    return attendance.used


def told(tokens: int, cost: float | None) -> AgentEvent:
    """An agent's word of what it used."""
    return AgentEvent(kind="usage", input_tokens=tokens, output_tokens=tokens, cost_usd=cost)


def test_a_cost_of_nothing_is_no_cost_told() -> None:
    """Programs that do not know their model's price tell 0.0: then the plan's price counts."""
    price = Price(input=1.0, output=3.0)
    assert attended(price, told(1_000_000, 0.0)).cost_usd == 4.0
    assert attended(price, told(1_000_000, None)).cost_usd == 4.0
    assert attended(price, told(1_000_000, 0.5)).cost_usd == 0.5
    assert attended(None, told(1_000_000, 0.0)).cost_usd == 0.0


@pytest.mark.parametrize(
    ("tokens", "cost"),
    [(10**400, inf), (2**62, 1e300), (-5, nan), (-5, -1)],
    ids=["endless", "large", "nan", "negative"],
)
def test_no_word_of_an_agent_is_too_large_for_the_ledger(
    ledger: Database, tokens: int, cost: float
) -> None:
    """Its figures are held to what can be kept and added up; the attempt goes on."""
    used = attended(None, told(tokens, cost))
    with ledger.begin() as connection:
        for attempt in range(2, 5):
            usage.record(
                connection, job_id=job_of(ledger, "a", "dev"), attempt=attempt, plan_id="p",
                task_id="a", agent="a", kind="dev", input_tokens=used.input_tokens,
                output_tokens=used.output_tokens, cost_usd=used.cost_usd,
            )  # fmt: skip
        assert usage.spent(connection, "p", "task", "a").tokens >= 0


def test_a_budget_raised_while_its_agent_is_ended_stops_nothing(
    database: Database, tmp_path: Path
) -> None:
    """Nobody would raise it again: the job is to be had at once, and no failure is counted."""
    submit_plan(database, prepared(tmp_path, budget={"usd": 3.0}))
    assert budgets.raise_budget(database, "todo", usd=9.0) == ()
    assert ends(database, "a", 3.0) == "its budget was raised meanwhile"
    found = row(database, job_of(database, "a", "dev"))
    assert (found["status"], found["retry_count"]) == ("pending", 0)
    assert claim(database, found["id"]).attempt == 2


def test_each_budget_is_told_once(database: Database, tmp_path: Path) -> None:
    """A second one that stops work is news; more work that the first one stops is not."""
    tasks = [{"id": name, "prompt": name} for name in "abc"]
    tasks[0]["budget"] = {"usd": 1.0}  # type: ignore[assignment]
    plan_id = submit_plan(database, prepared(tmp_path, budget={"usd": 3.0}, tasks=tasks)).plan_id
    for task, usd in (("a", 1.0), ("b", 2.0), ("c", 1.0)):
        ends(database, task, usd)
    with database.read() as connection:
        found = events.recent(connection, session=plan_id)
    told = [each["payload"] for each in found if each["hook_event_type"] == "BUDGET_REACHED"]
    assert sorted((each["task"], each["why"]) for each in told) == [
        ("a", "budget of task a: 1.00 of 1.00 USD used"),
        ("b", "budget of plan todo: 3.00 of 3.00 USD used"),
    ]


def test_what_an_agent_tells_is_kept_while_it_works(database: Database, tmp_path: Path) -> None:
    """At most once a second, without secrets; it is ended when its budget is used up or its job is
    in other hands.
    """
    submit_plan(database, prepared(tmp_path, tasks=TASKS, budget={"usd": 1.0}))
    now = [0.0]
    job = job_of(database, "a", "dev")
    place: Any = SimpleNamespace(
        ledger=database, monotonic=lambda: now[0], insist=lambda write: write(False)
    )
    bench: Any = SimpleNamespace(place=place, claim=claim(database, job))
    attendance = Attendance(bench, agent="sh", price=None, secrets=("tell-no-one",))

    def kept() -> list[str]:
        with database.read() as connection:
            rows = events.recent(connection)
        return [row["summary"] for row in rows if row["hook_event_type"] == "AgentMessage"]

    attendance.heard(AgentEvent(kind="message", text="one"))
    assert (kept(), attendance.stop_reason()) == ([], None)
    now[0] = 5.0
    attendance.heard(AgentEvent(kind="message", text="the word is tell-no-one", cost_usd=0.5))
    assert len(kept()) == 2
    assert "tell-no-one" not in "".join(kept())
    assert attendance.stop_reason() is None
    attendance.heard(told(10, 1.5))
    now[0] = 9.0
    assert "of 1" in str(attendance.stop_reason())
    assert isinstance(attendance.stopped_by, BudgetReachedError)
    attendance.close(Answer(cost_usd=2.5))
    with database.read() as connection:
        assert usage.spent(connection, str(bench.claim.plan_id), "plan", "").usd == 2.5
    with database.begin() as connection:
        jobs.block_job(connection, job, 1, "budget of plan todo: used up")
    now[0] = 13.0
    attendance.stop_reason()
    assert isinstance(attendance.stopped_by, LeaseLostError)
