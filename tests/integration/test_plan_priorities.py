"""A plan's priorities from its file to its rows, and to what people read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.ledgers import claim
from tests.plan_jobs import job_of, prepared
from vibe_tasks.flow import progress
from vibe_tasks.flow.submission import submit_plan
from vibe_tasks.store import jobs, plans, watching
from vibe_tasks.store.engine import Database

WIDE: list[dict[str, Any]] = [
    {"id": "root", "prompt": "x", "effort": 1},
    {"id": "leaf1", "prompt": "x", "needs": ["root"], "effort": 3},
    {"id": "leaf2", "prompt": "x", "needs": ["root"], "effort": 3, "files": ["docs/a.md"]},
    {"id": "head", "prompt": "x", "needs": ["root"], "priority": "normal"},
    {"id": "middle", "prompt": "x", "needs": ["head"]},
    {"id": "tail", "prompt": "x", "needs": ["middle"], "effort": 5, "files": ["src/core.py"]},
    {"id": "alone", "prompt": "x", "effort": 5},
]


def test_jobs_start_in_the_order_of_the_work_ahead(database: Database, tmp_path: Path) -> None:
    """By level, then by the heaviest chain, when the plan begins and when a task lets others go;
    the words for it are kept with each task.
    """
    ready = prepared(tmp_path, tasks=WIDE)
    submission = submit_plan(database, ready)
    begun = [job_of(database, name, "dev") for name in ("root", "alone")]
    assert [each.id for each in submission.following] == begun
    with database.begin() as connection:
        taken = jobs.claim_next_job(connection, "code", worker="w", lease=30)
    assert taken is not None
    assert taken.id == begun[0]
    assert claim(database, begun[1]).task_id == "alone"
    with database.begin() as connection:
        plans.plan_status(connection, submission.plan_id)
        following = progress.release(connection, submission.plan_id, "root")
    assert [each.id for each in following] == [
        job_of(database, name, "dev") for name in ("head", "leaf1", "leaf2")
    ]
    with database.read() as connection:
        told = watching.priorities_of(connection, submission.plan_id)
    assert list(told) == [task.id for task in ready.plan.order()]
    assert {name: each["priority"] for name, each in told.items()} == {
        "root": "high", "alone": "normal", "leaf1": "normal", "leaf2": "low", "head": "normal",
        "middle": "high", "tail": "critical",
    }  # fmt: skip
    assert told["root"]["priority_why"] == (
        "no files named (normal), raised: on the critical path, effort 9 waits for it in a row"
    )
    assert told["head"]["priority_why"] == "stated in the plan, effort 7 waits for it in a row"
    assert told["leaf2"]["priority_why"] == "by docs/a.md"
