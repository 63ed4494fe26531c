"""`vibe jobs`: the ledger's jobs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

from vibe_tasks.cli.commands import Group
from vibe_tasks.cli.ledger import look_into_ledger, place
from vibe_tasks.cli.printing import (
    json_option,
    moment,
    one_line,
    print_json,
    print_table,
    short_id,
)
from vibe_tasks.flow import control
from vibe_tasks.flow.workplace import attempt_folder
from vibe_tasks.jobs import JobStatus
from vibe_tasks.priority import Priority
from vibe_tasks.store import job_rows, lane_list, outbox, plans, workers
from vibe_tasks.store.engine import Database, Transaction
from vibe_tasks.store.history import history_of
from vibe_tasks.store.watching import whole_job_id
from vibe_tasks.tasks import resources

LISTED = (
    "seq", "id", "name", "kind", "lane", "priority", "status", "attempt", "retry_count",
    "max_retries", "plan_id", "task_id", "round", "worker", "error", "backoff_until",
    "created_at", "started_at", "status_updated_at", "dead_at",
)  # fmt: skip
"""What a listing tells of a job; `show` tells everything."""

KINDS = ("dev", "qa", "review", "fix", "deploy", "call", "follow", "event")
"""What a job may be; `follow` applies what comes after a call where that is no single job, `event`
tells a handler of an event."""

limit_option = click.option(
    "--limit", type=click.IntRange(1, 100_000), default=100, show_default=True,
    help="At most so many, the newest.",
)  # fmt: skip


_OUTSIDE = "vibe_tasks.cli.outside"
_ELSEWHERE = {
    "claim": (f"{_OUTSIDE}:claim", "Take a job to do it yourself."),
    "heartbeat": (f"{_OUTSIDE}:heartbeat", "Keep a job that you have claimed."),
    "complete": (f"{_OUTSIDE}:complete", "Say that a job is done."),
    "fail": (f"{_OUTSIDE}:fail", "Say that an attempt failed."),
}


@click.group(cls=Group, places=_ELSEWHERE)
def jobs() -> None:
    """List, show, retry and cancel the ledger's jobs, or do them yourself.

    Where a job's ID is asked for, its beginning is enough.
    """


@jobs.command(
    "list",
    example="vibe jobs list --status failed\nvibe jobs list --plan todo-api --kind fix --json",
)
@click.option("--status", type=click.Choice([str(each) for each in JobStatus]))
@click.option("--lane", metavar="LANE")
@click.option("--plan", metavar="PLAN", help="Of this plan, by its id or name.")
@click.option("--task", metavar="TASK", help="Of this task of a plan.")
@click.option("--kind", type=click.Choice(KINDS), help="`call` is a function's job.")
@limit_option
@click.option("--before", type=int, metavar="SEQ", help="Only below this `seq`: the next page.")
@json_option
def list_(plan: str | None, limit: int, before: int | None, as_json: bool, **chosen: Any) -> None:
    """List jobs, newest first."""
    where = {("task_id" if name == "task" else name): value for name, value in chosen.items()}
    where = {name: value for name, value in where.items() if value is not None}
    with look_into_ledger() as ledger, ledger.read() as connection:
        if plan is not None:
            where["plan_id"] = plans.find_plan(connection, plan)["id"]
        found = job_rows.list_jobs(connection, where=where, limit=limit, before=before)
    if as_json:
        print_json([listed(row) for row in found])
        return
    print_table(
        ("JOB", "STATUS", "LANE", "PRIORITY", "WHAT", "ATTEMPT", "CHANGED", "ERROR"),
        [
            (
                short_id(row["id"]), row["status"], row["lane"],
                Priority(row["priority"]).name.lower(), what(row), row["attempt"],
                moment(row["status_updated_at"]), row["error"],
            )
            for row in found
        ],
        empty=f"no jobs in {place()}",
    )  # fmt: skip


@jobs.command(example="vibe jobs show 1b9d6bcd")
@click.argument("job_id", metavar="ID")
@json_option
def show(job_id: str, as_json: bool) -> None:
    """Show a job with its whole history, the errors of each attempt included."""
    with look_into_ledger() as ledger:
        with ledger.read() as connection:
            row = job_rows.find_job(connection, whole_job_id(connection, job_id))
            waits = why_it_waits(connection, row)
        history = history_of(ledger, row["id"])
    logs = [
        str(folder)
        for number in range(1, row["attempt"] + 1)
        if (folder := attempt_folder(resources.home(), row["id"], number)).is_dir()
    ]
    if as_json:
        print_json({**row, "waits": waits, "history": history, "logs": logs})
        return
    _print_job(row, waits)
    click.echo("history")
    for each in history:
        attempt = f"attempt {each['attempt']}" if each["attempt"] else ""
        words = (moment(each["timestamp"]), f"{each['status']:<10}", attempt, each["worker_id"])
        click.echo("  " + "  ".join(str(word) for word in words if word))
        if each["details"]:
            click.echo(f"    {one_line(each['details'], most=2000)}")
    for path in logs:
        click.echo(f"log       {path}")


@jobs.command(example="vibe jobs retry 1b9d6bcd")
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
@json_option
def retry(job_ids: tuple[str, ...], as_json: bool) -> None:
    """Give failed or cancelled jobs all their attempts back."""
    with look_into_ledger() as ledger:
        done = [retried(ledger, job_id) for job_id in job_ids]
    tell("retried", done, as_json=as_json)


@jobs.command(example='vibe jobs cancel 1b9d6bcd --reason "wrong branch"')
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--reason", default="cancelled by hand", show_default=True)
@json_option
def cancel(job_ids: tuple[str, ...], reason: str, as_json: bool) -> None:
    """Cancel jobs that have not ended; a running attempt may not write its result any more.

    The task of a plan ends with its job, and the tasks that need it are blocked.
    """
    done = []
    with look_into_ledger() as ledger:
        for job_id in job_ids:
            whole = known(ledger, job_id)
            control.cancel_job(ledger, whole, reason)
            done.append(whole)
    tell("cancelled", done, as_json=as_json)


def known(ledger: Database, text: str) -> str:
    """The whole id of the job whose id begins like this.

    Raises:
        UnknownJobError: There is none, or more than one.
    """
    with ledger.read() as connection:
        return whole_job_id(connection, text)


def retried(ledger: Database, text: str) -> str:
    """Retry this job by hand; its whole id. The dispatcher sends what follows.

    Raises:
        UnknownJobError: There is none, or more than one.
        IllegalMoveError: It has not failed.
    """
    job_id = known(ledger, text)
    following = control.retry_job(ledger, job_id)
    with ledger.begin() as connection:
        outbox.give_back(connection, [each.id for each in following])
    return job_id


def listed(row: Mapping[str, Any]) -> dict[str, Any]:
    """A job's row as listings have it."""
    return {name: row[name] for name in LISTED}


