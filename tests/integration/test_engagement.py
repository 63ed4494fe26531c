"""Setting an agent to work: what stands around it, and what is written down whatever happens."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.ledgers import claim, middle, row
from tests.plan_jobs import job_of, prepared
from tests.repositories import new_commit
from tests.reviews import Panel, sh
from vibe_tasks.breaker import CircuitBreakerConfig
from vibe_tasks.errors import BudgetReachedError, CircuitBreakerOpenError, TransientError
from vibe_tasks.flow import attempts
from vibe_tasks.flow.development import _key as _key_of_dev
from vibe_tasks.flow.development import develop
from vibe_tasks.flow.engagement import breaker_name
from vibe_tasks.flow.submission import submit_plan
from vibe_tasks.flow.voting import _key
from vibe_tasks.flow.workplace import Bench, Workplace, set_up
from vibe_tasks.plan import CommandSpec
from vibe_tasks.store import breakers, events, usage, version
from vibe_tasks.store.engine import Database, open_database
from vibe_tasks.tasks.task import ending_of
from vibe_tasks.workspace.git import commit_tree
from vibe_tasks.workspace.patch import change_between, content_of, tree_of
from vibe_tasks.workspace.repository import Repository


@pytest.fixture
def ledger(sqlite_url: str) -> Iterator[Database]:
    """An open ledger on SQLite."""
    made = open_database(sqlite_url)
    version.create(made)
    yield made
    made.close()


def dev_of(
    ledger: Database, folder: Path, script: str, *, env: Sequence[str] = (), **plan: object
) -> Bench:
    """The dev job of a plan with one task, whose agent is this line of shell."""
    agents = {"sh": {**sh(script), "env": list(env)}}
    ready = prepared(folder, tasks=[{"id": "a", "prompt": "x"}], agents=agents, **plan)
    submit_plan(ledger, ready)
    place = Workplace(
        ledger=ledger, home=folder / "home", environ={}, monotonic=time.monotonic,
        uniform=random.Random(1).uniform, cache_entries=100,
    )  # fmt: skip
    return set_up(place, claim(ledger, job_of(ledger, "a", "dev")))


def spent(ledger: Database, bench: Bench) -> usage.Spent:
    """What the plan's attempts have used."""
    with ledger.read() as connection:
        return usage.spent(connection, str(bench.claim.plan_id), "plan", "")


def told(ledger: Database) -> list[str]:
    """Types of all events, in order."""
    with ledger.read() as connection:
        return [each["hook_event_type"] for each in events.recent(connection)]


def test_a_budget_of_seconds_is_no_failure_of_the_agent(ledger: Database, tmp_path: Path) -> None:
    """Ended by it, the job waits for a person; neither the job nor the breaker counts a failure,
    and what was used is known to the last second. A raised budget that came meanwhile is obeyed.
    """
    bench = dev_of(ledger, tmp_path, "sleep 60", budget={"seconds": 1})
    with pytest.raises(BudgetReachedError, match="of 1 seconds used") as stopped:
        develop(bench)
    assert spent(ledger, bench).seconds >= 1
    attempts.settle(ledger, bench.claim, ending_of(stopped.value), uniform=middle)
    job = row(ledger, bench.claim.id)
    assert (job["status"], job["retry_count"]) == ("blocked", 0)
    assert told(ledger)[-1] == "BUDGET_REACHED"
    with ledger.read() as connection:
        assert all(each.failures == 0 for each in breakers.states(connection))


def test_a_job_that_waits_for_a_breaker_checks_nothing_out(
    ledger: Database, tmp_path: Path
) -> None:
    """A thousand of them must cost nothing; they come back a bit apart, but not days late, and at
    once when the breaker closes.
    """
    bench = dev_of(ledger, tmp_path, "true")
    spec = CommandSpec.model_validate(bench.spec["agent_spec"])
    name = breaker_name("sh", spec)
    with ledger.begin() as connection:
        breakers.trip(connection, name, 500_000, "the limit resets on Sunday")
    with pytest.raises(CircuitBreakerOpenError) as waits:
        develop(bench)
    assert 499_000 < waits.value.seconds < 500_061
    assert not (tmp_path / "home" / "worktrees").exists()
    attempts.settle(ledger, bench.claim, ending_of(waits.value), uniform=middle)
    assert row(ledger, bench.claim.id)["backoff_until"] is not None
    with ledger.begin() as connection:
        breakers.close(connection, name)
    # The next call that goes through ends well, and lets the others go on.
    other = replace(bench, claim=claim_again(ledger, bench))
    develop(other)
    assert row(ledger, bench.claim.id)["status"] == "completed"


def claim_again(ledger: Database, bench: Bench) -> object:
    """The same job, taken once more though its wait is not over."""
    with ledger.begin() as connection:
        connection.exec_driver_sql("UPDATE jobs SET backoff_until = NULL")
    return claim(ledger, bench.claim.id)


