"""`vibe db`: the ledger's schema and its upkeep."""

from __future__ import annotations

import sys

import click

from vibe_tasks.cli.commands import Group
from vibe_tasks.cli.ledger import ledger_exists, look_into_ledger, place, storage_trouble
from vibe_tasks.cli.printing import counted, json_option, note, print_json
from vibe_tasks.errors import InputError
from vibe_tasks.store.engine import Database
from vibe_tasks.store.history import archive_old_history, count_history
from vibe_tasks.store.upgrade import Moved, differences
from vibe_tasks.store.upgrade import downgrade as take_down
from vibe_tasks.store.upgrade import upgrade as bring_up
from vibe_tasks.store.version import SCHEMA_VERSION, found_version, require_current
from vibe_tasks.store.watching import workers_online
from vibe_tasks.tasks import resources


@click.group(cls=Group)
def db() -> None:
    """Upgrade, check and tidy the ledger's database."""


@db.command(example="VIBE_DATABASE_URL=postgresql://vibe:secret@db/vibe vibe db upgrade")
@click.option("--to", type=click.IntRange(1, SCHEMA_VERSION), default=SCHEMA_VERSION,
              show_default=True, metavar="VERSION")  # fmt: skip
@json_option
def upgrade(to: int, as_json: bool) -> None:
    """Bring the schema up to this program's version; an empty database gets all of it."""
    with storage_trouble():
        moved = bring_up(resources.database(), to=to)
    _tell(moved, as_json=as_json)


@db.command(example="vibe db downgrade --to 1")
@click.option("--to", type=click.IntRange(0, SCHEMA_VERSION), required=True, metavar="VERSION",
              help="0 removes all tables.")  # fmt: skip
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Also while workers are online.")
@json_option
@click.pass_context
def downgrade(ctx: click.Context, to: int, yes: bool, force: bool, as_json: bool) -> None:
    """Take the schema back to an older version; stop all workers first.

    Asks first on a terminal, and needs --yes elsewhere. Workers that are online would break:
    while there are any it is refused.
    """
    with storage_trouble():
        if not ledger_exists():
            raise InputError(f"there is no ledger in {place()}")
        database = resources.database()
        if not force:
            _refuse_while_working(database)
        if not yes and not _agreed(to):
            note("nothing changed")
            ctx.exit(1)
        moved = take_down(database, to=to)
    _tell(moved, as_json=as_json)


def _refuse_while_working(database: Database) -> None:
    if not found_version(database):
        return
    with database.read() as connection:
        online = workers_online(connection, lease=resources.settings().lease_seconds)
    if online:
        raise InputError(
            f"online: {', '.join(online)}; stop them first, or give --force where they are gone"
        )


def _agreed(to: int) -> bool:
    """Ask; a program that cannot be asked has to say --yes."""
    if not sys.stdin.isatty():
        raise InputError("this takes tables and columns away: give --yes where nobody can be asked")
    lost = "every job, plan and event" if to == 0 else "what newer versions have added"
    return click.confirm(f"This removes {lost}. Go on?", err=True)


@db.command(example="vibe db check")
@json_option
@click.pass_context
def check(ctx: click.Context, as_json: bool) -> None:
    """Compare the database with what this program expects; exit code 1 where they differ."""
    with storage_trouble():
        if not ledger_exists():
            raise InputError(f"there is no ledger in {place()}: run `vibe db upgrade`")
        database = resources.database()
        require_current(database)
        found = differences(database)
    if as_json:
        print_json({"version": SCHEMA_VERSION, "differences": found})
    elif found:
        for line in found:
            click.echo(line)
    else:
        click.echo(f"schema {SCHEMA_VERSION}, as it should be")
    ctx.exit(1 if found else 0)


@db.command(example="vibe db archive --days 30")
@click.option("--days", type=click.FloatRange(min=0), default=7.0, show_default=True,
              help="Move what is older than this.")  # fmt: skip
@json_option
def archive(days: float, as_json: bool) -> None:
    """Move old history rows to the archive; nothing is deleted, and workers go on meanwhile."""
    with look_into_ledger() as ledger:
        moved = archive_old_history(ledger, days)
        history, archived = count_history(ledger)
    if as_json:
        print_json({"moved": moved, "history": history, "archive": archived})
    else:
        click.echo(
            f"{counted(moved, 'row')} moved; the history has {history}, the archive {archived}"
        )


def _tell(moved: Moved, *, as_json: bool) -> None:
    if as_json:
        print_json({"before": moved.before, "after": moved.after})
    elif moved.before == moved.after:
        click.echo(f"schema {moved.after}, nothing to do")
    else:
        click.echo(f"schema {moved.before} → {moved.after}")
