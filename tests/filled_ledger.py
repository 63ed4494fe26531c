"""A ledger in which there is some of everything, for tests of what shows and changes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.ledgers import claim, new_job, put_into, submit
from tests.plan_jobs import job_of, prepared, to_deploy
from vibe_tasks.flow.submission import submit_plan
from vibe_tasks.jobs import JobStatus
from vibe_tasks.store import breakers, event_handlers, scale_decisions, workers
from vibe_tasks.store.engine import Database
from vibe_tasks.store.event_handlers import Subscription
from vibe_tasks.store.lanes import limit
from vibe_tasks.store.scale_decisions import Entry
from vibe_tasks.store.workers import Registered

WORKER = "celery@build-3"
HANDLER = "billing.note_failure"
LANE = "reports"
TASKS = [{"id": "a", "prompt": "a"}, {"id": "b", "prompt": "b"},
         {"id": "c", "prompt": "c", "needs": ["a", "b"]}]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """What is in it.

    Attributes:
        jobs: A job of lane `code` in each status.
        plan: A plan that runs, with a deploy that waits for a person.
        deploy: That deploy.
        dev: The dev job that came before it.
    """

    jobs: Mapping[JobStatus, str]
    plan: str
    deploy: str
    dev: str


def fill(ledger: Database, folder: Path) -> Filled:
    """Put some of everything into the ledger.

    Args:
        ledger: The ledger.
        folder: For the plan's repository.
    """
    jobs = {status: put_into(ledger, status) for status in JobStatus}
    plan = prepared(
        folder, tasks=TASKS, deploy={"approval": "manual"}, budget={"usd": 2.0, "tokens": 500}
    )
    plan_id = submit_plan(ledger, plan).plan_id
    dev = job_of(ledger, "a", "dev")
    deploy = to_deploy(ledger, folder, "a")
    submit(ledger, new_job(id="report-1", lane=LANE, args=(1,), kwargs={"pages": [2]}))
    submit(ledger, new_job(id="report-2", lane=LANE))
    claim(ledger, "report-2", worker=WORKER, lease=3600)
    decision = Entry(
        lane="code", provisioner="virtual", before=1, target=2, reason="12 jobs wait",
        figures={"waiting": 12}, state={},
    )  # fmt: skip
    with ledger.begin() as connection:
        limit(connection, "qa", concurrency=2, rate=5.0)
        workers.register(
            connection, Registered(worker=WORKER, host="build-3", process="7"), ["code", "qa"],
            tier="senior", capacity=4, labels=["gpu"],
        )  # fmt: skip
        event_handlers.subscribe(
            connection, Subscription(handler=HANDLER, lane="control", types=frozenset({"Stop"}))
        )
        for _ in range(3):
            number = scale_decisions.write(connection, decision)
            scale_decisions.settle(connection, number, applied=2)
        breakers.trip(connection, "agent:claude", 60.0, "usage limit reached")
    return Filled(jobs=jobs, plan=plan_id, deploy=deploy, dev=dev)