def test_closing_wakes_those_that_wait(ledger: Database, tmp_path: Path) -> None:
    """The success that closes a half-open breaker makes them due; other waits go on."""
    config = CircuitBreakerConfig(success_threshold=1, timeout_seconds=0.01)
    bench = dev_of(ledger, tmp_path, "true")
    name = breaker_name("sh", CommandSpec.model_validate(bench.spec["agent_spec"]))
    with ledger.begin() as connection:
        breakers.trip(connection, name, 0, "down")
        for job, error in (("w", CircuitBreakerOpenError.text(name)), ("o", "sleeping")):
            connection.exec_driver_sql(
                "INSERT INTO jobs (id, name, kind, lane, priority, effort, status, args, error, "  # noqa: S608
                "retry_count, max_retries, retry_base, attempt, round, created_at, "
                f"status_updated_at, backoff_until) SELECT '{job}', name, 'x', lane, 3, 1, "
                f"'pending', args, '{error}', 0, 3, 1, 1, 0, 0, 0, 9e9 FROM jobs LIMIT 1"
            )
    place = replace(bench.place, breaker=config)
    develop(replace(bench, place=place))
    assert row(ledger, "w")["backoff_until"] is None
    assert row(ledger, "o")["backoff_until"] is not None
    assert [each for each in told(ledger) if "BREAKER" in each] == ["BREAKER_CLOSED"]


def test_a_vote_is_found_again_by_the_content_that_was_judged(
    ledger: Database, tmp_path: Path
) -> None:
    """Another change under the same key of its making is another question; the same content in
    another commit is the same.
    """
    panel = Panel(ledger, tmp_path)
    bench = panel.bench(panel.seat(1)["id"])
    place = replace(bench.place, cache_entries=100)
    repository = Repository.open(tmp_path / "repo")
    one = new_commit(repository, panel.base, {"a.txt": "one"})
    tree = tree_of(repository, one)
    same = commit_tree(tree, parents=(panel.base,), message="again", cwd=repository.path)
    other = new_commit(repository, panel.base, {"a.txt": "two"})

    def key(commit: str) -> str | None:
        judging = replace(bench.claim, kwargs={**bench.claim.kwargs, "commit": commit})
        reviewer = bench.spec["reviewers"][0]
        return _key(replace(bench, place=place, claim=judging), reviewer, 1)

    assert one != same
    assert key(one) == key(same) != key(other)


def test_a_change_that_is_too_large_is_not_read_to_its_end(tmp_path: Path) -> None:
    """It is made again instead, and its content can be told apart all the same."""
    ready = prepared(tmp_path)
    repository, base = ready.repository, ready.base_commit
    large = new_commit(repository, base, {"data": "x" * 5_000_000})
    assert change_between(repository, base, large, most=10_000) is None
    assert change_between(repository, base, large, most=20_000_000) is not None
    assert content_of(repository, base, large) != content_of(repository, large, base)


def test_another_program_is_another_agent(ledger: Database, tmp_path: Path) -> None:
    """A file or a folder that the agent's command line names beside the plan is part of what its
    change is found by; what is no part of it changes nothing, and `cache: false` finds nothing.
    """
    agent = {"type": "command", "argv": ["python", "{plan_dir}/agent.py", "--x={plan_dir}/conf"]}
    ready = prepared(tmp_path, tasks=[{"id": "a", "prompt": "x"}], agents={"sh": agent})
    submit_plan(ledger, ready)
    place = Workplace(ledger=ledger, home=tmp_path / "home", environ={}, cache_entries=100)
    bench = set_up(place, claim(ledger, job_of(ledger, "a", "dev")))
    seen = [_key_of_dev(bench, None)]
    (tmp_path / "conf").mkdir()
    for name in ("agent.py", "conf/prompts.txt"):
        (tmp_path / name).write_text("one")
        seen.append(_key_of_dev(bench, None))
        (tmp_path / name).write_text("two")
        seen.append(_key_of_dev(bench, None))
    assert len(set(seen)) == 5
    (tmp_path / "notes.txt").write_text("three")
    slower = {**bench.spec, "agent_spec": {**bench.spec["agent_spec"], "timeout": 9.0}}
    assert _key_of_dev(replace(bench, spec=slower), None) == seen[-1]
    never = {**bench.spec, "agent_spec": {**bench.spec["agent_spec"], "cache": False}}
    assert _key_of_dev(replace(bench, spec=never), None) is None


def test_what_an_agent_is_given_by_name_is_told_to_nobody(
    ledger: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither by the error it ends with nor by an event; a value that is too short to be a secret
    is, and the log of its output stays as it is.
    """
    monkeypatch.setenv("MY_KEY", "sk-very-secret")
    monkeypatch.setenv("MY_MODE", "fast")
    script = """echo '{"summary": "'$MY_KEY'"}'; echo $MY_MODE $MY_KEY; exit 1"""
    bench = dev_of(ledger, tmp_path, script, env=["MY_KEY", "MY_MODE"])
    with pytest.raises(TransientError) as failed:
        develop(bench)
    assert "fast ***" in str(failed.value)
    with ledger.read() as connection:
        told = [str(event) for event in events.recent(connection)]
    assert [text for text in told if "AgentMessage" in text and "***" in text]
    assert "secret" not in f"{failed.value} {told}"
    assert "sk-very-secret" in (bench.scratch / "agent.log").read_text()
