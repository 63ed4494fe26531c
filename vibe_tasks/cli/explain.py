"""`vibe jobs explain`: where a job would go now, or why it went where it ran."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from vibe_tasks.cli.commands import Command
from vibe_tasks.cli.jobs import what, why_it_waits
from vibe_tasks.cli.ledger import look_into_ledger
from vibe_tasks.cli.printing import json_option, one_line, print_json, print_table
from vibe_tasks.jobs import JobStatus
from vibe_tasks.priority import Priority
from vibe_tasks.routing import OUTSIDE, VIRTUAL, Wish, choose
from vibe_tasks.store import job_rows, workers
from vibe_tasks.store.candidates import workers_of
from vibe_tasks.store.engine import Transaction
from vibe_tasks.tasks import resources
from vibe_tasks.weights import weights_of


@click.command(cls=Command, example="vibe jobs explain 1b9d6bcd")
@click.argument("job_id", metavar="ID")
@json_option
def explain(job_id: str, as_json: bool) -> None:
    """Explain which worker a job is for: the candidates, each term of their scores, the choice.

    Of a job that waits it tells what would be decided now, and why it waits; of one that has
    started, what was decided when its message was sent, and who ran it.
    """
    with look_into_ledger() as ledger, ledger.read() as connection:
        row = job_rows.find_job(connection, job_rows.whole_job_id(connection, job_id))
        told = explained(connection, row)
    if as_json:
        print_json(told)
        return
    _print(row, told)


def explained(connection: Transaction, row: Mapping[str, Any]) -> dict[str, Any]:
    """What there is to say about the way of this job, a row of `jobs`, as JSON values."""
    told = {
        "job_id": row["id"], "status": row["status"], "lane": row["lane"],
        "priority": Priority(row["priority"]).name.lower(), "effort": row["effort"],
        "required": list(row["required"] or ()), "labels": dict(row["labels"] or {}),
        "waits": why_it_waits(connection, row), "worker": row["worker"],
    }  # fmt: skip
    if row["status"] not in {JobStatus.PENDING, JobStatus.BLOCKED}:
        return {**told, "decided": "when it was sent", "decision": _as_told(row["routing"])}
    lease = resources.settings().lease_seconds
    weights = weights_of(resources.settings().router_weights)
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


def _print(row: Mapping[str, Any], told: Mapping[str, Any]) -> None:
    asks = [f"a worker with {', '.join(told['required'])}"] if told["required"] else []
    asks += [f"{points:+g} for {label}" for label, points in told["labels"].items()]
    decision = told["decision"]
    lines = {
        "job": f"{row['id']}  {what(row)}",
        "status": told["status"],
        "lane": f"{told['lane']}, priority {told['priority']}, effort {told['effort']}",
        "asks for": "; ".join(asks),
        "waits": told["waits"],
        "worker": told["worker"],
        "decided": f"{told['decided']}: {_choice(decision)}" if decision else None,
    }
    for name, value in lines.items():
        if value:
            click.echo(f"{name:<10}{one_line(str(value), most=2000)}")
    if decision and decision["candidates"]:
        _print_candidates(decision["candidates"])
    for each in told.get("others", ()):
        click.echo(f"not       {one_line(each['worker'])}: {each['why']}")


def _choice(decision: Mapping[str, Any]) -> str:
    return f"{decision['choice'] or 'no worker'}, {decision['why']}"


def _print_candidates(candidates: Sequence[Mapping[str, Any]]) -> None:
    names = list(dict.fromkeys(term for each in candidates for term in each["terms"]))
    print_table(
        ("CANDIDATE", "SCORE", *(name.upper() for name in names)),
        [
            (
                each["worker"], f"{each['score']:g}",
                *(f"{each['terms'][name]:g}" if name in each["terms"] else "" for name in names),
            )
            for each in candidates
        ],
        empty="",
    )  # fmt: skip