def what(row: Mapping[str, Any]) -> str:
    """What a job does, in few words: of a plan the task, else the function's name."""
    if row["task_id"] is None:
        return str(row["name"])
    again = f" {row['round']}" if row["kind"] == "fix" else ""
    return f"{row['plan_id'].rpartition('-')[0]}/{row['task_id']} {row['kind']}{again}"


def tell(done: str, job_ids: list[str], *, as_json: bool) -> None:
    """Say what was done to which jobs."""
    if as_json:
        print_json({done: job_ids})
        return
    for job_id in job_ids:
        click.echo(f"{done} {short_id(job_id)}")


def why_it_waits(connection: Transaction, row: Mapping[str, Any]) -> str | None:
    """What a job waits for that has not ended and does not run; None where it waits for nothing."""
    match row["status"]:
        case JobStatus.BLOCKED:
            return "for other work, or for an approval"
        case JobStatus.PENDING if row["backoff_until"] is not None:
            return f"until {moment(row['backoff_until'])}"
        case JobStatus.PENDING:
            held = lane_list.why_held(connection, row)
            if held:
                return held
            lease = resources.settings().lease_seconds
            served = any(
                each["lane"] == row["lane"] and each["status"] == "online" and each["age"] <= lease
                for each in workers.list_workers(connection)
            )
            return "for a free worker" if served else f"no worker serves lane {row['lane']}"
    return None


def _print_job(row: Mapping[str, Any], waits: str | None) -> None:
    lines = {
        "job": row["id"],
        "what": what(row),
        "status": f"{row['status']}{', dead letter' if row['dead_at'] else ''}",
        "lane": f"{row['lane']}, priority {Priority(row['priority']).name.lower()}",
        "attempts": f"{row['attempt']}, failures {row['retry_count']} of {row['max_retries']}",
        "waits": waits,
        "worker": row["worker"],
        "created": moment(row["created_at"]),
        "changed": moment(row["status_updated_at"]),
        "arguments": _short_json(row["args"]),
        "result": None if row["result"] is None else _short_json(row["result"]),
        "error": row["error"],
    }
    for name, value in lines.items():
        if value is not None:
            click.echo(f"{name:<10}{one_line(str(value), most=2000)}")


def _short_json(value: Any) -> str:
    return one_line(json.dumps(value, ensure_ascii=False, default=str), most=1000)
