"""`vibe db archive` and `export`: what is old."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from vibe_tasks.cli.commands import Command
from vibe_tasks.cli.database import done
from vibe_tasks.cli.ledger import open_ledger, require_ledger
from vibe_tasks.cli.numbers import DAYS, File
from vibe_tasks.cli.printing import counted, json_option, print_json
from vibe_tasks.errors import InputError
from vibe_tasks.flow import archiving
from vibe_tasks.flow.export import delete_exported
from vibe_tasks.flow.export import export as write_export
from vibe_tasks.retention import keeping
from vibe_tasks.store.engine import server_time
from vibe_tasks.store.history import SECONDS_PER_DAY
from vibe_tasks.tasks import resources


@click.command(cls=Command, example="vibe db archive --days 30")
@click.option("--days", type=DAYS, metavar="DAYS",
              help="Archive history that is older; by default VIBE_HISTORY_DAYS.")  # fmt: skip
@click.option("--jobs-days", type=DAYS, metavar="DAYS",
              help="Archive jobs that ended before; by default VIBE_JOBS_DAYS.")  # fmt: skip
@json_option
def archive(days: float | None, jobs_days: float | None, as_json: bool) -> None:
    """Move old history and jobs to the archive, and delete what the settings keep no longer.

    Workers go on meanwhile. Beat and the embedded stack do the same by themselves. Where it is
    interrupted, the next time goes on with the rest.
    """
    settings = resources.settings()
    kept = keeping(settings).but(history_days=days, jobs_days=jobs_days)
    require_ledger()
    with open_ledger() as ledger:
        tidied = archiving.tidy(ledger, kept, monotonic=resources.monotonic, pause=resources.pause)
        folders = archiving.remove_old_attempts(ledger, resources.home(), settings.attempts_days)
        told = archiving.figures(ledger, tidied, folders=folders)
        done("db.archive", told)
    if as_json:
        print_json(told)
    else:
        _tell(told)


def _tell(told: Mapping[str, Any]) -> None:
    jobs = told["jobs"]
    click.echo(
        f"{counted(told['moved'], 'row')} moved; the history has {told['history']}, "
        f"the archive {told['archive']}"
    )
    click.echo(
        f"{counted(jobs['moved'], 'job')} moved; {jobs['ended']} ended ones stay, "
        f"the archive has {jobs['archive']}"
    )
    for table, rows in told["deleted"].items():
        click.echo(f"{counted(rows, 'row')} of {table} deleted")
    if told["folders"]:
        click.echo(f"files of {counted(told['folders'], 'job')} deleted")


@click.command(cls=Command, example="vibe db export --before 2026-01-01 --delete old.jsonl.gz")
@click.argument("file", metavar="FILE.jsonl.gz", type=File())
@click.option("--before", metavar="DATE", help="Only what is older, such as 2026-01-31.")
@click.option("--days", type=DAYS, metavar="DAYS", help="Only what is older than this.")
@click.option("--delete", is_flag=True,
              help="Then delete from the archive what the file holds.")  # fmt: skip
@json_option
def export(file: Path, before: str | None, days: float | None, delete: bool, as_json: bool) -> None:
    """Write archived history and jobs, events and the audit trail to a file: compressed JSON lines.

    The file is read again before it gets its name.
    """
    if before is not None and days is not None:
        raise InputError("give --before or --days, not both")
    require_ledger()
    with open_ledger() as ledger:
        until = None if before is None else _epoch(before)
        if days is not None:
            until = server_time(ledger) - days * SECONDS_PER_DAY
        made = write_export(ledger, file, before=until)
        gone = {}
        if delete:
            gone = delete_exported(
                ledger, file, monotonic=resources.monotonic, pause=resources.pause
            )
        told = {"file": str(file), "size": made.size, "rows": dict(made.rows), "deleted": gone}
        done("db.export", told)
    if as_json:
        print_json(told)
        return
    rows = ", ".join(f"{number} of {table}" for table, number in made.rows.items())
    click.echo(f"{file}: {rows}; {made.size} bytes")
    for table, number in gone.items():
        click.echo(f"{counted(number, 'row')} of {table} deleted")


def _epoch(text: str) -> float:
    """Epoch seconds of a date, or a date and time, here where no zone is given."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"--before: {text!r} is no date; write it as 2026-01-31") from error
    try:
        return moment.timestamp()
    except (ValueError, OverflowError) as error:  # in the years 1 and 9999, in some time zones
        raise InputError(f"--before: {text!r} is too far away") from error
