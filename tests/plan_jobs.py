"""Plans of a few tasks in a ledger, for tests of how they move."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.ledgers import claim
from tests.repositories import new_commit, new_repository
from vibe_tasks.flow.submission import Prepared, prepare
from vibe_tasks.flow.workplace import Workplace, set_up
from vibe_tasks.pipeline import Outcome
from vibe_tasks.plan import Plan, parse_plan
from vibe_tasks.store import jobs
from vibe_tasks.store.engine import Database


def plan_of(**fields: Any) -> Plan:
    """A plan of two tasks, `b` needs `a`; any field may be given."""
    document = {
        "version": 1, "name": "todo", "agent": "sh", "repo": "repo",
        "agents": {"sh": {"type": "command", "argv": ["true"]}},
        "tasks": [{"id": "a", "prompt": "a"}, {"id": "b", "prompt": "b", "needs": ["a"]}],
    }  # fmt: skip
    return parse_plan(json.dumps(document | fields), file="plan.yaml")


def prepared(folder: Path, **fields: Any) -> Prepared:
    """The plan, ready to be submitted; its repository is made where it is missing."""
    if not (folder / "repo").exists():
        new_repository(folder / "repo")
    return prepare(plan_of(**fields), folder / "plan.yaml", home=folder / "home")


def job_of(ledger: Database, task: str, kind: str) -> str:
    """The task's latest job of this kind."""
    with ledger.read() as connection:
        found = jobs.list_jobs(connection, where={"task_id": task, "kind": kind})
    return str(found[0]["id"])


def to_deploy(ledger: Database, folder: Path, task: str) -> str:
    """Bring the task, with a file of its own, to its deploy job; that job."""
    place = Workplace(ledger=ledger, home=folder / "home", environ={})
    for kind, outcome in (("dev", Outcome.DONE), ("qa", Outcome.PASSED)):
        bench = set_up(place, claim(ledger, job_of(ledger, task, kind)))
        commit = new_commit(
            bench.repository, bench.plan["base_commit"], {f"{task}.txt": f"I am {task}\x1b[31m\n"}
        )
        bench.finish({"commit": commit}, outcome, commit=commit)
    return job_of(ledger, task, "deploy")
