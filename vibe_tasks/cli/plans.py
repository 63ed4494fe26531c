"""`vibe plans`: plans and their tasks."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from vibe_tasks.cli.approval import approve
from vibe_tasks.cli.budget import budget
from vibe_tasks.cli.commands import Group
from vibe_tasks.cli.jobs import limit_option
from vibe_tasks.cli.ledger import look_into_ledger, place
from vibe_tasks.cli.live import detail, stage, timing
from vibe_tasks.cli.printing import (
    counted,
    json_option,
    moment,
    print_json,
    print_table,
    short_id,
)
from vibe_tasks.cli.program import program
from vibe_tasks.cli.report import print_report
from vibe_tasks.flow import control
from vibe_tasks.flow.views.asking import asked, only_people
from vibe_tasks.flow.views.lacking import lacking
from vibe_tasks.flow.views.plans import listed, shown
from vibe_tasks.store import plans as rows
from vibe_tasks.store import watching
from vibe_tasks.store.watching import plan_board
from vibe_tasks.tasks import resources
from vibe_tasks.tasks.broker_socket import stack_answers


@click.group(cls=Group)
def plans() -> None:
    """List, show, cancel and approve plans.

    A PLAN is named by its id or by its name, which means the latest of that name.
    """


plans.add_command(budget)


@plans.command("list", example="vibe plans list")
@limit_option
@json_option
def list_(limit: int, as_json: bool) -> None:
    """List plans, newest first."""
    with look_into_ledger() as ledger, ledger.read() as connection:
        found = listed(connection, limit=limit)
    if as_json:
        print_json(found)
        return
    print_table(
        ("PLAN", "STATUS", "DEPLOYED", "STARTED", "BRANCH", "REPOSITORY"),
        [
            (row["id"], row["status"], _share(row["tasks"]), moment(row["created_at"]),
             row["branch"], row["repo"])
            for row in found
        ],
        empty=f"no plans in {place()}",
    )  # fmt: skip


@plans.command(example="vibe plans show todo-api --json")
@click.argument("plan")
@json_option
def show(plan: str, as_json: bool) -> None:
    """Show a plan's tasks, why each has its priority, and its report."""
    stack = stack_answers()
    with look_into_ledger() as ledger:
        with ledger.read() as connection:
            found = rows.find_plan(connection, plan)
            start = None if stack else _start(found["source"])
            board = plan_board(connection, found["id"])
            _, live = watching.plan_standing(connection, found["id"])
            asks = bool(asked(connection, found["id"], found["name"]))
            lacks = lacking(connection, found["id"], settings=resources.settings(), start=start)
        report = shown(
            ledger, found["id"], settings=resources.settings(), home=resources.home(),
            start=start, program=program(),
        )  # fmt: skip
    if as_json:
        print_json(report)
        return
    print_table(
        ("TASK", "STAGE", "TIME", "FIXES", "JOB", "WHAT"),
        [
            (task.id, stage(task), timing(task), task.fix_round,
             short_id(task.job_id) if task.job_id else None, detail(task))
            for task in board
        ],
        empty="no tasks",
    )  # fmt: skip
    click.echo()
    print_table(
        ("TASK", "PRIORITY", "WHY"),
        [(task["id"], task["priority"], task["priority_why"]) for task in report["tasks"]],
        empty="no tasks",
    )
    click.echo()
    print_report(report, repo=found["repo"])
    for line in report["waits"]:
        click.echo(f"  waits   {line}")
    if found["status"] == "running" and not report["workers_online"] and not lacks:
        # A worker that finds nothing to do until somebody answers would be no help yet.
        then = "then " if asks and only_people(live) else ""
        click.echo(
            f"  idle    nobody works on it: no worker is online; {then}{_go_on(found['source'])}"
        )


@plans.command(example="vibe plans cancel todo-api")
@click.argument("plan")
@click.option("--reason", default="cancelled by hand", show_default=True)
@json_option
def cancel(plan: str, reason: str, as_json: bool) -> None:
    """Cancel whatever of a plan has not ended; what is deployed stays on the branch."""
    with look_into_ledger() as ledger:
        count = control.cancel_plan(ledger, plan, reason, by=resources.person())
    if as_json:
        print_json({"plan": plan, "cancelled_jobs": count})
    else:
        click.echo(f"plan {plan} is cancelled, {counted(count, 'job')} with it")


plans.add_command(approve)


def _go_on(source: str) -> str:
    """What makes an interrupted plan go on; one that came without a file needs workers."""
    start = _start(source)
    return f"go on with: {start}" if start else "start some: celery -A vibe_tasks worker"


def _start(source: str) -> str | None:
    """The command that starts workers for a plan from here; None where a deployment has them."""
    if resources.settings().broker_url:
        return None
    path = Path(source)
    if not path.is_file():
        return f"{program()} up"
    near = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return f"{program()} run {shlex.quote(str(near))}"


def _share(counts: dict[str, Any]) -> str:
    return f"{counts.get('deployed', 0)}/{sum(counts.values())}"
