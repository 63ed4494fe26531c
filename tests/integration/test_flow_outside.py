"""Jobs of a plan that somebody outside does: what they hand in moves the plan on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.ledgers import claim, row
from tests.repositories import new_repository
from vibe_tasks.errors import InputError, LeaseLostError
from vibe_tasks.flow import outside
from vibe_tasks.flow.submission import prepare, submit_plan
from vibe_tasks.plan import parse_plan
from vibe_tasks.store import jobs, plans
from vibe_tasks.store.engine import Database

PLAN = {
    "version": 1, "name": "todo", "agent": "sh", "repo": "repo",
    "agents": {"sh": {"type": "command", "argv": ["true"]}},
    "tasks": [{"id": "a", "prompt": "a"}],
}  # fmt: skip


@pytest.fixture
def plan_id(database: Database, tmp_path: Path) -> str:
    """A plan with one task, submitted."""
    new_repository(tmp_path / "repo")
    plan = parse_plan(json.dumps(PLAN), file="plan.yaml")
    prepared = prepare(plan, tmp_path / "plan.yaml", home=tmp_path / "home")
    return str(submit_plan(database, prepared).plan_id)


def done(ledger: Database, kind: str, result: Any) -> str:
    """Do the task's job of this kind that is to be done, outside; its id."""
    with ledger.read() as connection:
        where = {"task_id": "a", "kind": kind, "status": "pending"}
        (job,) = jobs.list_jobs(connection, where=where)
    attempt = claim(ledger, job["id"]).attempt
    with ledger.begin() as connection:
        outside.complete(connection, job, attempt, result)
    return str(job["id"])


def test_a_plan_is_done_outside(database: Database, plan_id: str) -> None:
    """A dev, a verdict against it, a fix, a verdict for it, and the merge."""
    done(database, "dev", {"commit": "c1"})
    done(database, "qa", {"verdict": "fail", "summary": "does not compile"})
    fix = row(database, done(database, "fix", {"commit": "c2"}))
    assert fix["args"]["kwargs"]["report"]["summary"] == "does not compile"
    done(database, "qa", {"verdict": "pass"})
    deploy = row(database, done(database, "deploy", {"merged": True}))
    assert deploy["args"]["kwargs"]["commit"] == "c2"
    with database.read() as connection:
        assert plans.plan_status(connection, plan_id) == "completed"


@pytest.mark.usefixtures("plan_id")
def test_a_deploy_that_does_not_merge_makes_a_fix(database: Database) -> None:
    """The conflict goes to whoever fixes it."""
    done(database, "dev", {"commit": "c1"})
    done(database, "qa", {"verdict": "pass"})
    done(database, "deploy", {"conflict": {"paths": ["a.py"]}, "summary": "conflict in a.py"})
    fix = row(database, done(database, "fix", {"commit": "c2"}))
    assert fix["args"]["kwargs"]["report"]["conflict"] == {"paths": ["a.py"]}


@pytest.mark.usefixtures("plan_id")
@pytest.mark.parametrize(
    ("kind", "result", "named"), [("dev", None, "commit"), ("qa", {"verdict": "ok"}, "verdict")]
)
def test_what_is_missing_is_named(database: Database, kind: str, result: Any, named: str) -> None:
    """Nothing is written; the attempt goes on."""
    if kind == "qa":
        done(database, "dev", {"commit": "c1"})
    with pytest.raises(InputError, match=named):
        done(database, kind, result)
    with database.read() as connection:
        (job,) = jobs.list_jobs(connection, where={"kind": kind})
    assert job["status"] == "processing"


@pytest.mark.usefixtures("plan_id")
def test_an_attempt_that_is_over_moves_no_plan(database: Database) -> None:
    """The fence holds for plans too: no qa job is made."""
    with database.read() as connection:
        (job,) = jobs.list_jobs(connection, where={"kind": "dev"})
    attempt = claim(database, job["id"]).attempt
    with pytest.raises(LeaseLostError), database.begin() as connection:
        outside.complete(connection, job, attempt + 1, {"commit": "c1"})
    with database.read() as connection:
        assert not jobs.list_jobs(connection, where={"kind": "qa"})
