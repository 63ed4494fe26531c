"""`vibe dlq`: the jobs that will not be tried again by themselves."""

from __future__ import annotations

import click

from vibe_tasks.cli.commands import Group
from vibe_tasks.cli.jobs import do_each, limit_option, what
from vibe_tasks.cli.ledger import look_into_ledger, place
from vibe_tasks.cli.printing import (
    json_option,
    moment,
    note,
    print_json,
    print_table,
    short_id,
)
from vibe_tasks.cli.program import program
from vibe_tasks.flow import by_hand, control
from vibe_tasks.flow.views.jobs import dead_letters, listed
from vibe_tasks.store.engine import Database
from vibe_tasks.store.watching import workers_online
from vibe_tasks.tasks import resources

all_option = click.option("--all", "every", is_flag=True, help="All dead letters.")


@click.group(cls=Group)
def dlq() -> None:
    """List, retry and discard dead letters.

    A dead letter is a job that failed for the last time, or the last QA of a task whose fix
    rounds are used up. Where its ID is asked for, the beginning is enough.
    """


@dlq.command("list", example="vibe dlq list --json")
@limit_option
@json_option
def list_(limit: int, as_json: bool) -> None:
    """List the dead letters, newest first."""
    with look_into_ledger() as ledger, ledger.read() as connection:
        rows = dead_letters(connection, limit=limit)
    if as_json:
        print_json([listed(row) for row in rows])
        return
    print_table(
        ("JOB", "WHAT", "ATTEMPTS", "SINCE", "ERROR"),
        [
            (short_id(row["id"]), what(row), row["attempt"], moment(row["dead_at"]), row["error"])
            for row in rows
        ],
        empty=f"no dead letters in {place()}",
    )


@dlq.command(example="vibe dlq retry 1b9d6bcd\nvibe dlq retry --all")
@click.argument("job_ids", metavar="[ID...]", nargs=-1)
@all_option
@json_option
def retry(job_ids: tuple[str, ...], every: bool, as_json: bool) -> None:
    """Bring dead letters back to work.

    A job that failed gets its attempts back; a task that QA refused gets one more fix round.
    Its plan goes on as soon as somebody works: `vibe up`, or `vibe run` of the plan again.
    """
    with look_into_ledger() as ledger:
        chosen = _chosen(ledger, job_ids, every)
        by = resources.person()
        done = do_each(
            "retried", chosen, lambda job_id: by_hand.retry(ledger, job_id, by=by), as_json=as_json
        )
        lease = resources.settings().lease_seconds
        with ledger.read() as connection:
            working = workers_online(connection, lease=lease)
    if done and not working and not as_json:
        note(
            f"no worker is online: they wait for `{program()} up`, "
            f"or for `{program()} run` of their plan again"
        )


@dlq.command(example="vibe dlq discard 1b9d6bcd")
@click.argument("job_ids", metavar="[ID...]", nargs=-1)
@all_option
@json_option
def discard(job_ids: tuple[str, ...], every: bool, as_json: bool) -> None:
    """Take dead letters off the list; the jobs and their history stay in the ledger."""
    with look_into_ledger() as ledger:
        chosen = _chosen(ledger, job_ids, every)
        by = resources.person()
        do_each(
            "discarded", chosen, lambda job_id: control.discard_job(ledger, job_id, by=by),
            as_json=as_json,
        )  # fmt: skip


def _chosen(ledger: Database, job_ids: tuple[str, ...], every: bool) -> list[str]:
    if bool(job_ids) == every:
        raise click.UsageError("give one or more ids, or --all")
    if not every:
        return by_hand.known(ledger, job_ids, refuse=by_hand.refuse_living)
    return by_hand.every_dead_letter(ledger)
