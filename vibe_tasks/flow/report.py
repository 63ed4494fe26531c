"""The run report: what became of a plan, from its rows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from vibe_tasks.consensus import Verdict
from vibe_tasks.jobs import JobStatus
from vibe_tasks.pipeline import TaskStatus
from vibe_tasks.store import consensus, plans, usage
from vibe_tasks.store.engine import Transaction
from vibe_tasks.store.plan_list import outcomes_of

OUTCOMES = {TaskStatus.RUNNING: "running", TaskStatus.WAITING: "waiting"}
"""Of a task that has not ended; a report of a plan under way has these too."""


def run_report(connection: Transaction, plan_id: str, *, commit: str | None) -> dict[str, Any]:
    """The report of a plan (documented in docs/report.md).

    Args:
        connection: A connection.
        plan_id: The plan.
        commit: Where its branch stands.

    Raises:
        UnknownJobError: No such plan.
    """
    plan = plans.find_plan(connection, plan_id)
    tasks = plans.tasks_of(connection, plan["id"])
    jobs = outcomes_of(connection, plan["id"])
    used = usage.spent(connection, plan["id"], "plan", plan["name"])
    status = Counter(job["status"] for job in jobs)
    results = [job["result"] for job in jobs if isinstance(job["result"], dict)]
    by_task = defaultdict(list)
    for job in jobs:
        by_task[job["task_id"]].append(job)
    told = [_task(task, by_task[task["id"]]) for task in tasks]
    _with_votes(connection, plan["id"], told)
    ended = plan["ended_at"] or max(job["status_updated_at"] for job in jobs)
    return {
        "plan": plan["name"],
        "outcome": plan["status"],
        "branch": plan["branch"],
        "commit": commit,
        "seconds": round(max(0.0, ended - plan["created_at"]), 3),
        "tasks": told,
        "jobs": {
            name: status.get(name, 0)
            for name in (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED)
        },
        "retries": sum(max(0, job["attempt"] - 1) for job in jobs),
        "dead_letters": [_dead_letter(job) for job in jobs if job["dead_at"] is not None],
        "cache": {
            "hits": sum(bool(result.get("cached")) for result in results),
            "misses": sum(
                bool(result.get("cache_key")) and not result.get("cached") for result in results
            ),
        },
        "tokens": {"input": used.input_tokens, "output": used.output_tokens},
        "cost_usd": round(used.usd, 6),
    }


def _task(task: dict[str, Any], jobs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    attempts: Counter[str] = Counter()
    for job in jobs:
        attempts[job["kind"]] += job["attempt"]
    kinds = ["dev", "qa", "fix", "deploy"]
    if task["spec"].get("reviewers"):
        kinds.insert(2, "review")
    return {
        "id": task["id"],
        "outcome": OUTCOMES.get(task["status"], task["status"]),
        "attempts": {kind: attempts.get(kind, 0) for kind in kinds},
        "fix_rounds": task["fix_round"],
        "error": task["error"],
        "commit": task["commit_id"],
    }


def _with_votes(connection: Transaction, plan_id: str, tasks: list[dict[str, Any]]) -> None:
    """Tell of each task that has reviewers how often they voted, and how often not all of them."""
    by_spec = {
        consensus.spec_id_of(plan_id, task["id"]): task
        for task in tasks
        if "review" in task["attempts"]
    }
    for task in by_spec.values():
        task["consensus"] = {"runs": 0, "degraded": 0, "undecided": 0}
    for run in consensus.runs_of(connection, by_spec, outputs=False) if by_spec else ():
        counts = by_spec[run["spec_id"]]["consensus"]
        counts["runs"] += 1
        undecided = run["synthesis"]["verdict"] == Verdict.UNDECIDED
        counts["undecided"] += undecided
        counts["degraded"] += bool(run["degraded"]) and not undecided


def last_words(job: Mapping[str, Any]) -> str:
    """Why a job is a dead letter: its error, the verdict and how many fix rounds came first, or who
    did not vote.
    """
    if job["error"]:
        return str(job["error"])
    result = job["result"] if isinstance(job["result"], dict) else {}
    if result.get("verdict") == Verdict.UNDECIDED:
        return str(result.get("summary", ""))
    rounds = "1 fix round" if job["round"] == 1 else f"{job['round']} fix rounds"
    return f"after {rounds}: {result.get('summary', '')}"


def _dead_letter(job: dict[str, Any]) -> dict[str, Any]:
    return {
        "job_id": job["id"],
        "task": job["task_id"],
        "kind": job["kind"],
        "attempts": job["attempt"],
        "error": last_words(job),
    }
