"""The run report: what became of a plan, from its rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from vibe_tasks.jobs import JobStatus
from vibe_tasks.pipeline import TaskStatus
from vibe_tasks.store import plans
from vibe_tasks.store.engine import Transaction

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
    jobs = plans.jobs_of_plan(connection, plan["id"])
    status = Counter(job["status"] for job in jobs)
    results = [job["result"] for job in jobs if isinstance(job["result"], dict)]
    ended = plan["ended_at"] or max(job["status_updated_at"] for job in jobs)
    return {
        "plan": plan["name"],
        "outcome": plan["status"],
        "branch": plan["branch"],
        "commit": commit,
        "seconds": round(max(0.0, ended - plan["created_at"]), 3),
        "tasks": [
            _task(task, [job for job in jobs if job["task_id"] == task["id"]]) for task in tasks
        ],
        "jobs": {
            name: status.get(name, 0)
            for name in (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED)
        },
        "retries": sum(max(0, job["attempt"] - 1) for job in jobs),
        "dead_letters": [_dead_letter(job) for job in jobs if job["dead_at"] is not None],
        "cache": {"hits": 0, "misses": 0},
        "tokens": {
            "input": sum(result.get("input_tokens", 0) for result in results),
            "output": sum(result.get("output_tokens", 0) for result in results),
        },
        "cost_usd": round(sum(result.get("cost_usd", 0.0) for result in results), 6),
    }


def _task(task: dict[str, Any], jobs: list[dict[str, Any]]) -> dict[str, Any]:
    attempts: Counter[str] = Counter()
    for job in jobs:
        attempts[job["kind"]] += job["attempt"]
    return {
        "id": task["id"],
        "outcome": OUTCOMES.get(task["status"], task["status"]),
        "attempts": {kind: attempts.get(kind, 0) for kind in ("dev", "qa", "fix", "deploy")},
        "fix_rounds": task["fix_round"],
        "error": task["error"],
        "commit": task["commit_id"],
    }


def last_words(job: Mapping[str, Any]) -> str:
    """Why a job is a dead letter: its error, or the verdict and how many fix rounds came first."""
    if job["error"]:
        return str(job["error"])
    result = job["result"] if isinstance(job["result"], dict) else {}
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
