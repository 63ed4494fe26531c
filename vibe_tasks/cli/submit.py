"""`vibe submit`: a plan for the deployment that runs already."""

from __future__ import annotations

from pathlib import Path

import click

import vibe_tasks
from vibe_tasks.cli.commands import Command
from vibe_tasks.cli.ledger import storage_trouble
from vibe_tasks.cli.printing import json_option, note, print_json
from vibe_tasks.cli.servers import require_broker
from vibe_tasks.flow.submission import Submission
from vibe_tasks.tasks import resources


@click.command(
    cls=Command, example="vibe submit plan.yaml\nvibe plans show $(vibe submit plan.yaml)"
)
@click.argument("plan", type=click.Path(path_type=Path))
@click.option("--agent", metavar="NAME", help="The plan's agent to use where a task names none.")
@click.option("--fresh", is_flag=True, help="Start over; the old branch is kept as vibe/NAME.N.")
@json_option
def submit(plan: Path, agent: str | None, fresh: bool, as_json: bool) -> None:
    """Hand the plan in the file PLAN to the running deployment and print its id.

    The deployment is the one of VIBE_BROKER_URL, or the stack that `vibe up` runs in VIBE_HOME.
    A plan that is under way already is left alone and its id is printed.
    """
    with storage_trouble():  # the ledger is opened once a stack is found, and made nowhere else
        submission = hand_over(plan, agent=agent, fresh=fresh)
    if as_json:
        print_json(
            {
                "id": submission.plan_id,
                "resumed": submission.resumed,
                "set_aside": submission.set_aside,
            }
        )
        return
    if submission.set_aside:
        note(f"the earlier branch is kept as {submission.set_aside}")
    if submission.resumed:
        note("this plan is under way already")
    click.echo(submission.plan_id)


def hand_over(plan: Path, *, agent: str | None, fresh: bool) -> Submission:
    """Submit the plan to the deployment that runs.

    Raises:
        InputError: There is none, or the plan cannot be accepted; nothing was written.
    """
    require_broker()
    submission: Submission = vibe_tasks.submit(
        plan, agent=agent, fresh=fresh, by=resources.person()
    )
    return submission
