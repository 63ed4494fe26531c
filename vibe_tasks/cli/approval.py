"""`vibe plans approve`: a person looks at what is to be merged, and lets it go on."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import click

from vibe_tasks.cli.commands import Command
from vibe_tasks.cli.ledger import look_into_ledger
from vibe_tasks.cli.printing import counted, json_option, note, one_line, print_json
from vibe_tasks.errors import GitError, IllegalMoveError, RepositoryError
from vibe_tasks.flow import by_hand
from vibe_tasks.flow.approval import Waiting, difference, waiting
from vibe_tasks.store import plans
from vibe_tasks.tasks import resources


@click.command(
    cls=Command,
    example="vibe plans approve todo-api --diff\nvibe plans approve todo-api store --yes",
)
@click.argument("plan")
@click.argument("task", required=False)
@click.option("--diff", "only_show", is_flag=True, help="Show the changes and approve nothing.")
@click.option("--yes", is_flag=True, help="Do not show the changes and do not ask.")
@json_option
def approve(plan: str, task: str | None, only_show: bool, yes: bool, as_json: bool) -> None:
    """Let deploys go on that wait for a person: of one TASK, or all that wait now.

    On a terminal the changes are shown first and you are asked; elsewhere they are approved at
    once. Exactly what was shown is approved, not what came to wait meanwhile.
    """
    with look_into_ledger() as ledger:
        with ledger.read() as connection:
            found = plans.find_plan(connection, plan)
            deploys = waiting(connection, found["id"], task)
        if not deploys:
            what = f"task {task} of plan {plan}" if task else f"plan {plan}"
            raise IllegalMoveError(f"{what} has no deploy that waits for an approval")
        if only_show and as_json:
            print_json({"plan": found["id"], "waiting": [_told(found, each) for each in deploys]})
            return
        asks = not (yes or as_json) and sys.stdin.isatty() and sys.stdout.isatty()
        if only_show or asks:
            for each in deploys:
                _show(found, each)
        if only_show:
            return
        if asks and not click.confirm(f"approve {_named(deploys)}?"):
            note("nothing is approved")
            return
        approved = by_hand.approve(
            ledger, found["id"], [each.job_id for each in deploys], by=resources.person()
        )
    if as_json:
        print_json({"plan": plan, "approved": approved})
    else:
        click.echo(f"approved {counted(len(approved), 'deploy')} of {plan}")


def _named(deploys: Sequence[Waiting]) -> str:
    if len(deploys) == 1:
        return f"the deploy of {deploys[0].task_id}"
    return f"the deploys of {one_line(', '.join(each.task_id for each in deploys))}"


def _told(plan: Mapping[str, Any], deploy: Waiting) -> dict[str, Any]:
    return {**asdict(deploy), **asdict(difference(plan, deploy, home=resources.home()))}


def _show(plan: Mapping[str, Any], deploy: Waiting) -> None:
    """The change of one deploy. One that cannot be shown here can be approved all the same."""
    click.secho(f"{deploy.task_id}: {one_line(deploy.title)} ({deploy.commit[:12]})", bold=True)
    try:
        change = difference(plan, deploy, home=resources.home())
    except (GitError, RepositoryError) as error:
        note(f"the change cannot be shown: {one_line(str(error))}")
        return
    for line in change.diff.splitlines():
        click.secho(_harmless(line), fg=_COLOURS.get(line[:1]))
    if change.cut:
        click.echo(f"… there is more: git diff {change.base} {change.commit}")
    click.echo()


_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def _harmless(line: str) -> str:
    """The line without control characters: what an agent wrote must not steer a terminal."""
    return "".join(each if each.isprintable() or each == "\t" else "\N{REPLACEMENT CHARACTER}"
                   for each in line)  # fmt: skip
