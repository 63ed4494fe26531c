"""What commands show of breakers, the cache and budgets, on a real ledger."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.homes import own_home
from tests.ledgers import claim, row
from tests.plan_jobs import job_of, prepared
from vibe_tasks import CircuitBreaker, ResultCache
from vibe_tasks.cli.main import cli
from vibe_tasks.cli.plain import QuietView
from vibe_tasks.cli.program import program
from vibe_tasks.cli.watching import Hints
from vibe_tasks.flow.submission import submit_plan
from vibe_tasks.store import jobs, usage
from vibe_tasks.store.engine import Database
from vibe_tasks.tasks import resources


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a ledger that is not there yet."""
    with own_home(tmp_path, monkeypatch) as place:
        yield place


@pytest.fixture
def plan(home: Path, tmp_path: Path) -> Database:
    """A ledger with a plan of which one task has used up its budget."""
    ledger = resources.ledger()
    assert home.exists()
    submit_plan(ledger, prepared(tmp_path, budget={"usd": 1.0, "tokens": 1000}))
    job = job_of(ledger, "a", "dev")
    taken = claim(ledger, job)
    with ledger.begin() as connection:
        usage.record(
            connection, job_id=job, attempt=1, plan_id=taken.plan_id, task_id="a", agent="sh",
            kind="dev", cost_usd=1.25, input_tokens=400, seconds=61.0,
        )  # fmt: skip
        jobs.block_job(connection, job, 1, "budget of plan todo: 1.25 of 1.00 USD used")
    return ledger


