"""Where a job would go now, or why it went where it ran."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vibe_tasks.flow.views.reason import Ask, reason_of
from vibe_tasks.jobs import JobStatus
from vibe_tasks.priority import Priority
from vibe_tasks.routing import OUTSIDE, VIRTUAL, Wish, choose
from vibe_tasks.settings import Settings
from vibe_tasks.store import workers
from vibe_tasks.store.candidates import workers_of
from vibe_tasks.store.engine import Transaction
from vibe_tasks.waiting import When
from vibe_tasks.weights import weights_of


def explained(
    connection: Transaction, row: Mapping[str, Any], *, settings: Settings,
    when: When, program: str = "vibe", ask: Ask | None = None,
) -> dict[str, Any]:  # fmt: skip
    """What there is to say about the way of this job, as JSON values: `answer` in one sentence.

    Args:
        connection: A connection.
        row: The job's.
        settings: The settings.
        when: A moment in words, of epoch seconds.
        program: The word that starts this program.
        ask: Asks the broker where the job's message is.
    """
    lease = settings.lease_seconds
    reason = reason_of(
        connection, row, lease=lease, when=when, program=program,
        grace=settings.republish_seconds, ask=ask,
    )  # fmt: skip
    live = row["status"] in {JobStatus.PENDING, JobStatus.BLOCKED}
    told = {
        "answer": reason.sentence(row["id"]), "why": str(reason.why), "mend": reason.mend,
        "job_id": row["id"], "status": row["status"], "lane": row["lane"],
        "priority": Priority(row["priority"]).name.lower(), "effort": row["effort"],
        "required": list(row["required"] or ()), "labels": dict(row["labels"] or {}),
        "waits": reason.text if live else None,
        "worker": row["worker"],
    }  # fmt: skip
    if not live:
        return {**told, "decided": "when it was sent", "decision": _as_told(row["routing"])}
    weights = weights_of(settings.router_weights)
    wish = Wish(
        effort=row["effort"], priority=Priority(row["priority"]), labels=told["labels"],
        required=told["required"], function=row["name"],
    )  # fmt: skip
    seen = [each.worker for each in workers_of(connection, row["lane"], lease=lease)]
    able = [each for each in seen if each.has_queue]
    decision = choose(able, wish, weights, draw=row["id"])
    knows = {each.worker_id: each.functions for each in seen}
    others = [
        {"worker": each["worker_id"], "why": why}
        for each in workers.list_workers(connection)
        if each["lane"] == row["lane"]
        and (why := _why_not(each, told["required"], lease, row["name"], knows))
    ]
    return {
        **told, "decided": "now", "decision": _as_told(decision.compact()), "others": others,
    }  # fmt: skip


def _as_told(decision: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if not decision:
        return None
    return {
        "choice": decision["choice"],
        "why": decision["why"],
        "candidates": [
            {"worker": worker, "score": score, "terms": terms}
            for worker, score, terms in decision.get("candidates", ())
        ],
    }


def _why_not(
    worker: Mapping[str, Any], required: Sequence[str], lease: float, function: str,
    knows: Mapping[str, frozenset[str] | None],
) -> str | None:  # fmt: skip
    """Why this worker, a row of the registry, is no candidate; None where it is one."""
    lacks = sorted(set(required) - set(worker["labels"] or ()))
    active, capacity = worker["active_tasks"], worker["capacity_limit"]
    functions = knows.get(worker["worker_id"])
    reasons = (
        (worker["status"] == "offline", "it has left"),
        (worker["worker_id"].startswith(VIRTUAL), "it is registered and does not run"),
        (worker["tier"] == OUTSIDE, "it looks for jobs by itself"),
        (worker["draining_at"] is not None, "it drains"),
        (worker["age"] > lease, f"not heard of for {worker['age']:.0f} s"),
        (lacks, f"it has no {', '.join(lacks)}"),
        (functions is not None and function not in functions, f"it knows no function {function}"),
        (active >= capacity, f"full, {active} of {capacity}"),
    )
    return next((why for true, why in reasons if true), None)
