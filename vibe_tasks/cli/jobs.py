"""`vibe jobs`: the ledger's jobs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from vibe_tasks.cli.commands import Group
from vibe_tasks.cli.ledger import look_into_ledger, place
from vibe_tasks.cli.numbers import Whole
from vibe_tasks.cli.printing import (
    json_option,
    moment,
    one_line,
    print_json,
    print_table,
    short_id,
)
from vibe_tasks.cli.program import program
from vibe_tasks.cli.seats import print_seats
from vibe_tasks.flow import by_hand, control
from vibe_tasks.flow.views.jobs import KINDS, find, listed, shown
from vibe_tasks.jobs import JobStatus
from vibe_tasks.priority import Priority
from vibe_tasks.tasks import resources

limit_option = click.option(
    "--limit", type=Whole(1, 100_000), default=100, show_default=True,
    help="At most so many, the newest.",
)  # fmt: skip


_OUTSIDE = "vibe_tasks.cli.outside"
_ELSEWHERE = {
    "log": ("vibe_tasks.cli.job_log:log", "Print what a job has said while it ran."),
    "explain": ("vibe_tasks.cli.explain:explain", "Tell why a job has not run yet."),
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
@click.option("--archived", is_flag=True, help="Those that are archived instead.")
@limit_option
@click.option(
    "--before", type=Whole(0), metavar="SEQ", help="Only below this `seq`: the next page."
)
@json_option
def list_(plan: str | None, limit: int, before: int | None, as_json: bool, **chosen: Any) -> None:
    """List jobs, newest first."""
    with look_into_ledger() as ledger, ledger.read() as connection:
        found = find(connection, plan=plan, limit=limit, before=before, **chosen)
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
        empty=f"no {'archived jobs' if chosen['archived'] else 'jobs'} in {place()}",
    )  # fmt: skip


@jobs.command(example="vibe jobs show 1b9d6bcd")
@click.argument("job_id", metavar="ID")
@json_option
def show(job_id: str, as_json: bool) -> None:
    """Show a job with its whole history, the errors of each attempt included.

    Of a qa job also its reviewers, and what became of each one's vote.
    """
    with look_into_ledger() as ledger:
        found = shown(
            ledger, job_id, home=resources.home(), lease=resources.settings().lease_seconds,
            when=moment, program=program(),
        )  # fmt: skip
    if as_json:
        print_json(found)
        return
    _print_job(found, found["waits"])
    print_seats(found.get("reviews", ()))
    click.echo("history")
    for each in found["history"]:
        attempt = f"attempt {each['attempt']}" if each["attempt"] else ""
        words = (moment(each["timestamp"]), f"{each['status']:<10}", attempt, each["worker_id"])
        click.echo("  " + "  ".join(str(word) for word in words if word))
        if each["details"]:
            click.echo(f"    {one_line(each['details'], most=2000)}")
    for path in found["logs"]:
        click.echo(f"log       {path}")


@jobs.command(example="vibe jobs retry 1b9d6bcd")
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
@json_option
def retry(job_ids: tuple[str, ...], as_json: bool) -> None:
    """Give failed or cancelled jobs all their attempts back."""
    with look_into_ledger() as ledger:
        whole = by_hand.known(ledger, job_ids, refuse=by_hand.refuse_retry)
        by = resources.person()
        do_each(
            "retried", whole, lambda job_id: by_hand.retry(ledger, job_id, by=by), as_json=as_json
        )


@jobs.command(example='vibe jobs cancel 1b9d6bcd --reason "wrong branch"')
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--reason", default="cancelled by hand", show_default=True)
@json_option
def cancel(job_ids: tuple[str, ...], reason: str, as_json: bool) -> None:
    """Cancel jobs that have not ended; a running attempt may not write its result any more.

    The task of a plan ends with its job, and the tasks that need it are blocked.
    """
    with look_into_ledger() as ledger:
        whole = by_hand.known(ledger, job_ids, refuse=by_hand.refuse_cancel)
        by = resources.person()
        do_each(
            "cancelled", whole, lambda job_id: control.cancel_job(ledger, job_id, reason, by=by),
            as_json=as_json,
        )  # fmt: skip


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
        "archived": moment(row.get("archived_at")),
        "arguments": _short_json(row["args"]),
        "result": None if row["result"] is None else _short_json(row["result"]),
        "error": row["error"],
    }
    for name, value in lines.items():
        if value is not None:
            click.echo(f"{name:<10}{one_line(str(value), most=2000)}")


def _short_json(value: Any) -> str:
    return one_line(json.dumps(value, ensure_ascii=False, default=str), most=1000)
