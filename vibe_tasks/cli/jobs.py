"""`vibe jobs`: the ledger's jobs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import click

from vibe_tasks.cli.asking import why_blocked
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
from vibe_tasks.cli.seats import print_seats, seats_told
from vibe_tasks.errors import IllegalMoveError
from vibe_tasks.flow import control
from vibe_tasks.flow.workplace import attempt_folder
from vibe_tasks.jobs import MOVES, JobStatus
from vibe_tasks.priority import Priority
from vibe_tasks.store import job_rows, lane_list, outbox, plans, workers
from vibe_tasks.store.engine import Database, Transaction
from vibe_tasks.store.history import history_of
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
    "explain": ("vibe_tasks.cli.explain:explain", "Explain which worker a job is for."),
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
    """Show a job with its whole history, the errors of each attempt included.

    Of a qa job also its reviewers, and what became of each one's vote.
    """
    with look_into_ledger() as ledger:
        with ledger.read() as connection:
            row = job_rows.find_job(connection, job_rows.whole_job_id(connection, job_id))
            waits = why_it_waits(connection, row)
            seats = seats_told(connection, row)
        history = history_of(ledger, row["id"])
    logs = [
        str(folder)
        for number in range(1, row["attempt"] + 1)
        if (folder := attempt_folder(resources.home(), row["id"], number)).is_dir()
    ]
    if as_json:
        reviews = {"reviews": seats} if seats else {}
        print_json({**row, "waits": waits, **reviews, "history": history, "logs": logs})
        return
    _print_job(row, waits)
    print_seats(seats)
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
        whole = known(ledger, job_ids, refuse=_refuse_retry)
        do_each("retried", whole, lambda job_id: retry_now(ledger, job_id), as_json=as_json)


@jobs.command(example='vibe jobs cancel 1b9d6bcd --reason "wrong branch"')
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--reason", default="cancelled by hand", show_default=True)
@json_option
def cancel(job_ids: tuple[str, ...], reason: str, as_json: bool) -> None:
    """Cancel jobs that have not ended; a running attempt may not write its result any more.

    The task of a plan ends with its job, and the tasks that need it are blocked.
    """
    with look_into_ledger() as ledger:
        whole = known(ledger, job_ids, refuse=_refuse_cancel)
        do_each(
            "cancelled", whole, lambda job_id: control.cancel_job(ledger, job_id, reason),
            as_json=as_json,
        )  # fmt: skip


def known(
    ledger: Database, texts: Iterable[str], *, refuse: Callable[[Mapping[str, Any]], None]
) -> list[str]:
    """The whole ids of the jobs whose ids begin like these, each once. All are looked at before
    anything is done to one.

    Args:
        ledger: The ledger.
        texts: The beginnings.
        refuse: Raises where a job, its row, is not as it must be.

    Raises:
        UnknownJobError: There is none, or more than one, for one of them.
        IllegalMoveError: One of them is not as it must be.
    """
    with ledger.read() as connection:
        ids = [job_rows.whole_job_id(connection, text) for text in texts]
        rows = [job_rows.find_job(connection, job_id) for job_id in dict.fromkeys(ids)]
    for row in rows:
        refuse(row)
    return [str(row["id"]) for row in rows]


def retry_now(ledger: Database, job_id: str) -> None:
    """Retry this job by hand. The dispatcher sends what follows.

    Raises:
        UnknownJobError: There is none.
        IllegalMoveError: It has not failed.
    """
    following = control.retry_job(ledger, job_id)
    with ledger.begin() as connection:
        outbox.give_back(connection, [each.id for each in following])


def do_each(
    done: str, job_ids: Sequence[str], act: Callable[[str], None], *, as_json: bool
) -> list[str]:
    """Do this to each job and say at once that it is done; the jobs. Where one is refused after
    all, because it has changed meanwhile, what was done before it has been said.
    """
    told: list[str] = []
    try:
        for job_id in job_ids:
            act(job_id)
            told.append(job_id)
            if not as_json:
                click.echo(f"{done} {short_id(job_id)}")
    finally:
        if as_json and (told or not job_ids):
            print_json({done: told})
    return told


def _refuse_cancel(row: Mapping[str, Any]) -> None:
    if JobStatus.CANCELLED not in MOVES[row["status"]]:
        raise IllegalMoveError(f"job {row['id']} is {row['status']} and cannot become cancelled")


def _refuse_retry(row: Mapping[str, Any]) -> None:
    if row["dead_at"] is None and row["status"] not in {JobStatus.FAILED, JobStatus.CANCELLED}:
        raise IllegalMoveError(f"job {row['id']} is {row['status']} and cannot become pending")


def listed(row: Mapping[str, Any]) -> dict[str, Any]:
    """A job's row as listings have it."""
    return {name: row[name] for name in LISTED}


def what(row: Mapping[str, Any]) -> str:
    """What a job does, in few words: of a plan the task, else the function's name."""
    if row["task_id"] is None:
        return str(row["name"])
    more = ""
    if row["kind"] == "fix":
        more = f" {row['round']}"
    elif row["kind"] == "review":
        more = f" ({row['args']['kwargs']['agent']})"
    return f"{row['plan_id'].rpartition('-')[0]}/{row['task_id']} {row['kind']}{more}"


def why_it_waits(connection: Transaction, row: Mapping[str, Any]) -> str | None:
    """What a job waits for that has not ended and does not run; None where it waits for nothing."""
    match row["status"]:
        case JobStatus.BLOCKED:
            return why_blocked(connection, row)
        case JobStatus.PENDING if row["backoff_until"] is not None:
            return f"until {moment(row['backoff_until'])}"
        case JobStatus.PENDING:
            lease = resources.settings().lease_seconds
            held = lane_list.why_held(connection, row, lease=lease)
            if held:
                return held
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
