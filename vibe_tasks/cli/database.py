"""`vibe db`: the ledger's schema and its upkeep."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import click

from vibe_tasks.cli.commands import Group
from vibe_tasks.cli.ledger import require_ledger, storage_trouble
from vibe_tasks.cli.numbers import MOST_SECONDS, Number, Whole
from vibe_tasks.cli.printing import json_option, note, print_json
from vibe_tasks.errors import InputError
from vibe_tasks.store.audit import count_entries, note_apart
from vibe_tasks.store.in_use import Patience
from vibe_tasks.store.job_archive import count_jobs
from vibe_tasks.store.upgrade import Moved, differences
from vibe_tasks.store.upgrade import downgrade as take_down
from vibe_tasks.store.upgrade import upgrade as bring_up
from vibe_tasks.store.version import SCHEMA_VERSION, found_version, require_current
from vibe_tasks.tasks import resources

ARCHIVE_SINCE = 6
"""The first schema with an archive of jobs."""

_HERE = "vibe_tasks.cli.upkeep"
_PLACES = {
    "archive": ("vibe_tasks.cli.archiving:archive", "Move old history and jobs to the archive."),
    "export": ("vibe_tasks.cli.archiving:export", "Write what is archived to a file."),
    "vacuum": (f"{_HERE}:vacuum", "Give back the room of what was deleted."),
    "backup": (f"{_HERE}:backup", "Write a backup while all runs (SQLite)."),
    "restore": (f"{_HERE}:restore", "Put a backup in the ledger's place (SQLite)."),
    "restored": (f"{_HERE}:restored_", "Let restored work go on (PostgreSQL)."),
    "reseal": ("vibe_tasks.cli.reseal:reseal", "Seal payloads with another key, or none."),
    "copy": ("vibe_tasks.cli.copying:copy", "Copy the ledger to another database, and move to it."),
}


@click.group(cls=Group, places=_PLACES)
def db() -> None:
    """Upgrade, check and tidy the ledger's database."""


_force_option = click.option(
    "--force", is_flag=True, help="Also while workers are online that could not go on."
)
_wait_option = click.option(
    "--wait", type=Number(min=0, max=MOST_SECONDS), default=300.0, show_default=True,
    metavar="SECONDS", help="How long to try while others use the tables.",
)  # fmt: skip


@db.command(example="VIBE_DATABASE_URL=postgresql://vibe:secret@db/vibe vibe db upgrade")
@click.option("--to", type=Whole(1, SCHEMA_VERSION), default=SCHEMA_VERSION,
              show_default=True, metavar="VERSION")  # fmt: skip
@_force_option
@_wait_option
@json_option
def upgrade(to: int, force: bool, wait: float, as_json: bool) -> None:
    """Bring the schema up to this program's version; an empty database gets all of it.

    Workers go on meanwhile. It is refused while some are online that the new schema is not for. A
    table that others use is waited for a moment at a time, so that no job waits behind it for long.
    """
    with storage_trouble():
        moved = bring_up(
            resources.database(), to=to, lease=_lease(force=force), patience=_patience(wait)
        )
        if moved.before != moved.after:
            done("db.upgrade", {"before": moved.before, "after": moved.after})
    _tell(moved, as_json=as_json)


@db.command(example="vibe db downgrade --to 1")
@click.option("--to", type=Whole(0, SCHEMA_VERSION), required=True, metavar="VERSION",
              help="0 removes all tables.")  # fmt: skip
@click.option("--yes", is_flag=True, help="Do not ask.")
@_force_option
@_wait_option
@json_option
@click.pass_context
def downgrade(
    ctx: click.Context, *, to: int, yes: bool, force: bool, wait: float, as_json: bool
) -> None:
    """Take the schema back to an older version; stop this version's workers first.

    Asks first on a terminal, and needs --yes elsewhere. It is refused while workers are online that
    the older schema is not for.
    """
    with storage_trouble():
        require_ledger()
        if not yes and not _agreed(to):
            note("nothing changed")
            ctx.exit(1)
        moved = take_down(
            resources.database(), to=to, lease=_lease(force=force), patience=_patience(wait)
        )
        if moved.before != moved.after:
            done("db.downgrade", {"before": moved.before, "after": moved.after})
    _tell(moved, as_json=as_json)


def done(action: str, details: Mapping[str, Any]) -> None:
    """Write into the audit trail what was done to the ledger as a whole."""
    note_apart(resources.database(), resources.person(), action, None, details)


def _lease(*, force: bool) -> float | None:
    return None if force else resources.settings().lease_seconds


def _patience(seconds: float) -> Patience:
    return Patience.lasting(seconds, sleep=resources.pause, tell=note)


def _agreed(to: int) -> bool:
    """Ask; a program that cannot be asked has to say --yes."""
    if not sys.stdin.isatty():
        raise InputError("this takes tables and columns away: give --yes where nobody can be asked")
    lost = "every job, plan and event" if to == 0 else "what newer versions have added"
    if 0 < to < ARCHIVE_SINCE and (going := _operations()):
        lost += f", and with it {going} (`vibe db export` keeps them)"
    return click.confirm(f"This removes {lost}. Go on?", err=True)


def _operations() -> str:
    """What only schemas with an archive have, in words; empty where there is nothing of it."""
    ledger = resources.database()
    if (found_version(ledger) or 0) < ARCHIVE_SINCE:
        return ""
    with ledger.read() as connection:
        archived, entries = count_jobs(connection)[1], count_entries(connection)
    parts = [f"{archived:,} archived {'job' if archived == 1 else 'jobs'}"] if archived else []
    if entries:
        what = "entry" if entries == 1 else "entries"
        parts.append(f"the audit trail of {entries:,} {what}")
    return " and ".join(parts)


@db.command(example="vibe db check")
@json_option
@click.pass_context
def check(ctx: click.Context, as_json: bool) -> None:
    """Compare the database with what this program expects; exit code 1 where they differ."""
    with storage_trouble():
        require_ledger()
        database = resources.database()
        require_current(database)
        version, found = found_version(database), differences(database)
    if as_json:
        print_json({"version": version, "differences": found})
    elif found:
        for line in found:
            click.echo(line)
    elif version == SCHEMA_VERSION:
        click.echo(f"schema {version}, as it should be")
    else:
        click.echo(f"schema {version}, with all that this program's schema {SCHEMA_VERSION} has")
    ctx.exit(1 if found else 0)


def _tell(moved: Moved, *, as_json: bool) -> None:
    if as_json:
        print_json({"before": moved.before, "after": moved.after})
    elif moved.before == moved.after:
        click.echo(f"schema {moved.after}, nothing to do")
    else:
        click.echo(f"schema {moved.before} → {moved.after}")