def vibe(*arguments: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(cli, list(arguments), prog_name="vibe")


def told(*arguments: str) -> Any:
    """What it says as JSON."""
    result = vibe(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_status_shows_breakers_and_cache(home: Path) -> None:
    """Those that ever opened, with the reason; as JSON all of them."""
    assert told("status")["breakers"] == []
    assert told("status")["mix"]["dev_percentage"] == 0.0
    assert "BREAKER" not in vibe("status").stdout
    assert "started" not in vibe("status").stdout
    assert not home.exists()
    CircuitBreaker("claude").trip(3600, "usage limit, resets at 8pm")
    CircuitBreaker("quiet").call(len, "")
    cache = ResultCache(name="changes")
    cache.set("a", 1)
    assert [cache.get(key) for key in "ab"] == [1, None]
    shown = vibe("status").stdout
    assert re.search(r"^claude +open for \d", shown, re.MULTILINE)
    assert "usage limit, resets at 8pm" in shown
    assert "quiet" not in shown
    assert "1 of 2 looks found one (50%)" in shown
    values = told("status")
    assert [(each["name"], each["state"]) for each in values["breakers"]] == [
        ("claude", "open"), ("quiet", "closed"),
    ]  # fmt: skip
    assert (values["cache"]["size"], values["cache"]["hit_rate"]) == (1, 50.0)


def test_status_tells_development_from_fixes(plan: Database) -> None:
    """Of the jobs that were started; what waits is neither, and an empty ledger has no mix."""
    assert "started: 1 dev (100.0 %), 0 fix (0.0 %)\n" in vibe("status").stdout
    with plan.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE jobs SET kind = 'fix', attempt = 1 WHERE task_id = 'b' AND kind = 'dev'"
        )
    assert told("status")["mix"] == {
        "dev_tasks": 1, "fix_tasks": 1, "dev_percentage": 50.0, "fix_percentage": 50.0,
    }  # fmt: skip


def test_the_caches_are_shown_and_emptied(home: Path) -> None:
    """All of them or one; a misspelt name is refused."""
    assert told("cache", "stats")["changes"]["size"] == 0
    assert not home.exists()
    for name in ("changes", "results", "mine"):
        ResultCache(name=name).set("a", 1)
    assert {name: each["size"] for name, each in told("cache", "stats").items()} == {
        "changes": 1, "results": 1, "mine": 1,
    }  # fmt: skip
    assert vibe("cache", "stats").stdout.startswith("changes: 1 result (0.0 MB), 0 being made; ")
    refused = vibe("cache", "clear", "--cache", "result")
    assert refused.exit_code == 2
    assert "did you mean 'results'" in refused.output
    assert vibe("cache", "clear", "--cache", "mine").stdout == "forgot 1 result\n"
    assert told("cache", "clear") == {"cleared": 2}


def test_a_budget_is_shown_and_raised(plan: Database) -> None:
    """What is used, what is left, what waits; then it goes on."""
    shown = vibe("plans", "budget", "todo").stdout
    lines = [line.split() for line in shown.splitlines()[:3]]
    assert lines == [
        ["BUDGET", "OF", "UNIT", "USED", "LIMIT", "LEFT"],
        ["plan", "todo", "usd", "1.25", "1.00", "0.00"],
        ["plan", "todo", "tokens", "400", "1000", "600"],
    ]
    assert "used in all: 1.25 USD, 400 tokens, 61 seconds in 1 attempt, 0 from the cache" in shown
    assert "of a: budget of plan todo: 1.25 of 1.00 USD used" in shown
    low = vibe("plans", "budget", "todo", "--usd", "1.2", "--tokens", "2000").stdout
    assert low.endswith("--usd 1.20 is still below what is used: 1.25\n0 jobs go on\n")
    assert "--tokens" not in low
    raised = vibe("plans", "budget", "todo", "--usd", "5")
    assert "still" not in raised.stdout
    assert raised.stdout.endswith("1 job goes on\n")
    assert "waiting" not in raised.stdout
    assert row(plan, job_of(plan, "a", "dev"))["status"] == "pending"
    assert told("plans", "budget", "todo", "--seconds", "none")["started"] == []
    assert told("plans", "budget", "todo")["budgets"][0]["left"] == {
        "usd": 3.75, "tokens": 1600, "seconds": None,
    }  # fmt: skip


def test_a_used_up_budget_says_how_to_go_on(
    plan: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever looks at the plan or its job, or runs it again, is told the command; once, and on
    standard error where standard output is the report's.
    """
    more = f"{program()} plans budget todo --usd N"
    first, second = (job_of(plan, task, "dev") for task in "ab")
    hints = Hints(plan, str(row(plan, first)["plan_id"]), "todo", QuietView())
    assert [hints.ended(), hints.ended()] == [False, False]
    assert capsys.readouterr() == ("", f"1 task waits for a budget: {more}\n")

    (tmp_path / "plan.yaml").touch()
    shown = vibe("plans", "show", "todo").stdout
    assert f"  waits   1 task waits for a budget: {more}\n" in shown
    assert shown.endswith(f"no worker is online; then go on with: {program()} run plan.yaml\n")
    assert told("plans", "show", "todo")["waits"] == [f"1 task waits for a budget: {more}"]
    assert told("jobs", "show", first)["waits"] == f"for a budget: {more}"
    assert told("jobs", "explain", first)["why"] == "budget"
    assert told("jobs", "show", second)["waits"] == "for a, which it needs"

    vibe("plans", "budget", "todo", "--usd", "5")
    assert hints.ended() is False
    assert capsys.readouterr().err == ""
    assert "; go on with" in vibe("plans", "show", "todo").stdout


WRONG = {
    ("--usd", "much"): "--usd must be a number, or none, got 'much'",
    ("--tokens", "1.5"): "--tokens must be a number",
    ("--seconds", "-1"): "--seconds must be above zero",
    ("--usd", "nan"): "--usd must be above zero",
    ("--task", "a"): "give --usd, --tokens or --seconds",
    ("--task", "aa", "--usd", "1"): "plan todo has no task aa, did you mean 'a'",
    ("--task", "a", "--agent", "sh", "--usd", "1"): "a task's or an agent's, not both",
}


def test_a_wrong_budget_is_refused(plan: Database) -> None:
    """In one line, and nothing goes on."""
    for options, said in WRONG.items():
        refused = vibe("plans", "budget", "todo", *options)
        assert (refused.exit_code, said in refused.output) == (2, True), refused.output
        assert len(refused.output.splitlines()) == 1
    assert row(plan, job_of(plan, "a", "dev"))["status"] == "blocked"
